//! The calls of the API server, each with a deadline.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::PostParams;
use tokio::time::timeout;

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("somebody else has written the Lease")]
    Conflict,
    #[error("the API server did not answer within {0:?}")]
    Deadline(Duration),
    #[error("the API server refused")]
    Failed(#[source] kube::Error),
}

/// The one Lease.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    pub(super) leases: Api<Lease>,
    pub(super) name: String,
    pub(super) deadline: Duration,
}

impl Calls {
    /// The Lease as it is now; the API server does not take it from its cache.
    pub(super) async fn get(&self) -> Result<Option<Lease>, CallError> {
        self.within(self.leases.get_opt(&self.name)).await
    }

    /// Makes the Lease, or replaces the one whose resourceVersion it has. Where the answer is lost it may have happened.
    pub(super) async fn write(&self, lease: &Lease) -> Result<Lease, CallError> {
        let how = PostParams::default();
        match lease.metadata.resource_version {
            None => self.within(self.leases.create(&how, lease)).await,
            Some(_) => {
                let call = self.leases.replace(&self.name, &how, lease);
                self.within(call).await
            }
        }
    }

    async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, CallError> {
        let answer = timeout(self.deadline, call).await;
        let answer = answer.map_err(|_| CallError::Deadline(self.deadline))?;
        answer.map_err(|error| match &error {
            // 404: it was deleted since it was read.
            kube::Error::Api(answer) if matches!(answer.code, 404 | 409) => CallError::Conflict,
            _ => CallError::Failed(error),
        })
    }
}
