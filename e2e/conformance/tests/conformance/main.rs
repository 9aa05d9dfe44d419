//! The tool, run as a user runs it, against the Azure simulator.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test a panic is how a failure is told; clippy.toml spares test functions only, not what they call"
)]

mod assumed;
mod differences;
mod dry_run;
mod errors;
mod removal;
mod support;
mod tokens;
mod waits;
