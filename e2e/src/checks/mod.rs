//! Checks over what the tests recorded: plain functions, so that they can be shown to fail.

pub mod kstatus;
pub mod permissions;
pub mod recorded;
pub mod secrets;
