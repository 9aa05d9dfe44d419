//! The ledgers of a process, and the books of each.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use azwib_crds::{ClientId, CredentialName, ManagedIdentityId};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::acknowledged::Acknowledged;
use super::contention::Contention;
use super::gate::Gate;
use super::lost_writes::{Effect, LostWrites};
use super::queue::WriteQueue;
use super::shared_read::SharedRead;
use super::slots::Waiting;
use super::target::Target;
use super::who::BindingRef;
use crate::azure::auth::Claims;
use crate::azure::{CredentialContent, Identity, IdentityService, ListedCredential};
use crate::leader::Claim;
use crate::runtime::deliberate::Bug;
use crate::runtime::lock::lock;

/// How much too early a replica begins to count that has the bug [`Bug::StartTakenForTakeover`].
const EARLIER: Duration = Duration::from_secs(120);

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
    pub(super) shared: Arc<Shared>,
    pub(super) entries: Mutex<Entries>,
}

#[derive(Default)]
pub(super) struct Entries {
    pub(super) ledgers: HashMap<String, Entry>,
}

pub(super) struct Entry {
    pub(super) ledger: Arc<Ledger>,
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
pub(super) struct Shared {
    pub(super) service: Arc<dyn IdentityService>,
    pub(super) gate: Gate,
    pub(super) wake: UnboundedSender<BindingRef>,
    pub(super) writes: TaskTracker,
    /// When this process began to write, be it at its start or when it took over: the latest time at which an earlier one can
    /// have sent a write.
    pub(super) started: Instant,
    pub(super) settings: LedgerSettings,
    /// Bindings that were woken to take a place or a slot, and where.
    pub(super) called: Mutex<HashMap<BindingRef, Weak<Ledger>>>,
}

impl Ledgers {
    /// Ledgers over `service`; who has to be looked at again is sent to `wake`.
    pub fn new(
        service: Arc<dyn IdentityService>,
        wake: UnboundedSender<BindingRef>,
        settings: LedgerSettings,
    ) -> Self {
        Self::claiming(service, wake, settings, Claim::of_the_only_process())
    }

    /// The same, whose writes are sent while this claim is held. They count as begun when the claim was taken: what an earlier
    /// process has sent, it has sent before.
    pub fn claiming(
        service: Arc<dyn IdentityService>,
        wake: UnboundedSender<BindingRef>,
        settings: LedgerSettings,
        claim: Claim,
    ) -> Self {
        let long_ago = || Instant::now().checked_sub(EARLIER);
        let started = Bug::StartTakenForTakeover.is_on().then(long_ago).flatten();
        Self {
            shared: Arc::new(Shared {
                service,
                gate: Gate::new(settings.requests_in_flight, claim),
                wake,
                writes: TaskTracker::new(),
                started: started.unwrap_or_else(Instant::now),
                settings,
                called: Mutex::default(),
            }),
            entries: Mutex::default(),
        }
    }

    /// Whom the operator acts as in Azure, as far as it has signed in.
    pub async fn signed_in_as(&self) -> Option<Claims> {
        self.shared.service.signed_in_as().await
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
            target: Target::of(id),
            shared: Arc::clone(&self.shared),
            identity: SharedRead::default(),
            listing: SharedRead::default(),
            turn: Arc::default(),
            books: Mutex::default(),
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
        let mut books = ledger.books();
        books.without_slot.leave(who);
        // No pass over it follows, so nothing else would end what it was woken for.
        books.without_slot.answered(who);
        books.queue.leave(who);
        drop(books);
        ledger.wake_without_slot();
        ledger.call_next();
    }

    /// Wakes who waits for a slot of this identity: somebody who stood before them does not any more.
    pub fn wake_waiters(&self, id: &ManagedIdentityId) {
        let ledger = lock(&self.entries).get(id);
        ledger.inspect(|ledger| ledger.wake_without_slot());
    }

    /// Wakes these, who wait for something of this identity. Of one that nobody has asked about, nobody waits for anything.
    pub fn wake(&self, id: &ManagedIdentityId, waiting: impl Iterator<Item = BindingRef>) {
        let ledger = lock(&self.entries).get(id);
        ledger.inspect(|ledger| ledger.wake(waiting));
    }

    /// Notes the end of a pass over `who`. Where it was woken to take a place, or for a slot, and did not take it, the next
    /// is. `still_applies` says whether it stands before others as before.
    pub fn passed(&self, who: &BindingRef, still_applies: impl FnOnce() -> bool) {
        let called = lock(&self.shared.called).remove(who);
        let Some(ledger) = called.and_then(|ledger| ledger.upgrade()) else {
            return;
        };
        if ledger.books().queue.passed(who) {
            ledger.call_next();
        }
        ledger.offer_passed(who, still_applies());
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
///
/// The order of its locks: the turn; then one of the two shared reads; then the books. Each is held for a moment only, but
/// for the turn, and nothing else is locked while the books are.
pub struct Ledger {
    pub(super) id: ManagedIdentityId,
    pub(super) target: Target,
    pub(super) shared: Arc<Shared>,
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    pub(super) identity: SharedRead<Identity>,
    pub(super) listing: SharedRead<Vec<ListedCredential>>,
    books: Mutex<Books>,
}

/// What a ledger remembers besides what was read.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Writes whose answer was lost.
    pub(super) lost: LostWrites,
    /// Writes that a listing may not show yet.
    pub(super) acknowledged: Acknowledged,
    /// Who writes, and who waits for that.
    pub(super) queue: WriteQueue,
    /// Others who write to the identity.
    pub(super) contention: Contention,
    /// Applicants that wait for a slot of the identity.
    pub(super) without_slot: Waiting,
    /// What is known already of what an earlier process may have sent, by the name of the credential: records say nothing new of
    /// it.
    known: BTreeSet<(String, Sent)>,
    /// The orphans that were told of last.
    pub(super) told_of: Vec<String>,
    /// The client id with which its bindings were looked through last, and when that was asked for.
    pub(super) looked_through: Option<(ClientId, Instant)>,
    /// When the listing was asked for with which they were looked through last.
    pub(super) listing_looked_through: Option<Instant>,
    /// A request about a credential has said that the identity is not there, and no read of the identity has answered since.
    pub(super) in_doubt: bool,
}

/// What an earlier process may have sent about a credential. First it is made and later deleted, and a record that comes late may
/// show that one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sent {
    Put,
    Deletion,
}

impl Ledger {
    /// The identity that this is the ledger of.
    pub fn id(&self) -> &ManagedIdentityId {
        &self.id
    }

    /// Takes note of a record of a write that an earlier process may have sent: it counts as sent when this one started.
    /// What this process records itself it knows better.
    pub fn take_note_of_pending(&self, name: &str, content: CredentialContent) {
        self.assume(name, Effect::Put(content));
    }

    /// Takes note of a deletion that an earlier process may have sent: it counts as sent when this one started. What this process
    /// has recorded itself was deleted by no earlier one. No listing shows that it is over: that the credential is gone may be
    /// the work of an earlier deletion, and one more may be under way.
    pub fn take_note_of_deletion(&self, name: &str) {
        if Bug::StaleBindingAtCleanup.is_on() || Bug::OldDeletionsForgotten.is_on() {
            return;
        }
        self.assume(name, Effect::DeleteUnseen);
    }

    /// Takes note of a binding of which nobody can tell what an earlier process has sent for it: the watch has not shown yet what
    /// has become of it. That is settled by time alone.
    pub fn take_note_of_unseen(&self, binding: &BindingRef) {
        self.assume(&binding.to_string(), Effect::DeleteUnseen);
    }

    fn assume(&self, name: &str, effect: Effect) {
        if !self.may_be_of_earlier_process() {
            return;
        }
        let sent = match effect {
            Effect::Put(_) => Sent::Put,
            Effect::Delete | Effect::DeleteUnseen => Sent::Deletion,
        };
        let mut books = self.books();
        if books.known.insert((name.to_owned(), sent)) {
            books.lost.assume(name, effect, self.shared.started);
        }
    }

    /// Says that this process has recorded the write that it is about to send. Not said of a record that was refused: the
    /// store of a new process may not have shown it yet what the earlier one has recorded.
    pub fn recorded(&self, name: &CredentialName) {
        if self.may_be_of_earlier_process() {
            let known = [Sent::Put, Sent::Deletion].map(|sent| (name.to_string(), sent));
            self.books().known.extend(known);
        }
    }

    /// Whether what an earlier process has sent may still have its effect.
    pub fn may_be_of_earlier_process(&self) -> bool {
        self.earlier_settles_in().is_some()
    }

    /// How long that may be so; None once it is over.
    pub fn earlier_settles_in(&self) -> Option<Duration> {
        let settle_time = self.shared.settings.write_settle_time;
        let left = settle_time.saturating_sub(self.shared.started.elapsed());
        (!left.is_zero()).then_some(left)
    }

    /// Takes note that a listing may show what an earlier process has deleted: once the first settle time is over, none counts that
    /// was asked for before.
    pub fn take_note_of_late_listings(&self) {
        let settled = self.shared.started + self.shared.settings.write_settle_time;
        self.books().lost.distrust_before(settled);
    }

    /// How long a deletion of this credential may still have its effect, if one was sent whose answer was lost.
    pub fn deletion_settles_in(&self, name: &str) -> Option<Duration> {
        self.books()
            .lost
            .deletion_open_for(name, self.shared.settings.write_settle_time)
    }

    /// How long a lost write may keep everybody off the identity, if one does.
    pub(super) fn open_for(&self) -> Option<Duration> {
        self.books()
            .lost
            .open_for(self.shared.settings.write_settle_time)
    }

    /// Wakes who is the next to write, if there is room.
    pub(super) fn call_next(self: &Arc<Self>) {
        let called = self.books().queue.call(Instant::now());
        if let Some(called) = called {
            self.expect(&called);
            self.wake([called]);
        }
    }

    /// Notes that `who` is woken to take something: the end of its pass says whether it did.
    pub(super) fn expect(self: &Arc<Self>, who: &BindingRef) {
        lock(&self.shared.called).insert(who.clone(), Arc::downgrade(self));
    }

    /// Has these bindings looked at.
    pub fn wake(&self, bindings: impl IntoIterator<Item = BindingRef>) {
        for binding in bindings {
            // A closed channel means that the operator is stopping.
            let _ = self.shared.wake.send(binding);
        }
    }

    /// The books, for a moment.
    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        lock(&self.books)
    }
}
