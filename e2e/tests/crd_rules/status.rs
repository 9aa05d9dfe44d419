//! Who may write the status, and what it may hold.

use anyhow::Context;
use azwib_crds::WorkloadIdentityBinding;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{ID, binding, bindings, by_name, dry_run, refusal};

fn condition(kind: &str) -> Value {
    json!({
        "type": kind,
        "status": "True",
        "reason": "Succeeded",
        "message": "the credential is in place",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    })
}

fn credential(name: &str) -> Value {
    json!({
        "name": name,
        "resourceId": ID,
        "issuer": "https://oidc.example/",
        "subject": "system:serviceaccount:default:orders",
        "audience": "api://AzureADTokenExchange",
        "origin": "Created",
    })
}

/// A status with all of its fields, as after a successful pass.
pub(super) fn full_status() -> Value {
    json!({
        "observedGeneration": 1,
        "identity": {
            "resourceId": ID,
            "clientId": "0f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f",
            "principalId": "1f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f",
            "tenantId": "2f5d2c1e-9d3a-4b6c-8e7f-1a2b3c4d5e6f",
        },
        "serviceAccount": { "name": "orders", "origin": "Created" },
        "credentials": [credential("azwib-default-orders-0")],
        "conditions": [condition("Ready")],
    })
}

#[tokio::test]
async fn the_status_is_written_by_its_own_subresource_only() -> anyhow::Result<()> {
    let bindings = bindings().await?;
    let mut object = binding("status", &by_name("orders"));
    object.data["status"] = full_status();
    let created = bindings.create(&PostParams::default(), &object).await?;
    assert_eq!(
        created.data["status"],
        json!({ "observedGeneration": -1 }),
        "not by creation"
    );

    let mut update = created.clone();
    update.data["status"] = full_status();
    let replaced = bindings
        .replace("status", &PostParams::default(), &update)
        .await?;
    assert_eq!(
        replaced.data["status"],
        json!({ "observedGeneration": -1 }),
        "not by an update"
    );

    let mut update = replaced;
    update.data["status"] = full_status();
    update.data["spec"]["deletionPolicy"] = json!("Retain");
    let replaced = bindings
        .replace_status("status", &PostParams::default(), &update)
        .await?;
    assert_eq!(replaced.data["status"], full_status());
    assert_eq!(
        replaced.data["spec"]["deletionPolicy"], "Delete",
        "and nothing else by the subresource"
    );
    assert_eq!(
        replaced.metadata.generation, created.metadata.generation,
        "nor does it make a new generation"
    );
    let read: WorkloadIdentityBinding = replaced.try_parse()?;
    assert_eq!(serde_json::to_value(read.status)?, full_status());
    Ok(())
}

#[tokio::test]
async fn a_status_out_of_bounds_is_refused() -> anyhow::Result<()> {
    let bindings = bindings().await?;
    let created = bindings
        .create(
            &PostParams::default(),
            &binding("status-bounds", &by_name("orders")),
        )
        .await?;
    let text = |length: usize| json!("x".repeat(length));
    let many = |count: usize, of: fn(&str) -> Value| {
        (0..count)
            .map(|n| of(&format!("Name{n}")))
            .collect::<Value>()
    };
    for (pointer, value, refused) in [
        ("/conditions/0/message", text(32768), false),
        ("/conditions/0/message", text(32769), true),
        ("/conditions/0/message", json!(""), false),
        ("/conditions/0/reason", text(1024), false),
        ("/conditions/0/reason", text(1025), true),
        ("/conditions/0/reason", json!(""), true),
        ("/conditions/0/reason", json!("not one word"), true),
        ("/conditions/0/status", json!("Maybe"), true),
        ("/conditions/0/status", json!("Unknown"), false),
        ("/conditions/0/type", text(316), false),
        ("/conditions/0/type", text(317), true),
        ("/conditions/0/type", json!("not one word"), true),
        ("/conditions/0/observedGeneration", json!(-1), true),
        ("/conditions/0/lastTransitionTime", json!("yesterday"), true),
        ("/conditions", many(32, condition), false),
        ("/conditions", many(33, condition), true),
        (
            "/conditions",
            json!([condition("Ready"), condition("Ready")]),
            true,
        ),
        ("/credentials", many(4, credential), false),
        ("/credentials", many(5, credential), true),
        (
            "/credentials",
            json!([credential("one"), credential("one")]),
            true,
        ),
        ("/credentials/0/name", text(121), true),
        ("/credentials/0/issuer", text(601), true),
        ("/credentials/0/subject", text(601), true),
        ("/credentials/0/audience", text(601), true),
        ("/credentials/0/origin", json!("Found"), true),
        ("/identity/resourceId", text(513), true),
        ("/identity/clientId", text(37), true),
        ("/serviceAccount/name", text(254), true),
        ("/serviceAccount/origin", json!("Pending"), true),
    ] {
        let mut object = created.clone();
        object.data["status"] = full_status();
        *object.data["status"]
            .pointer_mut(pointer)
            .context("no such field")? = value.clone();
        let words = refusal(
            bindings
                .replace_status("status-bounds", &dry_run(), &object)
                .await,
        )?;
        assert_eq!(
            words.is_some(),
            refused,
            "{pointer} = {value:.100}: {words:.300?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn conditions_of_different_writers_are_kept_side_by_side() -> anyhow::Result<()> {
    let bindings = bindings().await?;
    bindings
        .create(
            &PostParams::default(),
            &binding("writers", &by_name("orders")),
        )
        .await?;
    for (manager, kind) in [("one", "Ready"), ("other", "example.com/Audited")] {
        let mut object = binding("writers", &by_name("orders"));
        object.data =
            json!({ "status": { "observedGeneration": 1, "conditions": [condition(kind)] } });
        bindings
            .patch_status(
                "writers",
                &PatchParams::apply(manager),
                &Patch::Apply(&object),
            )
            .await?;
    }
    let read = bindings.get_status("writers").await?;
    let kinds: Vec<_> = read.data["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| c["type"].clone())
        .collect();
    assert_eq!(kinds, ["Ready", "example.com/Audited"]);
    Ok(())
}
