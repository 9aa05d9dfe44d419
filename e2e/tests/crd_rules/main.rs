//! The rules of the CustomResourceDefinitions, as the real API server applies them: what is accepted, what is refused and in
//! which words, what may change later, what is filled in.

mod agreement;
mod changes;
mod creation;
mod grants;
mod kubectl;
mod other_group;
mod released;
mod status;
mod stored;
mod variety;

use std::path::Path;

use anyhow::Context;
use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::{ControlPlane, ControlPlaneOptions};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, PostParams},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

const ID: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders";
const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";

/// One cluster for all these tests: each uses names of its own in the namespace `default`.
async fn cluster() -> anyhow::Result<&'static ControlPlane> {
    static CLUSTER: OnceCell<ControlPlane> = OnceCell::const_new();
    CLUSTER
        .get_or_try_init(async || {
            let control_plane = ControlPlane::start(ControlPlaneOptions::unpublished()?).await?;
            control_plane
                .kubectl(&["apply", "--warnings-as-errors", "-k", &definitions()])
                .await?;
            control_plane
                .kubectl(&["wait", "--for=condition=Established", "crd", "--all"])
                .await?;
            Ok(control_plane)
        })
        .await
}

fn definitions() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../config/crd")
        .display()
        .to_string()
}

fn resource() -> ApiResource {
    ApiResource::erase::<WorkloadIdentityBinding>(&())
}

/// Bindings without a type, so that a test can send what the type could not hold.
async fn bindings() -> anyhow::Result<Api<DynamicObject>> {
    let client = cluster().await?.client().await?;
    Ok(Api::namespaced_with(client, "default", &resource()))
}

fn binding(name: &str, spec: &Value) -> DynamicObject {
    DynamicObject::new(name, &resource()).data(json!({ "spec": spec }))
}

/// The words in which the API server refuses, or `None` where it accepts.
fn refusal<T>(answer: kube::Result<T>) -> anyhow::Result<Option<String>> {
    match answer {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) if status.code == 422 => Ok(Some(words(&status.message))),
        Err(other) => Err(other).context("neither accepted nor found invalid"),
    }
}

/// What the API server says. That of Kubernetes 1.33 names the type of an object, too.
fn words(message: &str) -> String {
    message.replace("Invalid value: \"object\": ", "Invalid value: ")
}

fn dry_run() -> PostParams {
    PostParams {
        dry_run: true,
        ..PostParams::default()
    }
}

fn by_name(name: &str) -> Value {
    json!({ "identity": { "name": name } })
}

/// A spec with one more field, given by its path.
fn with(field: &str, value: Value) -> Value {
    let mut spec = by_name("orders");
    *field
        .split('.')
        .fold(&mut spec, |object, key| &mut object[key]) = value;
    spec
}
