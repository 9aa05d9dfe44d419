//! Clients of the API server, for calls and for watches.

use std::time::Duration;

use azwib_crds::WorkloadIdentityBinding;
use http::HeaderValue;
use http::header::USER_AGENT as USER_AGENT_HEADER;
use kube::api::ListParams;
use kube::client::ClientBuilder;
use kube::{Api, Client};

use crate::binding::calls;
use crate::binding::controller::kept;
use crate::kubeutil::backoff::Standing;
use crate::kubeutil::retry_after::RetryAfterLayer;
use crate::kubeutil::watch_course::{WATCH_TIMEOUT, WatchCourse};
use crate::leader::{Claim, ClaimLayer};
use crate::runtime::probes::Readiness;

/// How long a call of the API server may be silent. The API server gives up on a call after 34 s. A shorter time would lose its
/// message about a webhook that does not answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(40);

/// Why there are no clients.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot tell how to reach the API server: run in a cluster or set KUBECONFIG")]
    Kubeconfig(#[source] kube::config::InferConfigError),
}

/// How clients of the API server are made. Their answers are cut to what is read of them.
pub(crate) struct KubernetesClients {
    config: kube::Config,
    /// How long a connection may take to come about: a write has asked for its claim before it waits for that.
    connects_within: Option<Duration>,
}

impl KubernetesClients {
    /// Clients whose connections come about within this time, if it is given.
    pub(crate) async fn infer(connects_within: Option<Duration>) -> Result<Self, Error> {
        let mut config = kube::Config::infer().await.map_err(Error::Kubeconfig)?;
        // kube's own retry would hold a pass for minutes; a failed pass is made again anyway.
        config.default_retry = false;
        let name = (
            USER_AGENT_HEADER,
            HeaderValue::from_static(crate::USER_AGENT),
        );
        config.headers.push(name);
        Ok(Self {
            config,
            connects_within,
        })
    }

    /// One for calls, whose writes are sent while this claim is held; with none, for those that need no claim.
    pub(crate) fn calling(&self, claim: Option<Claim>) -> Result<Client, kube::Error> {
        let mut config = self.config.clone();
        config.read_timeout = Some(CALL_TIMEOUT);
        config.connect_timeout = self.connects_within.or(config.connect_timeout);
        let client = ClientBuilder::try_from(config)?;
        let claim = claim.unwrap_or_else(Claim::of_the_only_process);
        let client = client
            .with_layer(&RetryAfterLayer)
            .with_layer(&kept::layer())
            .with_layer(&ClaimLayer(claim));
        Ok(client.build())
    }

    /// One for lists and watches, whose course is noted.
    pub(crate) fn watching(&self, course: &WatchCourse) -> Result<Client, kube::Error> {
        let mut config = self.config.clone();
        config.read_timeout = Some(WATCH_TIMEOUT);
        let client = ClientBuilder::try_from(config)?;
        let client = client
            .with_layer(&RetryAfterLayer)
            .with_layer(&kept::layer())
            .with_layer(course);
        Ok(client.build())
    }
}

/// Waits until bindings can be listed: the API server may be down, and the CRD may come after the operator.
pub(crate) async fn crd_is_served(client: &Client, readiness: &Readiness) {
    let bindings: Api<WorkloadIdentityBinding> = Api::all(client.clone());
    let mut standing = Standing::FIRST;
    loop {
        let error = match bindings
            .list_metadata(&ListParams::default().limit(1))
            .await
        {
            Ok(_) => return,
            Err(error) => error,
        };
        let delay = calls::pace(&error).delay(standing);
        standing.failures = (standing.failures + 1).min(5);
        match &error {
            kube::Error::Api(answer) if answer.code == 404 => {
                readiness
                    .wait_for("the CustomResourceDefinition workloadidentitybindings.azwib.dev");
                tracing::warn!(
                    retry_in = ?delay,
                    "the CustomResourceDefinition is not installed: kubectl apply -k config/crd"
                );
            }
            error => {
                readiness.wait_for("the API server");
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, retry_in = ?delay, "the API server does not answer as it should");
            }
        }
        tokio::time::sleep(delay).await;
    }
}
