//! The value is not known: nothing is written, good bindings stay, cleanup waits; and all of it goes on once it is known.

use azwib_e2e::environment::{Namespace, condition};
use kube::ResourceExt;
use kube::api::DeleteParams;

use super::{auto, bind, credentials, environment, found, fresh_token, put, start, write_token};

const OTHER: &str = "https://other.example/";

async fn writes(shop: &Namespace<'_>) -> anyhow::Result<usize> {
    let mut writes = 0;
    for name in ["kept", "leaving", "late"] {
        writes += shop.operator_writes(name).await?;
    }
    Ok(writes)
}

#[tokio::test]
async fn while_it_is_unknown_nothing_is_written_and_cleanup_waits() -> anyhow::Result<()> {
    let (env, _turn) = environment().await?;
    let shop = env.namespace("unknown").await?;
    env.start_operator().await?;
    for name in ["kept", "leaving"] {
        bind(&shop, name).await?;
        shop.ready(name).await?;
    }
    env.kill_operator().await?;
    let written = writes(&shop).await?;
    let kept = shop.ready("kept").await?;
    let token = env.control_plane.directory().join("unknown.token");
    write_token(&token, OTHER)?;
    start(env, &auto(&token)).await?;

    bind(&shop, "late").await?;
    let bindings = shop.bindings();
    let at_once = DeleteParams::default();
    bindings.delete("leaving", &at_once).await?;
    for name in ["late", "leaving"] {
        let unknown = shop.failing(name, "IssuerReady", "IssuerUnknown").await?;
        for said in [OTHER, env.issuer(), "--service-account-issuer", "--issuer"] {
            assert!(unknown.message.contains(said), "{unknown:?}");
        }
        let binding = bindings.get(name).await?;
        assert_eq!(
            condition(&binding, "Ready").unwrap().reason,
            "IssuerUnknown"
        );
    }
    found(env, "unknown").await?;
    let late = bindings.get("late").await?;
    assert!(late.metadata.finalizers.is_none());
    assert!(shop.service_accounts().get_opt("late").await?.is_none());
    assert_eq!(credentials(&shop, "leaving").await?, 1);
    assert_eq!(writes(&shop).await?, written);
    let still = bindings.get("kept").await?;
    assert_eq!(still.resource_version(), kept.resource_version());

    // A kubelet brings another token.
    put(&token, &std::fs::read_to_string(fresh_token(env).await?)?)?;
    shop.ready("late").await?;
    shop.until_gone("leaving").await?;
    assert_eq!(credentials(&shop, "leaving").await?, 0);
    shop.ready("kept").await?;
    env.kill_operator().await
}
