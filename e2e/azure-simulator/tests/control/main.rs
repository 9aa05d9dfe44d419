//! The control API: what it puts in a request's way, and what it tells about requests.
#![allow(
    clippy::unwrap_used,
    reason = "in a test a panic is how a failure is told; clippy.toml spares test functions only, not what they call"
)]

mod faults;
mod holds;
mod log;
mod lost_answers;
#[path = "../support/mod.rs"]
mod support;
