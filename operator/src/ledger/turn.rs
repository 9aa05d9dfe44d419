//! The right to write to one identity.

use std::sync::{Arc, PoisonError};

use azwib_crds::CredentialName;
use tokio::sync::OwnedMutexGuard;

use super::Ledger;
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
        let (name, content) = (name.clone(), content.clone());
        self.write(move |ledger| async move {
            let outcome = ledger
                .service
                .put_credential(&ledger.id, &name, &content)
                .await;
            ledger
                .note(name.as_str(), outcome.is_ok().then_some(content))
                .await;
            outcome
        })
        .await
    }

    /// Deletes a credential and gives the turn back. A credential that is not there is success.
    pub async fn delete(self, name: &CredentialName) -> Result<Deleted, AzureError> {
        let name = name.clone();
        self.write(move |ledger| async move {
            let outcome = ledger.service.delete_credential(&ledger.id, &name).await;
            if outcome.is_ok() {
                ledger.note_deleted(name.as_str()).await;
            } else {
                ledger.note(name.as_str(), None).await;
            }
            outcome
        })
        .await
    }

    async fn write<T, F>(
        self,
        request: impl FnOnce(Arc<Ledger>) -> F + Send + 'static,
    ) -> Result<T, AzureError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, AzureError>> + Send + 'static,
    {
        let writes = self.ledger.writes.clone();
        let task = writes.spawn(async move {
            let outcome = request(Arc::clone(&self.ledger)).await;
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
        let mut waiting = self
            .ledger
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        drop(self.held.take());
        for binding in waiting.drain(..) {
            // A closed channel means that the operator is stopping.
            let _ = self.ledger.wake.send(binding);
        }
    }
}

impl Ledger {
    /// Puts an acknowledged write into the cached listing; a failed one makes the listing unusable.
    async fn note(&self, name: &str, content: Option<CredentialContent>) {
        let mut listing = self.listing.lock().await;
        let Some(content) = content else {
            *listing = None;
            return;
        };
        if let Some(read) = listing.as_mut() {
            read.answer
                .retain(|credential| !credential.name.eq_ignore_ascii_case(name));
            read.answer.push(ListedCredential {
                name: name.to_owned(),
                content: Some(content),
            });
        }
    }

    async fn note_deleted(&self, name: &str) {
        if let Some(read) = self.listing.lock().await.as_mut() {
            read.answer
                .retain(|credential| !credential.name.eq_ignore_ascii_case(name));
        }
    }
}
