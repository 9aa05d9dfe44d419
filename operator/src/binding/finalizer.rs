//! The finalizer: a deleted binding stays until what was made for it is gone.
//!
//! Each write of it carries the resourceVersion that was read. So whoever was faster shows as a 409, and every other
//! refusal is one: a policy answers 422 as well, and a patch with a test would make the two look alike.

use azwib_crds::WorkloadIdentityBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::calls::{Call, CallFailed};

/// Finalizer that keeps a deleted binding until its credential is gone.
pub const FINALIZER: &str = "azwib.dev/cleanup";

/// What a pass is to do, from the metadata of its binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The finalizer is put on before anything is made.
    Finalizer,
    /// What the spec asks for.
    Convergence,
    /// What is to happen before it goes.
    Cleanup,
    /// It goes without us.
    Nothing,
}

pub fn due(metadata: &ObjectMeta) -> Due {
    match (metadata.deletion_timestamp.is_some(), is_on(metadata)) {
        (false, false) => Due::Finalizer,
        (false, true) => Due::Convergence,
        (true, true) => Due::Cleanup,
        (true, false) => Due::Nothing,
    }
}

/// Whether our finalizer is on an object.
pub fn is_on(metadata: &ObjectMeta) -> bool {
    all(metadata).any(|it| it == FINALIZER)
}

/// The finalizers of others.
pub fn others(metadata: &ObjectMeta) -> impl Iterator<Item = &str> {
    all(metadata).filter(|it| *it != FINALIZER)
}

fn all(metadata: &ObjectMeta) -> impl Iterator<Item = &str> {
    metadata.finalizers.iter().flatten().map(String::as_str)
}

/// Puts it on an object as it was read.
pub async fn add(metadata: &ObjectMeta, client: &Client) -> Result<(), CallFailed> {
    let finalizers = others(metadata).chain([FINALIZER]);
    let written = write(metadata, finalizers, Call::AddFinalizer, client).await?;
    // Nothing may be made for a binding that could go without its cleanup.
    if is_on(&written) {
        Ok(())
    } else {
        Err(Call::AddFinalizer.altered(format!("the finalizer {FINALIZER} is not there")))
    }
}

/// Takes it off an object as it was read.
pub async fn remove(metadata: &ObjectMeta, client: &Client) -> Result<(), CallFailed> {
    let written = write(metadata, others(metadata), Call::RemoveFinalizer, client).await?;
    if is_on(&written) {
        Err(Call::RemoveFinalizer.altered(format!("the finalizer {FINALIZER} is still there")))
    } else {
        Ok(())
    }
}

async fn write(
    metadata: &ObjectMeta,
    finalizers: impl Iterator<Item = &str>,
    call: Call,
    client: &Client,
) -> Result<ObjectMeta, CallFailed> {
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let bindings: Api<WorkloadIdentityBinding> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({ "metadata": {
        "resourceVersion": metadata.resource_version,
        "finalizers": finalizers.collect::<Vec<_>>(),
    } }));
    let name = metadata.name.as_deref().unwrap_or_default();
    bindings
        .patch_metadata(name, &PatchParams::default(), &patch)
        .await
        .map(|written| written.metadata)
        .map_err(|error| call.failed(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(deleted: bool, finalizers: &[&str]) -> ObjectMeta {
        let deleted = if deleted {
            ", deletionTimestamp: '2026-01-02T03:04:05Z'"
        } else {
            ""
        };
        let finalizers = finalizers.join(", ");
        serde_yaml_ng::from_str(&format!(
            "{{name: orders, finalizers: [{finalizers}]{deleted}}}"
        ))
        .unwrap()
    }

    #[test]
    fn nothing_is_made_before_the_finalizer_is_on_and_nothing_goes_before_it_is_off() {
        for (deleted, finalizers, expected) in [
            (false, &[][..], Due::Finalizer),
            (false, &["a/b"], Due::Finalizer),
            (false, &["a/b", FINALIZER], Due::Convergence),
            (true, &[FINALIZER, "a/b"], Due::Cleanup),
            (true, &["a/b"], Due::Nothing),
        ] {
            let metadata = metadata(deleted, finalizers);
            assert_eq!(due(&metadata), expected, "{metadata:?}");
        }
        let shared = metadata(true, &["a/b", FINALIZER, "c/d"]);
        assert_eq!(others(&shared).collect::<Vec<_>>(), ["a/b", "c/d"]);
    }
}
