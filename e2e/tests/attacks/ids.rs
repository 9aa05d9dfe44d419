//! However a tenant spells an id, it gets what was granted to the identity that Azure takes it for, and nothing else.

use azwib_e2e::environment::ManagedIdentity;
use serde_json::json;

use super::{Tenant, assert_unasked, enforcing, is_invalid};

/// Spellings of an id that some reader could take for another id, as changes of `…/userAssignedIdentities/orders`.
const CROOKED: [(&str, &str, &str); 19] = [
    ("a slash at the end", "/orders", "/orders/"),
    ("two slashes", "/orders", "//orders"),
    ("a dot segment", "/orders", "/./orders"),
    ("a way up and down", "/orders", "/orders/../payments"),
    (
        "an encoded way up and down",
        "/orders",
        "/orders/%2e%2e/payments",
    ),
    ("an encoded slash", "/orders", "/orders%2F..%2Fpayments"),
    ("an encoded letter", "/orders", "/%6frders"),
    ("an encoded zero", "/orders", "/orders%00"),
    ("a backslash", "/orders", "/orders\\..\\payments"),
    ("a query", "/orders", "/orders?api-version=2023-01-31"),
    ("a fragment", "/orders", "/payments#/orders"),
    ("a parameter", "/orders", "/orders;x=y"),
    ("a line break", "/orders", "/orders\n"),
    ("a space", "/orders", "/orders "),
    ("fullwidth letters", "/orders", "/ｏｒｄｅｒｓ"),
    ("a Kelvin sign", "/orders", "/to\u{212a}ens"),
    ("a zero width joiner", "/orders", "/ord\u{200d}ers"),
    ("a group that is a way up", "/providers/", "/../providers/"),
    (
        "a child of the identity",
        "/orders",
        "/orders/federatedIdentityCredentials/x",
    ),
];

#[tokio::test]
async fn a_crooked_spelling_is_refused_in_bindings_and_in_grants() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "crooked").await?;
    let orders = tenant.shop.identity("orders").await?;
    let id = orders.resource_id();
    tenant.shop.grant_all("all").await?;
    for (row, (what, from, to)) in CROOKED.iter().enumerate() {
        let crooked = id.replacen(from, to, 1);
        assert_ne!(id, crooked, "{what}");
        let answer = tenant.bind_to(&format!("row-{row}"), &crooked).await;
        assert!(is_invalid(&answer), "{what}: {answer:?}");
        let scope = json!({ "identities": [{ "scope": crooked }] });
        let answer = tenant.shop.grant(&format!("row-{row}"), scope).await;
        let error = answer.err().map(|it| it.downcast::<kube::Error>().unwrap());
        assert!(error.is_some_and(|it| is_invalid::<()>(&Err(it))), "{what}");
    }
    // None of it was the spelling of the group.
    tenant.bind_to("orders", id).await?;
    tenant.shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn upper_and_lower_case_make_no_difference_to_what_is_granted() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "case").await?;
    let orders = tenant.shop.identity("orders").await?;
    let payments = tenant.shop.identity("payments").await?;
    let scope = orders.resource_id().to_uppercase();
    let scope = json!({ "identities": [{ "scope": scope }] });
    tenant.shop.grant("orders", scope).await?;
    type Spelling = fn(&str) -> String;
    let spellings: [(&str, Spelling); 3] = [
        ("as-is", str::to_owned),
        ("lower", |id| id.to_lowercase()),
        ("upper", |id| id.to_uppercase()),
    ];
    for (name, spell) in spellings {
        let denied = format!("denied-{name}");
        tenant
            .bind_to(&denied, &spell(payments.resource_id()))
            .await?;
        tenant.is_refused(&denied).await?;
        tenant.assert_powerless(&denied, &payments).await?;
        tenant.bind_to(name, &spell(orders.resource_id())).await?;
        tenant.shop.ready(name).await?;
        assert!(tenant.acts_as(name, &orders).await?, "{name}");
    }
    assert_unasked(&tenant.shop, "payments").await
}

#[tokio::test]
async fn a_grant_for_one_name_is_none_for_a_longer_or_a_shorter_one() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "longer").await?;
    let shop = &tenant.shop;
    let group = shop.resource_group_id();
    let scopes = [
        shop.identity_id("orders"),
        shop.identity_id("pay-ments"),
        format!("{group}-2"),
        group[..group.len() - 1].to_owned(),
        "/subscriptions/00000000-0000-0000-0000-000000000001".to_owned(),
    ];
    let scopes: Vec<_> = scopes.iter().map(|it| json!({ "scope": it })).collect();
    shop.grant("near", json!({ "identities": scopes })).await?;
    for name in ["orders-2", "orders_", "order", "payments", "pay_ments"] {
        let identity = shop.identity(name).await?;
        let binding = name.replace('_', "-x");
        tenant.bind_to(&binding, identity.resource_id()).await?;
        let told = tenant.is_refused(&binding).await?;
        assert!(told.contains(&shop.identity_id(name)), "{told}");
        tenant.assert_powerless(&binding, &identity).await?;
        assert_unasked(shop, name).await?;
    }
    Ok(())
}

/// Each group is asked for while the one beside it is granted. Azure takes some of these pairs for one group and some for two.
#[tokio::test]
async fn a_group_that_looks_alike_is_not_the_one_that_is_granted() -> anyhow::Result<()> {
    let tenant = Tenant::new(enforcing().await?, "alike").await?;
    let granted = tenant.shop.resource_group_id();
    let alike = [
        ("sharp-s", "strasse", "straße"),
        ("long-s", "straſse", "strasse"),
        ("kelvin", "kiosk", "\u{212a}iosk"),
        ("fullwidth", "rg", "ｒｇ"),
        ("dotless-i", "pipe", "pıpe"),
        ("cyrillic", "orders", "оrders"),
        ("ligature", "office", "o\u{fb03}ce"),
        ("arabic-digit", "rg1", "rg١"),
    ];
    for (name, ours, theirs) in alike {
        for (side, granted_part, asked_part) in [("a", ours, theirs), ("b", theirs, ours)] {
            let scope = format!("{granted}-{name}-{granted_part}");
            let identities = json!([{ "scope": scope }]);
            let grant = format!("{name}-{side}");
            tenant
                .shop
                .grant(&grant, json!({ "identities": identities }))
                .await?;
            let id = tenant.shop.identity_id("orders");
            let asked = format!("{granted}-{name}-{asked_part}");
            let id = id.replacen(&granted, &asked, 1);
            tenant.bind_to(&grant, &id).await?;
            tenant.is_refused(&grant).await?;
            assert_eq!(tenant.carried(&grant).await?, None, "{grant}");
            tenant.unbind(&grant).await?;
            tenant.shop.revoke(&grant).await?;
        }
    }
    let env = tenant.env();
    let asked = env.control().requests().await?.into_iter().filter(|it| {
        it.caller == Some(env.operator_client_id()) && it.path.contains(tenant.shop.name())
    });
    let paths: Vec<_> = asked.map(|it| it.path).collect();
    assert_eq!(paths, Vec::<String>::new());
    Ok(())
}

/// Both groups are there. The binding of the other one came first, and the tenant's own group looks like it.
#[tokio::test]
async fn what_is_asked_for_a_look_alike_never_reaches_the_other_group() -> anyhow::Result<()> {
    let env = enforcing().await?;
    let tenant = Tenant::new(env, "look-alike").await?;
    let victim = env.namespace("looked-like").await?;
    let group = format!("{}-kiosk", victim.name());
    let mut identities = Vec::new();
    for (namespace, group) in [
        (&victim, group.clone()),
        (&tenant.shop, group.replace("kiosk", "\u{212a}iosk")),
    ] {
        env.control().create_resource_group(&group).await?;
        let ids = env.control().create_identity(&group, "orders").await?;
        let (scope, _) = ids.id.split_once("/providers/").unwrap();
        env.grant_operator(scope).await?;
        let granted = json!({ "identities": [{ "scope": scope }] });
        namespace.grant("own", granted).await?;
        identities.push(ManagedIdentity {
            resource_group: group,
            name: "orders".to_owned(),
            ids,
        });
    }
    let [theirs, ours] = &identities[..] else {
        unreachable!()
    };
    victim.bind_to("orders", theirs).await?;
    victim.ready("orders").await?;

    tenant.bind_to("orders", ours.resource_id()).await?;
    tenant.shop.ready("orders").await?;
    assert!(tenant.acts_as("orders", ours).await?);
    assert!(!tenant.acts_as("orders", theirs).await?);
    let credentials_of = async |identity| anyhow::Ok(victim.credentials(identity).await?.len());
    assert_eq!(credentials_of(theirs).await?, 1);
    assert_eq!(credentials_of(ours).await?, 1);

    // It keeps nothing either, and takes nothing along.
    tenant.unbind("orders").await?;
    assert_eq!(credentials_of(ours).await?, 0);
    assert_eq!(credentials_of(theirs).await?, 1);
    victim.ready("orders").await?;
    Ok(())
}
