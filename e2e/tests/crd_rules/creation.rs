//! What is accepted as a new binding, what is refused, and what is filled in.

use anyhow::Context;
use kube::{
    Api,
    api::{DynamicObject, PostParams},
};
use serde_json::{Value, json};

use super::{
    ID, SUBSCRIPTION, binding, bindings, by_name, cluster, definitions, dry_run, refusal, with,
};

/// Asks whether a binding with this spec would be created.
async fn creation(bindings: &Api<DynamicObject>, spec: &Value) -> anyhow::Result<Option<String>> {
    refusal(bindings.create(&dry_run(), &binding("tried", spec)).await)
}

async fn assert_accepted(bindings: &Api<DynamicObject>, spec: Value) -> anyhow::Result<()> {
    assert_eq!(creation(bindings, &spec).await?, None, "{spec}");
    Ok(())
}

async fn assert_refused(
    bindings: &Api<DynamicObject>,
    spec: Value,
    because: &str,
) -> anyhow::Result<()> {
    let words = creation(bindings, &spec)
        .await?
        .with_context(|| format!("accepted: {spec}"))?;
    assert!(
        words.contains(because),
        "{spec}\nis refused with {words}\nwithout {because:?}"
    );
    Ok(())
}

#[tokio::test]
async fn the_definitions_are_accepted_without_a_warning() -> anyhow::Result<()> {
    for crd in azwib_crds::crds() {
        let file = format!("{}/{}", definitions(), azwib_crds::crd_file_name(&crd));
        let output = cluster()
            .await?
            .kubectl(&[
                "apply",
                "--server-side",
                "--dry-run=server",
                "--warnings-as-errors",
                "--force-conflicts",
                "-f",
                &file,
            ])
            .await?;
        assert!(output.contains("serverside-applied"), "{output}");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_binding_leaves_out_is_filled_in_and_its_status_is_not_taken_for_finished()
-> anyhow::Result<()> {
    let created = bindings()
        .await?
        .create(
            &PostParams::default(),
            &binding("defaults", &by_name("orders")),
        )
        .await?;
    assert_eq!(
        created.data["spec"],
        json!({
            "identity": { "name": "orders" },
            "serviceAccount": { "role": "Default", "creation": "Immediate", "tokenExpirationSeconds": 3600 },
            "credential": { "audience": "api://AzureADTokenExchange", "adoption": "IfIdentical" },
            "deletionPolicy": "Delete",
            "suspend": false,
        })
    );
    assert_eq!(created.data["status"], json!({ "observedGeneration": -1 }));
    Ok(())
}

#[tokio::test]
async fn a_null_is_a_field_left_out() -> anyhow::Result<()> {
    let bindings = bindings().await?;
    let spec = json!({
        "identity": { "name": "orders", "resourceId": null, "resourceGroup": null, "subscriptionId": null },
        "serviceAccount": { "name": null, "role": null, "creation": null },
        "credential": null,
        "deletionPolicy": null,
        "suspend": null,
    });
    let created = bindings
        .create(&PostParams::default(), &binding("nulls", &spec))
        .await?;
    assert_eq!(
        created.data["spec"]["identity"],
        json!({ "name": "orders" })
    );
    assert_eq!(
        created.data["spec"]["serviceAccount"],
        json!({ "role": "Default", "creation": "Immediate", "tokenExpirationSeconds": 3600 })
    );
    assert_eq!(
        created.data["spec"]["credential"],
        json!({ "audience": "api://AzureADTokenExchange", "adoption": "IfIdentical" })
    );
    assert_refused(
        &bindings,
        json!({ "identity": { "name": null } }),
        "exactly one of resourceId and name",
    )
    .await?;
    assert_refused(&bindings, json!({ "identity": null }), "spec.identity").await
}

#[tokio::test]
async fn an_identity_is_given_in_exactly_one_form() -> anyhow::Result<()> {
    let bindings = bindings().await?;
    let one = "spec.identity: Invalid value: exactly one of resourceId and name must be set";
    let group = "spec.identity: Invalid value: resourceGroup can only be set together with name";
    let subscription =
        "spec.identity: Invalid value: subscriptionId can only be set together with name";
    for (identity, because) in [
        (json!({}), one),
        (json!({ "resourceId": ID, "name": "orders" }), one),
        (
            json!({ "resourceGroup": "rg-shop", "subscriptionId": SUBSCRIPTION }),
            one,
        ),
        (
            json!({ "resourceId": ID, "resourceGroup": "rg-shop" }),
            group,
        ),
        (json!({ "resourceGroup": "rg-shop" }), group),
        (
            json!({ "resourceId": ID, "subscriptionId": SUBSCRIPTION }),
            subscription,
        ),
        (json!({ "subscriptionId": SUBSCRIPTION }), subscription),
    ] {
        assert_refused(&bindings, json!({ "identity": identity }), because).await?;
    }
    for identity in [
        json!({ "resourceId": ID }),
        json!({ "name": "orders" }),
        json!({ "name": "orders", "resourceGroup": "rg-shop" }),
        json!({ "name": "orders", "subscriptionId": SUBSCRIPTION }),
        json!({ "name": "orders", "resourceGroup": "rg-shop", "subscriptionId": SUBSCRIPTION }),
    ] {
        assert_accepted(&bindings, json!({ "identity": identity })).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_resource_id_has_the_form_of_a_managed_identitys_in_any_case() -> anyhow::Result<()> {
    let bindings = bindings().await?;
    let spec = |id: &str| json!({ "identity": { "resourceId": id } });
    for id in [
        ID.to_lowercase(),
        ID.to_uppercase(),
        ID.replace("rg-shop", "größe"),
    ] {
        assert_accepted(&bindings, spec(&id)).await?;
    }
    let because = "spec.identity.resourceId: Invalid value: \"";
    let form = "must be the resource id of a user-assigned managed identity: /subscriptions/<subscription>/";
    for id in [
        String::new(),
        "orders".to_owned(),
        ID[1..].to_owned(),
        format!("{ID}/"),
        format!(" {ID}"),
        format!("{ID}/federatedIdentityCredentials/x"),
        format!("https://management.azure.com{ID}"),
        ID.replace("userAssignedIdentities", "virtualMachines"),
        ID.replace("/rg-shop", "/"),
        ID.replace("/orders", "/"),
    ] {
        assert_refused(&bindings, spec(&id), because).await?;
        assert_refused(&bindings, spec(&id), form).await?;
    }
    let names = "spec.identity.resourceId: Invalid value: the subscription must be a GUID, the resource group 1 to 90 letters";
    for id in [
        format!("{ID} "),
        format!("{ID}\n"),
        ID.replace("orders", "or"),
        ID.replace("orders", "or ders"),
        ID.replace("rg-shop", "rg-shop."),
        ID.replace("rg-shop", "rg%20shop"),
        ID.replace(SUBSCRIPTION, "shop"),
    ] {
        assert_refused(&bindings, spec(&id), names).await?;
    }
    let long = ID.replace("orders", &"x".repeat(512));
    assert_refused(&bindings, spec(&long), "spec.identity.resourceId: Too long").await
}

/// Values of a field that are accepted, and values that are refused.
fn bounds() -> Value {
    let text = |length: usize| "x".repeat(length);
    json!({
        "identity.name": {
            "accepted": [text(3), text(128), "0-_", "Orders"],
            "refused": ["", "ab", text(129), "-ab", "_ab", "a.b", "a/b", "a%2Fb", "...", "ordérs", "orders\n"],
        },
        "identity.resourceGroup": {
            "accepted": [text(1), text(90), "(rg)_a.b-1", ".rg", "größe", "日本"],
            "refused": ["", text(91), "rg.", ".", "..", "a/b", "a\\b", "a%2Fb", "a?b", "a#b", "a b", "a\nb", "a\u{a0}b", "rg!", "o\u{308}", "rg😀"],
        },
        "identity.subscriptionId": {
            "accepted": [SUBSCRIPTION, "0F5D2C1E-9D3A-4B6C-8E7F-1A2B3C4D5E6F"],
            "refused": ["", "shop", "0f5d2c1e9d3a4b6c8e7f1a2b3c4d5e6f", "{00000000-0000-0000-0000-000000000000}", 7],
        },
        "serviceAccount.name": {
            "accepted": [text(1), text(253), "orders.v2", "0-1"],
            "refused": ["", text(254), "Orders", "a_b", "-a", "a-", "a..b", "a/b", "a:b", "ordérs"],
        },
        "serviceAccount.tokenExpirationSeconds": {
            "accepted": [3600, 86400],
            "refused": [3599, 86401, -1, 7200.5, "7200"],
        },
        "serviceAccount.role": {
            "accepted": ["Default", "Additional"],
            "refused": ["", "default", "additional", "Primary", true],
        },
        "serviceAccount.creation": {
            "accepted": ["Immediate", "WhenCredentialReady"],
            "refused": ["", "immediate", "Never", false],
        },
        "suspend": {
            "accepted": [true, false],
            "refused": ["true", 1, ""],
        },
        "credential.adoption": {
            "accepted": ["IfIdentical", "Never"],
            "refused": ["", "ifidentical", "Always", true],
        },
        "credential.audience": {
            "accepted": [text(1), text(600), "openshift", "https://vercel.com/shop", "a b", "日本"],
            "refused": ["", text(601), " ", " a", "a ", "a\nb", "a\n", "a\tb", "a\u{a0}", "\u{3000}a", ["a"]],
        },
    })
}

#[tokio::test]
async fn every_field_has_its_bounds() -> anyhow::Result<()> {
    let bindings = bindings().await?;
    for (field, values) in bounds().as_object().into_iter().flatten() {
        for value in values["accepted"].as_array().into_iter().flatten() {
            assert_accepted(&bindings, with(field, value.clone())).await?;
        }
        for value in values["refused"].as_array().into_iter().flatten() {
            assert_refused(
                &bindings,
                with(field, value.clone()),
                &format!("spec.{field}"),
            )
            .await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_deletion_policy_is_one_of_two_words() -> anyhow::Result<()> {
    let bindings = bindings().await?;
    let spec = |policy: &str| json!({ "identity": { "name": "orders" }, "deletionPolicy": policy });
    assert_accepted(&bindings, spec("Delete")).await?;
    assert_accepted(&bindings, spec("Retain")).await?;
    let because = "spec.deletionPolicy: Unsupported value: \"delete\": supported values: \"Delete\", \"Retain\"";
    assert_refused(&bindings, spec("delete"), because).await
}

#[tokio::test]
async fn a_field_that_does_not_exist_is_pointed_out() -> anyhow::Result<()> {
    for field in [
        "suspended: true",
        "serviceAccount: {annotations: {}}",
        "credential: {name: mine}",
        "credential: {issuer: x}",
    ] {
        let manifest = format!(
            "apiVersion: azwib.dev/v1alpha1\nkind: WorkloadIdentityBinding\nmetadata: {{name: unknown-field, namespace: default}}\nspec:\n  identity: {{name: orders}}\n  {field}\n"
        );
        let error = cluster()
            .await?
            .apply(&manifest)
            .await
            .err()
            .with_context(|| format!("accepted: {field}"))?;
        assert!(
            format!("{error:#}").contains("unknown field \"spec."),
            "{error:#}"
        );
    }
    Ok(())
}
