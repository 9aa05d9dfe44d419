//! What a binding says on its way to Ready, and once it is there.

use azure_simulator::control::api::When;
use azwib_crds::CredentialOrigin;
use azwib_e2e::Environment;
use azwib_e2e::environment::condition;

use crate::says;

#[tokio::test]
async fn each_step_on_the_way_is_told() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("steps").await?;
    let orders = shop.identity("orders").await?;
    let put = shop.hold("PUT", "orders", When::BeforeEffect).await?;
    shop.bind_to("orders", &orders).await?;
    put.reached().await?;
    let name = shop.credential_name("orders")?;
    let message = format!("the federated identity credential {name} is about to be written");
    let creating = says(
        &shop,
        "CredentialReady",
        "Creating",
        "Reconciling",
        &message,
    )
    .await?;
    let recorded = &creating.status.as_ref().unwrap().credentials[0];
    assert_eq!(
        (&recorded.name, recorded.origin),
        (&name, CredentialOrigin::Pending)
    );
    put.release().await?;

    let versions = shop
        .versions_until(&creating, "Ready", |binding| {
            condition(binding, "Ready").unwrap().status == "True"
        })
        .await?;
    let propagating = condition(&versions[0], "Ready").unwrap();
    assert_eq!(
        (propagating.status.as_str(), propagating.reason.as_str()),
        ("False", "Propagating")
    );
    assert_eq!(
        propagating.message,
        "the credential is in place, and is given time to propagate in Microsoft Entra"
    );
    let reconciling = condition(&versions[0], "Reconciling").unwrap();
    assert_eq!(reconciling.reason, "Propagating");
    let last = versions.last().unwrap();
    for (type_, reason, message) in [
        (
            "Ready",
            "Succeeded",
            "pods that use the service account orders can get tokens of the managed identity"
                .to_owned(),
        ),
        (
            "Granted",
            "GrantsNotRequired",
            "every binding is admitted (--grants=off)".to_owned(),
        ),
        (
            "IssuerReady",
            "IssuerConfigured",
            format!("tokens are issued by {}", env.issuer()),
        ),
        (
            "IdentityResolved",
            "Resolved",
            format!(
                "the client id of the managed identity is {}",
                orders.client_id()
            ),
        ),
        (
            "ServiceAccountReady",
            "Applied",
            format!(
                "service account orders names the client id {}",
                orders.client_id()
            ),
        ),
        (
            "CredentialReady",
            "InPlace",
            format!("the federated identity credential {name} is in place"),
        ),
    ] {
        let found = condition(last, type_).unwrap();
        assert_eq!(
            (found.status.as_str(), found.reason.as_str()),
            ("True", reason)
        );
        assert_eq!(found.message, message);
    }
    Ok(())
}

#[tokio::test]
async fn a_step_that_is_not_reached_is_pending() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("pending").await?;
    let id = shop.identity_id("orders");
    shop.bind("orders", &format!("identity: {{resourceId: {id}}}"))
        .await?;
    shop.failing("orders", "IdentityResolved", "IdentityNotFound")
        .await?;
    let binding = shop.bindings().get("orders").await?;
    for step in ["ServiceAccountReady", "CredentialReady"] {
        let found = condition(&binding, step).unwrap();
        assert_eq!(
            (
                found.status.as_str(),
                found.reason.as_str(),
                found.message.as_str()
            ),
            ("Unknown", "Pending", "not reached yet")
        );
    }
    Ok(())
}
