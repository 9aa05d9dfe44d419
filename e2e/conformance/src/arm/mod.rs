//! A small client of Azure Resource Manager.

mod advice;
mod answer;
mod client;
mod paths;

pub use self::advice::advice;
pub use self::answer::{Answer, ErrorAnswer};
pub use self::client::{Arm, Request};
pub use self::paths::{GroupId, IdentityId, LOCKS, RESOURCES};
