//! The client for Azure against a small https server that answers what a test tells it to.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod calls;
mod failures;
mod fake_azure;
mod sign_in;
