//! What may change after creation, and what may not.

use anyhow::Context;
use kube::{
    Api,
    api::{DynamicObject, PostParams},
};
use serde_json::{Value, json};

use super::{ID, SUBSCRIPTION, binding, bindings, by_name, cluster, dry_run, refusal, with};

const IMMUTABLE_IDENTITY: &str =
    "spec.identity: Invalid value: identity is immutable; create a new binding";
const IMMUTABLE_ACCOUNT: &str = "spec.serviceAccount.name: Invalid value: serviceAccount.name is immutable; create a new binding";

/// Creates a binding and asks whether its spec could be replaced by another one.
async fn change(
    bindings: &Api<DynamicObject>,
    name: &str,
    from: &Value,
    to: &Value,
) -> anyhow::Result<Option<String>> {
    let mut created = bindings
        .create(&PostParams::default(), &binding(name, from))
        .await?;
    created.data["spec"] = to.clone();
    refusal(bindings.replace(name, &dry_run(), &created).await)
}

#[tokio::test]
async fn the_identity_never_changes() -> anyhow::Result<()> {
    let bindings = bindings().await?;
    let name = json!({ "name": "orders" });
    let with_group = json!({ "name": "orders", "resourceGroup": "rg-shop" });
    let with_subscription = json!({ "name": "orders", "subscriptionId": SUBSCRIPTION });
    let id = json!({ "resourceId": ID });
    for (case, (from, to)) in [
        // Added, removed, changed; for the two forms, only one replaced by the other can be added or removed.
        (
            &id,
            &json!({ "resourceId": ID.replace("orders", "payments") }),
        ),
        (&id, &name),
        (&name, &id),
        (&name, &json!({ "name": "payments" })),
        (&name, &with_group),
        (&with_group, &name),
        (
            &with_group,
            &json!({ "name": "orders", "resourceGroup": "rg-bank" }),
        ),
        (&name, &with_subscription),
        (&with_subscription, &name),
        (
            &with_subscription,
            &json!({ "name": "orders", "subscriptionId": SUBSCRIPTION.replace('0', "1") }),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let (from, to) = (json!({ "identity": from }), json!({ "identity": to }));
        let words = change(&bindings, &format!("identity-{case}"), &from, &to).await?;
        assert!(
            words
                .as_deref()
                .is_some_and(|words| words.contains(IMMUTABLE_IDENTITY)),
            "{from} → {to}: {words:?}"
        );
        // Where somebody writes out what an operator's flag says, the message tells why that is refused.
        let why = "a resourceId and a name are different specs, and so are a group or subscription that is given and one \
                   that is left to the operator's default";
        assert!(words.is_some_and(|words| words.contains(why)));
    }
    Ok(())
}

#[tokio::test]
async fn the_case_of_an_identity_may_change() -> anyhow::Result<()> {
    let bindings = bindings().await?;
    let lower = SUBSCRIPTION.replace('0', "a");
    let full = |name: &str, group: &str, subscription: &str| json!({ "name": name, "resourceGroup": group, "subscriptionId": subscription });
    for (case, (from, to)) in [
        (
            json!({ "resourceId": ID }),
            json!({ "resourceId": ID.to_lowercase() }),
        ),
        (
            json!({ "resourceId": ID }),
            json!({ "resourceId": ID.replace("resourceGroups", "resourcegroups") }),
        ),
        (
            json!({ "resourceId": ID.to_lowercase() }),
            json!({ "resourceId": ID.to_uppercase() }),
        ),
        (
            json!({ "resourceId": ID.replace("rg-shop", "größe") }),
            json!({ "resourceId": ID.replace("rg-shop", "GRößE") }),
        ),
        (json!({ "name": "orders" }), json!({ "name": "Orders" })),
        (
            full("orders", "rg-shop", &lower),
            full("ORDERS", "RG-Shop", &lower.to_uppercase()),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let (from, to) = (json!({ "identity": from }), json!({ "identity": to }));
        let words = change(&bindings, &format!("case-{case}"), &from, &to).await?;
        assert_eq!(words, None, "{from} → {to}");
    }
    Ok(())
}

#[tokio::test]
async fn the_name_of_the_service_account_never_changes() -> anyhow::Result<()> {
    let bindings = bindings().await?;
    let without = by_name("orders");
    let empty = json!({ "identity": { "name": "orders" }, "serviceAccount": {} });
    let named = with("serviceAccount.name", json!("orders"));
    let other = with("serviceAccount.name", json!("payments"));
    for (case, (from, to)) in [
        (&without, &named),
        (&empty, &named),
        (&named, &without),
        (&named, &empty),
        (&named, &other),
    ]
    .into_iter()
    .enumerate()
    {
        let words = change(&bindings, &format!("account-{case}"), from, to).await?;
        assert!(
            words
                .as_deref()
                .is_some_and(|words| words.contains(IMMUTABLE_ACCOUNT)),
            "{from} → {to}: {words:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_name_of_the_service_account_may_be_written_out_or_left_out_where_it_is_the_bindings()
-> anyhow::Result<()> {
    let bindings = bindings().await?;
    let without = by_name("orders");
    for (case, from) in [
        without.clone(),
        json!({ "identity": { "name": "orders" }, "serviceAccount": {} }),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("written-out-{case}");
        let named = with("serviceAccount.name", json!(name));
        assert_eq!(change(&bindings, &name, &from, &named).await?, None);
        let name = format!("left-out-{case}");
        let named = with("serviceAccount.name", json!(name));
        assert_eq!(change(&bindings, &name, &named, &from).await?, None);
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_change_by_kubectl_says_what_to_do() -> anyhow::Result<()> {
    bindings()
        .await?
        .create(
            &PostParams::default(),
            &binding("kubectl-patch", &by_name("orders")),
        )
        .await?;
    for (patch, words) in [
        (
            r#"{"spec":{"identity":{"resourceGroup":"rg"}}}"#,
            IMMUTABLE_IDENTITY,
        ),
        (
            r#"{"spec":{"serviceAccount":{"name":"another"}}}"#,
            IMMUTABLE_ACCOUNT,
        ),
    ] {
        let patch = cluster()
            .await?
            .kubectl(&[
                "patch",
                "azwib",
                "kubectl-patch",
                "--type=merge",
                "-p",
                patch,
            ])
            .await;
        let error = patch.err().context("accepted")?;
        let said = super::words(&format!("{error:#}"));
        assert!(said.contains(words), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn everything_else_may_change() -> anyhow::Result<()> {
    let bindings = bindings().await?;
    let from = with("serviceAccount.name", json!("orders"));
    for (case, (field, value)) in [
        ("/serviceAccount/tokenExpirationSeconds", json!(7200)),
        ("/serviceAccount/role", json!("Additional")),
        ("/serviceAccount/creation", json!("WhenCredentialReady")),
        ("/suspend", json!(true)),
        ("/credential/audience", json!("openshift")),
        ("/deletionPolicy", json!("Retain")),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("mutable-{case}");
        let created = bindings
            .create(&PostParams::default(), &binding(&name, &from))
            .await?;
        let mut changed = created.clone();
        *changed.data["spec"].pointer_mut(field).context(field)? = value;
        let changed = bindings
            .replace(&name, &PostParams::default(), &changed)
            .await?;
        assert_ne!(changed.data["spec"], created.data["spec"], "{field}");
        let generations = (created.metadata.generation, changed.metadata.generation);
        assert_eq!(generations, (Some(1), Some(2)), "{field}");
    }
    Ok(())
}
