//! A credential that somebody else made and that trusts exactly what a binding asks for.

use azwib_crds::CredentialOrigin;
use azwib_e2e::Environment;
use azwib_e2e::environment::condition;

use crate::{AUDIENCE, fill, put_by_hand, remove};

#[tokio::test]
async fn an_identical_credential_is_adopted_and_outlives_the_binding() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("adopt").await?;
    let orders = shop.identity("orders").await?;
    put_by_hand(&shop, &orders, "orders", AUDIENCE).await?;
    // Adopting needs no slot.
    fill(&shop, &orders, 19).await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    let in_place = condition(&binding, "CredentialReady").unwrap().clone();
    assert!(
        in_place.message.contains("by-hand is in place")
            && in_place.message.contains("made by somebody else"),
        "{}",
        in_place.message
    );
    let recorded = binding.status.unwrap().credentials;
    assert_eq!(recorded.len(), 1);
    assert_eq!(
        (recorded[0].name.as_str(), recorded[0].origin),
        ("by-hand", CredentialOrigin::Adopted)
    );
    assert_eq!(shop.operator_writes("orders").await?, 0);

    shop.unbind("orders").await?;
    assert_eq!(shop.operator_writes("orders").await?, 0);
    let left = shop.credentials(&orders).await?;
    assert!(left.iter().any(|credential| credential.name == "by-hand"));
    Ok(())
}

#[tokio::test]
async fn an_adopted_credential_that_goes_is_replaced_by_our_own() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("adopted-gone").await?;
    let orders = shop.identity("orders").await?;
    put_by_hand(&shop, &orders, "orders", AUDIENCE).await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    remove(&shop, &orders, "by-hand").await?;
    let own = shop.credential_name("orders")?;
    let is_own = |binding: &azwib_crds::WorkloadIdentityBinding| {
        let status = binding.status.as_ref();
        condition(binding, "Ready").is_some_and(|ready| ready.status == "True")
            && status.is_some_and(|status| {
                status.credentials.len() == 1
                    && status.credentials[0].name == own
                    && status.credentials[0].origin == CredentialOrigin::Created
            })
    };
    shop.versions_until(&binding, "Ready with a credential of its own", is_own)
        .await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 1);

    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, []);
    Ok(())
}

#[tokio::test]
async fn an_adopted_credential_that_is_changed_is_not_put_back() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("adopted-changed").await?;
    let orders = shop.identity("orders").await?;
    put_by_hand(&shop, &orders, "orders", AUDIENCE).await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    put_by_hand(&shop, &orders, "orders", "api://other").await?;
    let exists = shop
        .failing("orders", "CredentialReady", "CredentialExists")
        .await?;
    assert!(exists.message.contains("\"by-hand\""), "{}", exists.message);
    assert_eq!(shop.operator_writes("orders").await?, 0);
    let binding = shop.bindings().get("orders").await?;
    assert_eq!(
        binding.status.unwrap().credentials,
        [],
        "it is not ours to record"
    );
    Ok(())
}
