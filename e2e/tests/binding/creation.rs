//! What a new binding makes.

use azwib_e2e::Environment;
use azwib_e2e::environment::{annotation, condition};

use crate::{AUDIENCE, CLIENT_ID, EXPIRATION, TENANT_ID, is_labelled_as_ours, owners, subject};

#[tokio::test]
async fn a_binding_gives_its_account_the_identity_and_the_identity_a_credential()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("create").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;

    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(
        annotation(&account, CLIENT_ID),
        Some(orders.client_id().as_str())
    );
    assert_eq!(
        annotation(&account, TENANT_ID),
        Some(env.simulator.tenant().to_string().as_str())
    );
    assert_eq!(annotation(&account, EXPIRATION), Some("3600"));
    assert!(is_labelled_as_ours(&account));
    assert_eq!(owners(&account), ["orders"]);

    let credentials = env.arm().await?.credentials(orders.resource_id()).await?;
    assert_eq!(credentials.len(), 1);
    assert_eq!(credentials[0].name, shop.credential_name("orders")?);
    assert_eq!(credentials[0].properties.issuer, env.issuer());
    assert_eq!(credentials[0].properties.subject, subject(&shop, "orders"));
    assert_eq!(credentials[0].properties.audiences, [AUDIENCE]);

    let status = binding.status.clone().unwrap();
    assert_eq!(status.identity.unwrap().client_id, orders.client_id());
    assert_eq!(status.credentials[0].name, credentials[0].name);
    for step in [
        "Granted",
        "IssuerReady",
        "IdentityResolved",
        "ServiceAccountReady",
        "CredentialReady",
    ] {
        assert_eq!(condition(&binding, step).unwrap().status, "True", "{step}");
    }
    assert!(condition(&binding, "Reconciling").is_none());
    assert!(condition(&binding, "Stalled").is_none());
    Ok(())
}
