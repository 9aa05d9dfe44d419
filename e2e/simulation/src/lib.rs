//! The operator's own reconcile, ledger, error classing and pacing against the simulator's core and a Kubernetes in memory,
//! under tokio's paused clock, from a seed.
//!
//! A run has a time of disturbances, in which [`world`] changes things, requests meet faults and processes die, and a quiet
//! time, after which all must be as it should be. [`invariants`] judge while it runs, [`oracle`] judges the end.
//!
//! Each line uses those above it:
//!
//! ```text
//! time trace names caller watched machine    requests bindings    setup (what a run begins with)
//! kubernetes (the cluster in memory)
//! shared (what all parts share, and the trait Witness)
//! process (one of the operator's)    world (everybody else)    invariants costs (two witnesses)
//! network api_server (what a process talks to)                 oracle (the end)
//! operator (its production parts)
//! replicas (several of it, and what happens to them)
//! run sweep
//! ```

pub mod api_server;
pub mod bindings;
pub mod caller;
pub mod costs;
pub mod disturbances;
mod grants;
pub mod invariants;
pub mod kubernetes;
pub mod machine;
pub mod names;
pub mod network;
pub mod operator;
pub mod oracle;
pub mod process;
#[cfg(feature = "paused-time")]
pub mod replicas;
pub mod requests;
#[cfg(feature = "paused-time")]
pub mod run;
pub mod setup;
pub mod shared;
#[cfg(feature = "paused-time")]
pub mod sweep;
pub mod time;
pub mod trace;
pub mod watched;
pub mod world;

#[cfg(feature = "paused-time")]
pub use run::{Outcome, run};
#[cfg(feature = "paused-time")]
pub use sweep::{Swept, sweep, sweep_after};
