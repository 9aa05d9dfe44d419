//! The requests by which a finalizer goes.

use azwib_crds::WorkloadIdentityBinding;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{Outcome, metadata};

pub(super) const FINALIZER: &str = "azwib.dev/cleanup";

pub(super) type Bindings = Api<WorkloadIdentityBinding>;

pub(super) fn finalizers(list: Value) -> Value {
    metadata("finalizers", list)
}

pub(super) async fn merge(bindings: &Bindings, name: &str, patch: Value, dry_run: bool) -> Outcome {
    let parameters = PatchParams {
        dry_run,
        ..PatchParams::default()
    };
    bindings
        .patch(name, &parameters, &Patch::Merge(patch))
        .await
        .map(drop)
}

/// A request by which the finalizer would be gone.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    /// A merge patch with these finalizers.
    Patch(&'static [&'static str]),
    PatchToNull,
    PatchWithSpec,
    /// A JSON patch that removes what is at this path.
    Remove(&'static str),
    /// The update that `kubectl replace` sends, and so does whoever has read the binding before.
    Update,
    /// Server-side apply takes off what its manager has applied before, applies no more, and nobody else owns.
    Apply,
}

pub(super) const WAYS: [Way; 9] = [
    Way::Patch(&[]),
    Way::Patch(&["example.com/other"]),
    Way::Patch(&["azwib.dev/cleanups"]),
    Way::PatchToNull,
    Way::PatchWithSpec,
    Way::Remove("/metadata/finalizers"),
    Way::Remove("/metadata/finalizers/0"),
    Way::Update,
    Way::Apply,
];

pub(super) async fn take_off(bindings: &Bindings, way: Way) -> Outcome {
    let parameters = PatchParams::default();
    match way {
        Way::Patch(list) => merge(bindings, "orders", finalizers(json!(list)), false).await,
        Way::PatchToNull => merge(bindings, "orders", finalizers(Value::Null), false).await,
        Way::PatchWithSpec => {
            let patch = json!({ "metadata": { "finalizers": null }, "spec": { "suspend": true } });
            merge(bindings, "orders", patch, false).await
        }
        Way::Remove(path) => {
            let patch = json!([{ "op": "remove", "path": path }]);
            let patch = Patch::Json::<()>(serde_json::from_value(patch).unwrap());
            let answer = bindings.patch("orders", &parameters, &patch).await;
            answer.map(drop)
        }
        Way::Update => {
            let mut binding = bindings.get("orders").await?;
            binding.metadata.finalizers = None;
            let parameters = PostParams::default();
            let answer = bindings.replace("orders", &parameters, &binding).await;
            answer.map(drop)
        }
        Way::Apply => {
            let owned = json!([{ "manager": "tenant", "operation": "Apply", "apiVersion": "azwib.dev/v1alpha1",
                "fieldsType": "FieldsV1",
                "fieldsV1": { "f:metadata": { "f:finalizers": { "v:\"azwib.dev/cleanup\"": {} } } } }]);
            merge(bindings, "orders", metadata("managedFields", owned), false).await?;
            let parameters = PatchParams::apply("tenant").force();
            let patch = Patch::Apply(manifest("orders"));
            let answer = bindings.patch("orders", &parameters, &patch).await;
            answer.map(drop)
        }
    }
}

/// A binding as it is in Git.
pub(super) fn manifest(name: &str) -> Value {
    json!({ "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding",
            "metadata": { "name": name }, "spec": { "identity": { "name": "orders" } } })
}
