//! The life of a binding, from its creation to its end, in environments that these tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod account_changes;
mod account_keepers;
mod admission_policies;
mod adopted_account;
mod changes;
mod contests;
mod creation;
mod deletion;
mod drift;
mod duplicates;
mod hand_over;
mod one_writer;
mod pairs;
mod permission;
mod revert;
mod shared_account;
mod slots;
mod suspension;
mod unresolved;
mod when_credential_ready;

use azwib_crds::{ServiceAccountOrigin, WorkloadIdentityBinding};
use azwib_e2e::environment::Namespace;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

const CLIENT_ID: &str = "azure.workload.identity/client-id";
const TENANT_ID: &str = "azure.workload.identity/tenant-id";
const EXPIRATION: &str = "azure.workload.identity/service-account-token-expiration";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// Applies an account as another field manager, such as a GitOps tool; without annotations where they are null.
async fn apply_account(
    shop: &Namespace<'_>,
    name: &str,
    manager: &str,
    annotations: Value,
) -> anyhow::Result<ServiceAccount> {
    let mut metadata = json!({ "name": name });
    if !annotations.is_null() {
        metadata["annotations"] = annotations;
    }
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata });
    let parameters = PatchParams::apply(manager).force();
    let applied = shop
        .service_accounts()
        .patch(name, &parameters, &Patch::Apply(&account))
        .await?;
    Ok(applied)
}

/// Where the account of a binding comes from, as its status says.
fn origin(binding: &WorkloadIdentityBinding) -> Option<ServiceAccountOrigin> {
    let account = binding.status.as_ref()?.service_account.as_ref()?;
    Some(account.origin)
}

/// The subject of the tokens of an account.
fn subject(shop: &Namespace<'_>, service_account: &str) -> String {
    format!("system:serviceaccount:{}:{service_account}", shop.name())
}

fn owners(account: &ServiceAccount) -> Vec<&str> {
    let references = account.metadata.owner_references.iter().flatten();
    references.map(|owner| owner.name.as_str()).collect()
}

fn is_labelled_as_ours(account: &ServiceAccount) -> bool {
    let label = account
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(MANAGED_BY));
    label.is_some_and(|by| by == "azwib")
}
