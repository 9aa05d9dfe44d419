//! Passes over bindings: each when it is due, as many at once as there are workers.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube_runtime::reflector::ObjectRef;
use kube_runtime::watcher;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tracing::{Instrument, Span};

use super::schedule::Schedule;
use crate::binding::changes;
use crate::binding::cleanup::{leftovers, unreadable};
use crate::binding::context::Context;
use crate::binding::index::Guarded;
use crate::binding::reconcile::{reconcile, vanished};
use crate::binding::unknown_issuer;
use crate::binding::{Failed, Next, Operator};
use crate::ledger::BindingRef;
use crate::runtime::spans;
use futures::stream::BoxStream;
use kube::ResourceExt;
use kube_runtime::controller::ReconcileRequest;

pub(super) type Request = ReconcileRequest<Guarded>;
/// Requests to look at a binding.
pub type Queue = BoxStream<'static, Result<Request, watcher::Error>>;

/// A request to look at this binding.
pub(super) fn request(who: &BindingRef) -> Request {
    ObjectRef::new(&who.name).within(&who.namespace).into()
}

/// How often what is remembered of things that are gone is looked for.
const PRUNED_EVERY: Duration = Duration::from_secs(60);

/// How long passes wait for the first lists of grants and namespaces. Without those nothing new is made.
const GRANTS_PATIENCE: Duration = Duration::from_secs(10);

/// What is told of the passes.
#[derive(Debug)]
pub enum Notice {
    /// A pass begins.
    Began(BindingRef),
    /// A pass is over.
    Passed(BindingRef, Result<Next, Failed>),
    /// A binding went before it was looked at.
    Gone(BindingRef),
    /// A pass has panicked.
    Panicked(JoinError),
    /// A watch was interrupted; it is taken up again.
    Interrupted(watcher::Error),
}

/// Makes passes until `shutdown` resolves and those under way are over.
pub async fn run(
    mut requests: Queue,
    mut woken: UnboundedReceiver<BindingRef>,
    ctx: Arc<Operator>,
    shutdown: impl Future<Output = ()>,
    mut tell: impl FnMut(Notice),
) {
    let store = ctx.bindings.store().clone();
    let mut workers = Workers {
        schedule: Schedule::new(ctx.settings.max_concurrent_reconciles.into())
            .counted_by(ctx.metrics.workqueue.clone()),
        passes: JoinSet::new(),
        ctx,
    };
    let mut shutdown = pin!(shutdown);
    let grants = Arc::clone(&workers.ctx.grants);
    // An error means that the watch is gone, and with it the requests.
    let mut listed = pin!(async {
        let _ = store.wait_until_ready().await;
        let _ = timeout(GRANTS_PATIENCE, grants.settled()).await;
    });
    let mut is_listed = false;
    let mut pruned = interval(PRUNED_EVERY);
    pruned.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Before the first list, a binding that is not in the store is not known to be gone.
        if is_listed {
            workers.start(&mut tell);
        }
        let due = workers.schedule.next_due().filter(|_| is_listed);
        workers.ctx.liveness.next_due(due);
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(passed) = workers.passes.join_next() => workers.passed(passed, &mut tell),
            request = requests.next() => match request {
                Some(Ok(request)) => {
                    let reference = request.obj_ref;
                    let namespace = reference.namespace.unwrap_or_default();
                    workers.ask(BindingRef { namespace, name: reference.name });
                }
                Some(Err(error)) => tell(Notice::Interrupted(error)),
                None => break,
            },
            Some(who) = woken.recv() => workers.ask(who),
            () = &mut listed, if !is_listed => is_listed = true,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            _ = pruned.tick(), if is_listed => workers.ctx.prune(),
        }
    }
    workers.ctx.liveness.next_due(None);
    while let Some(passed) = workers.passes.join_next().await {
        workers.passed(passed, &mut tell);
    }
}

type Outcome = (BindingRef, Result<Next, Failed>);

struct Workers {
    schedule: Schedule,
    /// In tasks of their own. They end with this.
    passes: JoinSet<Outcome>,
    ctx: Arc<Operator>,
}

impl Workers {
    fn ask(&mut self, who: BindingRef) {
        let who = self.ctx.bindings.shared(&who);
        self.schedule.ask(who, Instant::now());
    }

    fn start(&mut self, tell: &mut impl FnMut(Notice)) {
        while let Some(who) = self.schedule.start(Instant::now()) {
            // Who only looks cleans up after nobody: another one of that name is looked at. Nor does who does not know the issuer.
            let looks_only = self.ctx.settings.read_only || !self.ctx.knows_issuer();
            let gone = self.ctx.bindings.vanished(&who);
            if let Some(gone) = gone.filter(|_| !looks_only) {
                tell(Notice::Began(who.clone()));
                let ctx = Arc::new(self.ctx.begin_pass());
                self.passes.spawn(async move {
                    let span = spans::pass(&who.namespace, &who.name, gone.uid().as_deref());
                    let pass = vanished(gone, Arc::clone(&ctx));
                    let outcome = told(&who, &ctx, span, pass).await;
                    (who, outcome)
                });
                continue;
            }
            if let Some(leftover) = self.ctx.leftovers.get(&who) {
                tell(Notice::Began(who.clone()));
                let ctx = Arc::new(self.ctx.begin_pass());
                self.passes.spawn(async move {
                    let span = spans::pass(&who.namespace, &who.name, None);
                    let outcome = told(&who, &ctx, span, leftovers::pass(&leftover, &ctx)).await;
                    (who, outcome)
                });
                continue;
            }
            let Some(binding) = self.ctx.bindings.stored(&who) else {
                self.schedule.ended(&who);
                tell(Notice::Gone(who));
                continue;
            };
            tell(Notice::Began(who.clone()));
            let ctx = Arc::clone(&self.ctx);
            self.passes
                .spawn(async move { (who, guarded_reconcile(binding, ctx).await) });
        }
    }

    fn passed(&mut self, passed: Result<Outcome, JoinError>, tell: &mut impl FnMut(Notice)) {
        match passed {
            Ok((who, outcome)) => {
                self.schedule.ended(&who);
                let again = match &outcome {
                    Ok(next) => *next,
                    Err(failed) => {
                        if !failed.error.is_progress() {
                            self.ctx.metrics.workqueue.retried();
                        }
                        Some(failed.retry_in)
                    }
                };
                if let Some(at) = again.and_then(|delay| Instant::now().checked_add(delay)) {
                    self.schedule.ask(self.ctx.bindings.shared(&who), at);
                }
                tell(Notice::Passed(who, outcome));
            }
            Err(panic) => tell(Notice::Panicked(panic)),
        }
    }
}

/// Makes a pass, and tells in the log and in its span what has become of it.
async fn told(
    who: &BindingRef,
    ctx: &Context,
    span: Span,
    pass: impl Future<Output = Result<Next, Failed>>,
) -> Result<Next, Failed> {
    let began = Instant::now();
    let outcome = pass.instrument(span.clone()).await;
    let changed = ctx.changes.names();
    changes::tell(&changed, who, began.elapsed());
    let error = outcome.as_ref().err().map(|failed| &failed.error);
    let reason = error.and_then(|error| Some(error.finding()?.1.as_str()));
    let of_span = match error {
        None => spans::Outcome::Done,
        Some(error) if error.is_progress() => spans::Outcome::Waits,
        Some(_) => spans::Outcome::Failed,
    };
    spans::passed(&span, of_span, reason, &changed);
    outcome
}

/// One pass over a binding of the watch, readable or not, and its end for the ledgers.
pub async fn guarded_reconcile(binding: Guarded, operator: Arc<Operator>) -> Result<Next, Failed> {
    let who = BindingRef {
        namespace: binding.namespace().unwrap_or_default(),
        name: binding.name_any(),
    };
    let ctx = Arc::new(operator.begin_pass());
    let span = spans::pass(&who.namespace, &who.name, binding.uid().as_deref());
    let pass = ctx.metrics.begin();
    let steps = async {
        if let Some(why) = ctx.defaults.unknown_issuer.clone() {
            return unknown_issuer::pass(binding.0.ok(), why, &ctx).await;
        }
        match binding.0 {
            Ok(binding) => reconcile(Arc::new(binding), Arc::clone(&ctx)).await,
            // One bad object is one failed pass, not a dead watch.
            Err(invalid) => unreadable::reconcile(&invalid, &ctx).await,
        }
    };
    let outcome = told(&who, &ctx, span, steps).await;
    pass.ended(&outcome);
    ctx.ledgers.passed(&who, || ctx.bindings.is_in_line(&who));
    outcome
}
