//! What the issuer publishes, read as anybody on the internet would.

use super::{bind, environment, event, found, fresh_token, mounted, says, start, verifying};

#[tokio::test]
async fn what_cannot_be_looked_at_stops_nothing_and_what_is_published_is_told() -> anyhow::Result<()>
{
    let (env, _turn) = environment().await?;
    let shop = env.namespace("public").await?;
    let mut flags = super::with_client_secret(env)?;
    flags.push(mounted(&fresh_token(env).await?));
    let with = |more: Vec<String>| [flags.clone(), more].concat();

    // No public authority vouches for the simulator.
    start(env, &with(verifying(env, false))).await?;
    bind(&shop, "orders").await?;
    let told = says(&shop, "orders", "IssuerUnreachable").await?;
    for said in [
        env.issuer(),
        "its certificate is not of a public certificate authority",
    ] {
        assert!(told.message.contains(said), "{told:?}");
    }
    found(env, "could_not_look").await?;
    event(env, "IssuerUnreachable", env.issuer().trim_end_matches('/')).await?;
    env.kill_operator().await?;

    start(env, &with(verifying(env, true))).await?;
    let told = says(&shop, "orders", "IssuerVerified").await?;
    for said in [env.issuer(), "it is not proven that Microsoft Entra trusts"] {
        assert!(told.message.contains(said), "{told:?}");
    }
    found(env, "verified").await?;
    let missing = "azwib_issuer_keys_missing";
    env.until_metric(missing, |keys| keys == 0.0).await?;
    let age = "azwib_issuer_comparison_age_seconds";
    env.until_metric(age, |age| age >= 0.0).await?;
    env.kill_operator().await
}
