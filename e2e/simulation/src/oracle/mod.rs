//! What must hold once things are quiet, from the state of Azure and of the cluster alone.

mod credential;
mod duplicates;
mod expected;
mod judge;
mod leftovers;
mod reasons;

pub use judge::{STILL, judge};
pub use leftovers::NOTHING_LEFT;
pub use reasons::TRUE_REASON;
