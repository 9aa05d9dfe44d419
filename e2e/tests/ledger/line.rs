//! Who gets a slot of a full identity, and when.

use std::collections::BTreeMap;

use azure_simulator::control::api::{CredentialFixture, FederatedCredential};
use azwib_e2e::Environment;
use azwib_e2e::environment::{Namespace, PATIENCE, condition};
use azwib_e2e::{EnvironmentOptions, wait};

use crate::{LIMIT, fill, remove};

/// Waits until all of them say that there is no slot.
async fn all_wait(shop: &Namespace<'_>, names: &[&str]) -> anyhow::Result<()> {
    for name in names {
        shop.failing(name, "CredentialReady", "CredentialLimitReached")
            .await?;
    }
    Ok(())
}

/// Binds one after the other, each with a creation time of its own (whole seconds).
async fn bind_in_order(
    shop: &Namespace<'_>,
    identity: &azwib_e2e::environment::ManagedIdentity,
    names: &[&str],
) -> anyhow::Result<()> {
    let mut last = None;
    for name in names {
        loop {
            shop.bind_to(name, identity).await?;
            let created = shop.bindings().get(name).await?.metadata.creation_timestamp;
            if created != last {
                last = created;
                break;
            }
            shop.unbind(name).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn freed_slots_go_to_those_who_have_waited_longest_also_after_a_restart() -> anyhow::Result<()>
{
    let options = EnvironmentOptions::default();
    let env = Environment::start(options).await?;
    let shop = env.namespace("line").await?;
    let orders = shop.identity("orders").await?;
    fill(&shop, &orders, LIMIT).await?;
    // The names are in the other order.
    let names = ["c", "b", "a"];
    bind_in_order(&shop, &orders, &names).await?;
    all_wait(&shop, &names).await?;
    let waiting = shop.bindings().get("c").await?;
    let full = condition(&waiting, "CredentialReady").unwrap();
    assert!(full.message.contains("20 of 20"), "{}", full.message);
    assert!(condition(&waiting, "Reconciling").is_some());
    assert_eq!(waiting.status.unwrap().credentials, []);
    assert_eq!(shop.operator_writes("orders").await?, 0);

    remove(&shop, &orders, "foreign-0").await?;
    shop.ready("c").await?;
    env.kill_operator().await?;
    remove(&shop, &orders, "foreign-1").await?;
    env.start_operator().await?;
    shop.ready("b").await?;
    all_wait(&shop, &["a"]).await?;
    let last = shop.operator_requests("PUT", "orders").await?;
    assert_eq!(last.len(), 2, "{last:?}");

    // Our own deletion frees one at once, whatever the next listing says.
    shop.unbind("c").await?;
    shop.ready("a").await?;
    assert_eq!(shop.credentials(&orders).await?.len(), LIMIT);
    Ok(())
}

#[tokio::test]
async fn a_commit_that_swaps_bindings_on_a_full_identity_is_never_stalled() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("swap").await?;
    let orders = shop.identity("orders").await?;
    fill(&shop, &orders, LIMIT - 1).await?;
    shop.bind_to("old", &orders).await?;
    shop.ready("old").await?;
    shop.bind_to("new", &orders).await?;
    let first = shop.bindings().get("new").await?;
    all_wait(&shop, &["new"]).await?;
    shop.unbind("old").await?;
    let is_ready = |binding: &azwib_crds::WorkloadIdentityBinding| {
        condition(binding, "Ready").is_some_and(|ready| ready.status == "True")
    };
    let versions = shop.versions_until(&first, "Ready", is_ready).await?;
    assert!(
        versions
            .iter()
            .all(|binding| condition(binding, "Stalled").is_none())
    );
    Ok(())
}

#[tokio::test]
async fn flexible_and_azures_own_credentials_count_and_are_left_alone() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("counted").await?;
    let orders = shop.identity("orders").await?;
    fill(&shop, &orders, LIMIT - 2).await?;
    let arm = env.arm().await?;
    let issuer = "https://ib.oic.prod-aks.azure.com/tenant/client";
    arm.put_credential(
        orders.resource_id(),
        "aks-identity-binding",
        issuer,
        "system:serviceaccount:any:any",
        "api://AKSIdentityBinding",
    )
    .await?;
    let flexible = serde_json::from_value::<FederatedCredential>(serde_json::json!({
        "name": "flexible",
        "issuer": "https://token.actions.example",
        "audiences": ["api://AzureADTokenExchange"],
        "claimsMatchingExpression": {
            "value": "claims['sub'] matches 'repo:a/*'",
            "languageVersion": 1
        }
    }))?;
    env.control()
        .put_credential(&CredentialFixture {
            subscription_id: None,
            resource_group: shop.name().to_owned(),
            identity: "orders".to_owned(),
            credential: flexible,
        })
        .await?;
    shop.bind_to("orders", &orders).await?;
    let full = shop
        .failing("orders", "CredentialReady", "CredentialLimitReached")
        .await?;
    assert!(full.message.contains("20 of 20"), "{}", full.message);
    // Who frees a slot should not remove what the platform has made for itself.
    let named = full.message.contains("aks-identity-binding");
    assert!(named, "{}", full.message);
    remove(&shop, &orders, "foreign-0").await?;
    shop.ready("orders").await?;
    shop.unbind("orders").await?;
    let names: Vec<_> = shop
        .credentials(&orders)
        .await?
        .into_iter()
        .map(|credential| credential.name)
        .collect();
    for name in ["aks-identity-binding", "flexible"] {
        assert!(names.iter().any(|left| left == name), "{names:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_limit_can_be_lowered_and_a_retained_credential_is_told_of() -> anyhow::Result<()> {
    let options = EnvironmentOptions {
        start_operator: false,
        ..EnvironmentOptions::default()
    };
    let env = Environment::start(options).await?;
    let mut flags = env.operator_flags();
    flags.push("--credential-limit=2".to_owned());
    let operator = env.operator_with(flags, BTreeMap::new(), None).await?;
    let shop = env.namespace("lowered").await?;
    let orders = shop.identity("orders").await?;
    let id = orders.resource_id();
    let spec = format!("identity: {{resourceId: {id}}}, deletionPolicy: Retain");
    shop.bind("kept", &spec).await?;
    shop.ready("kept").await?;
    shop.unbind("kept").await?;
    shop.bind_to("a", &orders).await?;
    shop.ready("a").await?;
    shop.bind_to("b", &orders).await?;
    let full = shop
        .failing("b", "CredentialReady", "CredentialLimitReached")
        .await?;
    assert!(full.message.contains("2 of 2"), "{}", full.message);
    let retained = shop.credential_name("kept")?;
    wait::until("the orphan to be told of", PATIENCE, async || {
        let log = operator.log()?;
        let told = log
            .lines()
            .any(|line| line.contains("no binding refers to them") && line.contains(&retained));
        Ok(told.then_some(()))
    })
    .await?;
    operator.terminate().await?;
    Ok(())
}
