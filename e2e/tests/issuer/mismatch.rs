//! The API server issues tokens of another issuer than azwib goes by.

use azwib_e2e::Environment;
use azwib_e2e::control_plane::AuditEvent;
use azwib_e2e::environment::{Namespace, PATIENCE};
use azwib_e2e::wait;
use jiff::Timestamp;

use super::{
    bind, claims, credentials, event, fresh_token, issuer_ready, mounted, own, put, start,
};

const OTHER: &str = "https://oidc.other.example/cluster/";

/// How often the status of a binding was written so far.
fn status_writes(shop: &Namespace<'_>, name: &str) -> anyhow::Result<usize> {
    let audited = shop.environment().control_plane.audit_log()?;
    let is_write = |event: &&AuditEvent| {
        event.verb == "update"
            && event.object_ref.as_ref().is_some_and(|it| {
                it.subresource.as_deref() == Some("status")
                    && it.namespace.as_deref() == Some(shop.name())
                    && it.name.as_deref() == Some(name)
            })
    };
    Ok(audited.iter().filter(is_write).count())
}

#[tokio::test]
async fn it_counts_once_a_fresh_token_says_so_and_takes_ready_then() -> anyhow::Result<()> {
    let env = Environment::start(own()).await?;
    let shop = env.namespace("mismatch").await?;
    let token = env.control_plane.directory().join("mounted.token");
    put(&token, &std::fs::read_to_string(fresh_token(&env).await?)?)?;
    start(&env, &[mounted(&token)]).await?;
    for name in ["orders", "reports"] {
        bind(&shop, name).await?;
        shop.ready(name).await?;
    }

    env.control_plane.stop_api_server().await?;
    env.control_plane.start_api_server_issuing(OTHER).await?;
    let differs = "azwib_issuer_differs";
    env.until_metric(differs, |differs| differs == 1.0).await?;
    let seen = Timestamp::now().as_second();
    event(&env, "IssuerDiffers", OTHER).await?;
    // Those that are mounted are of the old one, and are taken for a while.
    let mut before = Vec::new();
    for name in ["orders", "reports"] {
        let binding = shop.ready(name).await?;
        assert_eq!(issuer_ready(&binding).reason, "IssuerConfigured");
        before.push((name, status_writes(&shop, name)?));
    }

    let renewed = wait::until("a token that was issued later", PATIENCE, async || {
        let token = fresh_token(&env).await?;
        let is_later = claims(&token)?["iat"].as_i64() > Some(seen);
        Ok(is_later.then_some(token))
    })
    .await?;
    assert_eq!(claims(&renewed)?["iss"], OTHER);
    put(&token, &std::fs::read_to_string(renewed)?)?;
    for (name, before) in before {
        shop.failing(name, "Ready", "IssuerMismatch").await?;
        let binding = shop.bindings().get(name).await?;
        assert_eq!(status_writes(&shop, name)?, before + 1);
        let told = issuer_ready(&binding);
        assert_eq!(told.status, "False");
        for said in [OTHER, env.issuer(), "--service-account-issuer"] {
            assert!(told.message.contains(said), "{told:?}");
        }
        assert_eq!(credentials(&shop, name).await?, 1, "it is left alone");
    }
    event(&env, "IssuerMismatch", OTHER).await?;
    bind(&shop, "late").await?;
    shop.failing("late", "IssuerReady", "IssuerMismatch")
        .await?;
    assert_eq!(credentials(&shop, "late").await?, 0);
    Ok(())
}
