//! Reads of an identity and of its credentials: one request for all who ask, also where it fails.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use azwib_crds::CredentialName;
use futures::StreamExt;
use tokio::time::Instant;

use super::shared_read::{Freshness, Lookup, SharedRead};
use super::{BindingRef, Ledger, NotNow, Operation, lock};
use crate::azure::{AzureError, AzureErrorKind, Identity, ListedCredential};
use crate::runtime::deliberate::{Bug, keep_listing, kept_listing};

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
}

impl Ledger {
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
        read.await.map(|(identity, _)| identity)
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
        let request = async |asked| {
            let listing = self.all_pages().await?;
            Ok(self.listed(listing, asked))
        };
        let read = self.read(&self.listing, who, freshness, Operation::List, request);
        let (credentials, asked) = read.await?;
        Ok(Listing { credentials, asked })
    }

    /// Whether nobody has been told of this listing before.
    pub fn is_news(&self, listing: &Listing) -> bool {
        lock(&self.told_of).replace(listing.asked) != Some(listing.asked)
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

    /// One credential as it is now; None where there is none of this name. It is read only when these requests may go
    /// together, the read among them.
    ///
    /// Where it is other than what Azure has acknowledged within the settle time, either the read lags or somebody has
    /// changed it since: which of the two, a read after that time shows.
    pub(super) async fn credential(
        &self,
        name: &CredentialName,
        together: &[Operation],
    ) -> Result<Option<ListedCredential>, ReadError> {
        let settle_time = self.shared.settings.write_settle_time;
        let certain = || match lock(&self.overlay).doubt(name.as_str(), settle_time) {
            Some(settles_in) => Err(ReadError::NotNow(NotNow::Unsettled { settles_in })),
            None => Ok(()),
        };
        certain()?;
        let gate = &self.shared.gate;
        gate.admit_together(&self.id, together)
            .map_err(|until| ReadError::NotNow(NotNow::Paced { until }))?;
        let asked = Instant::now();
        let request = self.shared.service.get_credential(&self.id, name);
        let read = gate.send(&self.id, Operation::Get, request);
        let found = read.await.map_err(ReadError::Azure)?;
        lock(&self.overlay).look(name.as_str(), found.as_ref(), asked, settle_time);
        certain()?;
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
        let (answer, asked) = match read.look(who, freshness) {
            Lookup::Answer(answer, asked) => (answer, asked),
            Lookup::UnderWay => return Err(ReadError::NotNow(NotNow::UnderWay)),
            Lookup::Ask(asking) => {
                self.admit(operation).map_err(ReadError::NotNow)?;
                let asked = asking.asked();
                let answer = request(asked).await;
                self.wake(asking.answer(&answer));
                (answer, asked)
            }
        };
        let answer = answer.map_err(ReadError::Azure)?;
        Ok((answer, asked))
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
        self.wake_by(&listing);
        listing
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

    pub(super) fn admit(&self, operation: Operation) -> Result<(), NotNow> {
        let admitted = self.shared.gate.admit(&self.id, operation);
        admitted.map_err(|until| NotNow::Paced { until })
    }
}
