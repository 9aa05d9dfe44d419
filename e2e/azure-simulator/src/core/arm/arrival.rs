//! A request at Resource Manager's door, and what was let in.

use super::api_version::ApiVersion;
use super::authentication::Caller;
use super::error::ArmResult;
use super::route::Target;
use crate::core::throttle::{Remaining, ThrottleScope};

/// A request to Resource Manager that was let in.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    pub(super) target: Target,
    pub(super) version: ApiVersion,
    pub(super) caller: Option<Caller>,
}

/// A request at Resource Manager's door.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Who sends it, once that is known.
    pub(crate) caller: Option<Caller>,
    /// The lower-cased id of the identity whose credentials it writes.
    pub(crate) written_identity: Option<String>,
    /// Whether it is let in.
    pub(crate) admitted: ArmResult<Admitted>,
    /// What is left in Resource Manager's buckets, where they are counted.
    pub(crate) remaining: Option<Remaining>,
    /// The budget that was used up.
    pub(crate) throttled_by: Option<ThrottleScope>,
}
