//! A process with `--read-only` only looks.

use azure_simulator::core::http::{Request, Service};
use http::Method;

use crate::caller::Caller;
use crate::kubernetes::{Call, Kind};
use crate::names::short;
use crate::shared::Shared;

/// Who only looks writes nothing to Azure, to an account, nor a finalizer.
pub const ONLY_LOOKS: &str = "who-only-looks-writes-nothing";

/// A process sends a request to Azure.
pub(super) fn sent(shared: &Shared, process: &Caller, request: &Request) {
    let is_write = matches!(request.method.as_str(), "PUT" | "DELETE");
    if process.is_read_only && request.service == Service::ResourceManager && is_write {
        let what = format!("{} {}", request.method, short(&request.path));
        shared.violated(ONLY_LOOKS, what);
    }
}

/// A process has called the API server.
pub(super) fn called(shared: &Shared, process: &Caller, call: &Call<'_>) {
    let is_write = *call.method != Method::GET && !call.is_status;
    // A finalizer may come off: what nothing was made for goes.
    let puts_on = || {
        let finalizers = call
            .outcome
            .as_ref()
            .ok()
            .map(|it| &it["metadata"]["finalizers"]);
        finalizers.is_some_and(|it| it.as_array().is_some_and(|it| !it.is_empty()))
    };
    let is_withheld = match call.key.kind {
        Kind::Account => true,
        Kind::Binding => puts_on(),
        _ => false,
    };
    if process.is_read_only && is_write && is_withheld {
        let what = format!("{} {}/{}", call.method, call.key.namespace, call.key.name);
        shared.violated(ONLY_LOOKS, what);
    }
}
