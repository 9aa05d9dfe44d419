//! What grants mean to a binding: [`ruling`] asks them, [`admission`] says whether a pass goes on, [`quota`] counts what they limit, [`said`] puts the answer into
//! words, and [`revocation`] takes away what a binding has that no grant covers any more. [`tell`] writes the statuses of the grants themselves.
//!
//! The check stands where power is made (the applicants on an identity, the bindings of an account) and where it is sent (the
//! writes themselves, in the moment in which they go out). A status is never asked.

use std::time::Duration;

pub mod admission;
pub mod quota;
pub mod revocation;
pub mod ruling;
pub mod said;
pub mod tell;
pub mod ungranted;

/// So long a binding without a grant is left as it is, in every respect.
pub(crate) const SETTLES: Duration = Duration::from_secs(10);
