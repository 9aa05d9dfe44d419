//! A name that means something elsewhere, in Kubernetes or to azwib itself, means nothing in a tenant's namespace; and in the
//! namespaces of the platform a tenant writes nothing.

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
