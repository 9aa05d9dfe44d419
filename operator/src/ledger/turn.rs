//! The right to write to one identity.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use azwib_crds::CredentialName;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, sleep};
use tracing::Instrument;

use super::books::Ledger;
use super::decide::{Decision, DesiredCredential};
use super::fair_queue::{Asker, Look};
use super::freshness::Freshness;
use super::lost_writes::Effect;
use super::not_now::NotNow;
use super::queue::Intent;
use super::shared_read::ReadError;
use super::target::Operation;
use super::who::{Urgency, Writer};
use crate::azure::allowed::{Question, while_allowed};
use crate::azure::{AzureError, AzureErrorKind, CredentialContent, Deleted, ListedCredential, Put};
use crate::runtime::deliberate::Bug;

/// While the answer of a write is lost, the identity is not listed more often than this.
const LISTINGS_OF_UNSETTLED: Duration = Duration::from_secs(20);

/// What is promised to others: credentials that are about to be created.
#[derive(Debug, Default)]
pub struct Promised {
    pub names: BTreeSet<String>,
    pub subjects: BTreeSet<String>,
}

/// Held by whoever prepares a write to an identity; dropping it lets the next one come.
pub struct Place {
    ledger: Arc<Ledger>,
    who: Writer,
    operation: Operation,
    /// A slot was promised, and no credential was acknowledged for it.
    promise_open: bool,
}

impl Place {
    pub(super) fn new(ledger: Arc<Ledger>, who: Writer, operation: Operation) -> Self {
        Self {
            ledger,
            who,
            operation,
            promise_open: false,
        }
    }

    /// Decides about this credential, knowing which slots are promised to others. The slot of one that is to
    /// be created is held as long as the place is: nobody can be promised the same one between the look and the promise.
    pub fn decide<E>(
        &mut self,
        credential: &DesiredCredential,
        decide: impl FnOnce(&Promised) -> Result<Decision, E>,
    ) -> Result<Decision, E> {
        let mut books = self.ledger.books();
        let decision = decide(&Promised {
            names: books.queue.promised(),
            subjects: books.queue.promised_subjects(),
        })?;
        if decision == Decision::Create {
            let intent = Intent::Creation {
                name: credential.name.to_string(),
                subject: credential.subject.to_string(),
            };
            books.queue.intend(self.who.binding(), intent);
            self.promise_open = true;
        }
        Ok(decision)
    }

    /// Says that the credential of this name goes, so that nobody counts on it meanwhile.
    pub fn announce_deletion(&self, name: &CredentialName) {
        let intent = Intent::Deletion(name.to_string());
        self.ledger.books().queue.intend(self.who.binding(), intent);
    }

    /// The credential that is to be deleted, as it is now: read once its deletion may go as well. Read before that it would
    /// be read again with each try, and of a throttled identity the reads are few.
    pub async fn credential_to_delete(
        &self,
        name: &CredentialName,
        look: Look,
    ) -> Result<Option<ListedCredential>, ReadError> {
        let asker = self.asker(look);
        let reads_early = Bug::ReadBeforeAdmission.is_on();
        let read = (Operation::Get, asker);
        // That the read was put off once more says nothing about the deletion.
        let deletion = (Operation::Delete, self.asker(Look::First));
        let together: &[_] = if reads_early {
            &[read]
        } else {
            &[read, deletion]
        };
        let found = self.ledger.credential(name, asker, together).await;
        if let Err(ReadError::NotNow(why)) = &found {
            self.wait_for_pace(*why);
        }
        if reads_early {
            self.admit(Look::First).map_err(ReadError::NotNow)?;
        }
        found
    }

    /// Admits the write if Azure's pace allows it now. Otherwise its writer stays the next and comes back at the time that this returns.
    pub fn admit(&self, look: Look) -> Result<(), NotNow> {
        self.ledger
            .admit(self.operation, self.asker(look))
            .inspect_err(|not_now| self.wait_for_pace(*not_now))
    }

    fn asker(&self, look: Look) -> Asker<'_> {
        Asker {
            namespace: &self.who.binding().namespace,
            look,
        }
    }

    /// Keeps the first place in the line for who has to come back at a time that Azure's pace sets.
    pub fn wait_for_pace(&self, not_now: NotNow) {
        if let NotNow::Paced { until } = not_now {
            self.ledger.books().queue.pace(&self.who, until);
        }
    }

    /// The turn, as soon as the write that is with Azure has its answer.
    ///
    /// There is none where that answer was lost, or says that Azure wants to be left alone.
    pub async fn turn(self) -> Result<Turn, NotNow> {
        let turn = if Bug::NoTurn.is_on() {
            Arc::default()
        } else {
            Arc::clone(&self.ledger.turn)
        };
        let held = turn.lock_owned().await;
        if let Some(settles_in) = self.ledger.open_for() {
            return Err(NotNow::Unsettled { settles_in });
        }
        let told = self
            .ledger
            .shared
            .gate
            .told_to_wait(&self.ledger.target, self.operation);
        if let Some(until) = told.filter(|_| !Bug::AdmittedForGood.is_on()) {
            let not_now = NotNow::Paced { until };
            self.wait_for_pace(not_now);
            return Err(not_now);
        }
        Ok(Turn {
            _held: held,
            place: self,
        })
    }
}

impl Place {
    /// Sends the write, and again while another write to the identity is in its way; when it was sent last, and what came of it.
    async fn sent<T, F>(
        &self,
        request: impl Fn(Arc<Ledger>) -> F,
    ) -> (Instant, Result<T, AzureError>)
    where
        F: Future<Output = Result<T, AzureError>>,
    {
        let (ledger, began) = (&self.ledger, Instant::now());
        let pause = ledger.books().contention.pause_before(began);
        if let Some(pause) = pause {
            sleep(pause).await;
        }
        loop {
            let mut sent = Instant::now();
            let request = async {
                sent = Instant::now();
                request(Arc::clone(ledger)).await
            };
            let gate = &ledger.shared.gate;
            let outcome = gate.send(&ledger.target, self.operation, request).await;
            let is_refused = |error: &AzureError| error.kind() == AzureErrorKind::ConcurrentWrite;
            match &outcome {
                Err(error) if is_refused(error) => {}
                Err(_) => return (sent, outcome),
                Ok(_) => {
                    ledger.books().contention.taken();
                    return (sent, outcome);
                }
            }
            let again = ledger.books().contention.refused(began, Instant::now());
            let Some(pause) = again else {
                return (sent, outcome);
            };
            sleep(pause).await;
            // A process that ends waits for what is under way only.
            let ends = ledger.shared.writes.is_closed();
            if ends || self.admit(Look::First).is_err() {
                return (sent, outcome);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.ledger.books().queue.give_back(self.who.binding());
        if self.promise_open {
            self.ledger.wake_without_slot();
        }
        self.ledger.call_next();
    }
}

/// Held by whoever writes to an identity.
///
/// Every write of azwib to Azure passes here.
pub struct Turn {
    // Given back before the place is, so that who is called finds it free.
    _held: OwnedMutexGuard<()>,
    place: Place,
}

impl Turn {
    /// The ledger of the identity.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.place.ledger
    }

    /// Writes a credential and gives the turn back. `may_go` is asked in the moment in which the request goes out; `None`
    /// where it says no, and nothing was sent.
    ///
    /// The request runs in a task of its own that holds the turn, so that a cancelled caller cannot free it while
    /// Azure is still at work.
    pub async fn put(
        self,
        name: &CredentialName,
        content: &CredentialContent,
        may_go: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Option<Put>, AzureError> {
        let (named, put) = (name.clone(), content.clone());
        let effect = Effect::Put(content.clone());
        let may_go: Question = Arc::new(may_go);
        let request = move |ledger: Arc<Ledger>| {
            let (named, put, may_go) = (named.clone(), put.clone(), Arc::clone(&may_go));
            async move {
                if !may_go() {
                    return Ok(None);
                }
                let service = &ledger.shared.service;
                let put = service.put_credential(&ledger.id, &named, &put);
                match while_allowed(Arc::clone(&may_go), put).await {
                    // Nothing was done, and it was not sent again.
                    Err(error) if error.kind() == AzureErrorKind::Unauthorized && !may_go() => {
                        Ok(None)
                    }
                    put => put.map(Some),
                }
            }
        };
        self.write(name, effect, Option::is_some, request).await
    }

    /// Deletes a credential and gives the turn back. A credential that is not there is success; `seen` says whether a
    /// read has shown it.
    pub async fn delete(self, name: &CredentialName, seen: bool) -> Result<Deleted, AzureError> {
        let named = name.clone();
        let effect = if seen {
            Effect::Delete
        } else {
            Effect::DeleteUnseen
        };
        let request = move |ledger: Arc<Ledger>| {
            let named = named.clone();
            async move {
                let service = &ledger.shared.service;
                service.delete_credential(&ledger.id, &named).await
            }
        };
        self.write(name, effect, |_| true, request).await
    }

    async fn write<T, F>(
        mut self,
        name: &CredentialName,
        effect: Effect,
        was_sent: fn(&T) -> bool,
        request: impl Fn(Arc<Ledger>) -> F + Send + Sync + 'static,
    ) -> Result<T, AzureError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, AzureError>> + Send + 'static,
    {
        let ledger = Arc::clone(&self.place.ledger);
        let (writes, name) = (ledger.shared.writes.clone(), name.to_string());
        let write = async move {
            let (sent, outcome) = self.place.sent(request).await;
            match &outcome {
                Ok(answer) if !was_sent(answer) => {}
                Ok(_) => {
                    self.place.promise_open = false;
                    ledger.acknowledged(&name, effect);
                }
                Err(error) => {
                    if Bug::NoReadAfterLostAnswer.is_on() {
                        return outcome;
                    }
                    if error.outcome_unknown() {
                        self.place.promise_open = false;
                        ledger.books().lost.lost(&name, effect, sent);
                    }
                    ledger.listing.forget();
                }
            }
            drop(self);
            outcome
        };
        match writes.spawn(write.in_current_span()).await {
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

impl Ledger {
    /// A place among those who write to the identity, or a later call of `who`.
    ///
    /// While a write whose answer was lost is open, the identity is listed first: that may show what became of it.
    pub async fn place(
        self: &Arc<Self>,
        who: &Writer,
        operation: Operation,
    ) -> Result<Place, NotNow> {
        let open = self
            .books()
            .lost
            .lost_at(self.shared.settings.write_settle_time);
        if let Some(lost) = open {
            let freshness = Freshness::since(lost).and_within(LISTINGS_OF_UNSETTLED);
            // Where the listing fails the write stays open.
            let _ = self.listing(who.binding(), freshness).await;
        }
        if let Some(settles_in) = self.open_for() {
            self.books().queue.wait(who);
            return Err(NotNow::Unsettled { settles_in });
        }
        let now = Instant::now();
        let granted = self.books().queue.take(who, now);
        self.call_next();
        if granted {
            return Ok(Place::new(Arc::clone(self), who.clone(), operation));
        }
        // What keeps a namespace from going should be known.
        let paced = self.books().queue.paced(who, now);
        match paced.filter(|_| who.urgency == Urgency::Deletion) {
            Some(until) => Err(NotNow::Paced { until }),
            None => Err(NotNow::UnderWay),
        }
    }

    /// Puts an acknowledged write into the listings that may lack it.
    fn acknowledged(self: &Arc<Self>, name: &str, effect: Effect) {
        self.amend_listing(Instant::now(), name, &effect);
        let frees_slot = !matches!(effect, Effect::Put(_));
        let settle_time = self.shared.settings.write_settle_time;
        self.books()
            .acknowledged
            .acknowledge(name, effect, settle_time);
        if frees_slot {
            self.wake_without_slot();
        }
    }
}
