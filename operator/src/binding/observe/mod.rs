//! What is there: first [`in_azure`] reads the identity and its credentials, then [`in_cluster`] the account and the other
//! bindings. Nothing is written, and the plan comes next.

mod azure;
mod cluster;
mod reader;

pub use azure::{IDENTITY_FOR_NEWCOMERS, InAzure, in_azure};
pub use cluster::{Observed, in_cluster};
