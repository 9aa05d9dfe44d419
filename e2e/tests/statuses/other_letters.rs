//! An identity that two bindings write in different letters.

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{never_resyncing, ready};

#[tokio::test]
async fn names_in_other_letters_than_ascii_wake_who_has_the_old_client_id() -> anyhow::Result<()> {
    let env = never_resyncing().await?;
    let shop = env.namespace("letters").await?;
    let subscription = env.simulator.subscription();
    let group = format!("{}-größe", shop.name());
    let control = env.control();
    control.create_resource_group(&group).await?;
    let scope = |group: &str| format!("/subscriptions/{subscription}/resourceGroups/{group}");
    env.grant_operator(&scope(&group)).await?;
    let id = |group: &str| {
        let scope = scope(group);
        format!("{scope}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders")
    };
    control.create_identity(&group, "orders").await?;
    for (name, group) in [
        ("orders", group.clone()),
        ("stock", group.replace("größe", "GRÖSSE")),
    ] {
        let spec = format!("identity: {{resourceId: {}}}", id(&group));
        shop.bind(name, &spec).await?;
        shop.ready(name).await?;
    }
    env.arm().await?.delete(&id(&group)).await?;
    let made_again = control.create_identity(&group, "orders").await?.client_id;
    // Only one of them asks for a look.
    let request =
        json!({ "metadata": { "annotations": { "azwib.dev/reconcile-requested-at": "1" } } });
    shop.bindings()
        .patch("orders", &PatchParams::default(), &Patch::Merge(request))
        .await?;
    for name in ["orders", "stock"] {
        shop.until(name, "of the identity that was made again", |binding| {
            let identity = binding.status.as_ref().and_then(|it| it.identity.as_ref());
            ready(binding) && identity.is_some_and(|it| it.client_id == made_again.to_string())
        })
        .await?;
    }
    Ok(())
}
