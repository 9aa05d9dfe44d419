//! Which of several operator processes may write: the holder of one Lease, by client-go's protocol.
//!
//! The protocol is that of `k8s.io/client-go/tools/leaderelection`, so that `kubectl get lease` and other tools read it. What
//! that package does not have is a [`Claim`]: something that every write asks for a moment before it is sent. It counts from
//! before the last renewal was sent, and so it ends before another process may take the Lease.
//!
//! No crate gives one: `kube-lease-manager` 0.13 goes on saying that it leads while the API server is down, and
//! `k8s-controller` 0.15 tells of the end of a term only once it has noticed it.

mod calls;
mod claim;
pub(crate) mod claimed;
mod elector;
mod guarded;
mod metrics;
mod observed;
mod obstacle;
mod others;
mod place;
mod record;
mod term;
mod timings;

pub use claim::{Claim, NoClaim};
pub use claimed::ClaimedBody;
pub use elector::Elector;
pub use guarded::{ClaimLayer, is_free};
pub use metrics::LeaderMetrics;
pub use others::{say_if_another_is_installed, until_nobody_leads};
pub use place::Place;
pub use term::Term;
pub use timings::{LONGEST_LEASE, Timings};

#[cfg(test)]
mod tests;
