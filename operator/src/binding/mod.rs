//! The controller of `WorkloadIdentityBinding`.
//!
//! [`controller`] says when a binding is looked at. [`reconcile`] is one pass over it, in steps:
//!
//! ```text
//! restore -> line_up -> observe -> plan -> apply (record, ServiceAccount, credential) -> status -> conclude
//!  reads     queues     reads     pure                   writes                        pure      writes
//! ```
//!
//! `restore` calls [`validate`], and `conclude` asks `next_try`: both are pure. [`cleanup`] runs instead when the
//! binding is being deleted, and [`earlier`] before the first pass of all. [`account`] and [`credential`] hold what the
//! steps do to either, [`index`] finds bindings, and the [`Operator`] is what all passes share; a [`Context`] is that with
//! what one pass has read at its beginning.

pub mod account;
pub mod applied;
pub mod apply;
pub mod calls;
mod changes;
pub mod cleanup;
mod conclude;
mod context;
pub mod controller;
pub mod credential;
pub mod earlier;
pub mod error;
pub mod events;
mod failed;
pub mod finalizer;
pub mod first_ready;
#[cfg(test)]
mod fixtures;
pub mod grants;
pub mod index;
mod line_up;
pub mod metrics;
mod next_try;
pub mod observe;
pub mod plan;
mod read_only;
mod reconcile;
pub mod requests;
mod restore;
mod settings;
mod spread;
pub mod status;
pub mod tell_issuer;
pub mod told;
mod unknown_issuer;
pub mod validate;
pub mod workqueue;
mod write_status;

pub use context::{Context, Operator};
pub use failed::{Failed, Next};
pub use finalizer::FINALIZER;
pub use reconcile::{reconcile, vanished};
pub use settings::Settings;
