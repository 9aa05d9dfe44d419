//! What the user guide says about GitOps, done with the requests that the tools make: server-side apply under their field
//! managers, and kubectl. What only a tool itself shows is marked in the guide as seen; `statements.rs` holds that each
//! statement is one or the other.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accounts;
mod bindings;
mod edits_by_hand;
mod replacement;
mod statements;

use std::fs;

use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::{ManagedIdentity, Namespace, repository};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

const CLIENT_ID: &str = "azure.workload.identity/client-id";
const TENANT_ID: &str = "azure.workload.identity/tenant-id";
const EXPIRATION: &str = "azure.workload.identity/service-account-token-expiration";

/// The field managers under which the tools apply.
const ARGO_CD: &str = "argocd-controller";
const FLUX: &str = "kustomize-controller";
const HELM: &str = "helm";

fn guide() -> String {
    fs::read_to_string(repository().join("docs/user-guide.md")).unwrap()
}

/// Runs the line of the guide that begins so, on the account or binding `orders` in this namespace.
async fn run_line_of_the_guide(shop: &Namespace<'_>, beginning: &str) -> anyhow::Result<()> {
    let guide = guide();
    let mut lines = guide.lines().filter(|line| line.starts_with(beginning));
    let line = lines.next().expect("the guide has that line");
    assert_eq!(lines.next(), None, "it has one such line");
    let words = line.split_whitespace().skip(1).map(|word| match word {
        "invoices" => "orders",
        "shop" => shop.name(),
        word => word,
    });
    let words: Vec<_> = words.collect();
    shop.environment().control_plane.kubectl(&words).await?;
    Ok(())
}

async fn kubectl(shop: &Namespace<'_>, args: &[&str]) -> anyhow::Result<String> {
    let namespaced = [args, &["-n", shop.name()]].concat();
    let control_plane = &shop.environment().control_plane;
    control_plane.kubectl(&namespaced).await
}

/// The account `orders` as it is in Git.
fn account_in_git() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": "orders", "labels": { "team": "shop" } },
    })
}

/// Applies the account on the server as a tool does that keeps it in Git: by force.
async fn sync_account(
    shop: &Namespace<'_>,
    tool: &str,
    account: &Value,
) -> anyhow::Result<ServiceAccount> {
    let parameters = PatchParams::apply(tool).force();
    let accounts = shop.service_accounts();
    let applied = accounts
        .patch("orders", &parameters, &Patch::Apply(account))
        .await?;
    Ok(applied)
}

/// The binding of this name to an identity and the account `orders`, as it is in Git.
fn binding_in_git(shop: &Namespace<'_>, name: &str, identity: &str) -> Value {
    json!({
        "apiVersion": "azwib.dev/v1alpha1",
        "kind": "WorkloadIdentityBinding",
        "metadata": { "name": name, "namespace": shop.name() },
        "spec": { "identity": { "resourceId": identity }, "serviceAccount": { "name": "orders" } },
    })
}

/// Applies a binding on the server as a tool does.
async fn sync_binding(
    shop: &Namespace<'_>,
    tool: &str,
    binding: &Value,
) -> kube::Result<WorkloadIdentityBinding> {
    let name = binding["metadata"]["name"].as_str().unwrap();
    let parameters = PatchParams::apply(tool).force();
    let bindings = shop.bindings();
    bindings
        .patch(name, &parameters, &Patch::Apply(binding))
        .await
}

/// A binding that is Ready, of the account `orders` that a tool keeps in Git.
async fn ready_with_account_of(
    shop: &Namespace<'_>,
    tool: &str,
) -> anyhow::Result<ManagedIdentity> {
    sync_account(shop, tool, &account_in_git()).await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    Ok(orders)
}
