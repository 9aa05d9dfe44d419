//! Grants: what is accepted, what is refused and in which words, and what is filled in.

use anyhow::Context;
use azwib_crds::{AzureScope, IdentityGrant};
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject, PostParams},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::agreement::{about, group, guid, resource_id, values};
use super::{ID, SUBSCRIPTION, cluster, dry_run, refusal};

/// How many are under way at once.
const AT_ONCE: usize = 16;

fn resource() -> ApiResource {
    ApiResource::erase::<IdentityGrant>(&())
}

/// Grants without a type, so that a test can send what the type could not hold.
async fn grants() -> anyhow::Result<Api<DynamicObject>> {
    Ok(Api::all_with(cluster().await?.client().await?, &resource()))
}

fn grant(name: &str, spec: &Value) -> DynamicObject {
    DynamicObject::new(name, &resource()).data(json!({ "spec": spec }))
}

fn scope(scope: &str) -> Value {
    json!({ "identities": [{ "scope": scope }], "namespaces": { "names": ["shop"] } })
}

/// A grant that is accepted, with another value at this place; null takes what is there away.
fn with(pointer: &str, value: Value) -> Value {
    let mut spec = scope(&format!("/subscriptions/{SUBSCRIPTION}"));
    let Some((parent, key)) = pointer.rsplit_once('/') else {
        return spec;
    };
    let parent = spec.pointer_mut(parent).and_then(Value::as_object_mut);
    if let Some(parent) = parent {
        match value {
            Value::Null => drop(parent.remove(key)),
            value => drop(parent.insert(key.to_owned(), value)),
        }
    }
    spec
}

async fn creation(grants: &Api<DynamicObject>, spec: &Value) -> anyhow::Result<Option<String>> {
    refusal(grants.create(&dry_run(), &grant("tried", spec)).await)
}

#[tokio::test]
async fn what_a_grant_leaves_out_is_filled_in_and_its_status_is_not_taken_for_finished()
-> anyhow::Result<()> {
    let spec = with("", Value::Null);
    let created = grants()
        .await?
        .create(&PostParams::default(), &grant("defaults", &spec))
        .await?;
    let mut expected = spec;
    expected["allowRetain"] = json!(false);
    assert_eq!(created.data["spec"], expected);
    assert_eq!(created.data["status"], json!({ "observedGeneration": -1 }));
    assert_eq!(created.namespace(), None);
    Ok(())
}

#[tokio::test]
async fn grants_are_listed_with_their_category() -> anyhow::Result<()> {
    let cluster = cluster().await?;
    let listed = cluster.kubectl(&["get", "azgrant"]).await?;
    let all = cluster.kubectl(&["get", "azure", "--all-namespaces"]).await;
    // With nothing there, kubectl says so; the grant of another test may be there or not.
    assert!(
        listed.is_empty() || listed.starts_with("NAME") && listed.contains("BINDINGS"),
        "{listed}"
    );
    all.map(drop)
}

#[tokio::test]
async fn a_grant_may_be_of_the_greatest_size() -> anyhow::Result<()> {
    let identity = |at: usize| {
        let group = format!("{at:0>90}");
        let name = "n".repeat(128);
        json!({ "scope": format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}") })
    };
    let texts = |most: usize, length: usize| -> Vec<_> {
        (0..most).map(|at| format!("{at:0>length$}")).collect()
    };
    let labels: serde_json::Map<_, _> = (0..16)
        .map(|at| (format!("example.com/{at:0>63}"), json!("v".repeat(63))))
        .collect();
    let spec = json!({
        "identities": (0..64).map(identity).collect::<Vec<_>>(),
        "namespaces": { "names": texts(256, 63), "selector": { "matchLabels": labels } },
        "serviceAccounts": { "names": texts(64, 253) },
        "maxCredentialsPerIdentity": 20,
        "allowRetain": true,
    });
    let grants = grants().await?;
    assert_eq!(creation(&grants, &spec).await?, None);
    for (pointer, value) in [
        (
            "/identities",
            json!((0..65).map(identity).collect::<Vec<_>>()),
        ),
        ("/namespaces/names", json!(texts(257, 63))),
        ("/serviceAccounts/names", json!(texts(65, 253))),
    ] {
        let mut larger = spec.clone();
        *larger.pointer_mut(pointer).context("a list")? = value;
        let words = creation(&grants, &larger).await?;
        let words = words.with_context(|| format!("accepted: {pointer}"))?;
        assert!(words.contains("must have at most"), "{words}");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_grant_may_be_is_accepted() -> anyhow::Result<()> {
    let grants = grants().await?;
    for (pointer, value) in [
        ("", Value::Null),
        (
            "/identities",
            json!([{ "scope": ID }, { "scope": format!("{ID}-2") }]),
        ),
        (
            "/namespaces",
            json!({ "selector": { "matchLabels": { "team": "shop", "empty": "" } } }),
        ),
        (
            "/namespaces/selector",
            json!({ "matchLabels": { "a.example/b": "c" }, "matchExpressions": [] }),
        ),
        (
            "/serviceAccounts",
            json!({ "names": ["orders", "orders-*", "o*", "a.*", "a--*", "orders.v2"] }),
        ),
        ("/maxCredentialsPerIdentity", json!(1)),
    ] {
        let spec = with(pointer, value);
        assert_eq!(creation(&grants, &spec).await?, None, "{spec}");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_grant_may_not_be_is_refused_with_what_is_wrong() -> anyhow::Result<()> {
    let below = |rest: &str| json!([{ "scope": format!("/subscriptions/{SUBSCRIPTION}{rest}") }]);
    let twice = json!([{ "scope": ID }, { "scope": ID.to_lowercase() }]);
    let management_group =
        json!([{ "scope": "/providers/Microsoft.Management/managementGroups/all" }]);
    let expressions = json!({ "matchLabels": { "a": "b" }, "matchExpressions": [{ "key": "c", "operator": "Exists" }] });
    let grants = grants().await?;
    for (pointer, value, because) in [
        ("/identities", Value::Null, "Required value"),
        ("/identities", json!([]), "should have at least 1 items"),
        (
            "/identities",
            json!([{ "scope": "/" }]),
            "nothing above a subscription",
        ),
        (
            "/identities",
            management_group,
            "nothing above a subscription",
        ),
        ("/identities", below("/"), "without a slash at its end"),
        (
            "/identities",
            below("/resourceGroups/rg/"),
            "without a slash at its end",
        ),
        (
            "/identities",
            below("/resourceGroups/.."),
            "without a '.' at its end",
        ),
        (
            "/identities",
            below("/resourceGroups/."),
            "without a '.' at its end",
        ),
        (
            "/identities",
            below("/resourceGroups/%2e%2e"),
            "the resource group 1 to 90 letters",
        ),
        (
            "/identities",
            below("/resourceGroups/*"),
            "the resource group 1 to 90 letters",
        ),
        (
            "/identities",
            below("/../subscriptions"),
            "must be the id of a subscription",
        ),
        (
            "/identities",
            below("/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/orders"),
            "must be the id of a subscription",
        ),
        (
            "/identities",
            json!([{ "scope": "/subscriptions/.." }]),
            "the subscription must be a GUID",
        ),
        ("/identities", twice, "the same scope is there twice"),
        ("/namespaces", Value::Null, "Required value"),
        (
            "/namespaces",
            json!({}),
            "must have names, a selector or both",
        ),
        (
            "/namespaces/names",
            json!([]),
            "should have at least 1 items",
        ),
        (
            "/namespaces/names",
            json!(["shop", "shop"]),
            "Duplicate value",
        ),
        ("/namespaces/names", json!(["*"]), "should match"),
        ("/namespaces/names", json!(["Shop"]), "should match"),
        ("/namespaces/selector", json!({}), "Required value"),
        (
            "/namespaces/selector",
            json!({ "matchLabels": {} }),
            "should have at least 1 properties",
        ),
        (
            "/namespaces/selector",
            json!({ "matchLabels": { "a": "b c" } }),
            "should match",
        ),
        (
            "/namespaces/selector",
            expressions,
            "must have at most 0 items",
        ),
        ("/serviceAccounts", json!({}), "Required value"),
        (
            "/serviceAccounts",
            json!({ "names": [] }),
            "should have at least 1 items",
        ),
        (
            "/serviceAccounts",
            json!({ "names": ["*"] }),
            "should match",
        ),
        (
            "/serviceAccounts",
            json!({ "names": ["o*s"] }),
            "should match",
        ),
        (
            "/serviceAccounts",
            json!({ "names": ["**"] }),
            "should match",
        ),
        (
            "/serviceAccounts",
            json!({ "names": ["-*"] }),
            "should match",
        ),
        ("/serviceAccounts", json!({ "names": [""] }), "should match"),
        (
            "/maxCredentialsPerIdentity",
            json!(0),
            "greater than or equal to 1",
        ),
        (
            "/maxCredentialsPerIdentity",
            json!(-1),
            "greater than or equal to 1",
        ),
        (
            "/maxCredentialsPerIdentity",
            json!(21),
            "less than or equal to 20",
        ),
    ] {
        let spec = with(pointer, value);
        let words = creation(&grants, &spec).await?;
        let words = words.with_context(|| format!("accepted: {spec}"))?;
        assert!(
            words.contains(because),
            "{spec}\nis refused with {words}\nwithout {because:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn scopes_are_accepted_exactly_where_they_are_parsed() -> anyhow::Result<()> {
    let texts = prop_oneof![
        2 => resource_id(),
        1 => guid().prop_map(|guid| format!("/subscriptions/{guid}")),
        2 => group().prop_map(|group| format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}")),
        1 => about(&format!("/subscriptions/{SUBSCRIPTION}")),
        1 => about(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-größe")),
    ]
    .boxed();
    let grants = grants().await?;
    let texts = values(&texts);
    let tried: Vec<(&String, bool)> = stream::iter(&texts)
        .map(|text| {
            let grants = &grants;
            async move {
                let accepted = creation(grants, &scope(text)).await?.is_none();
                anyhow::Ok((text, accepted))
            }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let accepted = tried.iter().filter(|it| it.1).count();
    assert!(
        accepted > 50 && tried.len() - accepted > 50,
        "{accepted} of {}",
        tried.len()
    );
    for (text, accepted) in tried {
        assert_eq!(AzureScope::parse(text).is_ok(), accepted, "{text:?}");
    }
    Ok(())
}
