//! The port of the metrics by https: who may scrape, who may change what is logged, and which certificate is served.
#![allow(clippy::unwrap_used)]

mod log_level;
mod scrapes;

use azwib_e2e::{Environment, OperatorProcess};

/// An operator that serves its metrics as it does by default, with these flags besides the usual ones.
async fn operator(env: &Environment, more: &[String]) -> anyhow::Result<OperatorProcess> {
    let flags = [&env.operator_flags()[..], more].concat();
    let secure = [("AZWIB_METRICS_SECURE".to_owned(), "true".to_owned())];
    env.operator_with(flags, secure.into(), None).await
}

/// A token of a ServiceAccount, which is made here and noted as a secret.
async fn token(env: &Environment, account: &str) -> anyhow::Result<String> {
    let (namespace, name) = account.split_once('/').unwrap();
    let cluster = &env.control_plane;
    for args in [
        &["create", "namespace", namespace][..],
        &["create", "serviceaccount", name, "-n", namespace],
    ] {
        cluster.kubectl(args).await?;
    }
    let token = cluster
        .kubectl(&["create", "token", name, "-n", namespace])
        .await?;
    let token = token.trim().to_owned();
    env.records.note_secret(&token)?;
    Ok(token)
}

/// Binds the account to a ClusterRole.
async fn bind(env: &Environment, account: &str, role: &str) -> anyhow::Result<()> {
    let name = format!("{}-{role}", account.replace('/', "-"));
    let role = format!("--clusterrole={role}");
    let account = format!("--serviceaccount={}", account.replace('/', ":"));
    let args = ["create", "clusterrolebinding", &name, &role, &account];
    env.control_plane.kubectl(&args).await?;
    Ok(())
}
