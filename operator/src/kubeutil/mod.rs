//! What every Kubernetes controller needs and kube-runtime does not bring.

pub mod answers;
pub mod backoff;
pub mod compressed;
pub mod conditions;
pub mod cut;
pub mod field_ownership;
pub(crate) mod paths;
pub mod pauses;
pub mod request_spans;
pub mod requests;
pub mod retry_after;
pub mod server_side_apply;
pub mod touched;
pub mod versions;
pub mod watch_course;

/// Field manager of everything that azwib applies.
pub const FIELD_MANAGER: &str = "azwib";
