//! What every request to Azure passes: how many are under way in a subscription, and how fast they go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::fair_queue::{Asker, Look};
use super::pacing::{Pacing, PacingState};
use super::target::{Operation, Target};
use crate::azure::AzureError;
use crate::leader::Claim;
use crate::runtime::deliberate::Bug;
use crate::runtime::lock::lock;

/// The one gate of a process, for as long as it leads.
pub(super) struct Gate {
    pacing: Mutex<Pacing>,
    /// Requests that may be under way in one subscription.
    in_flight: usize,
    subscriptions: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// Asked for before each write.
    claim: Claim,
}

impl Gate {
    pub(super) fn new(in_flight: usize, claim: Claim) -> Self {
        Self {
            pacing: Mutex::default(),
            in_flight,
            subscriptions: Mutex::default(),
            claim,
        }
    }

    /// Admits a repeat of a known failure if the other repeats leave room for it, or says when to ask again.
    pub(super) fn admit_repeat(
        &self,
        target: &Target,
        operation: Operation,
        asker: Asker,
    ) -> Result<(), Instant> {
        if asker.look == Look::First {
            return Ok(());
        }
        self.pacing()
            .admit_repeat(target, operation, asker, Instant::now())
    }

    /// Admits a request if Azure's pace allows it now, or says when to ask again.
    pub(super) fn admit(
        &self,
        target: &Target,
        operation: Operation,
        asker: Asker,
    ) -> Result<(), Instant> {
        self.pacing()
            .admit(target, operation, asker, Instant::now())
    }

    /// Lets these requests go together, or none of them.
    pub(super) fn admit_together(
        &self,
        target: &Target,
        requests: &[(Operation, Asker)],
    ) -> Result<(), Instant> {
        self.pacing()
            .admit_together(target, requests, Instant::now())
    }

    /// Waits until such a request may go.
    pub(super) async fn admitted(&self, target: &Target, operation: Operation, asker: Asker<'_>) {
        loop {
            let admitted = self.admit(target, operation, asker);
            let Err(until) = admitted else { return };
            sleep_until(until).await;
        }
    }

    /// Until when such a request is forbidden, although it was admitted earlier.
    pub(super) fn told_to_wait(&self, target: &Target, operation: Operation) -> Option<Instant> {
        self.pacing()
            .told_to_wait(target, operation, Instant::now())
    }

    /// Sends a request that was admitted, when fewer than the limit are under way in its subscription: identities come
    /// in the order in which they ask. What Azure says of its pace is remembered.
    pub(super) async fn send<T>(
        &self,
        target: &Target,
        operation: Operation,
        request: impl Future<Output = Result<T, AzureError>>,
    ) -> Result<T, AzureError> {
        let permit = self.permit_in_time(target, operation).await;
        if operation.is_write() && !Bug::ClaimAtRecordOnly.is_on() {
            self.claim.check().map_err(AzureError::without_claim)?;
        }
        let departs = self.pacing().depart(target, operation, Instant::now());
        if let Err(until) = departs {
            return Err(AzureError::held_back(until.duration_since(Instant::now())));
        }
        let outcome = request.await;
        drop(permit);
        match &outcome {
            Ok(_) => {
                self.pacing().succeeded(target, operation, Instant::now());
            }
            Err(error) => {
                self.pacing()
                    .failed(target, operation, error, Instant::now());
            }
        }
        outcome
    }

    /// A permit, when the identity may send its next request: where the one before was admitted in time and went late,
    /// an interval is left to wait for. That is done without a permit, which others could use.
    async fn permit_in_time(
        &self,
        target: &Target,
        operation: Operation,
    ) -> Option<OwnedSemaphorePermit> {
        loop {
            let permit = self.permit(target).await;
            let earliest = self.pacing().earliest(target, operation);
            match earliest.filter(|earliest| *earliest > Instant::now()) {
                None => return permit,
                Some(earliest) => {
                    drop(permit);
                    sleep_until(earliest).await;
                }
            }
        }
    }

    /// What is held back now, for the metrics.
    pub(super) fn state(&self) -> PacingState {
        self.pacing().state(Instant::now())
    }

    /// Forgets the subscriptions without a request under way, and what of Azure's pace is over.
    pub(super) fn prune(&self) {
        self.pacing().prune(Instant::now());
        let subscriptions = self.subscriptions.lock();
        subscriptions
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, permits| Arc::strong_count(permits) > 1);
    }

    /// How much it remembers.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        let subscriptions = self.subscriptions.lock();
        let subscriptions = subscriptions.unwrap_or_else(PoisonError::into_inner).len();
        subscriptions + self.pacing().remembered()
    }

    async fn permit(&self, target: &Target) -> Option<OwnedSemaphorePermit> {
        let group = target.group().to_owned();
        let semaphore = {
            let mut subscriptions = lock(&self.subscriptions);
            let known = subscriptions
                .entry(group)
                .or_insert_with(|| Arc::new(Semaphore::new(self.in_flight)));
            Arc::clone(known)
        };
        // It is never closed.
        semaphore.acquire_owned().await.ok()
    }

    fn pacing(&self) -> MutexGuard<'_, Pacing> {
        lock(&self.pacing)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::azure::AzureErrorKind;
    use azwib_crds::ManagedIdentityId;

    const ID: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders";

    const ASKER: Asker = Asker {
        namespace: "shop",
        look: Look::First,
    };

    /// Between two writes to a throttled identity, as published.
    const INTERVAL: Duration = Duration::from_secs(4);

    /// A gate with one permit, and an identity whose writes Azure has just throttled.
    async fn throttled() -> (Gate, Target) {
        let gate = Gate::new(1, Claim::of_the_only_process());
        let id = Target::of(&ManagedIdentityId::parse(ID).unwrap());
        let refused = async {
            let kind = AzureErrorKind::Throttled;
            Err::<(), _>(AzureError::local(kind, "slow down"))
        };
        gate.send(&id, Operation::Put, refused).await.unwrap_err();
        (gate, id)
    }

    #[tokio::test(start_paused = true)]
    async fn an_interval_counts_from_the_answer() {
        let (gate, id) = throttled().await;
        gate.admitted(&id, Operation::Put, ASKER).await;
        let slow = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(Instant::now())
        };
        let answered = gate.send(&id, Operation::Put, slow).await.unwrap();
        gate.admitted(&id, Operation::Put, ASKER).await;
        let request = async { Ok(Instant::now()) };
        let next = gate.send(&id, Operation::Put, request).await.unwrap();
        assert_eq!(next, answered + INTERVAL);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_goes_late_puts_off_the_next_that_was_admitted_in_time_and_holds_up_nobody_else()
     {
        let (gate, id) = throttled().await;
        for _ in ["the late one", "the next one"] {
            gate.admitted(&id, Operation::Put, ASKER).await;
        }
        // Only now is the record of the first one written.
        let sent = async || {
            gate.send(&id, Operation::Put, async { Ok(Instant::now()) })
                .await
                .unwrap()
        };
        let late = sent().await;
        let other = async {
            let request = async { Ok(Instant::now()) };
            gate.send(&id, Operation::Get, request).await.unwrap()
        };
        let (next, other) = tokio::join!(sent(), other);
        assert!(next >= late + INTERVAL, "{:?}", next - late);
        assert_eq!(other, late, "the only permit is free meanwhile");
    }
}
