//! Statuses that somebody else has written: a restored backup, a clone of the cluster, `kubectl replace --subresource=status`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod clone;
mod lost_record;
mod other_letters;
mod put_right;

use azwib_crds::{CredentialName, Issuer, WorkloadIdentityBinding};
use azwib_e2e::environment::{ManagedIdentity, Namespace, condition};
use azwib_e2e::{Environment, EnvironmentOptions};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::sync::OnceCell;

/// Another cluster's.
const OTHER_ISSUER: &str = "https://oidc.other.example/cluster/";

static NEVER_RESYNCING: OnceCell<Environment> = OnceCell::const_new();

/// An environment in whose operator no look comes by itself while a test runs.
async fn never_resyncing() -> anyhow::Result<&'static Environment> {
    let options = EnvironmentOptions {
        operator_flags: [
            "resync-period=1h",
            "propagation-delay=1s",
            "write-settle-time=2s",
        ]
        .map(|flag| format!("--{flag}"))
        .into(),
        ..EnvironmentOptions::default()
    };
    NEVER_RESYNCING
        .get_or_try_init(|| Environment::start(options))
        .await
}

fn ready(binding: &WorkloadIdentityBinding) -> bool {
    condition(binding, "Ready").is_some_and(|ready| ready.status == "True")
}

/// Puts a status over that of a binding, as `kubectl replace --subresource=status` does.
async fn put_status(shop: &Namespace<'_>, status: serde_json::Value) -> anyhow::Result<()> {
    let patch = Patch::Json::<()>(serde_json::from_value(json!([
        { "op": "add", "path": "/status", "value": status.clone() }
    ]))?);
    let by_hand = PatchParams::default();
    let bindings = shop.bindings();
    let put = bindings.patch_status("orders", &by_hand, &patch).await?;
    let records = &shop.environment().records;
    records.note_foreign_status(&put.uid().unwrap(), status)
}

/// Statuses that are not this binding's as it is: an older one, an empty one, one without its record, a foreign record.
fn wrong_statuses(good: &serde_json::Value) -> Vec<(&'static str, serde_json::Value)> {
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut status = good.clone();
        change(&mut status);
        status
    };
    vec![
        ("emptied", json!({ "observedGeneration": -1 })),
        (
            "without a record",
            with(&|it| it["credentials"] = json!([])),
        ),
        (
            "with a record of a foreign name",
            with(&|it| it["credentials"][0]["name"] = json!("azwib-of-another")),
        ),
        (
            "with a record of a wrong origin",
            with(&|it| it["credentials"][0]["origin"] = json!("Adopted")),
        ),
        (
            "of another identity",
            with(&|it| {
                let id = it["identity"]["resourceId"].as_str().unwrap_or_default();
                let other = json!(format!("{id}-of-another"));
                it["identity"]["resourceId"] = other.clone();
                it["credentials"][0]["resourceId"] = other;
            }),
        ),
        (
            "of an older generation, without a record",
            with(&|it| {
                it["observedGeneration"] = json!(0);
                it["credentials"] = json!([]);
                it["conditions"] = json!([]);
            }),
        ),
    ]
}

/// A binding that is Ready, left by an operator that runs on; its next resync is far away.
async fn a_good_one<'a>(
    env: &'a Environment,
    purpose: &str,
) -> anyhow::Result<(Namespace<'a>, ManagedIdentity, WorkloadIdentityBinding)> {
    let shop = env.namespace(purpose).await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let good = shop.ready("orders").await?;
    Ok((shop, orders, good))
}

/// A status as the same binding has it in a cluster with another issuer.
fn of_other_cluster(
    good: &WorkloadIdentityBinding,
    shop: &Namespace<'_>,
) -> anyhow::Result<(String, serde_json::Value)> {
    let issuer = Issuer::parse(OTHER_ISSUER)?;
    let name = CredentialName::derive(&issuer, shop.name(), "orders").to_string();
    let mut status = json!(good.status);
    let record = &mut status["credentials"][0];
    (record["name"], record["issuer"]) = (json!(name), json!(OTHER_ISSUER));
    Ok((name, status))
}
