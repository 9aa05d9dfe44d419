//! An Azure whose answers a test decides on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use azwib_crds::{ClientId, CredentialName, Guid, ManagedIdentityId};
use futures::{StreamExt, stream};
use tokio::sync::Semaphore;

use crate::azure::{
    AzureError, AzureErrorKind, CredentialContent, CredentialPage, CredentialPages, Deleted,
    Identity, IdentityService, ListedCredential, Put,
};
use std::time::Duration;

/// An Azure that counts requests, lets writes through only when told to, and fails when told to.
pub(super) struct Azure {
    pub(super) gets: AtomicUsize,
    pub(super) credential_reads: AtomicUsize,
    pub(super) lists: AtomicUsize,
    pub(super) writes_let_through: Semaphore,
    pub(super) writes_begun: AtomicUsize,
    pub(super) writes_done: AtomicUsize,
    pub(super) fails: AtomicBool,
    /// Whether what fails is the answer only.
    pub(super) lost: AtomicBool,
    pub(super) throttles: AtomicBool,
    /// So many further writes are refused because of another one.
    pub(super) collisions: AtomicUsize,
    /// How many pages a listing has.
    pub(super) pages: AtomicUsize,
    /// Whether the identity is gone.
    pub(super) gone: AtomicBool,
}

impl Azure {
    pub(super) fn new(writes_let_through: usize, fails: bool) -> Arc<Self> {
        Arc::new(Self {
            gets: AtomicUsize::new(0),
            lists: AtomicUsize::new(0),
            writes_let_through: Semaphore::new(writes_let_through),
            writes_begun: AtomicUsize::new(0),
            writes_done: AtomicUsize::new(0),
            fails: AtomicBool::new(fails),
            lost: AtomicBool::new(false),
            credential_reads: AtomicUsize::new(0),
            throttles: AtomicBool::new(false),
            collisions: AtomicUsize::new(0),
            pages: AtomicUsize::new(1),
            gone: AtomicBool::new(false),
        })
    }

    async fn write<T>(&self, outcome: T) -> Result<T, AzureError> {
        self.writes_begun.fetch_add(1, Ordering::SeqCst);
        let less = |left: usize| left.checked_sub(1);
        let order = Ordering::SeqCst;
        if self.collisions.fetch_update(order, order, less).is_ok() {
            let kind = AzureErrorKind::ConcurrentWrite;
            return Err(AzureError::local(kind, "another write is under way"));
        }
        self.writes_let_through.acquire().await.unwrap().forget();
        self.writes_done.fetch_add(1, Ordering::SeqCst);
        self.answer(outcome)
    }

    fn answer<T>(&self, outcome: T) -> Result<T, AzureError> {
        if self.fails.load(Ordering::SeqCst) {
            let down = AzureError::local(AzureErrorKind::Unavailable, "down");
            let lost = self.lost.load(Ordering::SeqCst);
            return Err(if lost { down.of_lost_write() } else { down });
        }
        if self.throttles.load(Ordering::SeqCst) {
            let kind = AzureErrorKind::Throttled;
            let throttled = AzureError::local(kind, "slow down");
            return Err(throttled.with_retry_after(Duration::from_secs(17)));
        }
        if self.gone.load(Ordering::SeqCst) {
            let kind = AzureErrorKind::ParentNotFound;
            return Err(AzureError::local(kind, "no such identity"));
        }
        Ok(outcome)
    }
}

#[async_trait]
impl IdentityService for Azure {
    async fn get_identity(&self, id: &ManagedIdentityId) -> Result<Identity, AzureError> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.answer(Identity {
            id: id.clone(),
            client_id: ClientId::parse("00000000-0000-0000-0000-000000000002").unwrap(),
            principal_id: Guid::parse("00000000-0000-4000-8000-0000000000aa").unwrap(),
            tenant_id: Guid::parse("00000000-0000-4000-8000-0000000000bb").unwrap(),
        })
    }

    fn list_credentials<'a>(&'a self, _: &ManagedIdentityId) -> CredentialPages<'a> {
        let pages = self.pages.load(Ordering::SeqCst);
        stream::iter(1..=pages)
            .then(move |page| async move {
                self.lists.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                let foreign = ListedCredential {
                    name: format!("foreign-{page}"),
                    content: None,
                };
                self.answer(CredentialPage {
                    credentials: if pages > 1 { vec![foreign] } else { vec![] },
                    has_next: page < pages,
                })
            })
            .boxed()
    }

    async fn get_credential(
        &self,
        _: &ManagedIdentityId,
        _: &CredentialName,
    ) -> Result<Option<ListedCredential>, AzureError> {
        self.credential_reads.fetch_add(1, Ordering::SeqCst);
        self.answer(None)
    }

    async fn put_credential(
        &self,
        _: &ManagedIdentityId,
        _: &CredentialName,
        _: &CredentialContent,
    ) -> Result<Put, AzureError> {
        self.write(Put::Created).await
    }

    async fn delete_credential(
        &self,
        _: &ManagedIdentityId,
        _: &CredentialName,
    ) -> Result<Deleted, AzureError> {
        self.write(Deleted::Deleted).await
    }
}
