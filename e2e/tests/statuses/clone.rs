//! A binding that came from another cluster, with the status that it had there.

use azwib_e2e::environment::{PATIENCE, condition};
use azwib_e2e::{Environment, wait};
use serde_json::json;

use super::{OTHER_ISSUER, a_good_one, of_other_cluster, put_status};

#[tokio::test]
async fn a_clone_with_its_status_reports_no_step_as_done_and_leaves_the_other_clusters_credential()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let (shop, orders, good) = a_good_one(env, "cloned").await?;
    shop.unbind("orders").await?;
    let (name, status) = of_other_cluster(&good, &shop)?;
    let subject = format!("system:serviceaccount:{}:orders", shop.name());
    let arm = env.arm().await?;
    let audience = "api://AzureADTokenExchange";
    arm.put_credential(
        orders.resource_id(),
        &name,
        OTHER_ISSUER,
        &subject,
        audience,
    )
    .await?;
    let theirs = shop.credentials(&orders).await?;
    let accounts = shop.service_accounts();
    wait::until("the end of the account", PATIENCE, async || {
        Ok(accounts.get_opt("orders").await?.is_none().then_some(()))
    })
    .await?;
    let spec = format!(
        "identity: {{resourceId: {}}}, suspend: true",
        orders.resource_id()
    );
    for reason in ["IssuerChanged", "Suspended"] {
        // It makes nothing before it has that status.
        shop.bind("orders", &spec).await?;
        shop.until("orders", "suspended", |it| condition(it, "Ready").is_some())
            .await?;
        put_status(&shop, status.clone()).await?;
        if reason == "IssuerChanged" {
            shop.change("orders", json!({ "suspend": false })).await?;
        }
        let cloned = shop
            .until("orders", reason, |it| {
                condition(it, "Ready").is_some_and(|it| it.reason == reason)
            })
            .await?;
        let namespaced = ["get", "azwib", "-n", shop.name()];
        let shown = env.control_plane.kubectl(&namespaced).await?;
        assert!(shown.contains(reason), "{shown}");
        for step in ["IdentityResolved", "ServiceAccountReady", "CredentialReady"] {
            let said = &condition(&cloned, step).unwrap().status;
            assert_ne!(said, "True", "{step} of a clone, {reason}");
        }
        let account = cloned.status.as_ref().unwrap().service_account.as_ref();
        assert_eq!(account, None, "{reason}");
        assert!(accounts.get_opt("orders").await?.is_none(), "{reason}");
        shop.unbind("orders").await?;
        let left = shop.credentials(&orders).await?;
        assert_eq!(left, theirs, "{reason}");
    }
    let told = shop.event("CredentialLeft").await?;
    assert!(told.contains(OTHER_ISSUER), "{told}");

    // Created again, it gets a credential for this cluster, beside the other's.
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 2);
    shop.unbind("orders").await?;
    assert_eq!(shop.credentials(&orders).await?, theirs);
    Ok(())
}
