//! OpenShift, as far as azwib meets it: only those change owner references who may delete the object, and a controller writes into every
//! account. `config/overlays/openshift` is what a user applies there.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use azwib_e2e::environment::{Namespace, repository};
use azwib_e2e::{Environment, EnvironmentOptions};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

const OPERATOR: &str = "system:serviceaccount:azwib-system:azwib-operator";

const OLDER: &str = "a-older";
const YOUNGER: &str = "b-younger";

async fn openshift(config: &'static str) -> anyhow::Result<Environment> {
    Environment::start(EnvironmentOptions {
        config: Some(config),
        openshift_admission: true,
        // What a test does with the operator's token, and what is refused, is no finding of the checks over the records.
        keep_records: false,
        ..EnvironmentOptions::default()
    })
    .await
}

fn names(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|it| (*it).to_owned()).collect()
}

/// Two bindings of the account `orders`: the second one changes its owner references.
async fn bind_both(shop: &Namespace<'_>) -> anyhow::Result<()> {
    let orders = shop.identity("orders").await?;
    let id = orders.resource_id();
    let spec = format!("identity: {{resourceId: {id}}}, serviceAccount: {{name: orders}}");
    shop.bind(OLDER, &spec).await?;
    shop.ready(OLDER).await?;
    shop.bind(YOUNGER, &spec).await
}

/// What OpenShift's controller applies to every account, by force.
async fn write_as_openshift(shop: &Namespace<'_>) -> anyhow::Result<()> {
    let fields = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "annotations": { "openshift.io/internal-registry-pull-secret-ref": "orders-dockercfg" } },
        "secrets": [{ "name": "orders-dockercfg" }],
        "imagePullSecrets": [{ "name": "orders-dockercfg" }],
    });
    let manager = "openshift.io/image-registry-pull-secrets_service-account-controller";
    let apply = PatchParams::apply(manager).force();
    shop.service_accounts()
        .patch("orders", &apply, &Patch::Apply(fields))
        .await?;
    Ok(())
}

#[tokio::test]
async fn with_its_overlay_an_account_is_shared_and_goes_with_its_last_binding() -> anyhow::Result<()>
{
    let env = openshift("overlays/openshift").await?;
    let shop = env.namespace("openshift").await?;
    bind_both(&shop).await?;
    write_as_openshift(&shop).await?;
    shop.ready(YOUNGER).await?;
    let owners = async || {
        let account = shop.service_accounts().get("orders").await?;
        let owners = account.owner_references().iter();
        // Their order is that of their uids.
        anyhow::Ok(owners.map(|it| it.name.clone()).collect::<BTreeSet<_>>())
    };
    assert_eq!(owners().await?, names(&[OLDER, YOUNGER]));

    shop.unbind(OLDER).await?;
    shop.ready(YOUNGER).await?;
    assert_eq!(owners().await?, names(&[YOUNGER]));
    let account = shop.service_accounts().get("orders").await?;
    let pull_secrets = account.image_pull_secrets.unwrap_or_default();
    assert_eq!(pull_secrets[0].name, "orders-dockercfg");

    shop.unbind(YOUNGER).await?;
    shop.account_until("orders", "gone", |account| account.is_none())
        .await?;
    // The right is asked for, and never used: the garbage collector deletes the account.
    let deletes = env.control_plane.audit_log()?.into_iter().filter(|event| {
        let of = event.object_ref.as_ref();
        event.user.username == OPERATOR
            && event.verb == "delete"
            && of.is_some_and(|it| it.resource.as_deref() == Some("serviceaccounts"))
    });
    assert_eq!(deletes.count(), 0);
    // A policy keeps whoever has the operator's token from using it.
    let operator = env
        .control_plane
        .client_for_service_account("azwib-system", "azwib-operator")
        .await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(operator, shop.name());
    let refused = accounts.delete("default", &DeleteParams::default()).await;
    let message = refused.unwrap_err().to_string();
    assert!(
        message.contains("azwib deletes no service account"),
        "{message}"
    );
    Ok(())
}

#[tokio::test]
async fn without_it_the_message_names_the_right_that_is_missing() -> anyhow::Result<()> {
    let env = openshift("default").await?;
    let shop = env.namespace("openshift").await?;
    bind_both(&shop).await?;
    let refused = shop
        .failing(YOUNGER, "ServiceAccountReady", "ServiceAccountRefused")
        .await?;
    let right = "give the ClusterRole azwib-operator the verb delete on serviceaccounts \
                 (config/overlays/openshift, or openshift: true in the values of the chart)";
    assert!(refused.message.ends_with(right), "{}", refused.message);

    let overlay = repository().join("config/overlays/openshift");
    let apply = ["apply", "-k", overlay.to_str().unwrap()];
    env.control_plane.kubectl(&apply).await?;
    shop.ready(OLDER).await?;
    shop.ready(YOUNGER).await?;
    Ok(())
}
