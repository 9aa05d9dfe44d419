//! A binding that names its identity by name asks for the identity that the defaults complete it to, and is granted that one or
//! nothing.

use azwib_e2e::environment::ManagedIdentity;
use serde_json::{Value, json};

use super::{DEFAULT_GROUP, Tenant, enforcing, is_invalid};

/// An identity in the group of the operator's default. Each test has one of its own.
async fn in_default_group(tenant: &Tenant<'_>) -> anyhow::Result<(ManagedIdentity, String)> {
    let env = tenant.env();
    let name = tenant.shop.name().to_owned();
    let ids = env.control().create_identity(DEFAULT_GROUP, &name).await?;
    let id = tenant.shop.identity_id(&name).replacen(
        &tenant.shop.resource_group_id(),
        &format!(
            "/subscriptions/{}/resourceGroups/{DEFAULT_GROUP}",
            env.simulator.subscription()
        ),
        1,
    );
    let resource_group = DEFAULT_GROUP.to_owned();
    Ok((
        ManagedIdentity {
            resource_group,
            name,
            ids,
        },
        id,
    ))
}

/// Every path below an identity of this name, in whatever group, that the operator has asked for.
async fn asked_anywhere(tenant: &Tenant<'_>, name: &str) -> anyhow::Result<Vec<String>> {
    let env = tenant.env();
    let all = env.control().requests().await?.into_iter();
    let part = format!("/userassignedidentities/{}", name.to_lowercase());
    let of_operator = all.filter(|it| it.caller == Some(env.operator_client_id()));
    let paths = of_operator.map(|it| it.path.to_lowercase());
    Ok(paths.filter(|it| it.contains(&part)).collect())
}

#[tokio::test]
async fn a_grant_for_the_name_in_another_group_is_none_for_that_of_the_default()
-> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "default").await?;
    let (central, id) = in_default_group(&tenant).await?;
    // The same name in the tenant's own group, all of which is granted.
    let own = tenant.shop.identity(&central.name).await?;
    tenant.shop.grant_all("own").await?;
    let name = json!({ "identity": { "name": central.name } });
    tenant.bind("orders", name).await?;
    let told = tenant.is_refused("orders").await?;
    assert!(
        told.contains(&id),
        "what the name stands for is said: {told}"
    );
    tenant.assert_powerless("orders", &central).await?;
    tenant.assert_powerless("orders", &own).await?;
    assert_eq!(
        asked_anywhere(&tenant, &central.name).await?,
        Vec::<String>::new()
    );
    Ok(())
}

#[tokio::test]
async fn a_name_gets_what_is_granted_to_the_identity_that_it_stands_for() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "by-name").await?;
    let (central, id) = in_default_group(&tenant).await?;
    tenant
        .shop
        .grant("central", json!({ "identities": [{ "scope": id }] }))
        .await?;
    let forms: [(&str, Value); 3] = [
        ("name", json!({ "name": central.name })),
        (
            "capitals",
            json!({ "name": central.name.to_uppercase(), "resourceGroup": DEFAULT_GROUP.to_uppercase() }),
        ),
        ("id", json!({ "resourceId": id })),
    ];
    for (binding, identity) in forms {
        tenant
            .bind(binding, json!({ "identity": identity }))
            .await?;
        tenant.shop.ready(binding).await?;
        assert!(tenant.acts_as(binding, &central).await?, "{binding}");
    }
    Ok(())
}

#[tokio::test]
async fn a_name_with_another_group_or_subscription_is_another_identity() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "elsewhere").await?;
    let shop = &tenant.shop;
    let (central, id) = in_default_group(&tenant).await?;
    let orders = shop.identity("orders").await?;
    shop.grant("central", json!({ "identities": [{ "scope": id }] }))
        .await?;
    let rows: [(&str, Value); 4] = [
        (
            "group",
            json!({ "name": central.name, "resourceGroup": shop.name() }),
        ),
        (
            "name",
            json!({ "name": "orders", "resourceGroup": shop.name() }),
        ),
        (
            "subscription",
            json!({ "name": central.name, "subscriptionId": "00000000-0000-0000-0000-000000000001" }),
        ),
        (
            "longer-group",
            json!({ "name": central.name, "resourceGroup": format!("{DEFAULT_GROUP}-2") }),
        ),
    ];
    for (binding, identity) in rows {
        tenant
            .bind(binding, json!({ "identity": identity }))
            .await?;
        tenant.is_refused(binding).await?;
        tenant.assert_powerless(binding, &central).await?;
        tenant.assert_powerless(binding, &orders).await?;
    }
    assert_eq!(
        asked_anywhere(&tenant, &central.name).await?,
        Vec::<String>::new()
    );
    assert_eq!(shop.asked_of_azure("orders").await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_name_or_a_group_that_is_more_than_a_segment_is_refused() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "segments").await?;
    let rows: [(&str, Value); 9] = [
        (
            "a path",
            json!({ "name": "orders/federatedIdentityCredentials/x" }),
        ),
        ("a way up", json!({ "name": "../payments" })),
        ("an encoded slash", json!({ "name": "orders%2fx" })),
        ("a Kelvin sign", json!({ "name": "to\u{212a}ens" })),
        (
            "a group with a path",
            json!({ "name": "orders", "resourceGroup": "rg/providers" }),
        ),
        (
            "a group that is a way up",
            json!({ "name": "orders", "resourceGroup": ".." }),
        ),
        (
            "an encoded group",
            json!({ "name": "orders", "resourceGroup": "rg%2d1" }),
        ),
        (
            "a subscription with a path",
            json!({ "name": "orders", "subscriptionId": "00000000-0000-0000-0000-000000000000/x" }),
        ),
        (
            "both forms at once",
            json!({ "name": "orders", "resourceId": tenant.shop.identity_id("orders") }),
        ),
    ];
    for (what, identity) in rows {
        let answer = tenant.bind("row", json!({ "identity": identity })).await;
        assert!(is_invalid(&answer), "{what}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_binding_does_not_move_to_another_identity() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "move").await?;
    let shop = &tenant.shop;
    let orders = shop.identity("orders").await?;
    let scope = json!({ "identities": [{ "scope": orders.resource_id() }] });
    shop.grant("orders", scope).await?;
    tenant.bind_to("orders", orders.resource_id()).await?;
    shop.ready("orders").await?;
    for identity in [
        json!({ "resourceId": shop.identity_id("payments") }),
        json!({ "resourceId": null, "name": "payments" }),
        json!({ "resourceId": null, "name": "orders", "resourceGroup": shop.name() }),
    ] {
        let answer = tenant
            .change("orders", json!({ "identity": identity }))
            .await;
        assert!(is_invalid(&answer), "{answer:?}");
    }
    Ok(())
}
