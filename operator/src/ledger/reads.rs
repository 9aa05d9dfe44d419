//! Reads of an identity and of its credentials: one request for all who ask, also where it fails.

use std::sync::Arc;
use std::time::Duration;

use azwib_crds::CredentialName;
use futures::StreamExt;
use tokio::time::Instant;

use super::acknowledged::{Acknowledged, AcknowledgedEarlier, apply};
use super::books::Ledger;
use super::fair_queue::{Asker, Look};
use super::freshness::Freshness;
use super::lost_writes::Effect;
use super::not_now::NotNow;
use super::shared_read::{Lookup, ReadError, SharedRead};
use super::target::Operation;
use super::who::BindingRef;
use crate::azure::{AzureError, AzureErrorKind, Identity, ListedCredential};
use crate::runtime::deliberate::{Bug, keep_listing, kept_listing};
use crate::runtime::jitter;

/// Of the bindings that share a failure one asks again, and the others come back up to this much later: they are woken earlier if that
/// ends better.
const AFTER_WHO_ASKS: Duration = Duration::from_secs(15);

/// For so long the bindings of an identity are not looked through again while its client id is the same.
const LOOKED_THROUGH_FOR: Duration = Duration::from_secs(30);

/// The credentials of an identity, foreign ones included.
#[derive(Debug, Clone)]
pub struct Listing {
    pub credentials: Vec<ListedCredential>,
    /// When they were asked for.
    pub asked: Instant,
}

impl Ledger {
    /// The identity as Azure describes it; all bindings share one request, also one that fails.
    pub async fn identity(
        self: &Arc<Self>,
        who: &BindingRef,
        freshness: Freshness,
    ) -> Result<(Identity, Instant), ReadError> {
        let freshness = if Bug::IdentityReadOnce.is_on() {
            Freshness::within(Duration::MAX)
        } else {
            freshness
        };
        let request = async |_| {
            let request = self.shared.service.get_identity(&self.id);
            let sent = self.shared.gate.send(&self.target, Operation::Get, request);
            let identity = sent.await?;
            self.named_as(&identity);
            Ok(identity)
        };
        let read = self.read(&self.identity, who, freshness, Operation::Get, request);
        read.await
    }

    /// If the identity was deleted and made again, forgets what was listed before: those credentials are gone.
    fn named_as(&self, identity: &Identity) {
        let before = self.identity.last();
        if before.is_some_and(|before| before.client_id != identity.client_id) {
            self.books().acknowledged = Acknowledged::default();
            self.listing.forget();
        }
    }

    /// Whether the identity had this client id when it was read last; None where this process has never read it.
    pub fn has_client_id(&self, client_id: &str) -> Option<bool> {
        let last = self.identity.last();
        last.map(|last| last.client_id.to_string() == client_id)
    }

    /// Whether the identity had this client id when it was read last, and was read within this time.
    pub fn had_client_id_within(&self, max_age: Duration, client_id: &str) -> bool {
        let has = |identity: &Identity| identity.client_id.to_string() == client_id;
        self.identity.peek_within(max_age, has).unwrap_or_default()
    }

    /// Whether the bindings of the identity are to be looked through with this read of it: nobody has done so with this client
    /// id, or not for a while.
    ///
    /// Whoever names another one is woken. It may read the identity once more and have no way to say what it has seen, so that
    /// each read would wake it again.
    pub fn is_news_of_identity(&self, identity: &Identity, asked: Instant) -> bool {
        let last = &mut self.books().looked_through;
        let is_known = last.as_ref().is_some_and(|(client_id, before)| {
            *client_id == identity.client_id && asked.duration_since(*before) < LOOKED_THROUGH_FOR
        });
        if !is_known {
            *last = Some((identity.client_id.clone(), asked));
        }
        !is_known
    }

    /// Whether nobody has looked through the bindings of the identity with this listing.
    pub fn is_first_with_listing(&self, asked: Instant) -> bool {
        self.books().listing_looked_through.replace(asked) != Some(asked)
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
            });
        }
        let settle_time = self.shared.settings.write_settle_time;
        let freshness = freshness.and_since(self.books().lost.settled_unseen(settle_time));
        let request = async |asked| {
            let listing = self.all_pages(who).await?;
            Ok(self.listed(listing, asked))
        };
        let read = self.read(&self.listing, who, freshness, Operation::List, request);
        let (credentials, asked) = read.await?;
        Ok(Listing { credentials, asked })
    }

    /// All credentials of the identity, as [`Self::listing`] gives them, for a binding to which Azure has acknowledged this in an
    /// earlier process: for the settle time that counts for more than a listing.
    pub async fn listing_after(
        self: &Arc<Self>,
        earlier: Option<AcknowledgedEarlier>,
        who: &BindingRef,
        freshness: Freshness,
    ) -> Result<Listing, ReadError> {
        if let Some(earlier) = earlier {
            self.take_note_of_acknowledged(earlier);
        }
        self.listing(who, freshness).await
    }

    /// Takes note of a write that Azure has acknowledged to an earlier process, so long ago as status says: its overlay went
    /// with it. Status may come from a clock that is ahead; an earlier process wrote before this one started.
    pub fn take_note_of_acknowledged(&self, earlier: AcknowledgedEarlier) {
        let AcknowledgedEarlier { name, content, ago } = earlier;
        let now = Instant::now();
        let Some(at) = now.checked_sub(ago).map(|at| at.min(self.shared.started)) else {
            return;
        };
        if at + self.shared.settings.write_settle_time <= now {
            return;
        }
        let effect = Effect::Put(content);
        if self
            .books()
            .acknowledged
            .acknowledged_earlier(&name, effect.clone(), at)
        {
            self.amend_listing(at, &name, &effect);
        }
    }

    /// Puts a write that was acknowledged at this moment into the last listing, if that may lack it.
    pub(super) fn amend_listing(&self, at: Instant, name: &str, effect: &Effect) {
        let seen_later = at + self.shared.settings.write_settle_time;
        self.listing
            .amend(seen_later, |listing| apply(listing, name, effect));
    }

    /// Whether other orphans than these were told of last.
    pub fn is_news(&self, orphans: &[&str]) -> bool {
        let mut books = self.books();
        let is_news = books.told_of != orphans;
        if is_news {
            books.told_of = orphans.iter().map(|it| (*it).to_owned()).collect();
        }
        is_news
    }

    /// The credentials of all pages. The first one was admitted; the others wait for their time here, since what came
    /// before is of no use without them.
    async fn all_pages(&self, who: &BindingRef) -> Result<Vec<ListedCredential>, AzureError> {
        let gate = &self.shared.gate;
        let mut pages = self.shared.service.list_credentials(&self.id);
        let mut credentials = Vec::new();
        loop {
            let page = async { pages.next().await.transpose() };
            let Some(page) = gate.send(&self.target, Operation::List, page).await? else {
                return Ok(credentials);
            };
            credentials.extend(page.credentials);
            if !page.has_next {
                return Ok(credentials);
            }
            let asker = Asker {
                namespace: &who.namespace,
                look: Look::First,
            };
            gate.admitted(&self.target, Operation::List, asker).await;
        }
    }

    /// One credential as it is now; None where there is none of this name. It is read only when these requests may go
    /// together, the read among them.
    ///
    /// Where it is other than what Azure has acknowledged within the settle time, either the read lags or somebody has
    /// changed it since: which of the two, a read after that time shows.
    pub(super) async fn credential(
        &self,
        name: &CredentialName,
        asker: Asker<'_>,
        together: &[(Operation, Asker<'_>)],
    ) -> Result<Option<ListedCredential>, ReadError> {
        let settle_time = self.shared.settings.write_settle_time;
        let certain = || match self.books().acknowledged.doubt(name.as_str(), settle_time) {
            Some(settles_in) => Err(NotNow::Unsettled { settles_in }),
            None => Ok(()),
        };
        certain().map_err(ReadError::NotNow)?;
        let gate = &self.shared.gate;
        gate.admit_repeat(&self.target, Operation::Get, asker)
            .map_err(|until| ReadError::NotNow(NotNow::PutOff { until }))?;
        gate.admit_together(&self.target, together)
            .map_err(|until| ReadError::NotNow(NotNow::Paced { until }))?;
        let asked = Instant::now();
        let request = self.shared.service.get_credential(&self.id, name);
        let read = gate.send(&self.target, Operation::Get, request);
        let found = read.await.map_err(|source| ReadError::Azure {
            source,
            again: None,
        })?;
        self.books()
            .acknowledged
            .look(name.as_str(), found.as_ref(), asked, settle_time);
        certain().map_err(ReadError::NotNow)?;
        Ok(found)
    }

    /// An answer, and when it was asked for.
    async fn read<T: Clone, F>(
        &self,
        read: &SharedRead<T>,
        who: &BindingRef,
        freshness: Freshness,
        operation: Operation,
        request: impl FnOnce(Instant) -> F,
    ) -> Result<(T, Instant), ReadError>
    where
        F: Future<Output = Result<T, AzureError>>,
    {
        let asking = match read.look(who, freshness) {
            Lookup::Answer(Ok(answer), asked) => return Ok((answer, asked)),
            Lookup::Answer(Err(source), _) => {
                let later = AFTER_WHO_ASKS.mul_f64(jitter::factor(0.1..=1.0));
                let again = read.again().map(|at| at + later);
                return Err(ReadError::Azure { source, again });
            }
            Lookup::UnderWay => return Err(ReadError::NotNow(NotNow::UnderWay)),
            Lookup::PutOff(until) => return Err(ReadError::NotNow(NotNow::PutOff { until })),
            Lookup::Ask(asking) => asking,
        };
        let asker = Asker {
            namespace: &who.namespace,
            look: asking.look(freshness),
        };
        if let Err(not_now) = self.admit(operation, asker) {
            return Err(asking.put_off(freshness, not_now));
        }
        let asked = asking.asked();
        let answer = request(asked).await;
        self.wake(asking.answer(&answer));
        match answer {
            Ok(answer) => Ok((answer, asked)),
            Err(source) => {
                let again = read.again();
                Err(ReadError::Azure { source, again })
            }
        }
    }

    /// What a listing that was asked for at `asked` says, with the writes that it may lack.
    fn listed(
        self: &Arc<Self>,
        listing: Vec<ListedCredential>,
        asked: Instant,
    ) -> Vec<ListedCredential> {
        if self.books().lost.settle(&listing, asked) {
            let waiting = self.books().queue.call_all();
            self.wake(waiting);
        }
        let settle_time = self.shared.settings.write_settle_time;
        let listing = self
            .books()
            .acknowledged
            .complete(listing, asked, settle_time);
        keep_listing(self.id.key(), &listing);
        self.wake_by(&listing);
        listing
    }

    /// Whether the identity is gone, as a request about one of its credentials has said; Azure says so of one that was made
    /// a moment ago as well, so the identity itself is asked for. Until it has answered it stays in doubt.
    pub async fn is_gone(self: &Arc<Self>, who: &BindingRef) -> Result<bool, NotNow> {
        self.books().in_doubt = true;
        match self.identity(who, Freshness::now()).await {
            Err(ReadError::NotNow(why)) => Err(why),
            Err(ReadError::Azure { source, .. })
                if source.kind() == AzureErrorKind::ParentNotFound =>
            {
                Ok(true)
            }
            Ok(_) | Err(ReadError::Azure { .. }) => {
                self.books().in_doubt = false;
                Ok(false)
            }
        }
    }

    /// Whether the identity is to be asked for before its credentials: where Azure sets the pace of reads, the one that
    /// comes second might never be made.
    pub fn is_in_doubt(&self) -> bool {
        self.books().in_doubt
    }

    /// Lets a request go, or says why not now.
    pub(super) fn admit(&self, operation: Operation, asker: Asker) -> Result<(), NotNow> {
        let gate = &self.shared.gate;
        gate.admit_repeat(&self.target, operation, asker)
            .map_err(|until| NotNow::PutOff { until })?;
        gate.admit(&self.target, operation, asker)
            .map_err(|until| NotNow::Paced { until })
    }
}
