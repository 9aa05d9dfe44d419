//! Who may bind what: bindings with and without a grant, grants that go, and whether grants are required at all.
#![allow(clippy::unwrap_used, clippy::panic)]

mod admission;
mod left_behind;
mod mode;
mod quota;
mod retain;
mod revocation;

use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::{Namespace, annotation, condition};
use azwib_e2e::{Environment, EnvironmentOptions};
use kube::ResourceExt;
use tokio::sync::OnceCell;

const CLIENT_ID: &str = "azure.workload.identity/client-id";

static ENFORCING: OnceCell<Environment> = OnceCell::const_new();

/// An environment in which grants are required, and a credential whose grant is gone works on for a few seconds.
async fn enforcing() -> anyhow::Result<&'static Environment> {
    ENFORCING
        .get_or_try_init(|| Environment::start(options(Some("enforce"))))
        .await
}

fn options(grants: Option<&'static str>) -> EnvironmentOptions {
    let mut options = EnvironmentOptions {
        grants,
        ..EnvironmentOptions::default()
    };
    options
        .operator_flags
        .push("--revocation-grace=4s".to_owned());
    options
}

/// What `Granted` says.
fn granted(binding: &WorkloadIdentityBinding) -> (String, String, String) {
    let it = condition(binding, "Granted").unwrap();
    (it.status.clone(), it.reason.clone(), it.message.clone())
}

fn is_granted_by(binding: &WorkloadIdentityBinding, grant: &str) -> bool {
    let (status, reason, message) = granted(binding);
    status == "True" && reason == "Granted" && message.contains(&format!("\"{grant}\""))
}

/// The client id that the account `orders` carries; an empty text where it carries none, `None` without an account.
async fn carried(shop: &Namespace<'_>) -> anyhow::Result<Option<String>> {
    let account = shop.service_accounts().get_opt("orders").await?;
    Ok(account.map(|it| annotation(&it, CLIENT_ID).unwrap_or_default().to_owned()))
}

fn version(binding: &WorkloadIdentityBinding) -> String {
    binding.resource_version().unwrap()
}
