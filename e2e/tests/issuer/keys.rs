//! The API server signs with a key that its issuer does not publish.

use azure_simulator::control::api::NewIssuer;
use azwib_e2e::environment::condition;
use azwib_e2e::{Environment, ServiceAccountKeys};
use serde_json::Value;

use super::{bind, credentials, event, fresh_token, mounted, own, says, start, verifying};

const OUT_OF_DATE: &str = "azwib_issuer_finding{finding=\"keys_out_of_date\"}";

/// Has the issuer publish these keys and no others.
async fn publish(env: &Environment, jwks: &Value) -> anyhow::Result<()> {
    let issuer = env.issuer();
    let path = issuer.splitn(4, '/').nth(3).map(str::to_owned);
    let jwks = jwks.clone();
    let registered = env
        .control()
        .register_issuer_with(&NewIssuer { path, jwks })
        .await?;
    assert_eq!(registered, issuer);
    Ok(())
}

/// The keys that the API server has.
async fn of_api_server(env: &Environment) -> anyhow::Result<Value> {
    let jwks = env
        .control_plane
        .kubectl(&["get", "--raw", "/openid/v1/jwks"]);
    Ok(serde_json::from_str(&jwks.await?)?)
}

#[tokio::test]
async fn a_key_that_is_not_published_stops_new_credentials_until_it_is() -> anyhow::Result<()> {
    let env = Environment::start(own()).await?;
    let shop = env.namespace("keys").await?;
    let keys = of_api_server(&env).await?;
    publish(&env, ServiceAccountKeys::generate()?.jwks()).await?;
    let mut flags = super::with_client_secret(&env)?;
    flags.extend(verifying(&env, true));
    flags.push(mounted(&fresh_token(&env).await?));
    start(&env, &flags).await?;

    // One look proves nothing: it may be published just now.
    bind(&shop, "early").await?;
    says(&shop, "early", "IssuerUnreachable").await?;
    let missing = "azwib_issuer_keys_missing";
    env.until_metric(missing, |keys| keys == 1.0).await?;

    // Two looks a minute apart, of which there is one each minute.
    if env.until_metric(OUT_OF_DATE, |it| it == 1.0).await.is_err() {
        env.until_metric(OUT_OF_DATE, |it| it == 1.0).await?;
    }
    bind(&shop, "late").await?;
    let reason = "SigningKeysOutOfDate";
    let stopped = shop.failing("late", "IssuerReady", reason).await?;
    let kid = keys["keys"][0]["kid"].as_str().unwrap();
    for said in [kid, env.issuer(), "/openid/v1/jwks"] {
        assert!(stopped.message.contains(said), "{stopped:?}");
    }
    assert_eq!(credentials(&shop, "late").await?, 0);
    event(&env, reason, kid).await?;
    let early = shop.bindings().get("early").await?;
    assert_eq!(condition(&early, "Ready").unwrap().status, "True");
    assert_eq!(credentials(&shop, "early").await?, 1);

    publish(&env, &keys).await?;
    for name in ["late", "early"] {
        says(&shop, name, "IssuerVerified").await?;
    }
    event(&env, "IssuerGood", env.issuer()).await?;
    Ok(())
}
