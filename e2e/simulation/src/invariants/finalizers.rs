//! Who has a finalizer keeps it for as long as nobody deletes it.
//!
//! A new process may begin with a list that shows a binding going which is gone, while another bears its name by now.

use http::Method;

use super::books::Judge;
use crate::kubernetes::{Call, Kind};

/// A binding that is not being deleted does not lose its finalizer.
pub const FINALIZER_STAYS: &str = "finalizer-stays";

/// A process has written to the API server.
pub(super) fn written(judge: Judge<'_>, call: &Call<'_>) {
    let Call {
        method,
        key,
        outcome,
        ..
    } = *call;
    let Ok(object) = outcome else {
        return;
    };
    if *method != Method::PATCH || key.kind != Kind::Binding {
        return;
    }
    let metadata = &object["metadata"];
    if metadata["finalizers"].is_null() && metadata["deletionTimestamp"].is_null() {
        let what = format!("{}/{} has lost its finalizer", key.namespace, key.name);
        judge.shared.violated(FINALIZER_STAYS, what);
    }
}
