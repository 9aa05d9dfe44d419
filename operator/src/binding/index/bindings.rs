//! The bindings of the watch, found by their account and by their identity without going through all of them.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use azwib_crds::{ManagedIdentityId, WorkloadIdentityBinding};
use kube::ResourceExt;
use kube_runtime::reflector::store::Writer;
use kube_runtime::reflector::{self, Store};
use kube_runtime::watcher::Event;
use tokio::sync::watch;

use super::files::{Index, References, Written};
use super::found::{Found, Guarded, reference};
use super::gone::Trace;
use super::keys::{Age, keys};
use super::packed::Packed;
use crate::binding::account::BINDINGS_OF_AN_ACCOUNT;
use crate::binding::credential::applicants::{Account, rank};
use crate::binding::validate::{Defaults, service_account_name};
use crate::ledger::BindingRef;
use crate::runtime::deliberate::Bug;
use crate::runtime::lock::lock;

/// The store of the watch, and where its bindings stand.
#[derive(Clone)]
pub struct Bindings {
    store: Store<Packed>,
    writer: Arc<Mutex<Writer<Packed>>>,
    index: Arc<Mutex<Index>>,
    defaults: watch::Receiver<Defaults>,
    /// How many bindings of one account are served.
    served: usize,
}

impl Bindings {
    /// None yet; [`Self::follow`] has to see the events of the watch. A binding is filed with the defaults of that moment.
    pub fn new(defaults: watch::Receiver<Defaults>) -> Self {
        let (store, writer) = reflector::store();
        Self {
            store,
            writer: Arc::new(Mutex::new(writer)),
            index: Arc::default(),
            defaults,
            served: BINDINGS_OF_AN_ACCOUNT,
        }
    }

    /// The same, of which so many of one account are served.
    pub(in crate::binding) fn serving(self, of_an_account: usize) -> Self {
        Self {
            served: of_an_account,
            ..self
        }
    }

    /// The store itself.
    pub fn store(&self) -> &Store<Packed> {
        &self.store
    }

    /// What the operator's flags say, at this moment.
    pub(super) fn defaults(&self) -> watch::Ref<'_, Defaults> {
        self.defaults.borrow()
    }

    /// Takes an event of the watch in.
    pub fn follow(&self, event: &Event<Guarded>) {
        lock(&self.writer).apply_watcher_event(&packed(event));
        let mut index = self.index();
        match event {
            Event::Init => index.listed.clear(),
            Event::InitApply(binding) => {
                index.listed.insert(reference(binding));
                index.put(binding, &self.defaults.borrow());
            }
            Event::InitDone => index.keep_listed(),
            Event::Apply(binding) => index.put(binding, &self.defaults.borrow()),
            Event::Delete(binding) => {
                index.vanish(binding, &self.defaults.borrow().issuer);
                index.written.remove(&binding.uid().unwrap_or_default());
                index.remove(&reference(binding));
            }
        }
    }

    /// Begins anew, as a process that has just started: of bindings it is known what the store has, and nothing of what has become
    /// of them before. Another process may have led until now, and what that one has written is no status of others.
    pub fn take_over(&self) {
        self.begin(false);
    }

    /// Begins anew, as a process that waits: another one writes, and cleans up what goes.
    pub fn stand_by(&self) {
        self.begin(true);
    }

    fn begin(&self, stands_by: bool) {
        let defaults = self.defaults.borrow();
        let index = &mut *self.index();
        let vanished = std::mem::take(&mut index.vanished);
        let known = std::mem::take(&mut index.filed);
        *index = Index {
            stands_by,
            is_listed: index.is_listed,
            // A list may be under way.
            listed: std::mem::take(&mut index.listed),
            gone: std::mem::take(&mut index.gone),
            // Of those that are still there.
            unreadable: std::mem::take(&mut index.unreadable),
            ..Index::default()
        };
        // What they have left is cleaned up by whoever leads next, or by this process in a later term.
        for (binding, last) in vanished {
            index.remember(binding, Trace::from(&keys(&last, &defaults)));
        }
        for binding in self.each() {
            index.put(&binding, &defaults);
        }
        // The store may be a moment ahead of what this was told.
        for (binding, filed) in known {
            let is_there =
                index.filed.contains_key(&binding) || index.unreadable.contains_key(&*binding);
            if let Some(trace) = filed.trace().filter(|_| !is_there) {
                index.remember(BindingRef::clone(&binding), trace);
            }
        }
    }

    /// Notes what a write of ours has made of a binding: until the watch shows it, that counts instead of what the store has.
    pub fn wrote(&self, before: &WorkloadIdentityBinding, after: &WorkloadIdentityBinding) {
        let (Some(uid), Some(version)) = (before.uid(), before.resource_version()) else {
            return;
        };
        let who = BindingRef::of(after);
        let mut index = self.index();
        index.wrote(&who, after, &self.defaults.borrow().issuer);
        let seen = self.kept(&who);
        let shown = seen.as_ref().and_then(|it| it.version());
        if shown == after.metadata.resource_version.as_deref() {
            // The watch was faster than the answer, and will not show it again.
            index.written.remove(&uid);
            return;
        }
        let mut outdated = match index.written.remove(&uid) {
            Some(written) if written.latest.resource_version().as_ref() == Some(&version) => {
                written.outdated
            }
            _ => vec![],
        };
        outdated.push(version);
        let mut latest = after.clone();
        latest.metadata.managed_fields = None;
        let latest = Arc::new(latest);
        index.written.insert(uid, Written { outdated, latest });
        if let Some(latest) = seen.and_then(|seen| index.written_after(seen.uid(), seen.version()))
        {
            index.stand(&latest, &self.defaults.borrow());
        }
    }

    /// The binding as we know it: what the store has, unless that is older than a write of ours.
    pub fn latest(&self, binding: Arc<WorkloadIdentityBinding>) -> Arc<WorkloadIdentityBinding> {
        let metadata = &binding.metadata;
        let (uid, version) = (
            metadata.uid.as_deref(),
            metadata.resource_version.as_deref(),
        );
        let written = self.index().written_after(uid, version);
        written.unwrap_or(binding)
    }

    /// The bindings that name this account and are served, the oldest first: [`BINDINGS_OF_AN_ACCOUNT`] at the most, and none
    /// that is being deleted.
    pub fn of_account(&self, namespace: &str, service_account: &str) -> Vec<Found> {
        let account = (namespace.to_owned(), service_account.to_owned());
        let index = self.index();
        let found = index.by_account.get(&account);
        let oldest = found.map(|found| {
            let oldest = found.iter().take(self.served());
            oldest.map(|(_, reference)| Arc::clone(reference)).collect()
        });
        drop(index);
        self.get(oldest)
    }

    /// Whether this binding is among the oldest of its account, which are served; also where the watch has not shown it yet.
    pub fn is_served(&self, binding: &WorkloadIdentityBinding) -> bool {
        let namespace = binding.namespace().unwrap_or_default();
        let account = (namespace, service_account_name(binding));
        let index = self.index();
        let Some(found) = index.by_account.get(&account) else {
            return true;
        };
        let own = rank(binding);
        let older = found.partition_point(|it| (it.0, &*it.1) < (Age(own.created), &own.binding));
        older < self.served()
    }

    /// How many bindings of one account are served.
    fn served(&self) -> usize {
        match Bug::AllOfAccountServed.is_on() {
            true => usize::MAX,
            false => self.served,
        }
    }

    /// The identities that bindings have to do with.
    pub fn identities(&self) -> Vec<ManagedIdentityId> {
        let index = self.index();
        let ids = index.by_identity.keys();
        ids.filter_map(|id| ManagedIdentityId::parse(id).ok())
            .collect()
    }

    /// Whether any binding has to do with this identity.
    pub fn has_identity(&self, identity: &ManagedIdentityId) -> bool {
        self.index().by_identity.contains_key(identity.key())
    }

    /// The bindings that have to do with this identity, by namespace and name.
    pub fn of_identity(&self, identity: &ManagedIdentityId) -> Vec<Found> {
        let found = self.index().by_identity.get(identity.key()).cloned();
        self.get(found)
    }

    /// The accounts of the bindings that have to do with this identity.
    pub fn accounts_of(&self, identity: &ManagedIdentityId) -> Vec<Arc<Account>> {
        let index = self.index();
        let found = index.by_identity.get(identity.key()).into_iter().flatten();
        let filed = found.filter_map(|it| index.filed.get(it));
        filed.map(|it| Arc::clone(&it.keys.account)).collect()
    }

    /// The names of all bindings, those that cannot be read included.
    pub fn all(&self) -> Vec<BindingRef> {
        self.index().known().cloned().collect()
    }

    /// This name, as the index has it: whoever keeps it for long takes no room of its own.
    pub fn shared(&self, who: &BindingRef) -> Arc<BindingRef> {
        let index = self.index();
        let known = index.filed.get_key_value(who);
        known.map_or_else(|| Arc::new(who.clone()), |(known, _)| Arc::clone(known))
    }

    /// The binding of this name, if there is one.
    pub fn found(&self, who: &BindingRef) -> Vec<Found> {
        self.get(Some(vec![Arc::new(who.clone())]))
    }

    /// The names of the bindings of this namespace.
    pub fn names_of_namespace(&self, namespace: &str) -> Vec<BindingRef> {
        let index = self.index();
        let found = index.by_namespace.get(namespace).into_iter().flatten();
        found.map(|it| BindingRef::clone(it)).collect()
    }

    /// The names of the bindings that have to do with this identity.
    pub fn names_of_identity(&self, identity: &ManagedIdentityId) -> Vec<BindingRef> {
        let index = self.index();
        let found = index.by_identity.get(identity.key()).into_iter().flatten();
        found.map(|it| BindingRef::clone(it)).collect()
    }

    /// The account of this binding and the identities that it has to do with, as the watch shows it.
    pub fn concern_of(&self, who: &BindingRef) -> Option<(Arc<Account>, Vec<ManagedIdentityId>)> {
        let index = self.index();
        let keys = &index.filed.get(who)?.keys;
        let account = Arc::clone(&keys.account);
        let ids = keys.identities.iter();
        let ids = ids.filter_map(|id| ManagedIdentityId::parse(id).ok());
        Some((account, ids.collect()))
    }

    /// Whether any binding may have something that it was given without a grant, as status says: not all are known before the first
    /// list.
    pub fn some_are_admitted_without_grant(&self) -> bool {
        let index = self.index();
        !index.is_listed || !index.without_grant.is_empty()
    }

    /// Whether all bindings are known.
    pub fn is_listed(&self) -> bool {
        self.index().is_listed
    }

    /// The bindings that cannot be read.
    pub fn unreadable(&self) -> Vec<BindingRef> {
        self.index().unreadable.keys().cloned().collect()
    }

    /// Notes that a binding is cleaned up and may go.
    pub fn cleaned_up(&self, uid: &str) {
        self.index().cleaned_up.insert(uid.to_owned());
    }

    /// Forgets those that were cleaned up and are gone without having said so.
    pub fn prune(&self, uids: &HashSet<String>) {
        self.index().cleaned_up.retain(|uid| uids.contains(uid));
    }

    /// The namespaces in which a binding cannot be read.
    pub fn namespaces_with_unreadable(&self) -> BTreeSet<String> {
        let index = self.index();
        let namespaces = index.unreadable.keys();
        namespaces.map(|it| it.namespace.clone()).collect()
    }

    fn get(&self, found: Option<References>) -> Vec<Found> {
        let stored: Vec<_> = found
            .into_iter()
            .flatten()
            .filter_map(|found| self.kept(&found))
            .collect();
        let found = |stored: Arc<Packed>| {
            let written = self.index().written_after(stored.uid(), stored.version());
            written.map_or_else(|| Found::Stored(Box::new(stored.unpack())), Found::Written)
        };
        stored.into_iter().map(found).collect()
    }

    #[cfg(test)]
    pub(super) fn applicants_built(&self) -> usize {
        self.index().applicants_built
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }
}

/// An event as the store takes it.
fn packed(event: &Event<Guarded>) -> Event<Packed> {
    match event {
        Event::Apply(binding) => Event::Apply(Packed::of(binding)),
        Event::Delete(binding) => Event::Delete(Packed::of(binding)),
        Event::Init => Event::Init,
        Event::InitApply(binding) => Event::InitApply(Packed::of(binding)),
        Event::InitDone => Event::InitDone,
    }
}

#[cfg(test)]
mod tests;
