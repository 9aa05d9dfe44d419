//! The status of a binding: [`said`] is what a pass has to say, [`compute`] what becomes of that, [`verdict`] whether it is
//! Ready; [`stored`] reads the status that is there, and [`believed`] how much of it can be ours.

mod altered;
pub mod believed;
mod compute;
pub mod granted;
pub mod issuer;
pub mod known_good;
pub mod overwritten;
pub mod reason;
mod report;
mod said;
mod stored;
mod verdict;

pub use altered::altered;
pub use compute::{compute, of_others};
pub use report::{Finding, Moment, Report, Settled};
pub use said::{
    of_applied, of_cleaned_up, of_departing, of_error, of_granted, of_kept, of_known_good,
    of_revoked, of_suspended, of_unwritten, recording, taken_up,
};
pub use stored::{account_failed, has_something, is_failing, was_good, was_ready};
pub use verdict::{propagation_left, stalls_after};

#[cfg(test)]
mod tests;
