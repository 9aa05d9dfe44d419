//! Bindings that the API server stores and the operator cannot parse, as after a change of the schema by hand.
//!
//! The tests share an environment whose CustomResourceDefinition takes anything.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use azure_simulator::control::api::FaultAction;
use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::{ManagedIdentity, Namespace, PATIENCE, annotation};
use azwib_e2e::{Environment, EnvironmentOptions, wait};
use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

static ENVIRONMENT: OnceCell<Environment> = OnceCell::const_new();

async fn environment() -> anyhow::Result<&'static Environment> {
    let start = async || {
        let env = Environment::start(EnvironmentOptions::default()).await?;
        loosen_crd(&env).await?;
        anyhow::Ok(env)
    };
    ENVIRONMENT.get_or_try_init(start).await
}

/// Takes the types out of the schema, and waits until the API server goes by it.
async fn loosen_crd(env: &Environment) -> anyhow::Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(env.client().await?);
    let anything = |more: Value| {
        let mut schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        if !more.is_null() {
            schema["default"] = more;
        }
        schema
    };
    let properties = json!({
        "spec": anything(Value::Null),
        "status": anything(json!({ "observedGeneration": -1 })),
    });
    let schema = json!({ "type": "object", "properties": properties });
    let path = "/spec/versions/0/schema/openAPIV3Schema";
    let patch =
        serde_json::from_value(json!([{ "op": "replace", "path": path, "value": schema }]))?;
    let name = "workloadidentitybindings.azwib.dev";
    let patch = Patch::<CustomResourceDefinition>::Json(patch);
    crds.patch(name, &PatchParams::default(), &patch).await?;

    let probe = env.namespace("probe").await?;
    wait::until("the API server to take anything", PATIENCE, async || {
        let taken = probe.bind("probe", "identity: 7").await;
        Ok(taken.is_ok().then_some(()))
    })
    .await
}

fn raw_bindings(shop: &Namespace<'_>) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<WorkloadIdentityBinding>(&());
    Api::namespaced_with(shop.client().clone(), shop.name(), &resource)
}

async fn bound(shop: &Namespace<'_>, name: &str) -> anyhow::Result<ManagedIdentity> {
    let identity = shop.identity(name).await?;
    shop.bind_to(name, &identity).await?;
    shop.ready(name).await?;
    Ok(identity)
}

async fn change(shop: &Namespace<'_>, patch: Value) -> anyhow::Result<()> {
    let by_hand = PatchParams::default();
    let patch = Patch::Merge(patch);
    raw_bindings(shop).patch("orders", &by_hand, &patch).await?;
    Ok(())
}

async fn make_unreadable(shop: &Namespace<'_>) -> anyhow::Result<()> {
    change(shop, json!({ "spec": { "identity": 7 } })).await
}

/// Waits until the binding says that it cannot be read, in a message with these words at its beginning and end.
async fn is_told(shop: &Namespace<'_>, begins: &str, ends: &str) -> anyhow::Result<DynamicObject> {
    let mut last = Value::Null;
    let told = wait::until("the binding to be told", PATIENCE, async || {
        let binding = raw_bindings(shop).get("orders").await?;
        last = binding.data["status"].clone();
        let message = last["conditions"][0]["message"]
            .as_str()
            .unwrap_or_default();
        let says_so = message.starts_with(begins) && message.ends_with(ends);
        Ok(says_so.then_some(binding))
    })
    .await;
    let binding = told.map_err(|error| error.context(format!("last status: {last}")))?;
    let status = &binding.data["status"];
    assert_eq!(
        status["observedGeneration"],
        json!(binding.metadata.generation)
    );
    for (index, type_, value) in [(0, "Ready", "False"), (1, "Stalled", "True")] {
        let condition = &status["conditions"][index];
        assert_eq!(condition["type"], type_);
        assert_eq!(condition["status"], value);
        assert_eq!(condition["reason"], "InvalidSpec");
        assert_eq!(condition["message"], status["conditions"][0]["message"]);
    }
    Ok(binding)
}

async fn until_gone(shop: &Namespace<'_>) -> anyhow::Result<()> {
    wait::until("the end of the binding", PATIENCE, async || {
        let left = raw_bindings(shop).get_opt("orders").await?;
        Ok(left.is_none().then_some(()))
    })
    .await
}

/// An environment of the same kind in which grants are required.
async fn enforcing() -> anyhow::Result<Environment> {
    let mut options = EnvironmentOptions {
        grants: Some("enforce"),
        ..EnvironmentOptions::default()
    };
    options
        .operator_flags
        .push("--revocation-grace=4s".to_owned());
    let env = Environment::start(options).await?;
    loosen_crd(&env).await?;
    Ok(env)
}

#[tokio::test]
async fn without_a_grant_nothing_is_asked_of_azure_and_nothing_is_kept() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let shop = env.namespace("ungranted").await?;
    let orders = shop.identity("orders").await?;
    let id = orders.resource_id();
    let spec = format!("identity: {{resourceId: {id}}}, credential: 7");
    shop.bind("orders", &spec).await?;
    is_told(&shop, UNREADABLE.0, UNREADABLE.1).await?;
    let by_hand = DeleteParams::default();
    raw_bindings(&shop).delete("orders", &by_hand).await?;
    until_gone(&shop).await?;
    assert_eq!(shop.asked_of_azure("orders").await?, [""; 0]);

    let shop = env.namespace("revoked").await?;
    shop.grant_all("it").await?;
    let orders = bound(&shop, "orders").await?;
    make_unreadable(&shop).await?;
    is_told(&shop, UNREADABLE.0, UNREADABLE.1).await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    shop.revoke("it").await?;
    wait::until("what it had to be taken away", PATIENCE, async || {
        let account = shop.service_accounts().get("orders").await?;
        let carries = annotation(&account, "azure.workload.identity/client-id").is_some();
        let is_clean = shop.credentials(&orders).await?.is_empty() && !carries;
        Ok(is_clean.then_some(()))
    })
    .await
}

const LET_GO: &str = "annotate its Namespace with azwib.dev/force-detach=true";
const UNREADABLE: (&str, &str) = ("the binding cannot be read: ", "; correct it, or delete it");

#[tokio::test]
async fn a_binding_that_cannot_be_read_is_told_so_and_disturbs_no_other() -> anyhow::Result<()> {
    let env = environment().await?;
    let shop = env.namespace("disturbed").await?;
    bound(&shop, "stock").await?;
    let stock = shop.ready("stock").await?;
    let orders = bound(&shop, "orders").await?;
    make_unreadable(&shop).await?;
    let told = is_told(&shop, UNREADABLE.0, UNREADABLE.1).await?;
    let recorded = told.data.pointer("/status/credentials/0/origin");
    assert_eq!(
        recorded,
        Some(&json!("Created")),
        "what was recorded stays so"
    );
    let note = shop.event("InvalidSpec").await?;
    assert!(note.starts_with(UNREADABLE.0), "{note}");

    // The others are looked after, new ones too, and it is told once.
    bound(&shop, "later").await?;
    shop.further_listings("stock", 2).await?;
    let after = shop.bindings().get("stock").await?;
    assert_eq!(after.resource_version(), stock.resource_version());
    let after = raw_bindings(&shop).get("orders").await?;
    assert_eq!(after.resource_version(), told.resource_version());
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    assert_eq!(shop.operator_writes("orders").await?, 1);

    let id = orders.resource_id();
    change(
        &shop,
        json!({ "spec": { "identity": { "resourceId": id } } }),
    )
    .await?;
    shop.ready("orders").await?;
    assert_eq!(shop.operator_writes("orders").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_binding_that_cannot_be_read_is_cleaned_up_by_what_it_recorded() -> anyhow::Result<()> {
    let env = environment().await?;
    let shop = env.namespace("cleaned").await?;
    let orders = bound(&shop, "orders").await?;
    make_unreadable(&shop).await?;
    is_told(&shop, UNREADABLE.0, UNREADABLE.1).await?;
    raw_bindings(&shop)
        .delete("orders", &DeleteParams::default())
        .await?;
    until_gone(&shop).await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    shop.account_until("orders", "gone", |account| account.is_none())
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_binding_that_cannot_be_read_and_recorded_nothing_goes_at_once() -> anyhow::Result<()> {
    let env = environment().await?;
    let shop = env.namespace("nothing").await?;
    let id = shop.identity_id("orders");
    shop.bind("orders", &format!("identity: {{resourceId: {id}}}"))
        .await?;
    let waiting = shop.failing("orders", "IdentityResolved", "IdentityNotFound");
    waiting.await?;
    make_unreadable(&shop).await?;
    let told = is_told(&shop, UNREADABLE.0, UNREADABLE.1).await?;
    assert_eq!(told.finalizers(), ["azwib.dev/cleanup"]);
    let asked = shop.operator_requests("GET", "orders").await?.len();
    raw_bindings(&shop)
        .delete("orders", &DeleteParams::default())
        .await?;
    until_gone(&shop).await?;
    assert_eq!(shop.operator_requests("GET", "orders").await?.len(), asked);
    assert_eq!(shop.operator_writes("orders").await?, 0);
    Ok(())
}

#[tokio::test]
async fn records_that_cannot_be_read_keep_the_binding_until_it_is_let_go() -> anyhow::Result<()> {
    let env = environment().await?;
    let shop = env.namespace("records").await?;
    let orders = bound(&shop, "orders").await?;
    make_unreadable(&shop).await?;
    is_told(&shop, UNREADABLE.0, UNREADABLE.1).await?;
    let records = Patch::Merge(json!({ "status": { "credentials": [{ "name": 7 }] } }));
    let by_hand = PatchParams::default();
    raw_bindings(&shop)
        .patch_status("orders", &by_hand, &records)
        .await?;
    raw_bindings(&shop)
        .delete("orders", &DeleteParams::default())
        .await?;
    let unknown = "status.credentials of the binding cannot be read, so what it left in Azure is not known: correct that field; ";
    let kept = is_told(&shop, unknown, LET_GO).await?;
    assert_eq!(kept.finalizers(), ["azwib.dev/cleanup"]);

    let namespaces: Api<k8s::Namespace> = Api::all(shop.client().clone());
    let let_go = Patch::Merge(
        json!({ "metadata": { "annotations": { "azwib.dev/force-detach": "true" } } }),
    );
    namespaces.patch(shop.name(), &by_hand, &let_go).await?;
    until_gone(&shop).await?;
    let note = shop.event("ForceDetached").await?;
    assert!(note.contains("status.credentials"), "{note}");
    assert_eq!(
        shop.credentials(&orders).await?.len(),
        1,
        "nobody knows whose it is"
    );
    assert_eq!(shop.operator_requests("DELETE", "orders").await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_binding_that_cannot_be_read_says_why_azure_keeps_its_credential() -> anyhow::Result<()> {
    let env = environment().await?;
    let shop = env.namespace("kept").await?;
    let orders = bound(&shop, "orders").await?;
    make_unreadable(&shop).await?;
    is_told(&shop, UNREADABLE.0, UNREADABLE.1).await?;
    let locked = FaultAction::Respond {
        status: 409,
        code: "ScopeLocked".to_owned(),
        message: "The scope 'orders' cannot perform delete operation.".to_owned(),
        headers: Vec::new(),
        body: None,
    };
    let deletes = shop.requests_to("DELETE", "orders");
    let lock = env.outage(deletes, locked).await?;
    raw_bindings(&shop)
        .delete("orders", &DeleteParams::default())
        .await?;
    let begins = "cannot delete the federated identity credential";
    let kept = is_told(&shop, begins, LET_GO).await?;
    let message = kept.data["status"]["conditions"][0]["message"].as_str();
    assert!(
        message.unwrap().contains("remove the lock on the identity"),
        "{message:?}"
    );
    lock.end().await?;
    until_gone(&shop).await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}
