//! Permissions in Azure that are missing at first.

use azure_simulator::control::api::{Role, When};
use azwib_e2e::Environment;
use azwib_e2e::environment::{Namespace, condition};
use kube::api::DeleteParams;

const IDENTITY_READ: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/read";
const CREDENTIAL_READ: &str =
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read";

async fn grant(shop: &Namespace<'_>, actions: &[&str]) -> anyhow::Result<()> {
    let env = shop.environment();
    let actions = actions.iter().map(ToString::to_string).collect();
    let (scope, role) = (shop.resource_group_id(), Role::Custom { actions });
    env.control()
        .assign_role(&scope, role, env.operator_principal())
        .await?;
    Ok(())
}

#[tokio::test]
async fn without_permission_to_read_the_identity_nothing_is_made_until_it_is_granted()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace_without_role("read").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let refused = shop
        .failing("orders", "IdentityResolved", "AuthorizationFailed")
        .await?;
    assert!(
        refused.message.contains("grant the operator a role"),
        "{}",
        refused.message
    );
    assert!(shop.service_accounts().get_opt("orders").await?.is_none());
    let binding = shop.bindings().get("orders").await?;
    assert!(condition(&binding, "Reconciling").is_some());

    shop.grant_operator().await?;
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn without_permission_to_list_credentials_none_is_written_until_it_is_granted()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace_without_role("list").await?;
    grant(&shop, &[IDENTITY_READ]).await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let refused = shop
        .failing("orders", "CredentialReady", "AuthorizationFailed")
        .await?;
    assert!(refused.message.contains("cannot list"), "{refused:?}");
    assert_eq!(shop.operator_writes("orders").await?, 0);

    shop.grant_operator().await?;
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn without_permission_to_write_no_record_stays_and_the_credential_comes_when_it_is_granted()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace_without_role("write").await?;
    grant(&shop, &[IDENTITY_READ, CREDENTIAL_READ]).await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let refused = shop
        .failing("orders", "CredentialReady", "AuthorizationFailed")
        .await?;
    assert!(refused.message.contains("cannot write"), "{refused:?}");
    // The account that the first try made wakes the binding for a second one, with a record of its own.
    shop.until("orders", "without a record", |binding| {
        let status = binding.status.as_ref();
        status.is_some_and(|status| status.credentials.is_empty())
    })
    .await?;

    shop.grant_operator().await?;
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_binding_that_is_deleted_while_its_write_is_refused_is_gone_without_another()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace_without_role("write-end").await?;
    grant(&shop, &[IDENTITY_READ, CREDENTIAL_READ]).await?;
    let orders = shop.identity("orders").await?;
    let put = shop.hold("PUT", "orders", When::BeforeEffect).await?;
    shop.bind_to("orders", &orders).await?;
    put.reached().await?;
    shop.bindings()
        .delete("orders", &DeleteParams::default())
        .await?;
    put.release().await?;

    shop.until_gone("orders").await?;
    let puts = shop.operator_requests("PUT", "orders").await?;
    assert_eq!(
        puts.iter().map(|put| put.status).collect::<Vec<_>>(),
        [Some(403)]
    );
    assert_eq!(shop.operator_writes("orders").await?, 1);
    Ok(())
}
