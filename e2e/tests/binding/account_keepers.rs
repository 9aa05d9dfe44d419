//! Whose an account is, and what becomes of it when its last binding goes.

use azwib_crds::ServiceAccountOrigin;
use azwib_e2e::environment::{Namespace, PATIENCE, annotation};
use azwib_e2e::{Environment, wait};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::{CLIENT_ID, MANAGED_BY, apply_account, is_labelled_as_ours, origin, owners};

/// Waits for the event that tells why an account stays, and gives its note.
async fn why_left(shop: &Namespace<'_>) -> anyhow::Result<String> {
    let events: Api<Event> = Api::namespaced(shop.client().clone(), shop.name());
    wait::until("an event about the account", PATIENCE, async || {
        let all = events.list(&ListParams::default()).await?;
        let found = all
            .into_iter()
            .find(|event| event.reason.as_deref() == Some("AccountLeft"));
        Ok(found.and_then(|event| event.note))
    })
    .await
}

/// Applies fields of the account as another manager, by force.
async fn apply(shop: &Namespace<'_>, manager: &str, fields: Value) -> anyhow::Result<()> {
    let mut account = json!({ "apiVersion": "v1", "kind": "ServiceAccount" });
    for (field, value) in fields.as_object().into_iter().flatten() {
        account[field] = value.clone();
    }
    account["metadata"]["name"] = json!("orders");
    let parameters = PatchParams::apply(manager).force();
    let accounts = shop.service_accounts();
    accounts
        .patch("orders", &parameters, &Patch::Apply(&account))
        .await?;
    Ok(())
}

async fn until_gone(shop: &Namespace<'_>) -> anyhow::Result<()> {
    let gone = |account: Option<&ServiceAccount>| account.is_none();
    shop.account_until("orders", "gone", gone).await.map(drop)
}

#[tokio::test]
async fn an_account_that_any_tool_applies_stays_when_its_binding_goes() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    for (number, fields) in [
        json!({ "metadata": { "labels": { "team": "shop" } } }),
        json!({ "metadata": { "annotations": { "team": "shop" } } }),
        json!({ "metadata": { "annotations": {} } }),
        json!({ "automountServiceAccountToken": false }),
    ]
    .into_iter()
    .enumerate()
    {
        let shop = env.namespace(&format!("kept-{number}")).await?;
        let orders = shop.identity("orders").await?;
        shop.bind_to("orders", &orders).await?;
        shop.ready("orders").await?;

        apply(&shop, "gitops", fields.clone()).await?;
        shop.until("orders", "of an adopted account", |binding| {
            origin(binding) == Some(ServiceAccountOrigin::Adopted)
        })
        .await?;
        let account = shop.service_accounts().get("orders").await?;
        assert!(!is_labelled_as_ours(&account), "{fields}");
        assert_eq!(owners(&account), Vec::<&str>::new(), "{fields}");
        shop.unbind("orders").await?;
        let why = why_left(&shop).await?;
        assert!(why.contains("\"gitops\" applies it"), "{why}");
        let account = shop.service_accounts().get("orders").await?;
        assert_eq!(annotation(&account, CLIENT_ID), None);
    }
    Ok(())
}

#[tokio::test]
async fn what_openshift_applies_to_every_account_makes_it_nobody_elses() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("openshift").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let manager = "openshift.io/image-registry-pull-secrets_service-account-controller";
    let fields = json!({
        "metadata": { "annotations": { "openshift.io/internal-registry-pull-secret-ref": "orders-dockercfg" } },
        "secrets": [{ "name": "orders-dockercfg" }],
        "imagePullSecrets": [{ "name": "orders-dockercfg" }],
    });
    apply(&shop, manager, fields).await?;
    // A change that azwib has to look at, so that it has seen the other's.
    let edited = json!({ "metadata": { "annotations": { CLIENT_ID: null } } });
    shop.service_accounts()
        .patch("orders", &PatchParams::default(), &Patch::Merge(edited))
        .await?;
    let account = shop
        .account_until("orders", "annotated", |account| {
            account.is_some_and(|account| annotation(account, CLIENT_ID).is_some())
        })
        .await?
        .unwrap();
    assert_eq!(owners(&account), ["orders"]);
    let binding = shop.ready("orders").await?;
    assert_eq!(origin(&binding), Some(ServiceAccountOrigin::Created));

    shop.unbind("orders").await?;
    until_gone(&shop).await
}

#[tokio::test]
async fn a_keeper_is_seen_beside_openshift_and_behind_all_that_it_annotates() -> anyhow::Result<()>
{
    let env = Environment::shared().await?;
    let openshift = "openshift.io/image-registry-pull-secrets_service-account-controller";
    // More than are looked at of one manager.
    let annotations: serde_json::Map<_, _> = (0..80)
        .map(|number| (format!("openshift.io/number-{number}"), json!("x")))
        .collect();
    let of_openshift = json!({
        "metadata": { "annotations": annotations },
        "imagePullSecrets": [{ "name": "orders-dockercfg" }],
    });
    let team = json!({ "metadata": { "annotations": { "team": "shop" } } });
    let mut both = of_openshift.clone();
    both["metadata"]["annotations"]["team"] = json!("shop");
    for (purpose, applied) in [
        ("beside", vec![(openshift, of_openshift), ("gitops", team)]),
        ("behind", vec![("gitops", both)]),
    ] {
        let shop = env.namespace(purpose).await?;
        let orders = shop.identity("orders").await?;
        shop.bind_to("orders", &orders).await?;
        shop.ready("orders").await?;
        for (manager, fields) in applied {
            apply(&shop, manager, fields).await?;
        }
        shop.until("orders", "of an adopted account", |binding| {
            origin(binding) == Some(ServiceAccountOrigin::Adopted)
        })
        .await?;
        shop.unbind("orders").await?;
        let why = why_left(&shop).await?;
        assert!(why.contains("\"gitops\" applies it"), "{why}");
        shop.service_accounts().get("orders").await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_account_of_an_older_version_is_ours_and_gets_the_mark() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("older").await?;
    let orders = shop.identity("orders").await?;
    let made = json!({ "metadata": {
        "labels": { MANAGED_BY: "azwib" },
        "annotations": { CLIENT_ID: orders.client_id() },
    }});
    apply(&shop, "azwib", made).await?;
    // As a policy leaves it that owns the common label.
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    assert_eq!(origin(&binding), Some(ServiceAccountOrigin::Created));
    let account = shop.service_accounts().get("orders").await?;
    let labels = account.metadata.labels.clone().unwrap();
    assert_eq!(labels["azwib.dev/origin"], "Created");
    assert_eq!(owners(&account), ["orders"]);
    shop.unbind("orders").await?;
    until_gone(&shop).await
}

#[tokio::test]
async fn common_labels_in_other_hands_leave_an_account_ours() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("common-labels").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let labels = json!({ MANAGED_BY: "platform", "app.kubernetes.io/instance": "shop" });
    let edited = json!({ "metadata": { "labels": labels, "annotations": { CLIENT_ID: null } } });
    shop.service_accounts()
        .patch("orders", &PatchParams::default(), &Patch::Merge(edited))
        .await?;
    let account = shop
        .account_until("orders", "annotated", |account| {
            account.is_some_and(|account| annotation(account, CLIENT_ID).is_some())
        })
        .await?
        .unwrap();
    // It proves nothing and is left to whoever wants it.
    assert_eq!(account.metadata.labels.unwrap()[MANAGED_BY], "platform");
    let binding = shop.ready("orders").await?;
    assert_eq!(origin(&binding), Some(ServiceAccountOrigin::Created));
    shop.unbind("orders").await?;
    until_gone(&shop).await
}

#[tokio::test]
async fn a_binding_that_is_deleted_with_its_account_orphaned_leaves_it() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    for attempt in 0..5 {
        let shop = env.namespace(&format!("orphaned-{attempt}")).await?;
        let orders = shop.identity("orders").await?;
        shop.bind_to("orders", &orders).await?;
        shop.ready("orders").await?;
        let delete = [
            "delete",
            "azwib",
            "orders",
            "--cascade=orphan",
            "-n",
            shop.name(),
        ];
        env.control_plane.kubectl(&delete).await?;
        shop.until_gone("orders").await?;
        let why = why_left(&shop).await?;
        assert!(why.contains("--cascade=orphan"), "{why}");
        assert_eq!(shop.credentials(&orders).await?, []);
        let account = shop.service_accounts().get("orders").await?;
        assert_eq!(owners(&account), Vec::<&str>::new());
        assert_eq!(annotation(&account, CLIENT_ID), None);

        // A binding that comes back takes it as its own again.
        shop.bind_to("orders", &orders).await?;
        let binding = shop.ready("orders").await?;
        assert_eq!(origin(&binding), Some(ServiceAccountOrigin::Created));
        shop.unbind("orders").await?;
        until_gone(&shop).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_account_that_was_there_stays_and_an_event_says_why() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("was-there").await?;
    let orders = shop.identity("orders").await?;
    env.control_plane
        .kubectl(&["create", "serviceaccount", "orders", "-n", shop.name()])
        .await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    shop.unbind("orders").await?;
    let why = why_left(&shop).await?;
    assert!(why.contains("azwib did not make it"), "{why}");
    shop.service_accounts().get("orders").await?;
    Ok(())
}

#[tokio::test]
async fn bindings_that_go_together_take_their_account_along() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("together").await?;
    let (orders, ledger) = (
        shop.identity("orders").await?,
        shop.identity("ledger").await?,
    );
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let spec = format!(
        "identity: {{resourceId: {}}}, serviceAccount: {{name: orders, role: Additional}}",
        ledger.resource_id()
    );
    shop.bind("more", &spec).await?;
    shop.ready("more").await?;
    shop.account_until("orders", "owned by both", |account| {
        account.is_some_and(|account| owners(account).len() == 2)
    })
    .await?;
    let delete = ["delete", "azwib", "orders", "more", "-n", shop.name()];
    env.control_plane.kubectl(&delete).await?;
    until_gone(&shop).await
}

#[tokio::test]
async fn a_bare_apply_of_an_account_of_ours_leaves_no_trace_to_go_by() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("bare").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    // The API server keeps no entry for a manager that owns nothing: docs/user-guide.md says so.
    let account = apply_account(&shop, "orders", "gitops", Value::Null).await?;
    let entries = account.metadata.managed_fields.unwrap();
    let managers: Vec<_> = entries
        .iter()
        .filter_map(|it| it.manager.as_deref())
        .collect();
    assert!(!managers.contains(&"gitops"), "{managers:?}");
    Ok(())
}
