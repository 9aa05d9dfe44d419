//! The bindings of the watch, found by their account and by their identity without going through all of them.

mod applicants;
mod behind;
mod bindings;
mod departures;
mod files;
mod found;
mod gone;
mod kept;
mod keys;
mod line;
mod packed;
mod seen;
mod sent;

pub use behind::Listed;
pub use bindings::Bindings;
pub(super) use found::reference;
pub use found::{Found, Guarded, readable, slim};
pub use keys::Age;
pub use packed::{Packed, Shown};
pub use sent::BeingSent;
