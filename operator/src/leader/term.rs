//! The time in which this process holds the Lease: renews it, notices that it is lost, and gives it back.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::calls::{CallError, Calls};
use super::claim::Claim;
use super::record::{Mark, has_holder, is_of, is_released, named, released, renewed};
use super::timings::Timings;
use crate::runtime::clocks::Clocks;
use crate::runtime::deliberate::Bug;

/// How often a release is tried: a renewal whose answer was not waited for may come between.
const TRIES_TO_RELEASE: usize = 3;

/// A time in which this process leads. It is renewed until it is lost, released or dropped.
pub struct Term {
    claim: EndsWithTerm,
    lost: CancellationToken,
    renewals: DropGuard,
    task: JoinHandle<()>,
    renewing: Renewing,
}

/// Whoever forgets the term may not write any more.
struct EndsWithTerm(Claim);

impl Drop for EndsWithTerm {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What it takes to renew.
#[derive(Clone)]
struct Renewing {
    calls: Calls,
    mark: Mark,
    timings: Timings,
    clocks: Clocks,
}

/// What a Lease that was read again says of a term.
enum Found {
    /// It is of this term, and has this metadata.
    Ours(ObjectMeta),
    /// Nobody holds it: somebody has deleted or emptied it by hand. Nobody takes it before it has stood so for a whole lease,
    /// so who still has the claim takes it back.
    Vacant(ObjectMeta),
    /// Another holds it.
    Others(Option<String>),
}

impl Term {
    /// Begins to renew what was just taken.
    pub(super) fn begin(
        calls: Calls,
        lease: Lease,
        mark: Mark,
        claim: Claim,
        timings: Timings,
        clocks: Clocks,
    ) -> Self {
        let (lost, ended) = (CancellationToken::new(), CancellationToken::new());
        let renewing = Renewing {
            calls,
            mark,
            timings,
            clocks,
        };
        let task = {
            let (renewing, claim, lost, ended) =
                (renewing.clone(), claim.clone(), lost.clone(), ended.clone());
            tokio::spawn(async move {
                // However the task ends, also by a panic: who does not renew does not lead.
                let (_ended, _lost) = (EndsWithTerm(claim.clone()), lost.drop_guard());
                tokio::select! {
                    biased;
                    () = ended.cancelled() => {}
                    () = void(&claim, timings.retry_period) => {
                        tracing::warn!("the lease was not renewed in time");
                    }
                    () = renewing.renew(&claim, lease.metadata) => {}
                }
            })
        };
        Self {
            claim: EndsWithTerm(claim),
            lost,
            renewals: ended.drop_guard(),
            task,
            renewing,
        }
    }

    /// What each write of this term asks for.
    pub fn claim(&self) -> Claim {
        self.claim.0.clone()
    }

    /// Cancelled once the claim is void. A write that goes by the claim may learn of it a moment earlier.
    pub fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Ends the term. Nothing may be under way any more that was sent in it. The Lease is given back if it is still that of
    /// this term; where that fails, the next one waits until it has run out.
    pub async fn release(self) {
        drop(self.claim);
        drop(self.renewals);
        let _ = self.task.await;
        if Bug::LeaseNotReleased.is_on() {
            return;
        }
        for _ in 0..TRIES_TO_RELEASE {
            match self.renewing.release().await {
                Ok(()) => return,
                Err(error) if error.is_overtaken() => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the lease was not given back; it runs out by itself");
                    return;
                }
            }
        }
    }
}

/// Waits until the claim is void. Tokio's clock may stand still while the claim runs out, so it is looked at often.
async fn void(claim: &Claim, often: Duration) {
    while let Some(left) = claim.left() {
        sleep(left.min(often)).await;
    }
}

impl Renewing {
    /// Renews the Lease until it is another's.
    async fn renew(&self, claim: &Claim, metadata: ObjectMeta) {
        // None: it has to be read first, since the last answer did not say what there is.
        let mut known = Some(metadata);
        // By when they are sent, not by when they are answered: slow answers would leave no time for the next.
        let mut times = interval_at(
            Instant::now() + self.timings.retry_period,
            self.timings.retry_period,
        );
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            let outcome = self.renew_once(claim, &mut known).await;
            // Who has read it again, or whom somebody has come before, need not wait.
            let outcome = match outcome {
                Err(error) if error.is_overtaken() => self.renew_once(claim, &mut known).await,
                outcome => outcome,
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(holder)) => {
                    tracing::warn!(holder, "somebody else holds the lease");
                    return;
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, left = ?claim.left(), "cannot renew the lease; it is tried again");
                }
            }
        }
    }

    /// Renews it once. Where another holds it, that one's name.
    async fn renew_once(
        &self,
        claim: &Claim,
        known: &mut Option<ObjectMeta>,
    ) -> Result<Option<String>, CallError> {
        let metadata = match known.take() {
            Some(metadata) => metadata,
            None => match self.find().await? {
                Found::Ours(metadata) | Found::Vacant(metadata) => metadata,
                Found::Others(holder) => return Ok(Some(holder.unwrap_or_default())),
            },
        };
        let before = self.clocks.read();
        let lease = renewed(metadata, &self.mark, &self.timings, before.wall);
        let lease = self.calls.write(&lease).await?;
        claim.renewed(before);
        *known = Some(lease.metadata);
        Ok(None)
    }

    async fn release(&self) -> Result<(), CallError> {
        let Found::Ours(metadata) = self.find().await? else {
            return Ok(());
        };
        let lease = released(metadata, &self.mark, self.clocks.read().wall);
        self.calls.write(&lease).await?;
        Ok(())
    }

    async fn find(&self) -> Result<Found, CallError> {
        let Some(lease) = self.calls.get().await? else {
            return Ok(Found::Vacant(named(self.calls.name())));
        };
        let spec = lease.spec.unwrap_or_default();
        Ok(if is_of(&spec, &self.mark) {
            Found::Ours(lease.metadata)
        } else if !has_holder(&spec) && !is_released(&spec) {
            Found::Vacant(lease.metadata)
        } else {
            Found::Others(spec.holder_identity)
        })
    }
}
