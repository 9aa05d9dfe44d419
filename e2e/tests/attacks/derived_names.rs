//! The name of a credential belongs to one issuer, namespace and account: no binding gets, changes or deletes what bears the name of
//! another one's.

use azwib_e2e::environment::ManagedIdentity;
use serde_json::{Value, json};

use super::{Tenant, enforcing};

/// Two tenants, and an identity of the first one that both are granted.
async fn shared(
    purpose: &str,
) -> anyhow::Result<(Tenant<'static>, Tenant<'static>, ManagedIdentity)> {
    let env = enforcing().await?;
    let tenant = Tenant::new(env, purpose).await?;
    let neighbour = Tenant::new(env, &format!("{}-a", tenant.shop.name())).await?;
    let both = json!({ "names": [tenant.shop.name(), neighbour.shop.name()] });
    let identity = tenant.shop.identity("shared").await?;
    tenant
        .shop
        .grant("both", json!({ "namespaces": both }))
        .await?;
    Ok((tenant, neighbour, identity))
}

/// The account of the tenant that reads like account `b` of its neighbour once namespace and account are joined.
fn look_alike(tenant: &Tenant<'_>, neighbour: &Tenant<'_>) -> String {
    let rest = neighbour.shop.name().strip_prefix(tenant.shop.name());
    format!("{}-b", rest.unwrap().trim_start_matches('-'))
}

fn spec(identity: &ManagedIdentity, account: &str) -> Value {
    json!({
        "identity": { "resourceId": identity.resource_id() }, "serviceAccount": { "name": account },
    })
}

#[tokio::test]
async fn two_accounts_whose_names_read_alike_have_a_credential_each() -> anyhow::Result<()> {
    let (tenant, neighbour, identity) = shared("alike").await?;
    let account = look_alike(&tenant, &neighbour);
    neighbour.bind("b", spec(&identity, "b")).await?;
    neighbour.shop.ready("b").await?;
    tenant.bind("mine", spec(&identity, &account)).await?;
    tenant.shop.ready("mine").await?;
    let [ours, theirs] = [
        tenant.shop.credential_name(&account)?,
        neighbour.shop.credential_name("b")?,
    ];
    // All but the digits at the end is the same.
    assert_eq!(ours[..ours.len() - 32], theirs[..theirs.len() - 32]);
    assert_ne!(ours, theirs);
    assert_eq!(tenant.shop.credentials(&identity).await?.len(), 2);
    tenant.unbind("mine").await?;
    let left = tenant.shop.credentials(&identity).await?;
    assert_eq!(left[0].name, theirs);
    assert!(neighbour.acts_as("b", &identity).await?);
    tenant.assert_powerless(&account, &identity).await
}

#[tokio::test]
async fn an_account_with_another_namespaces_name_in_its_own_gets_nothing_of_it()
-> anyhow::Result<()> {
    let env = enforcing().await?;
    let victim = Tenant::new(env, "victim").await?;
    let tenant = Tenant::new(env, "namesake").await?;
    let identity = victim.shop.identity("orders").await?;
    victim.shop.grant_all("it").await?;
    victim.bind_to("orders", identity.resource_id()).await?;
    victim.shop.ready("orders").await?;
    let theirs = victim.shop.credentials(&identity).await?;
    let name = victim.shop.name();
    for account in [
        "orders".to_owned(),
        format!("{name}.orders"),
        format!("{name}-orders"),
        format!("system.serviceaccount.{name}.orders"),
        victim.shop.credential_name("orders")?,
    ] {
        tenant.bind(&account, spec(&identity, &account)).await?;
        let told = tenant.is_refused(&account).await?;
        assert!(told.contains(tenant.shop.name()), "{told}");
        tenant.assert_powerless(&account, &identity).await?;
        tenant.unbind(&account).await?;
    }
    assert_eq!(victim.shop.credentials(&identity).await?, theirs);
    assert_eq!(victim.shop.operator_writes("orders").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_name_that_would_be_a_subject_is_refused() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "subject").await?;
    for account in [
        "a:b",
        "../orders",
        "orders/",
        "Orders",
        "or ders",
        "*",
        "ordérs",
    ] {
        let spec =
            json!({ "identity": { "name": "orders" }, "serviceAccount": { "name": account } });
        let answer = tenant.bind("row", spec).await;
        assert!(super::is_invalid(&answer), "{account}: {answer:?}");
    }
    Ok(())
}

/// Names that are too long for Azure are cut: what is cut off still counts.
#[tokio::test]
async fn accounts_with_the_same_long_beginning_have_a_credential_each() -> anyhow::Result<()> {
    let (tenant, neighbour, identity) = shared("long").await?;
    let long = "a".repeat(200);
    let [one, two] = ["one", "two"].map(|end| format!("{long}.{end}"));
    tenant.bind("one", spec(&identity, &one)).await?;
    tenant.shop.ready("one").await?;
    neighbour.bind("two", spec(&identity, &two)).await?;
    neighbour.shop.ready("two").await?;
    assert_eq!(tenant.shop.credentials(&identity).await?.len(), 2);
    assert!(tenant.acts_as(&one, &identity).await?);
    assert!(!tenant.acts_as(&two, &identity).await?);
    tenant.unbind("one").await?;
    assert!(neighbour.acts_as(&two, &identity).await?);
    Ok(())
}

#[tokio::test]
async fn a_record_with_another_accounts_name_deletes_nothing_of_it() -> anyhow::Result<()> {
    let (tenant, neighbour, identity) = shared("record").await?;
    neighbour.bind("b", spec(&identity, "b")).await?;
    neighbour.shop.ready("b").await?;
    tenant.bind("mine", spec(&identity, "mine")).await?;
    tenant.shop.ready("mine").await?;
    tenant.change("mine", json!({ "suspend": true })).await?;
    tenant.shop.ready("mine").await?;
    let their_name = neighbour.shop.credential_name("b")?;
    let subject = format!("system:serviceaccount:{}:b", neighbour.shop.name());
    super::status::forge(&tenant, "mine", |status| {
        let mut record = status["credentials"][0].clone();
        record["name"] = json!(their_name);
        record["subject"] = json!(subject);
        status["credentials"] = json!([record]);
    })
    .await?;
    tenant.unbind("mine").await?;
    let left = tenant.shop.credentials(&identity).await?;
    assert!(left.iter().any(|it| it.name == their_name), "{left:?}");
    assert!(neighbour.acts_as("b", &identity).await?);
    Ok(())
}
