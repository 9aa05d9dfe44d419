//! An issuer whose tokens Microsoft Entra provably cannot verify: no new credential.

use super::{bind, credentials, environment, event, start, verifying};

#[tokio::test]
async fn an_issuer_whose_document_names_another_gets_no_credential() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    let shop = env.namespace("one-slash").await?;
    // One character of it: the document is at the same address, and of the issuer with the slash.
    let without_slash = env.issuer().trim_end_matches('/');
    assert_ne!(without_slash, env.issuer());
    let mut flags = verifying(env, true);
    flags.push(format!("--issuer={without_slash}"));
    start(env, &flags).await?;
    bind(&shop, "orders").await?;
    let invalid = shop
        .failing("orders", "IssuerReady", "IssuerInvalid")
        .await?;
    let named = format!("is of the issuer {:?}", env.issuer());
    assert!(invalid.message.contains(&named), "{invalid:?}");
    assert_eq!(credentials(&shop, "orders").await?, 0);
    // The API server says another as well: that is told by an event of its own.
    event(env, "IssuerInvalid", &named).await?;
    event(env, "IssuerDiffers", env.issuer()).await?;
    env.kill_operator().await
}
