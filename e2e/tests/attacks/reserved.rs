//! Whatever a grant says, nobody is bound to the operator's own identity, in its namespace, or to what a platform keeps for itself;
//! and a name that means something elsewhere means nothing in a tenant's namespace.

use azwib_crds::WorkloadIdentityBinding;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::{Tenant, enforcing, is_forbidden};

#[tokio::test]
async fn accounts_with_the_names_of_the_platform_are_accounts_of_the_tenant() -> anyhow::Result<()>
{
    let env = enforcing().await?;
    let tenant = Tenant::new(env, "platform").await?;
    let orders = tenant.shop.identity("orders").await?;
    tenant.shop.grant_all("it").await?;
    let names = [
        "default",
        "kube-system",
        "azwib-system",
        "azwib-operator",
        "azwib",
        "system",
        "admin",
    ];
    for name in names {
        tenant.bind_to(name, orders.resource_id()).await?;
        tenant.shop.ready(name).await?;
        assert!(tenant.acts_as(name, &orders).await?, "{name}");
    }
    let trusted = tenant.shop.credentials(&orders).await?;
    assert_eq!(trusted.len(), names.len());
    let own = format!("system:serviceaccount:{}:", tenant.shop.name());
    for credential in trusted {
        let subject = &credential.properties.subject;
        assert!(subject.starts_with(&own), "{subject}");
    }
    Ok(())
}

#[tokio::test]
async fn the_same_names_give_nothing_where_only_another_one_is_granted() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "namesakes").await?;
    let orders = tenant.shop.identity("orders").await?;
    let only = json!({ "serviceAccounts": { "names": ["orders", "azwib-x*"] } });
    tenant.shop.grant("it", only).await?;
    for name in [
        "default",
        "kube-system",
        "azwib-operator",
        "azwib-",
        "order",
    ] {
        let account = name.trim_end_matches('-');
        tenant.bind_to(account, orders.resource_id()).await?;
        tenant.is_refused(account).await?;
        tenant.assert_powerless(account, &orders).await?;
        tenant.unbind(account).await?;
    }
    super::assert_unasked(&tenant.shop, "orders").await
}

#[tokio::test]
async fn a_tenant_writes_no_binding_in_the_namespaces_of_the_platform() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "outside").await?;
    let orders = tenant.shop.identity("orders").await?;
    let spec = json!({ "identity": { "resourceId": orders.resource_id() } });
    let binding = json!({ "metadata": { "name": "orders" }, "spec": spec });
    let binding: WorkloadIdentityBinding = serde_json::from_value(binding)?;
    for namespace in ["kube-system", "azwib-system", "default"] {
        let bindings: Api<WorkloadIdentityBinding> =
            Api::namespaced(tenant.client.clone(), namespace);
        let answer = bindings.create(&PostParams::default(), &binding).await;
        assert!(is_forbidden(&answer), "{namespace}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_operators_own_identity_is_given_to_nobody_however_it_is_spelled() -> anyhow::Result<()>
{
    let env = enforcing().await?;
    let tenant = Tenant::new(env, "own").await?;
    let own = env.operator_identity_id().to_owned();
    let subscription = format!("/subscriptions/{}", env.simulator.subscription());
    let all = json!({ "identities": [{ "scope": subscription }, { "scope": own }] });
    tenant.shop.grant("all", all).await?;
    env.grant_operator(&own).await?;
    let before = env.arm().await?.credentials(&own).await?;
    let segments: Vec<_> = own.split('/').collect();
    let (group, name) = (segments[4], segments[8]);
    for (binding, identity) in [
        ("id", json!({ "resourceId": own })),
        ("upper", json!({ "resourceId": own.to_uppercase() })),
        ("name", json!({ "name": name, "resourceGroup": group })),
    ] {
        tenant
            .bind(binding, json!({ "identity": identity }))
            .await?;
        let told = tenant.shop.failing(binding, "Granted", "Reserved").await?;
        assert!(told.message.contains("operator's own"), "{told:?}");
        assert_eq!(tenant.carried(binding).await?, None, "{binding}");
        tenant.unbind(binding).await?;
    }
    assert_eq!(env.arm().await?.credentials(&own).await?, before);
    Ok(())
}

#[tokio::test]
async fn an_audience_that_a_platform_keeps_is_refused_before_and_after() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "audience").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    shop.grant_all("it").await?;
    for (name, audience) in [
        ("openshift", "openshift"),
        ("aks", "api://AKSIdentityBinding"),
    ] {
        let with = |audience| json!({ "credential": { "audience": audience } });
        let mut spec = with(audience);
        spec["identity"] = json!({ "resourceId": orders.resource_id() });
        tenant.bind(name, spec).await?;
        shop.failing(name, "Ready", "InvalidSpec").await?;
        assert!(shop.credentials(&orders).await?.is_empty(), "{name}");
        // One that works is not changed to it either.
        tenant.change(name, with("api://mine")).await?;
        shop.ready(name).await?;
        let before = shop.credentials(&orders).await?;
        tenant.change(name, with(audience)).await?;
        shop.failing(name, "Ready", "InvalidSpec").await?;
        assert_eq!(shop.credentials(&orders).await?, before, "{name}");
        tenant.unbind(name).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_credential_that_a_platform_keeps_is_neither_adopted_nor_touched() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let tenant = Tenant::new(env, "kept").await?;
    let shop = &tenant.shop;
    shop.grant_all("it").await?;
    let subject = format!("system:serviceaccount:{}:orders", shop.name());
    let orders = shop.identity("orders").await?;
    let arm = env.arm().await?;
    // It trusts the tenant's account as AKS would have it: with just the content that could be adopted.
    let (id, audience) = (orders.resource_id(), "api://AzureADTokenExchange");
    arm.put_credential(id, "aks-identity-binding", env.issuer(), &subject, audience)
        .await?;
    let before = shop.credentials(&orders).await?;
    tenant.bind_to("orders", id).await?;
    let refused = shop
        .failing("orders", "CredentialReady", "CredentialExists")
        .await?;
    assert!(
        refused.message.contains("aks-identity-binding"),
        "{refused:?}"
    );
    let status = tenant.bindings().get("orders").await?.status.unwrap();
    assert!(
        status
            .credentials
            .iter()
            .all(|it| it.name != "aks-identity-binding")
    );
    tenant.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, before);
    assert_eq!(shop.operator_writes("orders").await?, 0);
    Ok(())
}
