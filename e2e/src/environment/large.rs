//! Objects that are as large as the API server takes them. Labels have no bound of their own: an object is refused only
//! where etcd would not store it, at one and a half megabytes.

use std::collections::BTreeMap;

use azwib_crds::WorkloadIdentityBinding;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

/// Requests that are sent at once: each of them is held several times by the API server.
const AT_ONCE: usize = 4;

/// A megabyte of labels, their record in `managedFields` included.
pub fn labels() -> BTreeMap<String, String> {
    let label = |number| (format!("l{number:05}"), "v".repeat(63));
    (0..11_000).map(label).collect()
}

/// Makes so many ServiceAccounts with such labels, with this prefix.
///
/// # Errors
/// The API server refuses one.
pub async fn make_accounts(
    client: &Client,
    namespace: &str,
    prefix: &str,
    count: usize,
) -> anyhow::Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let labels = json!(labels());
    let make = async |number| {
        let metadata = json!({ "name": format!("{prefix}-{number:05}"), "labels": labels });
        let account = serde_json::from_value(json!({ "metadata": metadata }))?;
        accounts.create(&PostParams::default(), &account).await?;
        anyhow::Ok(())
    };
    let made = stream::iter((0..count).map(make)).buffer_unordered(AT_ONCE);
    made.try_collect().await
}

/// Makes so many bindings with such labels on an identity, with this prefix.
///
/// # Errors
/// The API server refuses one.
pub async fn make_bindings(
    client: &Client,
    namespace: &str,
    prefix: &str,
    identity: &str,
    count: usize,
) -> anyhow::Result<()> {
    let bindings: Api<WorkloadIdentityBinding> = Api::namespaced(client.clone(), namespace);
    let labels = json!(labels());
    let make = async |number| {
        let binding = serde_json::from_value(json!({
            "apiVersion": "azwib.dev/v1alpha1",
            "kind": "WorkloadIdentityBinding",
            "metadata": { "name": format!("{prefix}-{number:05}"), "labels": labels },
            "spec": { "identity": { "resourceId": identity } },
        }))?;
        bindings.create(&PostParams::default(), &binding).await?;
        anyhow::Ok(())
    };
    let made = stream::iter((0..count).map(make)).buffer_unordered(AT_ONCE);
    made.try_collect().await
}
