//! A tenant who has the role `edit` in one namespace, and whatever it writes, gets nothing that the platform team did not grant.
//!
//! There is a file for each kind of attack. Each begins with the right behaviour in a sentence. The tenant is a ServiceAccount
//! with that role on a real API server; where the point is power, a pod of the tenant asks Entra for a token.
#![allow(clippy::unwrap_used, clippy::panic)]

mod accounts;
mod adoption;
mod derived_names;
mod finalizers;
mod flips;
mod ids;
mod names;
mod reserved;
mod reuse;
mod shapes;
mod slots;
mod status;
mod tenant;

use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::environment::{Namespace, condition};
use azwib_e2e::{Environment, EnvironmentOptions};
use tokio::sync::OnceCell;

use tenant::Tenant;

/// The resource group of identities that bindings name without one. Nothing in it is granted but by the test that says so.
const DEFAULT_GROUP: &str = "rg-shop";

static ENFORCING: OnceCell<Environment> = OnceCell::const_new();

/// An environment in which grants are required, and a credential whose grant is gone works on for a few seconds.
async fn enforcing() -> anyhow::Result<&'static Environment> {
    ENFORCING.get_or_try_init(start).await
}

async fn start() -> anyhow::Result<Environment> {
    let mut options = EnvironmentOptions {
        grants: Some("enforce"),
        ..EnvironmentOptions::default()
    };
    options.operator_flags.extend([
        "--revocation-grace=4s".to_owned(),
        format!("--default-resource-group={DEFAULT_GROUP}"),
        "--default-subscription=00000000-0000-0000-0000-000000000000".to_owned(),
    ]);
    let env = Environment::start(options).await?;
    let subscription = env.simulator.subscription();
    let group = format!("/subscriptions/{subscription}/resourceGroups/{DEFAULT_GROUP}");
    env.grant_operator(&group).await?;
    anyhow::Ok(env)
}

/// Fails if the operator has asked Azure anything about an identity.
async fn assert_unasked(shop: &Namespace<'_>, identity: &str) -> anyhow::Result<()> {
    assert_eq!(shop.asked_of_azure(identity).await?, Vec::<String>::new());
    Ok(())
}

/// Waits until what a grant had given to a binding is taken away.
async fn stripped(shop: &Namespace<'_>, name: &str) -> anyhow::Result<WorkloadIdentityBinding> {
    shop.until(name, "stripped", |it| {
        let of = |type_| condition(it, type_).is_some_and(|it| it.reason == "Revoked");
        of("CredentialReady") || of("ServiceAccountReady")
    })
    .await
}

/// Whether the API server refused what was written, as it refuses what is not valid.
fn is_invalid<T>(answer: &kube::Result<T>) -> bool {
    matches!(answer, Err(kube::Error::Api(status)) if status.code == 422)
}

/// Whether the API server refused it as forbidden.
fn is_forbidden<T>(answer: &kube::Result<T>) -> bool {
    matches!(answer, Err(kube::Error::Api(status)) if status.code == 403)
}
