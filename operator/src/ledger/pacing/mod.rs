//! How fast requests may go to Azure. Pure: the time comes in.
//!
//! Requests go as fast as Azure takes them, until it says 429. Then the scope that was charged drops to the budget that
//! Microsoft publishes for it, waits as long as it was told to, and tries twice the rate after each quiet time.
//!
//! [`schedule`] has who goes when; [`limit`] the rate of a scope that was throttled, [`waits`] what Azure has told it to wait,
//! [`repeats`] the pace of what is known to fail, and [`state`] what all of that holds back.

mod limit;
mod repeats;
mod schedule;
mod state;
mod times;
mod waits;

pub(super) use schedule::Pacing;
pub use state::{Held, PacingState};
