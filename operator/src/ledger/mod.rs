//! The books of each managed identity: what Azure said about it, and who may write to it now.
//!
//! Azure takes one federated-credential write at a time per identity and answers 409 to the rest, and it throttles
//! reads hard. So the unit of work is the identity, not the binding: its bindings share one cached read of the identity
//! and one cached listing, and a [`Turn`] is needed to write. Nobody waits for a turn in a reconcile: whoever finds it
//! taken is woken when it is given back.

pub mod plan;
mod shared_read;
mod turn;
mod unsettled;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use azwib_crds::{ManagedIdentityId, WorkloadIdentityBinding};
use kube::ResourceExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::azure::{AzureError, CredentialContent, Identity, IdentityService, ListedCredential};
use shared_read::SharedRead;
pub use turn::Turn;
use unsettled::{Effect, Unsettled};

/// A binding that waits for a turn, by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BindingRef {
    pub namespace: String,
    pub name: String,
}

impl BindingRef {
    pub fn of(binding: &WorkloadIdentityBinding) -> Self {
        Self {
            namespace: binding.namespace().unwrap_or_default(),
            name: binding.name_any(),
        }
    }
}

/// How old an answer of Azure may be.
#[derive(Debug, Clone, Copy)]
pub enum Freshness {
    /// Answered within this time.
    Within(Duration),
    /// Asked at or after this moment.
    Since(Instant),
}

impl Freshness {
    fn allows(self, asked: Instant) -> bool {
        match self {
            Self::Within(age) => asked.elapsed() < age,
            Self::Since(moment) => asked >= moment,
        }
    }
}

/// One ledger per managed identity, made when it is first asked for.
pub struct Ledgers {
    service: Arc<dyn IdentityService>,
    entries: Mutex<HashMap<String, Arc<Ledger>>>,
    wake: UnboundedSender<BindingRef>,
    writes: TaskTracker,
    started: Instant,
    write_settle_time: Duration,
}

impl Ledgers {
    /// Ledgers over `service`; whoever waited for a turn is sent to `wake` when the turn is given back.
    ///
    /// A write whose answer was lost keeps others off its identity for `write_settle_time`, unless a read shows it.
    pub fn new(
        service: Arc<dyn IdentityService>,
        wake: UnboundedSender<BindingRef>,
        write_settle_time: Duration,
    ) -> Self {
        Self {
            started: Instant::now(),
            write_settle_time,
            service,
            entries: Mutex::default(),
            wake,
            writes: TaskTracker::new(),
        }
    }

    /// The ledger of this identity.
    pub fn of(&self, id: &ManagedIdentityId) -> Arc<Ledger> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let ledger = entries.entry(id.key().to_owned()).or_insert_with(|| {
            Arc::new(Ledger {
                id: id.clone(),
                service: Arc::clone(&self.service),
                wake: self.wake.clone(),
                writes: self.writes.clone(),
                started: self.started,
                write_settle_time: self.write_settle_time,
                unsettled: Mutex::default(),
                identity: SharedRead::default(),
                listing: SharedRead::default(),
                turn: Arc::default(),
                waiting: Mutex::default(),
            })
        });
        Arc::clone(ledger)
    }

    /// Waits until every write that was sent has its answer. No write may be started afterwards.
    pub async fn drain(&self) {
        self.writes.close();
        self.writes.wait().await;
    }
}

/// What is known about one managed identity.
pub struct Ledger {
    id: ManagedIdentityId,
    service: Arc<dyn IdentityService>,
    wake: UnboundedSender<BindingRef>,
    writes: TaskTracker,
    /// When this process began: the latest time at which an earlier one can have sent a write.
    started: Instant,
    write_settle_time: Duration,
    unsettled: Mutex<Unsettled>,
    identity: SharedRead<Identity>,
    listing: SharedRead<Vec<ListedCredential>>,
    turn: Arc<tokio::sync::Mutex<()>>,
    waiting: Mutex<Vec<BindingRef>>,
}

impl Ledger {
    /// The identity that this is the ledger of.
    pub fn id(&self) -> &ManagedIdentityId {
        &self.id
    }

    /// The identity as Azure describes it; concurrent callers share one request, also one that fails.
    pub async fn identity(&self, freshness: Freshness) -> Result<Identity, AzureError> {
        let request = self.service.get_identity(&self.id);
        self.identity.get(freshness, request).await
    }

    /// All credentials of the identity, foreign ones included; concurrent callers share one request, also one that fails.
    pub async fn listing(&self, freshness: Freshness) -> Result<Vec<ListedCredential>, AzureError> {
        let request = async {
            let asked = Instant::now();
            let listing = self.service.list_credentials(&self.id).await?;
            if self.unsettled().settle(&listing, asked) {
                self.wake_waiting();
            }
            Ok(listing)
        };
        self.listing.get(freshness, request).await
    }

    /// Takes the identity's turn to write, or notes who to wake when it is given back.
    ///
    /// While a write whose answer was lost is open, the identity is listed first: that may show what became of it.
    pub async fn turn(self: &Arc<Self>, who: BindingRef) -> Result<Turn, TurnTaken> {
        if self.unsettled().open_for(self.write_settle_time).is_some() {
            // Where the listing fails the write stays open.
            let _ = self.listing(Freshness::Since(Instant::now())).await;
        }
        let open_for = self.unsettled().open_for(self.write_settle_time);
        // Under this lock a turn cannot be given back between the look and the note.
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match (open_for, Arc::clone(&self.turn).try_lock_owned()) {
            (None, Ok(held)) => Ok(Turn::new(Arc::clone(self), held)),
            (settles_in, _) => {
                if !waiting.contains(&who) {
                    waiting.push(who);
                }
                Err(TurnTaken { settles_in })
            }
        }
    }

    /// Notes a write that an earlier process of the operator recorded and may have sent.
    pub fn assume_sent(&self, name: &str, content: CredentialContent) {
        self.unsettled()
            .assume(name, Effect::Put(content), self.started);
    }

    fn unsettled(&self) -> MutexGuard<'_, Unsettled> {
        self.unsettled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_waiting(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for binding in waiting.drain(..) {
            // A closed channel means that the operator is stopping.
            let _ = self.wake.send(binding);
        }
    }
}

/// The turn is not to be had now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnTaken {
    /// Set where a lost write keeps it: how long at the most.
    pub settles_in: Option<Duration>,
}

#[cfg(test)]
mod tests;
