//! When a binding is looked at: on its own changes, on those of its account, when an identity's turn is given back,
//! and when its next try is due.

mod feed;
mod grants;
pub mod kept;
pub mod pass_log;
pub mod passes;
pub mod schedule;
mod unseen;
mod watched;

use std::sync::Arc;

use futures::channel::mpsc;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::core::PartialObjectMeta;
use kube::{Api, Resource, ResourceExt};
use kube_runtime::controller::trigger_with;
use kube_runtime::reflector::{ObjectRef, Store, store};
use kube_runtime::watcher::Event;
use kube_runtime::{Predicate, WatchStreamExt, predicates, watcher};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{oneshot, watch};

pub use self::feed::Feed;
pub use self::grants::list_afresh;
use self::passes::{Notice, Queue, Request};
pub use self::unseen::{Unseen, all_unseen, unseen};
pub use self::watched::PAGE;
use self::watched::watched;
use super::Operator;
use super::account::{BINDINGS_OF_AN_ACCOUNT, ExistingAccount};
use super::index::readable;
use super::index::{Bindings, Guarded, reference, slim};
use super::validate::{Defaults, service_account_name};
use crate::grant::Authority;
use crate::kubeutil::pauses::Pauses;
use crate::kubeutil::touched::touched;
use crate::ledger::BindingRef;

/// The watches of the controller.
pub struct Watches {
    pub bindings: Bindings,
    pub accounts: Store<ExistingAccount>,
    /// Resolves once the first list of bindings is in the store. (`Store::wait_until_ready` wakes one waiter only, and
    /// those are the passes.)
    pub synced: oneshot::Receiver<()>,
    /// What the watches ask to be looked at.
    pub requests: Queue,
}

impl Watches {
    /// Watches over the whole cluster; nothing is read until [`run`] polls them.
    pub fn new(
        client: &kube::Client,
        defaults: watch::Receiver<Defaults>,
        grants: Arc<Authority>,
    ) -> Self {
        Self::serving(BINDINGS_OF_AN_ACCOUNT, client, defaults, grants)
    }

    /// Watches with which so many bindings of one account are served: a simulation has few bindings.
    pub fn serving(
        of_an_account: usize,
        client: &kube::Client,
        defaults: watch::Receiver<Defaults>,
        grants: Arc<Authority>,
    ) -> Self {
        let bindings = Bindings::new(defaults.clone()).serving(of_an_account);
        let (accounts, mut accounts_writer) = store::<ExistingAccount>();
        let seen = bindings.clone();
        // Of statuses only those that somebody else has written.
        let changed = predicates::generation
            .combine(predicates::annotations)
            .combine(predicates::finalizers)
            .combine(|binding: &Guarded| {
                Some(u64::from(binding.meta().deletion_timestamp.is_some()))
            })
            .combine(move |binding: &Guarded| {
                Some(u64::from(seen.statuses_of_others(&reference(binding))))
            });
        let of_the_account = bindings.clone();
        let indexed = bindings.clone();
        let (sync, synced) = oneshot::channel();
        let mut sync = Some(sync);
        let (going, gone) = mpsc::unbounded();
        let of_bindings = watcher(Api::<Guarded>::all(client.clone()), watched())
            .backoff(Pauses::default())
            .modify(slim)
            .inspect_ok(move |event| {
                indexed.follow(event);
                if let Event::Delete(gone) = event
                    && let Ok(binding) = &gone.0
                {
                    let namespace = binding.namespace().unwrap_or_default();
                    // Nobody listens any more once the operator is stopping.
                    let gone = (namespace, service_account_name(binding), reference(gone));
                    let _ = going.unbounded_send(gone);
                }
                let first = sync.take_if(|_| matches!(event, Event::InitDone));
                if let Some(sync) = first {
                    // Nobody waits any more once the operator is stopping.
                    let _ = sync.send(());
                }
            });
        let of_bindings = trigger_with(
            touched(of_bindings, bindings.store().clone(), |kept| kept.unpack())
                .predicate_filter(changed, Default::default()),
            move |binding: Guarded| with_bindings_of_account(&binding, &of_the_account),
        );
        let named_by = bindings.clone();
        let metadata = Api::<PartialObjectMeta<ServiceAccount>>::all(client.clone());
        let of_accounts = watcher(metadata, watched())
            .backoff(Pauses::default())
            .map_ok(existing)
            .inspect_ok(move |event| accounts_writer.apply_watcher_event(event));
        let of_accounts = trigger_with(
            touched(of_accounts, accounts.clone(), Arc::unwrap_or_clone),
            move |account: ExistingAccount| naming(&account, &named_by),
        );
        // The end of a binding that had no finalizer changes nothing about it, and so is no trigger.
        let left = bindings.clone();
        let of_gone = gone.flat_map(
            move |(namespace, account, who): (String, String, BindingRef)| {
                let others = of_account(&namespace, &account, &left);
                // What it has left has to be cleaned up.
                let vanished = left.vanished(&who).map(|_| {
                    let BindingRef { namespace, name } = &who;
                    ObjectRef::new(name).within(namespace)
                });
                let all = others.into_iter().chain(vanished);
                stream::iter(all.map(|it| Ok(Request::from(it))))
            },
        );
        let of_bindings = stream::select(of_bindings, of_gone);
        let of_grants = grants::concerned(client, grants, &bindings);
        let requests = stream::select(of_bindings, of_accounts);
        let requests = stream::select(requests, of_grants).boxed();
        Self {
            bindings,
            accounts,
            synced,
            requests,
        }
    }
}

/// The binding itself, and every other one of its account: what one of them may do depends on the others.
fn with_bindings_of_account(binding: &Guarded, bindings: &Bindings) -> Vec<Request> {
    // By its name alone: a request waits in the queue for as long as its binding is there.
    let own = ObjectRef::new(&binding.name_any()).within(&binding.namespace().unwrap_or_default());
    // One that is not served means nothing to the others.
    let served = binding.0.as_ref().ok().filter(|it| bindings.is_served(it));
    let of_the_account = served.map(|binding| {
        of_account(
            &binding.namespace().unwrap_or_default(),
            &service_account_name(binding),
            bindings,
        )
    });
    let others = of_the_account
        .into_iter()
        .flatten()
        .filter(|other| *other != own)
        .collect::<Vec<_>>();
    [own].into_iter().chain(others).map(Request::from).collect()
}

/// What is of interest of the accounts of an event.
fn existing(event: Event<PartialObjectMeta<ServiceAccount>>) -> Event<ExistingAccount> {
    let cut = |account: PartialObjectMeta<_>| ExistingAccount::of(&account.metadata);
    match event {
        Event::Apply(account) => Event::Apply(cut(account)),
        Event::Delete(account) => Event::Delete(cut(account)),
        Event::Init => Event::Init,
        Event::InitApply(account) => Event::InitApply(cut(account)),
        Event::InitDone => Event::InitDone,
    }
}

fn naming(account: &ExistingAccount, bindings: &Bindings) -> Vec<Request> {
    of_account(account.namespace(), account.name(), bindings)
        .into_iter()
        .map(Request::from)
        .collect()
}

fn of_account(
    namespace: &str,
    service_account: &str,
    bindings: &Bindings,
) -> Vec<ObjectRef<Guarded>> {
    let found = bindings.of_account(namespace, service_account);
    readable(&found)
        .map(|binding| ObjectRef::new(&binding.name_any()).within(namespace))
        .collect()
}

/// Runs the controller until `shutdown` resolves and the passes under way are done. `tell` is told of the passes.
pub async fn run(
    requests: Queue,
    woken: UnboundedReceiver<BindingRef>,
    ctx: Arc<Operator>,
    shutdown: impl Future<Output = ()> + Send + 'static,
    tell: impl FnMut(Notice) + Send + 'static,
) {
    let passes = passes::run(requests, woken, Arc::clone(&ctx), shutdown, tell);
    ctx.events.published_during(passes).await;
}
