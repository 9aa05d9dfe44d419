//! One ledger for each managed identity: what Azure said about it, and who may write to it now.
//!
//! Azure takes one federated-credential write at a time per identity and answers 409 to the rest, and it throttles
//! reads hard. So the unit of work is the identity, not the binding: its bindings share one cached read of the identity
//! and one cached listing, and a [`Turn`] is needed to write. Nobody waits for a turn in a reconcile: whoever finds it
//! taken is woken when it is given back.

mod acknowledged;
mod books;
mod contention;
pub mod decide;
mod fair_queue;
mod freshness;
mod gate;
mod in_line;
mod lost_writes;
mod not_now;
mod pacing;
mod queue;
mod reads;
mod shared_read;
mod slots;
mod target;
mod turn;
mod who;

pub use acknowledged::AcknowledgedEarlier;
pub use books::{Ledger, LedgerSettings, Ledgers};
pub use fair_queue::Look;
pub use freshness::{Freshness, Requested};
pub use in_line::InLine;
pub use not_now::NotNow;
pub use pacing::{Held, PacingState};
pub use reads::Listing;
pub use shared_read::ReadError;
pub use target::Operation;
pub use turn::{Place, Turn};
pub use who::{BindingRef, Rank, Urgency, Writer};

#[cfg(test)]
mod tests;
