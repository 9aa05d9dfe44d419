//! What the operator's own sign-in says of the issuer.

use super::{bind, environment, event, found, says, start, verifying};

const ELSEWHERE: &str = "https://elsewhere.example/";

#[tokio::test]
async fn a_sign_in_proves_the_issuer_where_its_documents_cannot_be_read() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    let shop = env.namespace("proven").await?;
    let token = super::fresh_token(env).await?;
    let mut flags = verifying(env, false);
    flags.push(super::mounted(&token));
    start(env, &flags).await?;
    bind(&shop, "orders").await?;
    let proven = says(&shop, "orders", "ProvenBySignIn").await?;
    assert!(proven.message.contains(env.issuer()), "{proven:?}");
    found(env, "proven_by_sign_in").await?;
    let age = "azwib_issuer_proof_age_seconds";
    env.until_metric(age, |age| age >= 0.0).await?;
    env.kill_operator().await
}

#[tokio::test]
async fn an_issuer_that_entra_refuses_is_told_on_every_binding() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    let shop = env.namespace("refused").await?;
    env.start_operator().await?;
    bind(&shop, "kept").await?;
    shop.ready("kept").await?;
    env.kill_operator().await?;

    env.trust_operator_of(ELSEWHERE).await?;
    start(env, &verifying(env, false)).await?;
    bind(&shop, "late").await?;
    // What is in place stays so: workloads sign in for themselves.
    let told = says(&shop, "kept", "IssuerRefused").await?;
    assert!(told.message.contains("AADSTS700211"), "{told:?}");
    let step = "IdentityResolved";
    let refused = shop
        .failing("late", step, "AzureAuthenticationFailed")
        .await?;
    assert!(refused.message.contains("AADSTS700211"), "{refused:?}");
    shop.until("late", "told of the refusal", |binding| {
        super::issuer_ready(binding).reason == "IssuerRefused"
    })
    .await?;
    found(env, "refused").await?;
    event(env, "IssuerRefused", "AADSTS700211").await?;
    env.kill_operator().await?;
    env.trust_operator().await
}
