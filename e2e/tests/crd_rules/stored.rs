//! What an earlier definition let in stays valid: it can be changed where it may, be given a status, and be deleted.

use std::time::Duration;

use anyhow::Context;
use azwib_crds::binding_crd;
use azwib_e2e::wait::until;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::ID;
use super::other_group::{Bindings, in_group, install};

/// The definition under another group, so that the one of the other tests stays as it is.
fn definition(group: &str, before: bool) -> anyhow::Result<CustomResourceDefinition> {
    let mut crd = in_group(binding_crd(), group);
    if before {
        let version = crd.spec.versions.first_mut().context("no version")?;
        let schema = version.schema.as_mut().context("no schema")?;
        let root = schema.open_api_v3_schema.as_mut().context("no root")?;
        root.x_kubernetes_validations = None;
        let audience = field(field(field(root, "spec")?, "credential")?, "audience")?;
        audience.x_kubernetes_validations = None;
    }
    Ok(crd)
}

fn field<'a>(
    schema: &'a mut JSONSchemaProps,
    name: &str,
) -> anyhow::Result<&'a mut JSONSchemaProps> {
    let properties = schema.properties.as_mut();
    properties
        .and_then(|properties| properties.get_mut(name))
        .with_context(|| format!("no {name}"))
}

/// Specs that the newtypes do not take, and that the definition before let in.
fn unreadable() -> [(&'static str, Value); 3] {
    [
        (
            "id",
            json!({ "identity": { "resourceId": format!("{ID} ") } }),
        ),
        (
            "group",
            json!({ "identity": { "name": "orders", "resourceGroup": "rg!" } }),
        ),
        (
            "audience",
            json!({ "identity": { "name": "orders" }, "credential": { "audience": "a\tb" } }),
        ),
    ]
}

#[tokio::test]
async fn what_an_earlier_definition_let_in_can_be_told_changed_and_deleted() -> anyhow::Result<()> {
    let group = "stored.azwib.example";
    install(&definition(group, true)?).await?;
    let bindings = Bindings::of(group).await?;
    for (name, spec) in unreadable() {
        bindings.create(name, &spec).await?;
        bindings.tell(name, 1).await?;
        bindings.create(&format!("unseen-{name}"), &spec).await?;
    }

    install(&definition(group, false)?).await?;
    let limit = Duration::from_secs(30);
    for (_, spec) in unreadable() {
        until("the definition refuses what is new", limit, async || {
            bindings.refused(&spec).await
        })
        .await?;
    }

    let finalizers = |names: &[&str]| json!({ "metadata": { "finalizers": names } });
    for (name, _) in unreadable() {
        // Whoever was never looked at is told of first.
        let unseen = format!("unseen-{name}");
        bindings.tell(&unseen, 1).await?;
        for name in [name, &unseen] {
            for patch in [
                finalizers(&["azwib.dev/cleanup"]),
                json!({ "metadata": { "annotations": { "team": "shop" } } }),
                json!({ "spec": { "suspend": true } }),
            ] {
                assert_eq!(
                    bindings.patch(name, patch.clone()).await?,
                    None,
                    "{name} {patch}"
                );
            }
            bindings.tell(name, 2).await?;
            bindings.api.delete(name, &DeleteParams::default()).await?;
            assert_eq!(bindings.patch(name, finalizers(&[])).await?, None, "{name}");
            assert!(bindings.api.get_opt(name).await?.is_none(), "{name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_audience_may_stay_as_an_earlier_definition_let_it_in_and_changes_to_a_good_one_only()
-> anyhow::Result<()> {
    let group = "audiences.azwib.example";
    install(&definition(group, true)?).await?;
    let bindings = Bindings::of(group).await?;
    let [.., (name, spec)] = unreadable();
    bindings.create(name, &spec).await?;
    bindings.tell(name, 1).await?;
    install(&definition(group, false)?).await?;
    let limit = Duration::from_secs(30);
    until("the definition refuses what is new", limit, async || {
        bindings.refused(&spec).await
    })
    .await?;

    let audience = |audience: &str| json!({ "spec": { "credential": { "audience": audience } } });
    let refused = bindings.patch(name, audience("b\tb")).await?;
    let because = "must have no white space at either end and no control character";
    assert!(refused.is_some_and(|words| words.contains(because)));
    assert_eq!(bindings.patch(name, audience("b")).await?, None);
    Ok(())
}
