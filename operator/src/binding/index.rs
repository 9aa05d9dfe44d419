//! The bindings of the watch, found by their account and by their identity without going through all of them.

mod claims;
mod seen;

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use azwib_crds::{ManagedIdentityId, WorkloadIdentityBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::{Resource, ResourceExt};
use kube_runtime::reflector::{ObjectRef, Store};
use kube_runtime::watcher::Event;

use self::claims::Claims;
pub use self::claims::Stake;
use self::seen::{Seen, Sending};
use super::believed::records_own;
use super::claims::stake;
use super::validate::{Defaults, identity_id, service_account_name};
use crate::ledger::BindingRef;
use crate::ledger::plan::{Contender, Standing};

/// A binding, or why it cannot be read.
pub type Guarded = DeserializeGuard<WorkloadIdentityBinding>;

/// The store of the watch, and where its bindings stand.
#[derive(Clone)]
pub struct Bindings {
    store: Store<Guarded>,
    index: Arc<Mutex<Index>>,
    defaults: Arc<Defaults>,
}

/// An account, by namespace and name.
pub type Account = (String, String);

/// Bindings in order.
type References = Vec<Arc<BindingRef>>;

/// The maps share what they are keyed by, and hold lists: most accounts have one binding, and there may be many.
#[derive(Debug, Default)]
struct Index {
    filed: HashMap<Arc<BindingRef>, Filed>,
    by_account: HashMap<Arc<Account>, References>,
    by_identity: HashMap<Arc<str>, References>,
    /// What each binding means to the others on its identity.
    stakes: HashMap<Arc<BindingRef>, Stake>,
    claims: HashMap<Arc<str>, Claims>,
    /// Our last writes that the watch has not shown yet, by UID.
    written: HashMap<String, Written>,
    /// Our writes of a status that have no answer yet.
    sending: Sending,
    /// Those that cannot be read.
    unreadable: BTreeSet<BindingRef>,
    /// Those of a list that is under way: what it does not name is gone once it is done.
    listed: BTreeSet<BindingRef>,
    /// How many claims were made of bindings: a pass makes none.
    #[cfg(test)]
    claims_built: usize,
}

#[derive(Debug, Clone)]
struct Written {
    /// The versions that it came from.
    outdated: Vec<String>,
    latest: Arc<WorkloadIdentityBinding>,
}

impl Written {
    /// Whether this version is of our making, or was looked at before we wrote.
    fn made(&self, version: &String) -> bool {
        self.outdated.contains(version) || self.latest.resource_version().as_ref() == Some(version)
    }
}

/// A binding as we know it: what the store has, unless that is older than a write of ours.
pub enum Found {
    Stored(Arc<Guarded>),
    Written(Arc<WorkloadIdentityBinding>),
}

impl Found {
    /// None where it cannot be read.
    pub fn readable(&self) -> Option<&WorkloadIdentityBinding> {
        match self {
            Self::Stored(stored) => stored.0.as_ref().ok(),
            Self::Written(written) => Some(written),
        }
    }
}

/// What is kept of one binding.
#[derive(Debug)]
struct Filed {
    keys: Keys,
    seen: Seen,
}

/// What one binding is found by.
#[derive(Debug, PartialEq, Eq)]
struct Keys {
    account: Arc<Account>,
    /// What its spec names, what its status has resolved, and where its credentials are.
    identities: Vec<Arc<str>>,
}

impl Bindings {
    /// Over the store of a watch; [`Self::follow`] has to see the events of that watch.
    pub fn new(store: Store<Guarded>, defaults: Defaults) -> Self {
        Self {
            store,
            index: Arc::default(),
            defaults: Arc::new(defaults),
        }
    }

    /// The store itself.
    pub fn store(&self) -> &Store<Guarded> {
        &self.store
    }

    /// Takes an event of the watch in, after the store has.
    pub fn follow(&self, event: &Event<Guarded>) {
        let mut index = self.index();
        match event {
            Event::Init => index.listed.clear(),
            Event::InitApply(binding) => {
                index.listed.insert(reference(binding));
                index.put(binding, &self.defaults);
            }
            Event::InitDone => index.keep_listed(),
            Event::Apply(binding) => index.put(binding, &self.defaults),
            Event::Delete(binding) => {
                index.written.remove(&binding.uid().unwrap_or_default());
                index.remove(&reference(binding));
            }
        }
    }

    /// Notes what a write of ours has made of a binding: until the watch shows it, that counts instead of what the store has.
    pub fn wrote(&self, before: &WorkloadIdentityBinding, after: &WorkloadIdentityBinding) {
        let (Some(uid), Some(version)) = (before.uid(), before.resource_version()) else {
            return;
        };
        let key =
            ObjectRef::new(&before.name_any()).within(&before.namespace().unwrap_or_default());
        let mut index = self.index();
        index.wrote(&BindingRef::of(after), after, &self.defaults.issuer);
        let seen = self.store.get(&key);
        if seen.as_ref().and_then(|it| it.resource_version()) == after.resource_version() {
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
        if let Some(latest) = seen.and_then(|seen| index.written_after(seen.meta())) {
            index.stand(&latest, &self.defaults);
        }
    }

    /// The binding as we know it: what the store has, unless that is older than a write of ours.
    pub fn latest(&self, binding: Arc<WorkloadIdentityBinding>) -> Arc<WorkloadIdentityBinding> {
        let written = self.index().written_after(&binding.metadata);
        written.unwrap_or(binding)
    }

    /// The bindings that name this account, by name.
    pub fn of_account(&self, namespace: &str, service_account: &str) -> Vec<Found> {
        let account = (namespace.to_owned(), service_account.to_owned());
        let found = self.index().by_account.get(&account).cloned();
        self.get(found)
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

    /// The claims at the front of this identity's line, at most so many.
    pub fn front_of_line(&self, identity: &ManagedIdentityId, most: usize) -> Vec<Arc<Contender>> {
        let index = self.index();
        let claims = index.claims.get(identity.key());
        claims.map(|claims| claims.front(most)).unwrap_or_default()
    }

    /// Whether this binding stands in the line of its identity, before others.
    pub fn is_in_line(&self, who: &BindingRef) -> bool {
        let index = self.index();
        let Some(Stake::Live {
            identity,
            claim: Some(claim),
            ..
        }) = index.stakes.get(who)
        else {
            return false;
        };
        let claims = index.claims.get(identity);
        claim.standing != Standing::Refused && claims.is_some_and(|claims| claims.has(claim))
    }

    /// Whether a binding other than this one is being deleted and has a credential on this identity still on record.
    pub fn is_deletion_pending(&self, identity: &ManagedIdentityId, except: &BindingRef) -> bool {
        let index = self.index();
        let claims = index.claims.get(identity.key());
        claims.is_some_and(|claims| claims.is_departed_from(except))
    }

    /// The namespaces in which a binding cannot be read.
    pub fn namespaces_with_unreadable(&self) -> BTreeSet<String> {
        let index = self.index();
        let namespaces = index.unreadable.iter();
        namespaces.map(|it| it.namespace.clone()).collect()
    }

    fn get(&self, found: Option<References>) -> Vec<Found> {
        let stored: Vec<_> = found
            .into_iter()
            .flatten()
            .filter_map(|found| {
                let BindingRef { namespace, name } = &*found;
                self.store.get(&ObjectRef::new(name).within(namespace))
            })
            .collect();
        let index = self.index();
        let found = |stored: Arc<Guarded>| match index.written_after(stored.meta()) {
            Some(latest) => Found::Written(latest),
            None => Found::Stored(stored),
        };
        stored.into_iter().map(found).collect()
    }

    #[cfg(test)]
    fn claims_built(&self) -> usize {
        self.index().claims_built
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn put(&mut self, binding: &Guarded, defaults: &Defaults) {
        let reference = reference(binding);
        let seen = self.look(&reference, binding, &defaults.issuer);
        self.see(binding);
        // One that cannot be read any more counts for nothing.
        let Ok(binding) = &binding.0 else {
            self.remove(&reference);
            self.unreadable.insert(reference);
            return;
        };
        let latest = self.written_after(&binding.metadata);
        let mut keys = keys(binding, defaults);
        let seen =
            seen.unwrap_or_else(|| Seen::first(binding, records_own(binding, &defaults.issuer)));
        match self.filed.get_mut(&reference) {
            Some(filed) if filed.keys == keys => filed.seen = seen,
            _ => {
                self.remove(&reference);
                let reference = Arc::new(reference);
                keys.account = file_under(&mut self.by_account, keys.account, &reference);
                for identity in &mut keys.identities {
                    *identity = file_under(&mut self.by_identity, Arc::clone(identity), &reference);
                }
                self.filed.insert(reference, Filed { keys, seen });
            }
        }
        self.stand(latest.as_deref().unwrap_or(binding), defaults);
    }

    /// Takes note of what a binding means to the others on its identity.
    fn stand(&mut self, binding: &WorkloadIdentityBinding, defaults: &Defaults) {
        let reference = BindingRef::of(binding);
        let stake = stake(binding, defaults);
        #[cfg(test)]
        {
            self.claims_built += 1;
        }
        if self.stakes.get(&reference) == stake.as_ref() {
            return;
        }
        self.withdraw(&reference);
        let (Some(stake), Some((reference, _))) = (stake, self.filed.get_key_value(&reference))
        else {
            return;
        };
        let reference = Arc::clone(reference);
        match &stake {
            Stake::Live {
                identity,
                account,
                rank,
                claim,
            } => {
                let claims = self.claims.entry(Arc::clone(identity)).or_default();
                claims.put(account, rank, claim.as_ref());
            }
            Stake::Departing { identities } => {
                for identity in identities {
                    let claims = self.claims.entry(Arc::clone(identity)).or_default();
                    claims.depart(&reference);
                }
            }
        }
        self.stakes.insert(reference, stake);
    }

    /// A binding means nothing to others any more.
    fn withdraw(&mut self, reference: &BindingRef) {
        let Some(stake) = self.stakes.remove(reference) else {
            return;
        };
        let identities = match &stake {
            Stake::Live { identity, .. } => std::slice::from_ref(identity),
            Stake::Departing { identities } => identities,
        };
        for identity in identities {
            let Some(claims) = self.claims.get_mut(identity) else {
                continue;
            };
            match &stake {
                Stake::Live { account, rank, .. } => claims.take(account, rank),
                Stake::Departing { .. } => claims.have_departed(reference),
            }
            if claims.is_empty() {
                self.claims.remove(identity);
            }
        }
    }

    /// What a write of ours has made of the binding since this version of it.
    fn written_after(&self, version: &ObjectMeta) -> Option<Arc<WorkloadIdentityBinding>> {
        let written = self.written.get(version.uid.as_deref()?)?;
        let outdated = written
            .outdated
            .contains(version.resource_version.as_ref()?);
        outdated.then(|| Arc::clone(&written.latest))
    }

    /// Forgets a write of ours that the watch shows, or that somebody else's has overtaken.
    fn see(&mut self, binding: &Guarded) {
        let uid = binding.uid().unwrap_or_default();
        let version = binding.resource_version().unwrap_or_default();
        if self
            .written
            .get(&uid)
            .is_some_and(|written| !written.outdated.contains(&version))
        {
            self.written.remove(&uid);
        }
    }

    fn remove(&mut self, reference: &BindingRef) {
        self.unreadable.remove(reference);
        self.withdraw(reference);
        let Some(filed) = self.filed.remove(reference) else {
            return;
        };
        let Keys {
            account,
            identities,
        } = filed.keys;
        take_out(&mut self.by_account, &account, reference);
        for identity in identities {
            take_out(&mut self.by_identity, &identity, reference);
        }
    }

    fn keep_listed(&mut self) {
        let listed = std::mem::take(&mut self.listed);
        self.unreadable.retain(|known| listed.contains(known));
        let gone: Vec<_> = self
            .filed
            .keys()
            .filter(|known| !listed.contains(&***known))
            .cloned()
            .collect();
        for reference in gone {
            self.remove(&reference);
        }
    }
}

/// Files a binding under a key; gives the key as the map has it.
fn file_under<K: Hash + Eq + ?Sized>(
    map: &mut HashMap<Arc<K>, References>,
    key: Arc<K>,
    reference: &Arc<BindingRef>,
) -> Arc<K> {
    let entry = map.entry(key);
    let key = Arc::clone(entry.key());
    let found = entry.or_default();
    if let Err(place) = found.binary_search(reference) {
        found.insert(place, Arc::clone(reference));
    }
    key
}

fn take_out<K: Hash + Eq + ?Sized>(
    map: &mut HashMap<Arc<K>, References>,
    key: &Arc<K>,
    reference: &BindingRef,
) {
    if let Some(found) = map.get_mut(key) {
        if let Ok(place) = found.binary_search_by(|found| (**found).cmp(reference)) {
            found.remove(place);
        }
        if found.is_empty() {
            map.remove(key);
        }
    }
}

/// As it is kept: without the record of who wrote which field, which is of no use here, and without the room for more
/// that lists are given while they are read.
pub fn slim(binding: &mut Guarded) {
    let metadata = binding.meta_mut();
    // None, not an empty list: written back, that would have the API server forget it.
    metadata.managed_fields = None;
    if let Some(finalizers) = &mut metadata.finalizers {
        finalizers.shrink_to_fit();
    }
    if let Ok(WorkloadIdentityBinding {
        status: Some(status),
        ..
    }) = &mut binding.0
    {
        status.conditions.shrink_to_fit();
        status.credentials.shrink_to_fit();
    }
}

pub(super) fn reference(binding: &Guarded) -> BindingRef {
    BindingRef {
        namespace: binding.namespace().unwrap_or_default(),
        name: binding.name_any(),
    }
}

fn keys(binding: &WorkloadIdentityBinding, defaults: &Defaults) -> Keys {
    let status = binding.status.as_ref();
    let resolved = status.and_then(|status| status.identity.as_ref());
    let recorded = status
        .into_iter()
        .flat_map(|status| status.credentials.iter());
    let in_status = resolved
        .map(|identity| &identity.resource_id)
        .into_iter()
        .chain(recorded.map(|credential| &credential.resource_id))
        .filter_map(|id| ManagedIdentityId::parse(id).ok());
    let identities: BTreeSet<_> = identity_id(&binding.spec.identity, defaults)
        .ok()
        .into_iter()
        .chain(in_status)
        .map(|id| Arc::from(id.key()))
        .collect();
    Keys {
        account: Arc::new((
            binding.namespace().unwrap_or_default(),
            service_account_name(binding),
        )),
        identities: identities.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests;
