//! Everybody but the operator: who makes, changes and deletes bindings, and what others do in Azure.
//!
//! Most steps come one by one. What only a coincidence shows, such as a deletion in the moment of a write, is a step too.

mod accounts;
mod azure;
mod bindings;
mod candidates;
mod coincidence;
mod disturb;
mod grants;
mod neighbours;
mod newcomers;
mod statuses;
mod step;
pub mod takeover;

pub use disturb::disturb;
