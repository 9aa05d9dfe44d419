//! Which issuer azwib goes by, and what it says of it: in statuses, events and metrics.
//!
//! azwib looks each minute, so that some of these take a few of them. They run beside each other, in environments of their own; those that
//! are through at once share one, whose operator each of them starts for itself, in turns.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod auto;
mod discovery;
mod invalid;
mod keys;
mod mismatch;
mod public;
mod sign_in;
mod unknown;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::{Namespace, condition, observed};
use azwib_e2e::{Environment, EnvironmentOptions};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

/// What the operator signs in with.
const AUDIENCE: &str = "api://AzureADTokenExchange";

static TURN: Mutex<()> = Mutex::const_new(());
static ENVIRONMENT: OnceCell<Environment> = OnceCell::const_new();

/// The environment without an operator, for one test at a time.
async fn environment() -> anyhow::Result<(&'static Environment, MutexGuard<'static, ()>)> {
    let turn = TURN.lock().await;
    let start = Environment::without_operator;
    let environment = ENVIRONMENT.get_or_try_init(start).await?;
    // What an earlier test has left, if that failed.
    let _ = environment.kill_operator().await;
    environment.trust_operator().await?;
    Ok((environment, turn))
}

/// Starts the operator with these flags in place of those of the same name.
async fn start(env: &Environment, flags: &[String]) -> anyhow::Result<()> {
    let flags = env.operator_flags_with(flags);
    env.start_operator_as(flags, BTreeMap::new()).await
}

/// The issuer is asked of the API server, and compared with the token in this file.
fn auto(token: &Path) -> Vec<String> {
    vec!["--issuer=auto".to_owned(), mounted(token)]
}

/// The file in which a kubelet would keep the operator's token fresh.
fn mounted(token: &Path) -> String {
    format!("--service-account-token-file={}", token.display())
}

/// What is public is looked at; the simulator's certificates are taken where that is asked for.
fn verifying(env: &Environment, trusts_simulator: bool) -> Vec<String> {
    let mut flags = vec!["--verify-issuer=true".to_owned()];
    let ca = format!("--issuer-ca-file={}", env.ca().display());
    flags.extend(trusts_simulator.then_some(ca));
    flags
}

/// A sign-in that says nothing of the issuer.
fn with_client_secret(env: &Environment) -> anyhow::Result<Vec<String>> {
    let (client_id, secret) = env.simulator.owner();
    env.records.note_secret(secret)?;
    let file = env.control_plane.directory().join("client-secret");
    std::fs::write(&file, secret)?;
    Ok(vec![
        "--auth=client-secret".to_owned(),
        format!("--azure-client-id={client_id}"),
        format!("--azure-client-secret-file={}", file.display()),
    ])
}

/// A fresh token of the operator's ServiceAccount, as the API server issues it now.
async fn fresh_token(env: &Environment) -> anyhow::Result<PathBuf> {
    let file = env
        .control_plane
        .token_file_for_service_account("azwib-system", "azwib-operator", AUDIENCE)
        .await?;
    env.records.note_secret(&std::fs::read_to_string(&file)?)?;
    Ok(file)
}

/// The claims of the token in a file.
fn claims(file: &Path) -> anyhow::Result<Value> {
    let token = std::fs::read_to_string(file)?;
    let claims = token.split('.').nth(1).unwrap_or_default();
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?)
}

/// Writes what looks like a token of this issuer, issued now.
fn write_token(file: &Path, issuer: &str) -> anyhow::Result<()> {
    let now = Timestamp::now().as_second();
    let head = json!({ "alg": "RS256", "kid": "k1" });
    let claims = json!({ "iss": issuer, "iat": now, "exp": now + 3600 });
    let parts = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    put(file, &format!("{}.{}.c2lnbmF0dXJl", parts[0], parts[1]))
}

/// Replaces a file as a kubelet does: whoever reads it finds the one or the other.
fn put(file: &Path, text: &str) -> anyhow::Result<()> {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text)?;
    Ok(std::fs::rename(beside, file)?)
}

/// An identity of this name and a binding to it.
async fn bind(shop: &Namespace<'_>, name: &str) -> anyhow::Result<()> {
    let identity = shop.identity(name).await?;
    shop.bind_to(name, &identity).await
}

/// Waits until a Ready binding says this of its issuer.
async fn says(shop: &Namespace<'_>, name: &str, reason: &str) -> anyhow::Result<Condition> {
    let what = format!("Ready, and IssuerReady for {reason}");
    let says_so = |binding: &WorkloadIdentityBinding| {
        let is_true = |type_| condition(binding, type_).filter(|it| it.status == "True");
        observed(binding)
            && is_true("Ready").is_some()
            && is_true("IssuerReady").is_some_and(|it| it.reason == reason)
    };
    let binding = shop.until(name, &what, says_so).await?;
    Ok(issuer_ready(&binding).clone())
}

fn issuer_ready(binding: &WorkloadIdentityBinding) -> &Condition {
    condition(binding, "IssuerReady").expect("each binding has it")
}

/// How many credentials the identity of this name has.
async fn credentials(shop: &Namespace<'_>, name: &str) -> anyhow::Result<usize> {
    let arm = shop.environment().arm().await?;
    Ok(arm.credentials(&shop.identity_id(name)).await?.len())
}

/// The event of azwib itself, which is not about a binding.
async fn event(env: &Environment, reason: &str, words: &str) -> anyhow::Result<String> {
    let default = env.existing_namespace("default").await?;
    default.event_saying(reason, words).await
}

/// The options of an environment of a test's own, in which it starts the operator itself.
fn own() -> EnvironmentOptions {
    EnvironmentOptions {
        start_operator: false,
        ..EnvironmentOptions::default()
    }
}

/// Waits until this is what is found of the issuer.
async fn found(env: &Environment, finding: &str) -> anyhow::Result<()> {
    let sample = format!("azwib_issuer_finding{{finding=\"{finding}\"}}");
    env.until_metric(&sample, |value| value == 1.0).await
}
