//! `--read-only`: the first day in production. azwib says what it would write, and writes nothing but statuses.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::{ManagedIdentity, Namespace, annotation, condition};
use azwib_e2e::{Environment, OperatorProcess};
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

const CLIENT_ID: &str = "azure.workload.identity/client-id";
const TENANT_ID: &str = "azure.workload.identity/tenant-id";
const EXPIRATION: &str = "azure.workload.identity/service-account-token-expiration";

async fn operator(env: &Environment, is_read_only: bool) -> anyhow::Result<OperatorProcess> {
    let mut flags = env.operator_flags();
    flags.extend(is_read_only.then(|| "--read-only".to_owned()));
    env.operator_with(flags, BTreeMap::new(), None).await
}

/// What the binding says that would be written, once it says so of this step.
async fn withheld(shop: &Namespace<'_>, name: &str, step: &str) -> anyhow::Result<String> {
    let says = |binding: &WorkloadIdentityBinding| {
        condition(binding, step).is_some_and(|it| it.reason == "ReadOnly")
    };
    let binding = shop.until(name, "told what would be written", says).await?;
    let ready = condition(&binding, "Ready").unwrap();
    assert_eq!((&*ready.status, &*ready.reason), ("False", "ReadOnly"));
    assert!(
        condition(&binding, "Stalled").is_none(),
        "no tool should fail over it"
    );
    Ok(ready.message.clone())
}

/// An account with the annotations, and a credential, as a script with kubectl and az makes them.
async fn by_hand(
    shop: &Namespace<'_>,
    account: &str,
    identity: &ManagedIdentity,
) -> anyhow::Result<()> {
    let env = shop.environment();
    let annotations = json!({ CLIENT_ID: identity.client_id(), TENANT_ID: env.simulator.tenant().to_string(), EXPIRATION: "3600" });
    let manifest = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {
        "name": account, "namespace": shop.name(), "annotations": annotations,
    } });
    env.control_plane.apply(&manifest.to_string()).await?;
    let subject = format!("system:serviceaccount:{}:{account}", shop.name());
    let arm = env.arm().await?;
    arm.put_credential(
        identity.resource_id(),
        "by-hand",
        env.issuer(),
        &subject,
        "api://AzureADTokenExchange",
    )
    .await
}

/// Nothing was asked of Azure about an identity but reads.
async fn was_only_read(shop: &Namespace<'_>, identity: &ManagedIdentity) -> anyhow::Result<()> {
    let name = identity.resource_id().rsplit('/').next().unwrap();
    let asked = shop.asked_of_azure(name).await?;
    assert!(!asked.is_empty(), "it was looked at");
    let writes: Vec<_> = asked.iter().filter(|it| !it.starts_with("GET ")).collect();
    assert!(writes.is_empty(), "{writes:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_made_is_said_and_made_once_the_flag_is_gone() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let shop = env.namespace("first-day").await?;
    let orders = shop.identity("orders").await?;
    let looking = operator(&env, true).await?;
    shop.bind_to("orders", &orders).await?;
    let said = withheld(&shop, "orders", "CredentialReady").await?;
    for part in [
        "azwib runs with --read-only",
        &format!("make the service account {}/orders", shop.name()),
        &format!(
            "write the federated identity credential {}",
            shop.credential_name("orders")?
        ),
        &format!("subject system:serviceaccount:{}:orders", shop.name()),
        "providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let binding = shop.bindings().get("orders").await?;
    assert!(
        binding.finalizers().is_empty(),
        "nothing was made that a finalizer would keep"
    );
    assert!(binding.status.unwrap().credentials.is_empty());
    assert!(shop.service_accounts().get_opt("orders").await?.is_none());
    was_only_read(&shop, &orders).await?;

    // What somebody has set up by hand, exactly as azwib would, works: nothing is withheld that a pod would notice.
    by_hand(&shop, "by-hand", &orders).await?;
    shop.bind_to("by-hand", &orders).await?;
    let ready = shop.ready("by-hand").await?;
    let account = &condition(&ready, "ServiceAccountReady").unwrap().message;
    assert!(
        account.contains("with --read-only azwib leaves"),
        "{account}"
    );
    let labels = shop.service_accounts().get("by-hand").await?;
    let managers = labels.metadata.managed_fields.unwrap_or_default();
    assert!(
        managers
            .iter()
            .all(|it| it.manager.as_deref() != Some("azwib"))
    );

    // A binding that is deleted on that day just goes.
    shop.bind_to("gone", &orders).await?;
    withheld(&shop, "gone", "CredentialReady").await?;
    shop.unbind("gone").await?;
    shop.until_gone("gone").await?;

    looking.terminate().await?;
    let _working = operator(&env, false).await?;
    shop.ready("orders").await?;
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(annotation(&account, CLIENT_ID), Some(&*orders.client_id()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_place_stays_ready_and_what_is_deleted_waits() -> anyhow::Result<()> {
    let env = Environment::without_operator().await?;
    let shop = env.namespace("later").await?;
    let orders = shop.identity("orders").await?;
    let working = operator(&env, false).await?;
    for name in ["orders", "changed"] {
        shop.bind_to(name, &orders).await?;
        shop.ready(name).await?;
    }
    working.terminate().await?;
    let mut account = shop.service_accounts().get("changed").await?;
    account
        .annotations_mut()
        .insert(CLIENT_ID.to_owned(), "another".to_owned());
    shop.service_accounts()
        .replace("changed", &Default::default(), &account)
        .await?;

    let looking = operator(&env, true).await?;
    let said = withheld(&shop, "changed", "ServiceAccountReady").await?;
    let would = format!(
        "give the service account {}/changed {CLIENT_ID}={}",
        shop.name(),
        orders.client_id()
    );
    assert!(said.contains(&would), "{said}");
    let orders_now = shop.ready("orders").await?;
    assert!(condition(&orders_now, "Ready").unwrap().status == "True");

    // What was made stays until somebody may delete it.
    shop.bindings()
        .delete("orders", &DeleteParams::default())
        .await?;
    let says = |binding: &WorkloadIdentityBinding| {
        condition(binding, "Ready").is_some_and(|it| it.message.contains("would delete"))
    };
    let waits = shop
        .until("orders", "told what would be deleted", says)
        .await?;
    assert_eq!(condition(&waits, "Ready").unwrap().reason, "ReadOnly");
    assert_eq!(shop.credentials(&orders).await?.len(), 2);

    looking.terminate().await?;
    let _working = operator(&env, false).await?;
    shop.until_gone("orders").await?;
    shop.ready("changed").await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    Ok(())
}
