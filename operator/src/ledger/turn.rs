//! The right to write to one identity.

use std::sync::{Arc, PoisonError};

use azwib_crds::CredentialName;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::{Effect, Ledger};
use crate::azure::{AzureError, AzureErrorKind, CredentialContent, Deleted, ListedCredential, Put};

/// Held by whoever writes to an identity; dropping it wakes those who found it taken.
///
/// Every write of azwib to Azure passes here.
pub struct Turn {
    ledger: Arc<Ledger>,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turn {
    pub(super) fn new(ledger: Arc<Ledger>, held: OwnedMutexGuard<()>) -> Self {
        Self {
            ledger,
            held: Some(held),
        }
    }

    /// The ledger that this turn writes to.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Writes a credential and gives the turn back.
    ///
    /// The request runs in a task of its own that holds the turn, so that a cancelled caller cannot free it while
    /// Azure is still at work.
    pub async fn put(
        self,
        name: &CredentialName,
        content: &CredentialContent,
    ) -> Result<Put, AzureError> {
        let (named, put) = (name.clone(), content.clone());
        self.write(
            name,
            Effect::Put(content.clone()),
            move |ledger: Arc<Ledger>| async move {
                ledger
                    .service
                    .put_credential(&ledger.id, &named, &put)
                    .await
            },
        )
        .await
    }

    /// Deletes a credential and gives the turn back. A credential that is not there is success.
    pub async fn delete(self, name: &CredentialName) -> Result<Deleted, AzureError> {
        let named = name.clone();
        self.write(
            name,
            Effect::Delete,
            move |ledger: Arc<Ledger>| async move {
                ledger.service.delete_credential(&ledger.id, &named).await
            },
        )
        .await
    }

    async fn write<T, F>(
        self,
        name: &CredentialName,
        effect: Effect,
        request: impl FnOnce(Arc<Ledger>) -> F + Send + 'static,
    ) -> Result<T, AzureError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, AzureError>> + Send + 'static,
    {
        let (writes, name) = (self.ledger.writes.clone(), name.to_string());
        let task = writes.spawn(async move {
            let sent = Instant::now();
            let outcome = request(Arc::clone(&self.ledger)).await;
            match &outcome {
                Ok(_) => self.ledger.acknowledged(&name, effect).await,
                Err(error) => {
                    if error.outcome_unknown() {
                        self.ledger.unsettled().lost(&name, effect, sent);
                    }
                    self.ledger.listing.forget().await;
                }
            }
            drop(self);
            outcome
        });
        match task.await {
            Ok(outcome) => outcome,
            // The task panicked or was aborted with its runtime: what became of the request is not known.
            Err(_) => Err(AzureError::local(
                AzureErrorKind::Unavailable,
                "the write was abandoned",
            )
            .of_lost_write()),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let waiting = self
            .ledger
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Given back under the lock, so that nobody can find it taken and then miss being woken.
        drop(self.held.take());
        drop(waiting);
        self.ledger.wake_waiting();
    }
}

impl Ledger {
    /// Puts an acknowledged write into the last listing.
    async fn acknowledged(&self, name: &str, effect: Effect) {
        self.listing
            .amend(|listing| {
                listing.retain(|credential| !credential.name.eq_ignore_ascii_case(name));
                if let Effect::Put(content) = effect {
                    listing.push(ListedCredential {
                        name: name.to_owned(),
                        content: Some(content),
                    });
                }
            })
            .await;
    }
}
