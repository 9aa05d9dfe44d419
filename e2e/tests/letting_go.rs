//! Azure refuses to delete a credential: the binding stays and says why, until somebody who may lets go of it.
//!
//! Each test starts the operator of a common environment for itself, in turns.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use azure_simulator::control::api::FaultAction;
use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::{ManagedIdentity, Namespace, PATIENCE, condition};
use azwib_e2e::{Environment, EnvironmentOptions, OperatorProcess, wait};
use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

const FORCE_DETACH: &str = "azwib.dev/force-detach";
const ON_NAMESPACE: &str = "annotate its Namespace with azwib.dev/force-detach=true";
const ON_BOTH: &str = "annotate its Namespace or the binding with azwib.dev/force-detach=true";

static TURN: Mutex<()> = Mutex::const_new(());
static ENVIRONMENT: OnceCell<Environment> = OnceCell::const_new();

async fn environment() -> anyhow::Result<(&'static Environment, MutexGuard<'static, ()>)> {
    let turn = TURN.lock().await;
    let options = EnvironmentOptions {
        start_operator: false,
        ..EnvironmentOptions::default()
    };
    let environment = ENVIRONMENT
        .get_or_try_init(|| Environment::start(options))
        .await?;
    Ok((environment, turn))
}

async fn operator(env: &Environment, flag: Option<&str>) -> anyhow::Result<OperatorProcess> {
    let mut flags = env.operator_flags();
    flags.extend(flag.map(str::to_owned));
    env.operator_with(flags, BTreeMap::new(), None).await
}

fn refusal(status: u16, code: &str, message: &str) -> FaultAction {
    FaultAction::Respond {
        status,
        code: code.to_owned(),
        message: message.to_owned(),
        headers: Vec::new(),
        body: None,
    }
}

fn locked() -> FaultAction {
    let message = "The scope 'orders' cannot perform delete operation because following scope(s) are locked: 'orders'. \
                   Please remove the lock and try again.";
    refusal(409, "ScopeLocked", message)
}

fn forbidden() -> FaultAction {
    let message = "The client 'azwib' does not have authorization to perform action 'delete' over scope 'orders'. If \
                   access was recently granted, please refresh your credentials.";
    refusal(403, "AuthorizationFailed", message)
}

/// A Ready binding whose credential Azure will not delete.
async fn undeletable(shop: &Namespace<'_>, action: FaultAction) -> anyhow::Result<ManagedIdentity> {
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let deletes = shop.requests_to("DELETE", "orders");
    shop.environment().outage(deletes, action).await?;
    Ok(orders)
}

/// The binding stays, and its condition says why and how to let go of it.
async fn stays(
    shop: &Namespace<'_>,
    reason: &str,
    parts: [&str; 2],
) -> anyhow::Result<WorkloadIdentityBinding> {
    let refused = shop.failing("orders", "CredentialReady", reason).await?;
    let name = shop.credential_name("orders")?;
    assert!(refused.message.starts_with(&format!(
        "cannot delete the federated identity credential {name}: "
    )));
    assert!(refused.message.contains(parts[0]), "{}", refused.message);
    assert!(refused.message.ends_with(parts[1]), "{}", refused.message);
    let binding = shop.bindings().get("orders").await?;
    assert!(binding.metadata.deletion_timestamp.is_some());
    assert_eq!(
        binding.metadata.finalizers.as_deref().unwrap(),
        ["azwib.dev/cleanup"]
    );
    assert_eq!(
        condition(&binding, "Ready").unwrap().message,
        refused.message
    );
    Ok(binding)
}

fn namespaces(shop: &Namespace<'_>) -> Api<k8s::Namespace> {
    Api::all(shop.client().clone())
}

async fn annotate_namespace(shop: &Namespace<'_>, value: &str) -> anyhow::Result<()> {
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { FORCE_DETACH: value } } }));
    let by_hand = PatchParams::default();
    namespaces(shop)
        .patch(shop.name(), &by_hand, &patch)
        .await?;
    Ok(())
}

async fn annotate_binding(shop: &Namespace<'_>, key: &str, value: &str) -> anyhow::Result<()> {
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { key: value } } }));
    let by_hand = PatchParams::default();
    shop.bindings().patch("orders", &by_hand, &patch).await?;
    Ok(())
}

/// The note of an event of this reason about the Namespace itself. Such events are in `default`.
async fn event_about_namespace(shop: &Namespace<'_>, reason: &str) -> anyhow::Result<String> {
    let events: Api<Event> = Api::namespaced(shop.client().clone(), "default");
    let wanted = |event: &Event| {
        let about = event.regarding.as_ref();
        event.reason.as_deref() == Some(reason)
            && about.is_some_and(|about| {
                about.kind.as_deref() == Some("Namespace")
                    && about.name.as_deref() == Some(shop.name())
            })
    };
    wait::until("an event about the Namespace", PATIENCE, async || {
        let events = events.list(&ListParams::default()).await?.items;
        Ok(events
            .into_iter()
            .find(wanted)
            .map(|event| event.note.unwrap_or_default()))
    })
    .await
}

async fn until_namespace_is_gone(shop: &Namespace<'_>) -> anyhow::Result<()> {
    wait::until("the end of the namespace", PATIENCE, async || {
        let left = namespaces(shop).get_opt(shop.name()).await?;
        Ok(left.is_none().then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_namespace_whose_credential_azure_keeps_waits_and_is_let_go_by_its_annotation()
-> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    let operator = operator(env, None).await?;
    for (purpose, action, reason, says) in [
        (
            "locked",
            locked(),
            "ScopeLocked",
            "remove the lock on the identity or above",
        ),
        (
            "forbidden",
            forbidden(),
            "AuthorizationFailed",
            "grant the operator a role with this action",
        ),
    ] {
        let shop = env.namespace(purpose).await?;
        let orders = undeletable(&shop, action).await?;
        let at_once = DeleteParams::default();
        namespaces(&shop).delete(shop.name(), &at_once).await?;
        stays(&shop, reason, [says, ON_NAMESPACE]).await?;
        let note = event_about_namespace(&shop, reason).await?;
        assert!(note.starts_with("binding orders: cannot delete"), "{note}");
        assert!(
            note.contains(says) && note.ends_with(ON_NAMESPACE),
            "{note}"
        );

        annotate_namespace(&shop, "true").await?;
        until_namespace_is_gone(&shop).await?;
        let note = event_about_namespace(&shop, "ForceDetached").await?;
        assert!(note.contains("what it made may be left"), "{note}");
        assert_eq!(
            shop.credentials(&orders).await?.len(),
            1,
            "left, as was asked for"
        );
    }
    operator.kill().await?;
    Ok(())
}

#[tokio::test]
async fn a_binding_that_azure_has_wait_for_an_hour_is_let_go_at_once() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    let operator = operator(env, None).await?;
    let shop = env.namespace("throttled").await?;
    let throttled = FaultAction::Respond {
        status: 429,
        code: "TooManyRequests".to_owned(),
        message: "Too many requests.".to_owned(),
        headers: vec![("Retry-After".to_owned(), "3600".to_owned())],
        body: None,
    };
    let orders = undeletable(&shop, throttled).await?;
    let parameters = DeleteParams::default();
    shop.bindings().delete("orders", &parameters).await?;
    let paced = shop
        .failing("orders", "CredentialReady", "Throttled")
        .await?;
    assert!(paced.message.ends_with(ON_NAMESPACE), "{}", paced.message);
    // Deletions have a budget of their own: the identity is written to meanwhile.
    shop.bind_to("other", &orders).await?;
    shop.ready("other").await?;

    annotate_namespace(&shop, "true").await?;
    annotate_binding(&shop, "azwib.dev/reconcile-requested-at", "now").await?;
    shop.until_gone("orders").await?;
    assert_eq!(shop.operator_requests("DELETE", "orders").await?.len(), 1);
    assert_eq!(shop.credentials(&orders).await?.len(), 2);
    operator.kill().await?;
    Ok(())
}

#[tokio::test]
async fn a_namespace_that_waits_ends_by_itself_once_azure_deletes() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    let operator = operator(env, None).await?;
    let shop = env.namespace("unlocked").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let lock = env
        .outage(shop.requests_to("DELETE", "orders"), locked())
        .await?;
    namespaces(&shop)
        .delete(shop.name(), &DeleteParams::default())
        .await?;
    stays(&shop, "ScopeLocked", ["remove the lock", ON_NAMESPACE]).await?;
    lock.end().await?;
    until_namespace_is_gone(&shop).await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    operator.kill().await?;
    Ok(())
}

/// Empties the status of a binding, as somebody with `kubectl replace --subresource=status` does.
async fn empty_status(shop: &Namespace<'_>) -> anyhow::Result<()> {
    let status = json!({ "observedGeneration": -1 });
    let patch = json!([{ "op": "add", "path": "/status", "value": status }]);
    let patch = Patch::Json::<()>(serde_json::from_value(patch)?);
    let bindings = shop.bindings();
    let by_hand = PatchParams::default();
    let put = bindings.patch_status("orders", &by_hand, &patch).await?;
    let uid = put.metadata.uid.unwrap_or_default();
    shop.environment().records.note_foreign_status(&uid, status)
}

#[tokio::test]
async fn what_was_found_without_its_record_is_not_left_by_the_next_process() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    let first = operator(env, None).await?;
    let shop = env.namespace("found").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    first.kill().await?;
    empty_status(&shop).await?;
    let bindings = shop.bindings();
    bindings.delete("orders", &DeleteParams::default()).await?;
    let deletes = shop.requests_to("DELETE", "orders");
    let undeletable = env.outage(deletes, locked()).await?;
    let second = operator(env, None).await?;
    stays(
        &shop,
        "ScopeLocked",
        ["remove the lock on the identity or above", ON_NAMESPACE],
    )
    .await?;
    let name = shop.credential_name("orders")?;
    let status = bindings.get("orders").await?.status.unwrap();
    let recorded: Vec<_> = status.credentials.iter().map(|it| &*it.name).collect();
    assert_eq!(recorded, [&*name]);
    second.kill().await?;

    // What nobody has ever recorded would be given up where it cannot be read.
    let reads = shop.requests_to("GET", "orders");
    let unreadable = env.outage(reads, forbidden()).await?;
    let third = operator(env, None).await?;
    let refused = |it: &WorkloadIdentityBinding| {
        condition(it, "CredentialReady").is_some_and(|it| it.reason == "AuthorizationFailed")
    };
    shop.until("orders", "not readable", refused).await?;
    unreadable.end().await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    undeletable.end().await?;
    shop.until_gone("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    third.kill().await?;
    Ok(())
}

#[tokio::test]
async fn the_annotation_on_a_binding_counts_only_where_the_operator_allows_it() -> anyhow::Result<()>
{
    let (env, _turn) = environment().await?;
    let strict = operator(env, None).await?;
    let shop = env.namespace("tenant").await?;
    let orders = undeletable(&shop, locked()).await?;
    annotate_binding(&shop, FORCE_DETACH, "true").await?;
    shop.bindings()
        .delete("orders", &DeleteParams::default())
        .await?;
    stays(&shop, "ScopeLocked", ["remove the lock", ON_NAMESPACE]).await?;
    // A try that begins after the annotation is refused like the others, and nobody lets go.
    let tried = shop.operator_requests("DELETE", "orders").await?.len();
    annotate_binding(&shop, "azwib.dev/reconcile-requested-at", "now").await?;
    wait::until("another try", PATIENCE, async || {
        let deletes = shop.operator_requests("DELETE", "orders").await?;
        let ended = deletes
            .iter()
            .filter(|delete| delete.ended.is_some())
            .count();
        Ok((ended > tried).then_some(()))
    })
    .await?;
    strict.kill().await?;
    stays(&shop, "ScopeLocked", ["remove the lock", ON_NAMESPACE]).await?;

    let lenient = operator(env, Some("--allow-force-detach")).await?;
    shop.until_gone("orders").await?;
    let note = shop.event("ForceDetached").await?;
    assert!(note.contains("ScopeLocked"), "{note}");
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    lenient.kill().await?;
    Ok(())
}

#[tokio::test]
async fn a_binding_says_that_its_own_annotation_counts_where_it_does() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    let lenient = operator(env, Some("--allow-force-detach")).await?;
    let shop = env.namespace("lenient").await?;
    undeletable(&shop, locked()).await?;
    shop.bindings()
        .delete("orders", &DeleteParams::default())
        .await?;
    stays(&shop, "ScopeLocked", ["remove the lock", ON_BOTH]).await?;
    // Any other value than "true" asks for nothing.
    annotate_binding(&shop, FORCE_DETACH, "false").await?;
    stays(&shop, "ScopeLocked", ["remove the lock", ON_BOTH]).await?;
    annotate_binding(&shop, FORCE_DETACH, "true").await?;
    shop.until_gone("orders").await?;
    lenient.kill().await?;
    Ok(())
}

#[tokio::test]
async fn the_annotation_is_found_beside_many_others() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    let lenient = operator(env, Some("--allow-force-detach")).await?;
    for on_namespace in [true, false] {
        let shop = env.namespace("annotated").await?;
        undeletable(&shop, locked()).await?;
        let others = (0..8).map(|number| (format!("azwib.dev/a-{number}"), json!("x")));
        let mut annotations: serde_json::Map<_, _> = others.collect();
        let annotated = |all: &serde_json::Map<_, _>| {
            Patch::Merge(json!({ "metadata": { "annotations": all } }))
        };
        let by_hand = PatchParams::default();
        let before = annotated(&annotations);
        shop.bindings().patch("orders", &by_hand, &before).await?;
        let name = shop.name();
        namespaces(&shop).patch(name, &by_hand, &before).await?;
        shop.bindings()
            .delete("orders", &DeleteParams::default())
            .await?;
        stays(&shop, "ScopeLocked", ["remove the lock", ON_BOTH]).await?;
        annotations.insert(FORCE_DETACH.to_owned(), json!("true"));
        let after = annotated(&annotations);
        if on_namespace {
            namespaces(&shop).patch(name, &by_hand, &after).await?;
        } else {
            shop.bindings().patch("orders", &by_hand, &after).await?;
        }
        shop.until_gone("orders").await?;
    }
    lenient.kill().await?;
    Ok(())
}
