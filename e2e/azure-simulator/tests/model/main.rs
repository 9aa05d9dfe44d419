//! The facts of docs/model.md, one test or more for each: a plain HTTP client against the simulator over https.
//! A test here fails when the behaviour of its rows is taken out.

#![allow(
    clippy::unwrap_used,
    reason = "in a test a panic is how a failure is told; clippy.toml spares test functions only, not what they call"
)]

mod authentication;
mod authorization;
mod credential_rules;
mod credentials;
mod documentation;
mod entra_documents;
mod exchange;
mod identities;
mod issuer_trust;
mod obstructions;
mod propagation;
mod requests;
mod resource_groups;
mod subscriptions;
#[path = "../support/mod.rs"]
mod support;
mod throttling;
mod token_requests;
mod writers;
