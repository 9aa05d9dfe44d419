//! The controller of `WorkloadIdentityBinding`.
//!
//! One pass: [`validate`] and [`plan`] are plain functions, [`observe`] reads, [`apply`] writes, and [`status`] is
//! computed from what was applied. [`next_try`] writes it. [`cleanup`] runs instead when the binding is being deleted. [`controller`] says when.

pub mod account;
pub mod applied;
pub mod apply;
pub mod calls;
pub mod cleanup;
mod context;
pub mod controller;
pub mod credential;
pub mod error;
pub mod events;
mod failed;
pub mod finalizer;
#[cfg(test)]
mod fixtures;
pub mod index;
pub mod metrics;
mod next_try;
pub mod observe;
pub mod plan;
mod reconcile;
pub mod requests;
mod settings;
pub mod status;
pub mod told;
pub mod validate;
mod write_status;

pub use context::Context;
pub use failed::{Failed, Next};
pub use finalizer::FINALIZER;
pub use reconcile::reconcile;
pub use settings::Settings;
