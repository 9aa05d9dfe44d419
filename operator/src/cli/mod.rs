//! The command line: its [`flags`], and the [`config`] that they are parsed into.

pub mod config;
pub mod flags;
