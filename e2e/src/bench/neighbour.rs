//! What a crowd in other namespaces costs a newcomer that has nothing to do with it.

use std::time::Duration;

use azwib_crds::WorkloadIdentityBinding;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

use super::readiness::Seen;
use super::setup::{AT_ONCE, GROUP, Setup};
use crate::environment::rule::create;
use crate::environment::slow_webhook::SlowWebhook;

/// The namespace of the crowd.
const NAMESPACE: &str = "crowd";

/// How long the writes of a crowd take whose admission webhook is slow.
const SLOW_WRITE: Duration = Duration::from_secs(20);

/// Bindings that are in the way of others, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crowd {
    /// All on one identity, which takes twenty of them.
    OnFullIdentity(usize),
    /// All with one ServiceAccount and one identity: they share a credential.
    OnOneAccount(usize),
    /// Each on an identity that does not exist.
    OnMissingIdentities(usize),
    /// Each write of the operator takes twenty seconds.
    OfSlowWrites(usize),
}

impl Crowd {
    pub(super) fn len(self) -> usize {
        match self {
            Self::OnFullIdentity(count)
            | Self::OnOneAccount(count)
            | Self::OnMissingIdentities(count)
            | Self::OfSlowWrites(count) => count,
        }
    }

    /// Whether the operator has said of all of them what is the case; it never does of those whose writes hang.
    pub(super) fn is_settled(self, seen: &Seen) -> bool {
        match self {
            Self::OnFullIdentity(count) => seen.not_for("CredentialLimitReached") + 20 >= count,
            Self::OnOneAccount(count) => seen.ready() > count,
            Self::OnMissingIdentities(count) => seen.not_for("IdentityNotFound") >= count,
            Self::OfSlowWrites(_) => true,
        }
    }

    /// Makes it. What is returned has to live as long as the crowd is in the way.
    pub(super) async fn gather(self, setup: &Setup) -> anyhow::Result<Option<SlowWebhook>> {
        let client = setup.environment.client().await?;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        create(&namespaces, json!({ "metadata": { "name": NAMESPACE } })).await?;
        let webhook = match self {
            Self::OfSlowWrites(_) => {
                Some(SlowWebhook::start(&client, NAMESPACE, SLOW_WRITE).await?)
            }
            Self::OnFullIdentity(_) | Self::OnOneAccount(_) => {
                let control = setup.environment.control();
                control.create_identity(GROUP, "crowded").await?;
                None
            }
            Self::OnMissingIdentities(_) => None,
        };
        let subscription = setup.environment.simulator.subscription();
        let identity = |number: usize| {
            let name = match self {
                Self::OnFullIdentity(_) | Self::OnOneAccount(_) => "crowded".to_owned(),
                _ => format!("nobody-{number:05}"),
            };
            format!(
                "/subscriptions/{subscription}/resourceGroups/{GROUP}/providers/Microsoft.ManagedIdentity/\
                 userAssignedIdentities/{name}"
            )
        };
        let account = |number: usize| match self {
            Self::OnOneAccount(_) => "shared".to_owned(),
            _ => name(number),
        };
        bind(&client, self.len(), identity, account).await?;
        Ok(webhook)
    }
}

fn name(number: usize) -> String {
    format!("c-{number:05}")
}

async fn bind(
    client: &Client,
    count: usize,
    identity: impl Fn(usize) -> String,
    account: impl Fn(usize) -> String,
) -> anyhow::Result<()> {
    let bindings: Api<WorkloadIdentityBinding> = Api::namespaced(client.clone(), NAMESPACE);
    let make = async |number| {
        let binding = serde_json::from_value(json!({
            "apiVersion": "azwib.dev/v1alpha1",
            "kind": "WorkloadIdentityBinding",
            "metadata": { "name": name(number) },
            "spec": {
                "identity": { "resourceId": identity(number) },
                "serviceAccount": { "name": account(number) },
            },
        }))?;
        bindings.create(&PostParams::default(), &binding).await?;
        anyhow::Ok(())
    };
    let made = stream::iter((0..count).map(make)).buffer_unordered(AT_ONCE);
    made.try_collect().await
}
