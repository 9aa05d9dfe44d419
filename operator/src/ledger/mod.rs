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
mod shared_read;
mod turn;
mod unsettled;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use azwib_crds::{CredentialName, ManagedIdentityId, WorkloadIdentityBinding};
use futures::StreamExt;
use kube::ResourceExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::azure::{
    AzureError, AzureErrorKind, CredentialContent, Identity, IdentityService, ListedCredential,
};
use crate::runtime::deliberate::{Bug, keep_listing, kept_listing};
use gate::Gate;
use line::Line;
pub use line::{Applicant, Urgency};
use overlay::Overlay;
pub use pacing::Operation;
pub use shared_read::Freshness;
use shared_read::{Lookup, SharedRead};
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
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    Azure(AzureError),
    NotNow(NotNow),
}

/// The credentials of an identity, foreign ones included.
#[derive(Debug, Clone)]
pub struct Listing {
    pub credentials: Vec<ListedCredential>,
    /// When they were asked for.
    pub asked: Instant,
    /// Whoever gets them now is the one who asked.
    pub first_seen: bool,
}

/// An answer of Azure.
struct Seen<T> {
    answer: T,
    asked: Instant,
    first_seen: bool,
}

impl<T> Seen<T> {
    fn of(
        answer: Result<T, AzureError>,
        asked: Instant,
        first_seen: bool,
    ) -> Result<Self, ReadError> {
        let answer = answer.map_err(ReadError::Azure)?;
        Ok(Self {
            answer,
            asked,
            first_seen,
        })
    }
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
    entries: Mutex<HashMap<String, Arc<Ledger>>>,
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
    /// Bindings that were woken to take a place, and where.
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

    /// The ledger of this identity.
    pub fn of(&self, id: &ManagedIdentityId) -> Arc<Ledger> {
        let mut entries = lock(&self.entries);
        let ledger = entries.entry(id.key().to_owned()).or_insert_with(|| {
            Arc::new(Ledger {
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
                in_doubt: AtomicBool::new(false),
            })
        });
        Arc::clone(ledger)
    }

    /// The credentials of an identity as last listed, where they were.
    pub fn last_listing(&self, id: &ManagedIdentityId) -> Option<Vec<ListedCredential>> {
        let ledger = lock(&self.entries).get(id.key()).cloned();
        ledger?.listing.last()
    }

    /// Forgets a binding that is gone: nobody waits for it, and who waited behind it is called.
    pub fn gone(&self, id: &ManagedIdentityId, who: &BindingRef) {
        lock(&self.shared.called).remove(who);
        let ledger = lock(&self.entries).get(id.key()).cloned();
        let Some(ledger) = ledger else { return };
        lock(&ledger.without_slot).remove(who);
        ledger.line().leave(who);
        ledger.wake_without_slot();
        ledger.call_next();
    }

    /// Wakes who waits for a slot of this identity: somebody who stood before them does not any more.
    pub fn wake_waiters(&self, id: &ManagedIdentityId) {
        let ledger = lock(&self.entries).get(id.key()).cloned();
        ledger.inspect(|ledger| ledger.wake_without_slot());
    }

    /// Notes the end of a pass over `who`. Where it was woken to take a place and did not, the next is.
    pub fn passed(&self, who: &BindingRef) {
        let called = lock(&self.shared.called).remove(who);
        let Some(ledger) = called.and_then(|ledger| ledger.upgrade()) else {
            return;
        };
        if ledger.line().passed(who) {
            ledger.call_next();
        }
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
    /// Bindings that wait for a slot of the identity.
    without_slot: Mutex<BTreeSet<BindingRef>>,
    /// Names of the credentials whose records say nothing of an earlier process any more.
    known: Mutex<BTreeSet<String>>,
    /// A request about a credential has said that the identity is not there, and no read of the identity has answered since.
    in_doubt: AtomicBool,
}

impl Ledger {
    /// The identity that this is the ledger of.
    pub fn id(&self) -> &ManagedIdentityId {
        &self.id
    }

    /// The identity as Azure describes it; all bindings share one request, also one that fails.
    pub async fn identity(
        self: &Arc<Self>,
        who: &BindingRef,
        freshness: Freshness,
    ) -> Result<Identity, ReadError> {
        let freshness = if Bug::IdentityReadOnce.is_on() {
            Freshness::within(Duration::MAX)
        } else {
            freshness
        };
        let request = self.shared.service.get_identity(&self.id);
        let sent = self.shared.gate.send(&self.id, Operation::Get, request);
        let read = self.read(&self.identity, who, freshness, Operation::Get, |_| sent);
        read.await.map(|seen| seen.answer)
    }

    /// All credentials of the identity, foreign ones included; all bindings share one request, also one that fails.
    pub async fn listing(
        self: &Arc<Self>,
        who: &BindingRef,
        freshness: Freshness,
    ) -> Result<Listing, ReadError> {
        let started = self.shared.started;
        if let Some(credentials) = kept_listing(self.id.key(), started.elapsed()) {
            return Ok(Listing {
                credentials,
                asked: started,
                first_seen: false,
            });
        }
        let request = async |asked| {
            let listing = self.all_pages().await?;
            Ok(self.listed(listing, asked))
        };
        let read = self.read(&self.listing, who, freshness, Operation::List, request);
        let Seen {
            answer,
            asked,
            first_seen,
        } = read.await?;
        Ok(Listing {
            credentials: answer,
            asked,
            first_seen,
        })
    }

    /// The credentials of all pages. The first one was admitted; the others wait for their time here, since what came
    /// before is of no use without them.
    async fn all_pages(&self) -> Result<Vec<ListedCredential>, AzureError> {
        let gate = &self.shared.gate;
        let mut pages = self.shared.service.list_credentials(&self.id);
        let mut credentials = Vec::new();
        loop {
            let page = async { pages.next().await.transpose() };
            let Some(page) = gate.send(&self.id, Operation::List, page).await? else {
                return Ok(credentials);
            };
            credentials.extend(page.credentials);
            if !page.has_next {
                return Ok(credentials);
            }
            gate.admitted(&self.id, Operation::List).await;
        }
    }

    /// One credential as it is now; None where there is none of this name.
    ///
    /// Where it is other than what Azure has acknowledged within the settle time, either the read lags or somebody has
    /// changed it since: which of the two, a read after that time shows.
    pub async fn credential(
        &self,
        name: &CredentialName,
    ) -> Result<Option<ListedCredential>, ReadError> {
        let settle_time = self.shared.settings.write_settle_time;
        let certain = || match lock(&self.overlay).doubt(name.as_str(), settle_time) {
            Some(settles_in) => Err(ReadError::NotNow(NotNow::Unsettled { settles_in })),
            None => Ok(()),
        };
        certain()?;
        self.admit(Operation::Get).map_err(ReadError::NotNow)?;
        let asked = Instant::now();
        let request = self.shared.service.get_credential(&self.id, name);
        let read = self.shared.gate.send(&self.id, Operation::Get, request);
        let found = read.await.map_err(ReadError::Azure)?;
        lock(&self.overlay).look(name.as_str(), found.as_ref(), asked, settle_time);
        certain()?;
        Ok(found)
    }

    async fn read<T: Clone, F>(
        &self,
        read: &SharedRead<T>,
        who: &BindingRef,
        freshness: Freshness,
        operation: Operation,
        request: impl FnOnce(Instant) -> F,
    ) -> Result<Seen<T>, ReadError>
    where
        F: Future<Output = Result<T, AzureError>>,
    {
        let asking = match read.look(who, freshness) {
            Lookup::Answer(answer, asked) => {
                return Seen::of(answer, asked, false);
            }
            Lookup::UnderWay => return Err(ReadError::NotNow(NotNow::UnderWay)),
            Lookup::Ask(asking) => asking,
        };
        self.admit(operation).map_err(ReadError::NotNow)?;
        let asked = asking.asked();
        let answer = request(asked).await;
        self.wake(asking.answer(&answer));
        Seen::of(answer, asked, true)
    }

    /// What a listing that was asked for at `asked` says, with the writes that it may lack.
    fn listed(
        self: &Arc<Self>,
        listing: Vec<ListedCredential>,
        asked: Instant,
    ) -> Vec<ListedCredential> {
        if self.unsettled().settle(&listing, asked) {
            let waiting = self.line().call_all();
            self.wake(waiting);
        }
        let settle_time = self.shared.settings.write_settle_time;
        let listing = lock(&self.overlay).complete(listing, asked, settle_time);
        keep_listing(self.id.key(), &listing);
        if listing.len() < self.shared.settings.credential_limit {
            self.wake_without_slot();
        }
        listing
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

    /// The names of the credentials that others are about to create.
    pub fn promised(&self) -> BTreeSet<String> {
        self.line().promised()
    }

    /// Whether somebody else is about to delete the credential of this name. Then `who` comes after that.
    pub fn awaits_deletion(&self, who: &Applicant, name: &CredentialName) -> bool {
        let mut line = self.line();
        let going = line.is_going(name.as_str());
        if going {
            line.wait(who);
        }
        going
    }

    /// Notes that `who` finds no slot: it is woken when one may be free. Where all were in use, and one has been freed since
    /// that was looked at, that is now.
    pub fn wait_for_slot(&self, who: &BindingRef, all_in_use: bool) {
        lock(&self.without_slot).insert(who.clone());
        if all_in_use && self.has_room() {
            self.wake_without_slot();
        }
    }

    fn has_room(&self) -> bool {
        let promised = self.promised();
        let used = self.listing.peek(|listing| {
            let listed = |name: &String| {
                let mut names = listing.iter().map(|it| &it.name);
                names.any(|it| it.eq_ignore_ascii_case(name))
            };
            listing.len() + promised.iter().filter(|name| !listed(name)).count()
        });
        used.is_some_and(|used| used < self.shared.settings.credential_limit)
    }

    /// Takes note of a record of a write that an earlier process may have sent: it counts as sent when this one started.
    /// What this process records itself it knows better.
    pub fn take_note_of_pending(&self, name: &str, content: CredentialContent) {
        if lock(&self.known).insert(name.to_owned()) {
            self.unsettled()
                .assume(name, Effect::Put(content), self.shared.started);
        }
    }

    /// Says that this process has recorded the write that it is about to send. Not said of a record that was refused: the
    /// store of a new process may not have shown it yet what the earlier one has recorded.
    pub fn recorded(&self, name: &CredentialName) {
        lock(&self.known).insert(name.to_string());
    }

    /// Whether the identity is gone, as a request about one of its credentials has said; Azure says so of one that was made
    /// a moment ago as well, so the identity itself is asked for. Until it has answered it stays in doubt.
    pub async fn is_gone(self: &Arc<Self>, who: &BindingRef) -> Result<bool, NotNow> {
        self.in_doubt.store(true, Ordering::Relaxed);
        match self.identity(who, Freshness::now()).await {
            Err(ReadError::NotNow(why)) => Err(why),
            Err(ReadError::Azure(source)) if source.kind() == AzureErrorKind::ParentNotFound => {
                Ok(true)
            }
            Ok(_) | Err(ReadError::Azure(_)) => {
                self.in_doubt.store(false, Ordering::Relaxed);
                Ok(false)
            }
        }
    }

    /// Whether the identity is to be asked for before its credentials: where Azure sets the pace of reads, the one that
    /// comes second might never be made.
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Relaxed)
    }

    fn admit(&self, operation: Operation) -> Result<(), NotNow> {
        let admitted = self.shared.gate.admit(&self.id, operation);
        admitted.map_err(|until| NotNow::Paced { until })
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
            lock(&self.shared.called).insert(called.clone(), Arc::downgrade(self));
            self.wake([called]);
        }
    }

    fn wake_without_slot(&self) {
        let waiting = std::mem::take(&mut *lock(&self.without_slot));
        self.wake(waiting);
    }

    fn wake(&self, bindings: impl IntoIterator<Item = BindingRef>) {
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
