//! Identities that cannot be resolved: nothing is made for them, and they can come later.

use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::Environment;
use azwib_e2e::environment::{Namespace, condition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Waits for the reason, and checks that neither the cluster nor Azure was touched.
async fn untouched(
    shop: &Namespace<'_>,
    reason: &str,
    says: &str,
) -> anyhow::Result<WorkloadIdentityBinding> {
    let found: Condition = shop.failing("orders", "IdentityResolved", reason).await?;
    assert!(found.message.contains(says), "{}", found.message);
    let binding = shop.bindings().get("orders").await?;
    let ready = condition(&binding, "Ready").unwrap();
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", reason)
    );
    let status = binding.status.as_ref().unwrap();
    assert_eq!(status.identity, None);
    assert_eq!(status.credentials, []);
    assert!(shop.service_accounts().get_opt("orders").await?.is_none());
    assert_eq!(shop.operator_writes("orders").await?, 0);
    Ok(binding)
}

#[tokio::test]
async fn an_identity_that_is_made_later_is_found() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("not-found").await?;
    let id = shop.identity_id("orders");
    shop.bind("orders", &format!("identity: {{resourceId: {id}}}"))
        .await?;
    let binding = untouched(&shop, "IdentityNotFound", "create the managed identity").await?;
    assert_eq!(
        condition(&binding, "Reconciling").unwrap().reason,
        "IdentityNotFound"
    );

    shop.identity("orders").await?;
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_binding_that_was_never_resolved_is_deleted_at_once_and_leaves_accounts_alone()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("never").await?;
    let account = crate::apply_account(&shop, "accounting", "platform", serde_json::Value::Null);
    let account = account.await?;
    let id = shop.identity_id("orders");
    let spec = format!("identity: {{resourceId: {id}}}, serviceAccount: {{name: accounting}}");
    shop.bind("orders", &spec).await?;
    untouched(&shop, "IdentityNotFound", "create the managed identity").await?;

    shop.unbind("orders").await?;
    let left = shop.service_accounts().get("accounting").await?;
    assert_eq!(left.metadata, account.metadata);
    assert_eq!(shop.operator_writes("orders").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_wrong_subscription_is_said_and_its_binding_can_be_deleted() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("subscription").await?;
    shop.identity("orders").await?;
    let id = shop.identity_id("orders").replace(
        &env.simulator.subscription().to_string(),
        "99999999-9999-9999-9999-999999999999",
    );
    shop.bind("orders", &format!("identity: {{resourceId: {id}}}"))
        .await?;
    untouched(&shop, "IdentityNotFound", "SubscriptionNotFound").await?;
    shop.unbind("orders").await
}

#[tokio::test]
async fn a_name_without_a_default_is_invalid_and_names_the_flag() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("name").await?;
    let subscription = env.simulator.subscription();
    for (identity, flag) in [
        ("{name: orders}", "--default-subscription"),
        (
            &format!("{{name: orders, subscriptionId: {subscription}}}"),
            "--default-resource-group",
        ),
    ] {
        shop.bind("orders", &format!("identity: {identity}"))
            .await?;
        let binding = untouched(&shop, "IdentityInvalid", flag).await?;
        assert_eq!(
            condition(&binding, "Stalled").unwrap().reason,
            "IdentityInvalid"
        );
        shop.unbind("orders").await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_identity_is_found_by_its_name_in_a_group_and_subscription() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("by-name").await?;
    let orders = shop.identity("orders").await?;
    let (group, subscription) = (shop.name(), env.simulator.subscription());
    let identity =
        format!("{{name: orders, resourceGroup: {group}, subscriptionId: {subscription}}}");
    shop.bind("orders", &format!("identity: {identity}"))
        .await?;
    let binding = shop.ready("orders").await?;
    assert_eq!(
        binding.status.unwrap().identity.unwrap().client_id,
        orders.client_id()
    );
    Ok(())
}

#[tokio::test]
async fn a_resource_group_of_any_alphabet_is_one_in_either_case() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("letters").await?;
    let subscription = env.simulator.subscription();
    let group = format!("{}-größe", shop.name());
    env.control().create_resource_group(&group).await?;
    env.control().create_identity(&group, "orders").await?;
    env.grant_operator(&format!(
        "/subscriptions/{subscription}/resourceGroups/{group}"
    ))
    .await?;
    let mut client_ids = Vec::new();
    for (name, group) in [
        ("orders", group.clone()),
        ("stock", group.replace("größe", "GRÖßE")),
    ] {
        let id = format!(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders"
        );
        shop.bind(name, &format!("identity: {{resourceId: {id}}}"))
            .await?;
        let identity = shop.ready(name).await?.status.unwrap().identity.unwrap();
        assert_eq!(identity.resource_id, Some(id.clone()), "shown as given");
        client_ids.push(identity.client_id);
        // What means the same is no change.
        let written_out = serde_json::json!({
            "identity": { "resourceId": id.to_ascii_lowercase() },
            "serviceAccount": { "name": name },
        });
        shop.change(name, written_out).await?;
        shop.ready(name).await?;
    }
    assert_eq!(client_ids[0], client_ids[1]);
    Ok(())
}

#[tokio::test]
async fn an_identity_that_goes_takes_ready_away_and_its_successor_is_bound_anew()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("successor").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;

    env.arm().await?.delete(orders.resource_id()).await?;
    shop.failing("orders", "IdentityResolved", "IdentityNotFound")
        .await?;
    let successor = shop.identity("orders").await?;
    assert_ne!(successor.client_id(), orders.client_id());
    shop.ready("orders").await?;
    let account = shop.service_accounts().get("orders").await?;
    assert_eq!(
        azwib_e2e::environment::annotation(&account, crate::CLIENT_ID),
        Some(successor.client_id().as_str())
    );
    assert_eq!(shop.credentials(&successor).await?.len(), 1);
    Ok(())
}
