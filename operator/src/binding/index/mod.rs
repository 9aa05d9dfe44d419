//! The bindings of the watch, found by their account and by their identity without going through all of them.

mod applicants;
mod behind;
mod bindings;
mod files;
mod found;
mod seen;

pub use behind::Listed;
pub use bindings::{BeingSent, Bindings};
pub(super) use found::reference;
pub use found::{Found, Guarded, readable, slim};
