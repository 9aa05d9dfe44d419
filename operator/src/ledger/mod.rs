//! The books of each managed identity: what Azure said about it, and who may write to it now.
//!
//! Azure takes one federated-credential write at a time per identity and answers 409 to the rest, and it throttles
//! reads hard. So the unit of work is the identity, not the binding: its bindings share one cached read of the identity
//! and one cached listing, and a [`Turn`] is needed to write. Nobody waits for a turn in a reconcile: whoever finds it
//! taken is woken when it is given back.

mod gate;
mod line;
mod overlay;
mod pacing;
pub mod plan;
mod queue;
mod reads;
mod shared_read;
mod slots;
mod turn;
mod unsettled;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use azwib_crds::{CredentialName, ManagedIdentityId, WorkloadIdentityBinding};
use kube::ResourceExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::azure::{CredentialContent, Identity, IdentityService, ListedCredential};
use gate::Gate;
use line::Line;
pub use line::{Applicant, Urgency};
use overlay::Overlay;
pub use pacing::Operation;
use queue::Asker;
pub use queue::Look;
pub use reads::{Listing, ReadError};
use shared_read::SharedRead;
pub use shared_read::{Freshness, Requested};
use slots::Waiting;
pub use turn::{Place, Turn};
use unsettled::{Effect, Unsettled};

/// While the answer of a write is lost, the identity is not listed more often than this.
const LISTINGS_OF_UNSETTLED: Duration = Duration::from_secs(20);

/// A binding, by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BindingRef {
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for BindingRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl BindingRef {
    pub fn of(binding: &WorkloadIdentityBinding) -> Self {
        Self {
            namespace: binding.namespace().unwrap_or_default(),
            name: binding.name_any(),
        }
    }
}

/// Why the ledger does nothing for a binding now. Nobody waits inside a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNow {
    /// Another binding of the identity is at it: who asked is woken when its turn comes.
    UnderWay,
    /// The answer of a write was lost: nothing is written until a read shows what became of it, or this time has passed.
    Unsettled { settles_in: Duration },
    /// Azure sets the pace: not before this.
    Paced { until: Instant },
    /// Others come first, or it was asked for a moment ago. Nothing is known to have changed, and nothing is said.
    PutOff { until: Instant },
}

/// What of the operator's configuration the ledgers depend on.
#[derive(Debug, Clone, Copy)]
pub struct LedgerSettings {
    /// A write whose answer was lost keeps others off its identity for so long, unless a read shows it.
    pub write_settle_time: Duration,
    /// Credentials that one identity may have.
    pub credential_limit: usize,
    /// Requests that may be under way at once in one subscription.
    pub requests_in_flight: usize,
}

/// One ledger per managed identity, made when it is first asked for.
pub struct Ledgers {
    shared: Arc<Shared>,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    ledgers: HashMap<String, Entry>,
}

struct Entry {
    ledger: Arc<Ledger>,
    asked_for: Instant,
}

impl Entries {
    /// The ledger of this identity, where there is one.
    fn get(&mut self, id: &ManagedIdentityId) -> Option<Arc<Ledger>> {
        let entry = self.ledgers.get_mut(id.key())?;
        entry.asked_for = Instant::now();
        Some(Arc::clone(&entry.ledger))
    }

    /// Forgets the ledgers of identities that nobody has asked for since this moment and that nobody needs.
    fn clear(&mut self, since: Instant, is_needed: impl Fn(&ManagedIdentityId) -> bool) {
        self.ledgers.retain(|_, entry| {
            entry.asked_for > since
                || Arc::strong_count(&entry.ledger) > 1
                || is_needed(entry.ledger.id())
        });
        self.ledgers.shrink_to(2 * self.ledgers.len());
    }
}

/// What all ledgers of a process have in common.
struct Shared {
    service: Arc<dyn IdentityService>,
    gate: Gate,
    wake: UnboundedSender<BindingRef>,
    writes: TaskTracker,
    /// When this process began: the latest time at which an earlier one can have sent a write.
    started: Instant,
    settings: LedgerSettings,
    /// Bindings that were woken to take a place or a slot, and where.
    called: Mutex<HashMap<BindingRef, Weak<Ledger>>>,
}

impl Ledgers {
    /// Ledgers over `service`; who has to be looked at again is sent to `wake`.
    pub fn new(
        service: Arc<dyn IdentityService>,
        wake: UnboundedSender<BindingRef>,
        settings: LedgerSettings,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                service,
                gate: Gate::new(settings.requests_in_flight),
                wake,
                writes: TaskTracker::new(),
                started: Instant::now(),
                settings,
                called: Mutex::default(),
            }),
            entries: Mutex::default(),
        }
    }

    /// The identity as this process has read it last.
    pub fn last_identity(&self, id: &ManagedIdentityId) -> Option<Identity> {
        let ledger = lock(&self.entries).get(id)?;
        ledger.identity.last()
    }

    /// The ledger of this identity.
    pub fn of(&self, id: &ManagedIdentityId) -> Arc<Ledger> {
        let mut entries = lock(&self.entries);
        if let Some(ledger) = entries.get(id) {
            return ledger;
        }
        let ledger = Arc::new(Ledger {
            id: id.clone(),
            shared: Arc::clone(&self.shared),
            unsettled: Mutex::default(),
            overlay: Mutex::default(),
            identity: SharedRead::default(),
            listing: SharedRead::default(),
            turn: Arc::default(),
            line: Mutex::default(),
            without_slot: Mutex::default(),
            known: Mutex::default(),
            told_of: Mutex::default(),
            looked_through: Mutex::default(),
            in_doubt: AtomicBool::new(false),
        });
        let entry = Entry {
            ledger: Arc::clone(&ledger),
            asked_for: Instant::now(),
        };
        entries.ledgers.insert(id.key().to_owned(), entry);
        ledger
    }

    /// The credentials of an identity as last listed, where they were.
    pub fn last_listing(&self, id: &ManagedIdentityId) -> Option<Vec<ListedCredential>> {
        let ledger = lock(&self.entries).get(id);
        ledger?.listing.last()
    }

    /// Forgets a binding that is gone: nobody waits for it, and who waited behind it is called.
    pub fn gone(&self, id: &ManagedIdentityId, who: &BindingRef) {
        lock(&self.shared.called).remove(who);
        let ledger = lock(&self.entries).get(id);
        let Some(ledger) = ledger else { return };
        lock(&ledger.without_slot).leave(who);
        ledger.line().leave(who);
        ledger.wake_without_slot();
        ledger.call_next();
    }

    /// Wakes who waits for a slot of this identity: somebody who stood before them does not any more.
    pub fn wake_waiters(&self, id: &ManagedIdentityId) {
        let ledger = lock(&self.entries).get(id);
        ledger.inspect(|ledger| ledger.wake_without_slot());
    }

    /// Notes the end of a pass over `who`. Where it was woken to take a place, or for a slot, and did not take it, the next
    /// is. `still_claims` says whether it stands before others as before.
    pub fn passed(&self, who: &BindingRef, still_claims: impl FnOnce() -> bool) {
        let called = lock(&self.shared.called).remove(who);
        let Some(ledger) = called.and_then(|ledger| ledger.upgrade()) else {
            return;
        };
        if ledger.line().passed(who) {
            ledger.call_next();
        }
        ledger.offer_passed(who, still_claims());
    }

    /// Forgets what is known of identities that no binding has to do with any more, and of Azure's pace where that is over:
    /// identities and subscriptions come and go with preview environments. What a write to one of them has left is kept
    /// until no read can lag behind it.
    pub fn prune(&self, is_needed: impl Fn(&ManagedIdentityId) -> bool) {
        let kept = 2 * self.shared.settings.write_settle_time;
        let Some(since) = Instant::now().checked_sub(kept) else {
            return;
        };
        lock(&self.entries).clear(since, is_needed);
        lock(&self.shared.called).retain(|_, ledger| ledger.strong_count() > 0);
        self.shared.gate.prune();
    }

    /// Waits until every write that was sent has its answer. No write may be started afterwards.
    pub async fn drain(&self) {
        self.shared.writes.close();
        self.shared.writes.wait().await;
    }
}

/// What is known about one managed identity.
pub struct Ledger {
    id: ManagedIdentityId,
    shared: Arc<Shared>,
    unsettled: Mutex<Unsettled>,
    overlay: Mutex<Overlay>,
    identity: SharedRead<Identity>,
    listing: SharedRead<Vec<ListedCredential>>,
    turn: Arc<tokio::sync::Mutex<()>>,
    line: Mutex<Line>,
    /// Claims that wait for a slot of the identity.
    without_slot: Mutex<Waiting>,
    /// Names of the credentials whose records say nothing of an earlier process any more.
    known: Mutex<BTreeSet<String>>,
    /// The orphans that were told of last.
    told_of: Mutex<Vec<String>>,
    /// When the read of the identity and the listing were asked for with which its bindings were looked through last.
    looked_through: Mutex<(Option<Instant>, Option<Instant>)>,
    /// A request about a credential has said that the identity is not there, and no read of the identity has answered since.
    in_doubt: AtomicBool,
}

impl Ledger {
    /// The identity that this is the ledger of.
    pub fn id(&self) -> &ManagedIdentityId {
        &self.id
    }

    /// A place among those who write to the identity, or a later call of `who`.
    ///
    /// While a write whose answer was lost is open, the identity is listed first: that may show what became of it.
    pub async fn place(
        self: &Arc<Self>,
        who: &Applicant,
        operation: Operation,
    ) -> Result<Place, NotNow> {
        let open = self
            .unsettled()
            .lost_at(self.shared.settings.write_settle_time);
        if let Some(lost) = open {
            let freshness = Freshness::since(lost).and_within(LISTINGS_OF_UNSETTLED);
            // Where the listing fails the write stays open.
            let _ = self.listing(who.binding(), freshness).await;
        }
        if let Some(settles_in) = self.open_for() {
            self.line().wait(who);
            return Err(NotNow::Unsettled { settles_in });
        }
        let now = Instant::now();
        let granted = self.line().take(who, now);
        self.call_next();
        if granted {
            return Ok(Place::new(Arc::clone(self), who.clone(), operation));
        }
        // What keeps a namespace from going should be known.
        let paced = self.line().paced(who, now);
        match paced.filter(|_| who.urgency == Urgency::Deletion) {
            Some(until) => Err(NotNow::Paced { until }),
            None => Err(NotNow::UnderWay),
        }
    }

    /// Takes note of a record of a write that an earlier process may have sent: it counts as sent when this one started.
    /// What this process records itself it knows better.
    pub fn take_note_of_pending(&self, name: &str, content: CredentialContent) {
        if self.may_be_of_earlier_process() && lock(&self.known).insert(name.to_owned()) {
            self.unsettled()
                .assume(name, Effect::Put(content), self.shared.started);
        }
    }

    /// Says that this process has recorded the write that it is about to send. Not said of a record that was refused: the
    /// store of a new process may not have shown it yet what the earlier one has recorded.
    pub fn recorded(&self, name: &CredentialName) {
        if self.may_be_of_earlier_process() {
            lock(&self.known).insert(name.to_string());
        }
    }

    /// Whether what an earlier process has sent may still have its effect.
    fn may_be_of_earlier_process(&self) -> bool {
        self.shared.started.elapsed() < self.shared.settings.write_settle_time
    }

    /// How long a lost write may keep everybody off the identity, if one does.
    fn open_for(&self) -> Option<Duration> {
        self.unsettled()
            .open_for(self.shared.settings.write_settle_time)
    }

    /// Wakes who is the next to write, if there is room.
    fn call_next(self: &Arc<Self>) {
        let called = self.line().call(Instant::now());
        if let Some(called) = called {
            self.expect(&called);
            self.wake([called]);
        }
    }

    /// Notes that `who` is woken to take something: the end of its pass says whether it did.
    fn expect(self: &Arc<Self>, who: &BindingRef) {
        lock(&self.shared.called).insert(who.clone(), Arc::downgrade(self));
    }

    /// Has these bindings looked at.
    pub fn wake(&self, bindings: impl IntoIterator<Item = BindingRef>) {
        for binding in bindings {
            // A closed channel means that the operator is stopping.
            let _ = self.shared.wake.send(binding);
        }
    }

    fn unsettled(&self) -> MutexGuard<'_, Unsettled> {
        lock(&self.unsettled)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        lock(&self.line)
    }
}

/// A panic elsewhere while the lock was held leaves these books usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
