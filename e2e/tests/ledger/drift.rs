//! What others do to an identity behind our back.

use azwib_e2e::Environment;
use azwib_e2e::environment::annotation;

#[tokio::test]
async fn an_identity_that_is_made_again_gets_its_credential_and_its_pods_are_told_of()
-> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("made-again").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    let binding = shop.ready("orders").await?;
    env.control()
        .recreate_identity(shop.name(), "orders")
        .await?;
    let is_other = |binding: &azwib_crds::WorkloadIdentityBinding| {
        let ready = azwib_e2e::environment::condition(binding, "Ready");
        let identity = binding.status.as_ref().and_then(|it| it.identity.as_ref());
        ready.is_some_and(|ready| ready.status == "True")
            && identity.is_some_and(|identity| identity.client_id != orders.client_id())
    };
    let versions = shop
        .versions_until(&binding, "Ready with the new identity", is_other)
        .await?;
    let now = versions.last().unwrap().status.clone().unwrap();
    let client_id = now.identity.unwrap().client_id;
    let carries = |account: Option<&k8s_openapi::api::core::v1::ServiceAccount>| {
        account.and_then(|account| annotation(account, "azure.workload.identity/client-id"))
            == Some(client_id.as_str())
    };
    shop.account_until("orders", "annotated anew", carries)
        .await?;
    let note = shop.event("IdentityReplaced").await?;
    assert!(
        note.contains(&client_id)
            && note.contains(&orders.client_id())
            && note.contains("restart the pods"),
        "{note}"
    );
    Ok(())
}
