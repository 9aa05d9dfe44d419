//! One replica of the operator: it watches whether it leads or waits, and makes passes while it leads.

mod issuer;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube_runtime::reflector::Store;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::azure::error::SetupError;
use crate::azure::msi::MsiIdentityService;
use crate::binding::account::ExistingAccount;
use crate::binding::controller::passes::Notice;
use crate::binding::controller::{self, Feed, Unseen};
use crate::binding::earlier::{keep_off, take_note_of_earlier};
use crate::binding::events::Events;
use crate::binding::grants::tell::keep_told;
use crate::binding::index::Bindings;
use crate::binding::metrics::State;
use crate::binding::tell_issuer::keep_issuer_told;
use crate::binding::validate::Defaults;
use crate::binding::{Operator, Settings};
use crate::grant::Authority;
use crate::issuer::discovery::Origin;
use crate::leader::{Claim, Elector};
use crate::ledger::{LedgerSettings, Ledgers};
use crate::runtime::clock::Clock;
use crate::runtime::deliberate::Bug;
use crate::runtime::liveness::Liveness;
use crate::runtime::metrics::TermMetrics;
use crate::runtime::shutdown::{BadEnd, End, wind_down};

/// How long a replica that takes over tries to list grants and bindings afresh.
const LISTED_WITHIN: Duration = Duration::from_secs(30);

/// How often it tries.
const LISTED_AGAIN: Duration = Duration::from_secs(1);

/// How often it tries after that: what grants need may not be installed.
const LISTED_LATER: Duration = Duration::from_secs(30);

/// What a replica runs on, and what it is noticed by: a process, or a simulation.
pub trait Host: Send + Sync + 'static {
    /// A client for calls, whose writes are sent while this claim is held; with none, for those that need no claim.
    ///
    /// # Errors
    /// It cannot be made.
    fn calling(&self, claim: Option<Claim>) -> Result<Client, kube::Error>;

    /// The replica leads from now on, or does not any more.
    fn leads(&self, leads: bool);

    /// Something has become of a pass.
    fn noticed(&self, notice: Notice);
}

/// Why a replica ends in another way than it was told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot make a client for the API server")]
    Client(#[from] kube::Error),
    #[error("the flags for Azure do not work")]
    Azure(#[from] SetupError),
    #[error(transparent)]
    End(#[from] BadEnd),
}

/// What a replica has whether it leads or waits.
pub struct Replica<H> {
    pub host: Arc<H>,
    pub service: MsiIdentityService,
    pub ledger: LedgerSettings,
    pub bindings: Bindings,
    pub accounts: Store<ExistingAccount>,
    pub grants: Arc<Authority>,
    pub settings: Settings,
    /// Where the issuer comes from, and where passes find it.
    pub issuer: Origin,
    pub defaults: watch::Sender<Defaults>,
    pub clock: Clock,
    /// How much time there is for a write under way.
    pub grace: Duration,
    pub feed: Feed,
    pub term_metrics: TermMetrics,
    pub liveness: Liveness,
}

impl<H: Host> Replica<H> {
    /// Leads whenever the Lease says so, until it is told to stop. The feed has to be carried meanwhile.
    ///
    /// # Errors
    /// A term ends in another way than it should.
    pub async fn take_turns(
        &self,
        mut elector: Elector,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        while let Some(term) = elector.term(stop).await {
            tracing::info!("this process leads");
            self.host.leads(true);
            let (claim, lost) = (term.claim(), term.lost());
            let end = self.begin(claim, &lost, stop).await?;
            self.bindings.stand_by();
            self.host.leads(false);
            match end {
                End::AllAnswered => term.release().await,
                // A write to the cluster may be under way: nobody leads before the Lease has run out.
                End::GivenUp => drop(term),
            }
            tracing::info!("this process does not lead any more");
        }
        Ok(())
    }

    /// Leads as the only one, until it is told to stop. The feed has to be carried meanwhile.
    ///
    /// # Errors
    /// It ends in another way than it should.
    pub async fn lead_alone(&self, stop: &CancellationToken) -> Result<(), Error> {
        let (never, claim) = (CancellationToken::new(), Claim::of_the_only_process());
        self.host.leads(true);
        self.begin(claim, &never, stop).await?;
        Ok(())
    }

    /// Leads, with the issuer as it is now. Where that is not known it only tells so, and begins anew once it is.
    async fn begin(
        &self,
        claim: Claim,
        lost: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<End, Error> {
        loop {
            tokio::select! {
                biased;
                () = self.settle_issuer() => {}
                () = lost.cancelled() => return Ok(End::AllAnswered),
                () = stop.cancelled() => return Ok(End::AllAnswered),
            }
            let is_known = self.defaults.borrow().unknown_issuer.is_none();
            let end = self.begin_with_issuer(claim.clone(), lost, stop).await?;
            if is_known || lost.is_cancelled() || stop.is_cancelled() {
                return Ok(end);
            }
        }
    }

    /// Finds out what the leader before may have under way, and leads.
    async fn begin_with_issuer(
        &self,
        claim: Claim,
        lost: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<End, Error> {
        let Some(mut unseen) = self.list_afresh(lost, stop).await? else {
            return Ok(End::AllAnswered);
        };
        self.bindings.take_over();
        // Also where the Lease was given back: a request whose answer was not waited for any longer may be under way, or one of a
        // leader before that one.
        if !Bug::OldDeletionsForgotten.is_on() {
            let gone = self.bindings.gone_within(self.ledger.write_settle_time);
            unseen.extend(gone.into_iter().map(|(binding, identities)| Unseen {
                binding,
                identities,
            }));
        }
        self.lead(claim, unseen, lost.clone(), stop).await
    }

    /// Lists grants and bindings afresh, and says of which bindings the watch is behind; where there is no list of them in time that is
    /// all of them. Where there is none of grants, nothing is given until there is. None: the term is lost, or the replica is told to
    /// stop.
    async fn list_afresh(
        &self,
        lost: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<Option<Vec<Unseen>>, Error> {
        let client = self.host.calling(None)?;
        self.grants.doubt();
        let listed = async {
            let grants = || controller::list_afresh(&client, &self.grants);
            let grants = timeout(LISTED_WITHIN, until_listed("grants", LISTED_AGAIN, grants));
            let bindings = || controller::unseen(&client, &self.bindings);
            let bindings = timeout(
                LISTED_WITHIN,
                until_listed("bindings", LISTED_AGAIN, bindings),
            );
            let (grants, bindings) = futures::join!(grants, bindings);
            if grants.is_err() {
                tracing::warn!(
                    "grants were not listed afresh within {LISTED_WITHIN:?}: where they are enforced, nothing new is given to any binding \
                     until they are"
                );
            }
            bindings.unwrap_or_else(|_| {
                tracing::warn!(
                    "bindings were not listed afresh within {LISTED_WITHIN:?}: nothing is written to any identity before the leader before \
                     can have sent nothing more"
                );
                controller::all_unseen(&self.bindings)
            })
        };
        Ok(tokio::select! {
            biased;
            unseen = listed => Some(unseen),
            () = lost.cancelled() => None,
            () = stop.cancelled() => None,
        })
    }

    /// Goes on trying to list grants, where they were not listed before the first pass.
    fn list_grants_later(&self) -> Result<Option<AbortOnDropHandle<()>>, Error> {
        if !self.grants.is_doubted() {
            return Ok(None);
        }
        let (client, grants) = (self.host.calling(None)?, Arc::clone(&self.grants));
        let (feed, bindings) = (self.feed.clone(), self.bindings.clone());
        let listing = async move {
            let list = || controller::list_afresh(&client, &grants);
            until_listed("grants", LISTED_LATER, list).await;
            tracing::info!("grants are listed afresh; all bindings are looked at");
            feed.again(&bindings);
        };
        Ok(Some(AbortOnDropHandle::new(tokio::spawn(listing))))
    }

    /// Makes passes until the claim is lost or the replica is told to stop, and lets what is under way finish.
    ///
    /// What the leader before may have sent for bindings of which the watch is behind keeps this one off their identities.
    async fn lead(
        &self,
        claim: Claim,
        unseen: Vec<Unseen>,
        lost: CancellationToken,
        stop: &CancellationToken,
    ) -> Result<End, Error> {
        let _listing = self.list_grants_later()?;
        let service = Arc::new(self.service.claiming(claim.clone())?);
        let (wake, woken) = mpsc::unbounded_channel();
        let ledgers = Ledgers::claiming(service, wake, self.ledger, claim.clone());
        let ledgers = Arc::new(ledgers);
        {
            let defaults = self.settings.defaults.borrow();
            take_note_of_earlier(&self.bindings, &defaults, &ledgers);
        }
        keep_off_unseen(&ledgers, &unseen);
        let client = self.host.calling(Some(claim))?;
        let events = Events::new(client.clone(), std::env::var("POD_NAME").ok());
        let stores = (
            self.bindings.clone(),
            self.accounts.clone(),
            Arc::clone(&self.grants),
        );
        let mut context = Operator::new(
            client,
            events,
            Arc::clone(&ledgers),
            stores,
            self.settings.clone(),
            self.clock,
        );
        context.liveness = self.liveness.clone();
        let context = Arc::new(context);
        self.term_metrics.begin(metrics_of(&context));
        let ends = CancellationToken::new();
        let requests = self.feed.begin(&self.bindings);
        let told = keep_told(Arc::clone(&context), ends.clone());
        let (feed, known) = (self.feed.clone(), self.bindings.clone());
        let issuer = keep_issuer_told(Arc::clone(&context), move || feed.again(&known));
        let _issuer = AbortOnDropHandle::new(tokio::spawn(issuer));
        let (stopped, host) = (ends.clone(), Arc::clone(&self.host));
        let controller = controller::run(
            requests,
            woken,
            context,
            async move { stopped.cancelled().await },
            move |notice| host.noticed(notice),
        );
        let ended = ends.clone();
        let controller = async move {
            let told = AbortOnDropHandle::new(tokio::spawn(told));
            controller.await;
            ended.cancel();
            // What it has sent is answered before the Lease is given back.
            let _ = told.await;
        };
        let controller = AbortOnDropHandle::new(tokio::spawn(controller));
        let over = async {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = lost.cancelled() => {}
                () = self.issuer_known() => {}
            }
            ends.cancel();
        };
        let end = wind_down(over, controller, ledgers.drain(), self.grace).await;
        self.feed.end();
        self.term_metrics.end();
        match end? {
            End::GivenUp if stop.is_cancelled() => Err(BadEnd::Unfinished(self.grace).into()),
            end => Ok(end),
        }
    }
}

/// Tries a list until the API server gives it. A refusal is no answer either: an API server that has just started may know neither who
/// may do what nor which kinds there are.
async fn until_listed<T, F>(what: &str, pause: Duration, list: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, kube::Error>>,
{
    loop {
        let error = match list().await {
            Ok(listed) => return listed,
            Err(error) => error,
        };
        {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "cannot list {what} afresh; it is tried again");
        }
        sleep(pause).await;
    }
}

fn keep_off_unseen(ledgers: &Ledgers, unseen: &[Unseen]) {
    let Some(first) = unseen.first() else {
        return;
    };
    tracing::info!(
        bindings = unseen.len(),
        first = %first.binding,
        "the leader before may have something under way for bindings that the watch is behind on, that cannot be read or that have gone: \
         nothing is written to their identities until that is over"
    );
    for one in unseen {
        keep_off(&one.binding, &one.identities, ledgers);
    }
}

/// What shows the passes, and what is true of bindings and identities.
fn metrics_of(context: &Operator) -> Registry {
    let mut registry = Registry::default();
    context.metrics.register(&mut registry, &context.settings);
    context.first_ready.register(&mut registry);
    context.events.register(&mut registry);
    registry.register_collector(Box::new(State {
        bindings: context.bindings.clone(),
        grants: Arc::clone(&context.grants),
        ledgers: Arc::clone(&context.ledgers),
        settings: context.settings.clone(),
        clock: context.clock,
    }));
    registry
}
