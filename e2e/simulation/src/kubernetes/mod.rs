//! A Kubernetes in memory: as much of the API server as the operator uses.
//!
//! It keeps resourceVersions, generations, the status subresource, finalizers and deletionTimestamps, refuses creations in
//! a namespace that is going, collects what lost its owners, and keeps every version for watches and stale lists. Field
//! ownership is as simple as can be: one manager that applies. The end-to-end tests prove it on a real API server.

mod apply;
mod cluster;
mod leases;
mod objects;
mod others;
mod removal;

pub use cluster::Cluster;
pub(crate) use cluster::STRIPPED;
pub(crate) use leases::LeaseChange;
pub use leases::Leases;
pub(crate) use objects::Change;
pub use objects::{Call, Key, Kind, Refusal};
pub use others::CLIENT_ID;
