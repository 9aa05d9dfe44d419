//! A credential that somebody else made is adopted only under a grant, and an adopted one gives a binding nothing of azwib's once
//! the grant is gone.

use azwib_crds::CredentialOrigin;
use azwib_e2e::environment::ManagedIdentity;
use kube::ResourceExt;
use serde_json::json;

use super::{Tenant, assert_unasked, enforcing, stripped};

/// Somebody who may do so in Azure makes a credential that trusts the tenant's account `orders`.
async fn foreign(tenant: &Tenant<'_>, identity: &ManagedIdentity) -> anyhow::Result<()> {
    let subject = format!("system:serviceaccount:{}:orders", tenant.shop.name());
    let (env, audience) = (tenant.env(), "api://AzureADTokenExchange");
    let arm = env.arm().await?;
    let id = identity.resource_id();
    arm.put_credential(id, "by-hand", env.issuer(), &subject, audience)
        .await
}

/// The names of the credentials of an identity.
async fn names(tenant: &Tenant<'_>, identity: &ManagedIdentity) -> anyhow::Result<Vec<String>> {
    let all = tenant.shop.credentials(identity).await?;
    Ok(all.into_iter().map(|it| it.name).collect())
}

#[tokio::test]
async fn a_foreign_credential_on_an_identity_that_is_not_granted_is_not_even_seen()
-> anyhow::Result<()> {
    for adoption in ["IfIdentical", "Never"] {
        let tenant = Tenant::new(enforcing().await?, "foreign").await?;
        let orders = tenant.shop.identity("orders").await?;
        foreign(&tenant, &orders).await?;
        let spec = json!({
            "identity": { "resourceId": orders.resource_id() }, "credential": { "adoption": adoption },
        });
        tenant.bind("orders", spec).await?;
        let told = tenant.is_refused("orders").await?;
        assert!(!told.contains("by-hand"), "{adoption}: {told}");
        tenant.witness().await?;
        let binding = tenant.bindings().get("orders").await?;
        let status = binding.status.unwrap();
        assert!(status.credentials.is_empty() && status.identity.is_none());
        assert_eq!(tenant.carried("orders").await?, None, "{adoption}");
        assert_unasked(&tenant.shop, "orders").await?;
        assert_eq!(names(&tenant, &orders).await?, ["by-hand"]);
    }
    Ok(())
}

#[tokio::test]
async fn an_adopted_credential_is_not_adopted_again_after_the_revocation() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "readopted").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    foreign(&tenant, &orders).await?;
    shop.grant_all("it").await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    let adopted = shop.ready("orders").await?;
    let [record] = &adopted.status.as_ref().unwrap().credentials[..] else {
        panic!("one record");
    };
    assert_eq!(record.origin, CredentialOrigin::Adopted);
    shop.revoke("it").await?;
    stripped(shop, "orders").await?;
    assert_eq!(tenant.carried("orders").await?, None);

    // A new binding knows nothing of it, and neither of both is given anything.
    tenant.unbind("orders").await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    tenant.is_refused("orders").await?;
    tenant.witness().await?;
    let again = tenant.bindings().get("orders").await?;
    assert!(again.status.unwrap().credentials.is_empty());
    assert_eq!(tenant.carried("orders").await?, None);
    assert_eq!(names(&tenant, &orders).await?, ["by-hand"]);
    assert_eq!(shop.operator_writes("orders").await?, 0);
    Ok(())
}

#[tokio::test]
async fn one_that_is_made_in_the_moment_of_the_revocation_is_neither_adopted_nor_deleted()
-> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "late").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    let ready = shop.ready("orders").await?;
    shop.revoke("it").await?;
    let id = orders.resource_id();
    let ours = format!(
        "{id}/federatedIdentityCredentials/{}",
        shop.credential_name("orders")?
    );
    tenant.env().arm().await?.delete(&ours).await?;
    foreign(&tenant, &orders).await?;
    let versions = shop
        .versions_until(&ready, "stripped", |it| {
            let reason = azwib_e2e::environment::condition(it, "CredentialReady");
            reason.is_some_and(|it| it.reason == "Revoked")
        })
        .await?;
    for it in &versions {
        let mut records = it.status.iter().flat_map(|it| &it.credentials);
        assert!(
            records.all(|it| it.name != "by-hand"),
            "{:?}",
            it.resource_version()
        );
    }
    assert_eq!(names(&tenant, &orders).await?, ["by-hand"]);
    assert_eq!(tenant.carried("orders").await?, None);
    let puts = shop.operator_requests("PUT", "orders").await?;
    assert_eq!(puts.len(), 1, "only the first one: {puts:?}");
    Ok(())
}
