//! What must hold at every moment. Each invariant has a name, by which a failure tells of it.
//!
//! ```text
//! shared::Witness <- witness      takes what happens to those whom it concerns:
//!                    azure, kubernetes, slots, looks, ...    each notes and judges
//!                    books        what all of them have noted
//! ```

pub mod accounts;
mod azure;
mod books;
pub mod contention;
pub mod finalizers;
pub mod grants;
mod in_order;
mod kubernetes;
pub mod looks;
pub mod neighbours;
pub mod newcomers;
pub mod one_writer;
mod ours;
pub mod pauses;
pub mod read_only;
pub mod slots;
pub mod statuses;
mod stays_ready;
pub mod watches;
mod witness;

pub use azure::{ONE_WRITE, RETRY_AFTER};
pub use books::Books;
pub use in_order::IN_ORDER;
pub use ours::{OURS, RECORDED};
pub use slots::LIMIT;
pub use stays_ready::{RENAME_KEEPS_READY, STAYS_READY};
