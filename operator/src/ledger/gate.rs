//! What every request to Azure passes: how many are under way in a subscription, and how fast they go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use azwib_crds::ManagedIdentityId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::pacing::{Operation, Pacing};
use crate::azure::AzureError;
use crate::runtime::deliberate::Bug;

/// How much later than admitted a request goes at the most: the writes to Kubernetes before it take this long.
const LATENESS: Duration = Duration::from_secs(1);

/// The one gate of a process.
pub(super) struct Gate {
    pacing: Mutex<Pacing>,
    /// Requests that may be under way in one subscription.
    in_flight: usize,
    subscriptions: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Gate {
    pub(super) fn new(in_flight: usize) -> Self {
        Self {
            pacing: Mutex::default(),
            in_flight,
            subscriptions: Mutex::default(),
        }
    }

    /// Lets a request go as far as Azure's pace is concerned, or says when it may be asked for again.
    pub(super) fn admit(
        &self,
        identity: &ManagedIdentityId,
        operation: Operation,
    ) -> Result<(), Instant> {
        self.pacing().admit(identity, operation, Instant::now())
    }

    /// Waits until such a request may go.
    pub(super) async fn admitted(&self, identity: &ManagedIdentityId, operation: Operation) {
        loop {
            let admitted = self.admit(identity, operation);
            let Err(until) = admitted else { return };
            sleep_until(until).await;
        }
    }

    /// Until when such a request is forbidden, although it was admitted earlier.
    pub(super) fn told_to_wait(
        &self,
        identity: &ManagedIdentityId,
        operation: Operation,
    ) -> Option<Instant> {
        self.pacing()
            .told_to_wait(identity, operation, Instant::now())
    }

    /// Sends a request that was admitted, when fewer than the limit are under way in its subscription: identities come
    /// in the order in which they ask. What Azure says of its pace is remembered.
    pub(super) async fn send<T>(
        &self,
        identity: &ManagedIdentityId,
        operation: Operation,
        request: impl Future<Output = Result<T, AzureError>>,
    ) -> Result<T, AzureError> {
        let permit = self.permit(identity).await;
        let earliest = self.pacing().earliest(identity, operation);
        if let Some(earliest) = earliest {
            // What is left of an interval where the request before was admitted in time and went late.
            sleep_until(earliest.min(Instant::now() + LATENESS)).await;
        }
        if let Some(until) = self.told_to_wait(identity, operation)
            && !Bug::AdmittedForGood.is_on()
        {
            // Azure said so while this one waited for others to come back.
            return Err(AzureError::held_back(until.duration_since(Instant::now())));
        }
        self.pacing().sent(identity, operation, Instant::now());
        let outcome = request.await;
        drop(permit);
        if let Err(error) = &outcome {
            self.pacing()
                .failed(identity, operation, error, Instant::now());
        }
        outcome
    }

    async fn permit(&self, identity: &ManagedIdentityId) -> Option<OwnedSemaphorePermit> {
        let subscription = identity.subscription_id().to_ascii_lowercase();
        let semaphore = {
            let mut subscriptions = self
                .subscriptions
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let known = subscriptions
                .entry(subscription)
                .or_insert_with(|| Arc::new(Semaphore::new(self.in_flight)));
            Arc::clone(known)
        };
        // It is never closed.
        semaphore.acquire_owned().await.ok()
    }

    fn pacing(&self) -> MutexGuard<'_, Pacing> {
        self.pacing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
