//! A request between its phases, and how it ends.

use jiff::Timestamp;

use super::arm::error::ArmResult;
use super::http::{Answer, Request};
use super::interference::Obstacles;
use super::throttle::Remaining;
use super::time::after;
use super::{IssuerDocuments, arm, entra};

/// A request that was let in, or refused: the refusal is part of it and handed out in its time.
#[derive(Debug, Clone)]
pub(super) enum Admitted {
    ResourceManager(ArmResult<arm::Admitted>),
    Entra(entra::AdmittedResult),
    Issuer,
}

/// A request between its phases.
#[derive(Debug, Clone)]
pub struct Operation {
    pub(super) id: u64,
    pub(super) request: Request,
    pub(super) started: Timestamp,
    pub(super) admitted: Admitted,
    /// What Resource Manager's counters say to it.
    pub(super) remaining: Option<Remaining>,
    pub(super) obstacles: Obstacles,
    pub(super) issuer_to_fetch: Option<String>,
    pub(super) documents: Option<Result<IssuerDocuments, String>>,
}

impl Operation {
    /// Whether it was let in: one that was refused changes nothing, whatever becomes of it.
    pub(super) fn is_let_in(&self) -> bool {
        match &self.admitted {
            Admitted::ResourceManager(admitted) => admitted.is_ok(),
            Admitted::Entra(admitted) => admitted.is_ok(),
            Admitted::Issuer => true,
        }
    }

    /// Its number in the request log.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What is in its way.
    pub fn obstacles(&self) -> &Obstacles {
        &self.obstacles
    }

    /// When it is to take effect: half of its latency after its arrival.
    pub fn effect_at(&self) -> Timestamp {
        after(self.started, self.obstacles.latency_milliseconds / 2)
    }

    /// The issuer whose documents the decision needs; give them to [`Operation::provide_issuer_documents`].
    pub fn issuer_to_fetch(&self) -> Option<&str> {
        self.issuer_to_fetch.as_deref()
    }

    /// The documents of the issuer, or why they could not be fetched.
    pub fn provide_issuer_documents(&mut self, documents: Result<IssuerDocuments, String>) {
        self.documents = Some(documents);
    }
}

/// How a request ends, and when.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What the caller gets.
    pub answer: Answer,
    /// When it gets it: the other half of the latency after the effect.
    pub at: Timestamp,
}

/// A write whose caller has lost it, and which takes effect all the same.
#[derive(Debug)]
pub(super) struct LateEffect {
    pub(super) due: Timestamp,
    pub(super) operation: Operation,
}
