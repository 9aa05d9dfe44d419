//! Many bindings on one identity, and others who write there too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod adoption;
mod drift;
mod line;
mod pace;
mod refusals;

use azwib_e2e::environment::{ManagedIdentity, Namespace};

const AUDIENCE: &str = "api://AzureADTokenExchange";

/// Microsoft's documented limit.
const LIMIT: usize = 20;

/// Credentials of somebody else's: `foreign-0`, `foreign-1`, …
async fn fill(
    shop: &Namespace<'_>,
    identity: &ManagedIdentity,
    count: usize,
) -> anyhow::Result<()> {
    let arm = shop.environment().arm().await?;
    for number in 0..count {
        let (name, subject) = (format!("foreign-{number}"), format!("repo:{number}"));
        let issuer = "https://token.actions.example";
        arm.put_credential(identity.resource_id(), &name, issuer, &subject, AUDIENCE)
            .await?;
    }
    Ok(())
}

/// Deletes a credential of an identity, whosever it is.
async fn remove(
    shop: &Namespace<'_>,
    identity: &ManagedIdentity,
    credential: &str,
) -> anyhow::Result<()> {
    let arm = shop.environment().arm().await?;
    let id = identity.resource_id();
    arm.delete(&format!("{id}/federatedIdentityCredentials/{credential}"))
        .await
}

/// A credential of somebody else's that trusts what a binding of this account would.
async fn put_by_hand(
    shop: &Namespace<'_>,
    identity: &ManagedIdentity,
    service_account: &str,
    audience: &str,
) -> anyhow::Result<()> {
    let env = shop.environment();
    let subject = format!("system:serviceaccount:{}:{service_account}", shop.name());
    let arm = env.arm().await?;
    arm.put_credential(
        identity.resource_id(),
        "by-hand",
        env.issuer(),
        &subject,
        audience,
    )
    .await
}
