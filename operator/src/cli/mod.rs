//! The command line: its [`flags`], the [`config`] that they are parsed into, and what it asks for (an [`invocation`]).

pub mod config;
pub mod flags;
pub mod invocation;
