//! The credentials that others have on an identity.

use azwib_e2e::Environment;
use azwib_e2e::environment::{ManagedIdentity, Namespace};

use crate::{AUDIENCE, subject};

async fn bind_without_adoption(
    shop: &Namespace<'_>,
    identity: &ManagedIdentity,
) -> anyhow::Result<()> {
    let id = identity.resource_id();
    let spec = format!("identity: {{resourceId: {id}}}, credential: {{adoption: Never}}");
    shop.bind("orders", &spec).await
}

#[tokio::test]
async fn our_issuer_and_subject_under_another_name_are_named_and_left() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("exists").await?;
    let orders = shop.identity("orders").await?;
    let (arm, id) = (env.arm().await?, orders.resource_id());
    arm.put_credential(
        id,
        "by-hand",
        env.issuer(),
        &subject(&shop, "orders"),
        AUDIENCE,
    )
    .await?;
    let before = shop.credentials(&orders).await?;

    bind_without_adoption(&shop, &orders).await?;
    let exists = shop
        .failing("orders", "CredentialReady", "CredentialExists")
        .await?;
    for part in ["\"by-hand\"", "IfIdentical"] {
        assert!(exists.message.contains(part), "{}", exists.message);
    }
    assert_eq!(shop.operator_writes("orders").await?, 0);
    assert_eq!(shop.credentials(&orders).await?, before);

    arm.delete(&format!("{id}/federatedIdentityCredentials/by-hand"))
        .await?;
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_foreign_credential_outlives_the_binding_that_could_not_have_its_place()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("exists-end").await?;
    let orders = shop.identity("orders").await?;
    let arm = env.arm().await?;
    let (id, subject) = (orders.resource_id(), subject(&shop, "orders"));
    arm.put_credential(id, "by-hand", env.issuer(), &subject, AUDIENCE)
        .await?;
    bind_without_adoption(&shop, &orders).await?;
    shop.failing("orders", "CredentialReady", "CredentialExists")
        .await?;

    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?[0].name, "by-hand");
    Ok(())
}

#[tokio::test]
async fn other_content_under_the_derived_name_is_put_back() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("derived").await?;
    let orders = shop.identity("orders").await?;
    let name = shop.credential_name("orders")?;
    let (arm, id) = (env.arm().await?, orders.resource_id());
    arm.put_credential(id, &name, "https://issuer.example/", "someone", AUDIENCE)
        .await?;

    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    let credentials = shop.credentials(&orders).await?;
    assert_eq!(credentials.len(), 1);
    assert_eq!(credentials[0].properties.issuer, env.issuer());
    assert_eq!(credentials[0].properties.subject, subject(&shop, "orders"));
    Ok(())
}

#[tokio::test]
async fn foreign_credentials_are_never_touched() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("neighbours").await?;
    let orders = shop.identity("orders").await?;
    let (arm, id) = (env.arm().await?, orders.resource_id());
    for name in ["aks-identity-binding", "azwib-of-another-cluster"] {
        arm.put_credential(id, name, "https://issuer.example/", name, AUDIENCE)
            .await?;
    }
    let before = shop.credentials(&orders).await?;

    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 3);
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, before);
    Ok(())
}
