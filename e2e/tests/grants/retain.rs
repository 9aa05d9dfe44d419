//! `deletionPolicy: Retain` takes a grant that allows it.

use kube::ResourceExt;
use serde_json::json;

use super::{enforcing, granted};

#[tokio::test]
async fn retain_is_honoured_only_where_a_grant_allows_it() -> anyhow::Result<()> {
    let env = enforcing().await?;
    for (purpose, allowed, left) in [("retained", true, 1), ("not-retained", false, 0)] {
        let shop = env.namespace(purpose).await?;
        let orders = shop.identity("orders").await?;
        shop.grant("it", json!({ "allowRetain": allowed })).await?;
        let id = orders.resource_id();
        shop.bind(
            "orders",
            &format!("identity: {{resourceId: {id}}}, deletionPolicy: Retain"),
        )
        .await?;
        let binding = shop.ready("orders").await?;
        let told = granted(&binding).2;
        assert_eq!(
            told.contains("does not allow deletionPolicy Retain"),
            !allowed,
            "{told}"
        );
        let account = shop.service_accounts().get("orders").await?;
        assert_eq!(account.owner_references().is_empty(), allowed);
        shop.unbind("orders").await?;
        assert_eq!(shop.credentials(&orders).await?.len(), left, "{purpose}");
    }
    Ok(())
}
