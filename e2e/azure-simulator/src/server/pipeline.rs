//! A request's way through the core: its phases, with the obstacles between them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::holds::Holds;
use super::issuer_documents::IssuerDocumentsClient;
use crate::core::Azure;
use crate::core::http::{Answer, Request, Response};
use crate::core::interference::When;

/// What all listeners share.
#[derive(Debug)]
pub(crate) struct Shared {
    azure: Mutex<Azure>,
    pub(crate) holds: Holds,
    issuer_documents: IssuerDocumentsClient,
}

impl Shared {
    pub(crate) fn new(azure: Azure, issuer_documents: IssuerDocumentsClient) -> Self {
        Self {
            azure: Mutex::new(azure),
            holds: Holds::default(),
            issuer_documents,
        }
    }

    /// The core, up to date. Never kept across an await.
    pub(crate) fn azure(&self) -> MutexGuard<'_, Azure> {
        let mut azure = self.azure.lock().unwrap_or_else(PoisonError::into_inner);
        azure.advance(Timestamp::now());
        azure
    }

    /// Takes a request through its phases. Dropping the future is the caller's going away: the phases that are
    /// still to come do not happen.
    pub(crate) async fn answer(self: &Arc<Self>, request: Request) -> Answer {
        let (method, path) = (request.method.clone(), request.path.clone());
        let service = request.service;
        let mut operation = self.azure().begin(request, Timestamp::now());
        let open = OpenRequest {
            shared: self,
            id: operation.id(),
            ended: false,
        };
        let obstacles = operation.obstacles().clone();
        sleep_until(operation.effect_at()).await;
        if let Some((hold, When::BeforeEffect)) = obstacles.hold {
            self.azure().hold(operation.id());
            self.holds.wait(hold).await;
        }
        if let Some(issuer) = operation.issuer_to_fetch().map(str::to_owned) {
            let documents = self.issuer_documents.fetch(&issuer).await;
            operation.provide_issuer_documents(documents);
        }
        let mut outcome = self.azure().take_effect(&mut operation, Timestamp::now());
        if let Some((hold, When::AfterEffect)) = obstacles.hold {
            let held = Timestamp::now();
            self.azure().hold(operation.id());
            self.holds.wait(hold).await;
            outcome.at += Timestamp::now().duration_since(held);
        }
        sleep_until(outcome.at).await;
        if matches!(outcome.answer, Answer::Never) {
            std::future::pending::<()>().await;
        }
        let response = outcome.answer.response();
        let status = response.map(|response| response.status.as_u16());
        tracing::info!(?service, %method, path, status, "request");
        open.end(response);
        outcome.answer
    }
}

async fn sleep_until(moment: Timestamp) {
    let wait = moment.duration_since(Timestamp::now());
    if let Ok(wait) = Duration::try_from(wait)
        && !wait.is_zero()
    {
        tokio::time::sleep(wait).await;
    }
}

/// Closes a request in the log, also when its caller goes away.
struct OpenRequest<'a> {
    shared: &'a Shared,
    id: u64,
    ended: bool,
}

impl OpenRequest<'_> {
    fn end(mut self, response: Option<&Response>) {
        self.shared.azure().end(self.id, response, Timestamp::now());
        self.ended = true;
    }
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.shared.azure().end(self.id, None, Timestamp::now());
        }
    }
}
