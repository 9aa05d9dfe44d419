//! The API server does not say which issuer it has.

use std::collections::BTreeMap;

use azwib_e2e::{Environment, EnvironmentOptions};

use super::{auto, bind, fresh_token, own, start};

const ROLE: &str = "system:service-account-issuer-discovery";

/// No https URL, so that the API server serves no discovery document.
const NO_URL: &str = "kubernetes/serviceaccount";

#[tokio::test]
async fn discovery_that_is_forbidden_or_off_is_told_until_it_is_back() -> anyhow::Result<()> {
    // That no request of the operator is forbidden is checked of those that are recorded.
    let env = Environment::start(EnvironmentOptions {
        keep_records: false,
        ..own()
    })
    .await?;
    let shop = env.namespace("discovery").await?;
    let token = fresh_token(&env).await?;
    let control_plane = &env.control_plane;
    let delete = ["delete", "clusterrolebinding", ROLE];
    control_plane.kubectl(&delete).await?;
    start(&env, &auto(&token)).await?;
    bind(&shop, "orders").await?;
    let unknown = shop
        .failing("orders", "IssuerReady", "IssuerUnknown")
        .await?;
    for said in ["http status 403", ROLE] {
        assert!(unknown.message.contains(said), "{unknown:?}");
    }
    let role = format!("--clusterrole={ROLE}");
    let group = "--group=system:serviceaccounts";
    let create = ["create", "clusterrolebinding", ROLE, &role, group];
    control_plane.kubectl(&create).await?;
    shop.ready("orders").await?;
    env.kill_operator().await?;

    // The API server takes it under either issuer.
    let access = env.operator_access().await?;
    control_plane.stop_api_server().await?;
    control_plane.start_api_server_issuing(NO_URL).await?;
    let flags = env.operator_flags_with(&auto(&token));
    let operator = env.operator_with_access(access, flags, BTreeMap::new(), None);
    let operator = operator.await?;
    bind(&shop, "reports").await?;
    let unknown = shop
        .failing("reports", "IssuerReady", "IssuerUnknown")
        .await?;
    for said in [
        "http status 404",
        "--service-account-issuer",
        "--issuer=URL",
    ] {
        assert!(unknown.message.contains(said), "{unknown:?}");
    }
    shop.ready("orders").await?;
    control_plane.stop_api_server().await?;
    control_plane.start_api_server().await?;
    shop.ready("reports").await?;
    operator.kill().await.map(drop)
}
