//! Where each binding is found: the maps of the index, and what they take in.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use azwib_crds::{Issuer, WorkloadIdentityBinding};
use kube::ResourceExt;

use super::applicants::Applicants;
use super::found::{Guarded, reference};
use super::gone::{Gone, Trace, Unreadable};
use super::keys::{Age, Keys, keys};
use super::seen::{Seen, Sending};
use crate::binding::credential::applicants::{Account, Indexed, indexed};
use crate::binding::status::believed::records_own;
use crate::binding::status::granted::is_admitted_without_grant;
use crate::binding::validate::Defaults;
use crate::ledger::BindingRef;
use crate::runtime::deliberate::Bug;

/// Bindings in order.
pub(super) type References = Vec<Arc<BindingRef>>;

/// Bindings by age, the oldest first.
pub(super) type ByAge = Vec<(Age, Arc<BindingRef>)>;

/// The maps share what they are keyed by, and hold lists: most accounts have one binding, and there may be many.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) filed: HashMap<Arc<BindingRef>, Filed>,
    pub(super) by_account: HashMap<Arc<Account>, ByAge>,
    pub(super) by_identity: HashMap<Arc<str>, References>,
    pub(super) by_namespace: HashMap<Arc<str>, References>,
    /// Those that have something and were admitted without a grant, as status says.
    pub(super) without_grant: HashSet<Arc<BindingRef>>,
    /// What each binding means to the others on its identity.
    pub(super) stakes: HashMap<Arc<BindingRef>, Indexed>,
    pub(super) applicants: HashMap<Arc<str>, Applicants>,
    /// Our last writes that the watch has not shown yet, by UID.
    pub(super) written: HashMap<String, Written>,
    /// Our writes of a status that have no answer yet.
    pub(super) sending: Sending,
    /// The UIDs of those that are cleaned up and not gone yet.
    pub(super) cleaned_up: HashSet<String>,
    /// Those that have gone with something on record and without having been cleaned up.
    pub(super) vanished: HashMap<BindingRef, Arc<WorkloadIdentityBinding>>,
    /// Those that have gone with something on record while another process led, and when: what that one has sent for them may be
    /// under way.
    pub(super) gone: VecDeque<Gone>,
    /// Those that cannot be read.
    pub(super) unreadable: BTreeMap<BindingRef, Unreadable>,
    /// Another process leads: what goes is cleaned up by that one.
    pub(super) stands_by: bool,
    /// Whether a list was complete.
    pub(super) is_listed: bool,
    /// Those of a list that is under way: what it does not name is gone once it is done.
    pub(super) listed: BTreeSet<BindingRef>,
    /// How many applicants were made of bindings: a pass makes none.
    #[cfg(test)]
    pub(super) applicants_built: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Written {
    /// The versions that it came from.
    pub(super) outdated: Vec<String>,
    pub(super) latest: Arc<WorkloadIdentityBinding>,
}

impl Written {
    /// Whether this version is of our making, or was looked at before we wrote.
    fn made(&self, version: &String) -> bool {
        self.outdated.contains(version) || self.latest.resource_version().as_ref() == Some(version)
    }
}

/// What is kept of one binding.
#[derive(Debug)]
pub(super) struct Filed {
    pub(super) keys: Keys,
    pub(super) seen: Seen,
}

impl Filed {
    /// Where something was recorded for it.
    pub(super) fn trace(&self) -> Option<Trace> {
        let has_recorded = self.seen.has_recorded_any();
        has_recorded.then(|| Trace::from(&self.keys))
    }
}

impl Index {
    /// What is known of this binding's statuses once this version was seen; None where nothing was before.
    pub(super) fn look(
        &self,
        reference: &BindingRef,
        binding: &Guarded,
        issuer: &Issuer,
    ) -> Option<Seen> {
        let mut seen = self.filed.get(reference)?.seen;
        let binding = binding.0.as_ref().ok()?;
        let uid = binding.uid().unwrap_or_default();
        let version = binding.resource_version().unwrap_or_default();
        let is_ours = |status| {
            self.sending.contains(&uid, status)
                || self
                    .written
                    .get(&uid)
                    .is_some_and(|written| written.made(&version))
                || Bug::ForeignStatusUnseen.is_on()
        };
        seen.look(binding, records_own(binding, issuer), is_ours);
        Some(seen)
    }

    /// Takes in what a write of ours has made of a binding's status.
    pub(super) fn wrote(
        &mut self,
        reference: &BindingRef,
        after: &WorkloadIdentityBinding,
        issuer: &Issuer,
    ) {
        if let Some(filed) = self.filed.get_mut(reference) {
            filed.seen.look(after, records_own(after, issuer), |_| true);
        }
    }

    pub(super) fn put(&mut self, binding: &Guarded, defaults: &Defaults) {
        let reference = reference(binding);
        if self.is_another(&reference, binding) {
            self.goes(&reference);
        }
        let seen = self.look(&reference, binding, &defaults.issuer);
        self.see(binding);
        // One that cannot be read any more counts for nothing.
        let Ok(binding) = &binding.0 else {
            let unreadable = Unreadable {
                uid: binding.uid().unwrap_or_default(),
                trace: self.trace(&reference),
            };
            self.remove(&reference);
            self.unreadable.insert(reference, unreadable);
            return;
        };
        let latest = self.written_after(
            binding.metadata.uid.as_deref(),
            binding.metadata.resource_version.as_deref(),
        );
        let mut keys = keys(binding, defaults);
        let seen =
            seen.unwrap_or_else(|| Seen::first(binding, records_own(binding, &defaults.issuer)));
        match self.filed.get_mut(&reference) {
            Some(filed) if filed.keys == keys => filed.seen = seen,
            _ => {
                self.remove(&reference);
                let reference = Arc::new(reference);
                if let Some(age) = keys.age {
                    let by_age = (age, Arc::clone(&reference));
                    keys.account = file_under(&mut self.by_account, keys.account, by_age);
                }
                for identity in &mut keys.identities {
                    *identity = file_under(
                        &mut self.by_identity,
                        Arc::clone(identity),
                        Arc::clone(&reference),
                    );
                }
                file_under(
                    &mut self.by_namespace,
                    Arc::from(&*reference.namespace),
                    Arc::clone(&reference),
                );
                self.filed.insert(reference, Filed { keys, seen });
            }
        }
        self.stand(latest.as_deref().unwrap_or(binding), defaults);
    }

    /// Takes note of what a binding means to the others on its identity.
    pub(super) fn stand(&mut self, binding: &WorkloadIdentityBinding, defaults: &Defaults) {
        let reference = BindingRef::of(binding);
        let mut indexed = indexed(binding, defaults);
        if let Some(indexed) = &mut indexed {
            self.share(&reference, indexed);
        }
        #[cfg(test)]
        {
            self.applicants_built += 1;
        }
        if let Some((known, _)) = self.filed.get_key_value(&reference) {
            if is_admitted_without_grant(binding) {
                self.without_grant.insert(Arc::clone(known));
            } else {
                self.without_grant.remove(known);
            }
        }
        if self.stakes.get(&reference) == indexed.as_ref() {
            return;
        }
        self.withdraw(&reference);
        let (Some(indexed), Some((reference, _))) = (indexed, self.filed.get_key_value(&reference))
        else {
            return;
        };
        let reference = Arc::clone(reference);
        match &indexed {
            Indexed::Live {
                identity,
                account,
                rank,
                applicant,
                quota,
            } => {
                let applicants = self.applicants.entry(Arc::clone(identity)).or_default();
                applicants.put(account, rank, applicant.as_ref(), *quota);
            }
            Indexed::DeletedBinding {
                identities,
                account,
                rank,
            } => {
                for identity in identities {
                    let applicants = self.applicants.entry(Arc::clone(identity)).or_default();
                    applicants.depart(rank, account);
                }
            }
        }
        self.stakes.insert(reference, indexed);
    }

    /// Takes the account and the identities of a binding from where it is filed, in place of texts of its own.
    fn share(&self, reference: &BindingRef, indexed: &mut Indexed) {
        let Some(filed) = self.filed.get(reference) else {
            return;
        };
        let (identities, account) = match indexed {
            Indexed::Live {
                identity, account, ..
            } => (std::slice::from_mut(identity), account),
            Indexed::DeletedBinding {
                identities,
                account,
                ..
            } => (&mut identities[..], account),
        };
        if *account == filed.keys.account {
            *account = Arc::clone(&filed.keys.account);
        }
        for identity in identities {
            if let Some(known) = filed.keys.identities.iter().find(|it| *it == identity) {
                *identity = Arc::clone(known);
            }
        }
    }

    /// A binding means nothing to others any more.
    fn withdraw(&mut self, reference: &BindingRef) {
        let Some(indexed) = self.stakes.remove(reference) else {
            return;
        };
        let identities = match &indexed {
            Indexed::Live { identity, .. } => std::slice::from_ref(identity),
            Indexed::DeletedBinding { identities, .. } => identities,
        };
        for identity in identities {
            let Some(applicants) = self.applicants.get_mut(identity) else {
                continue;
            };
            match &indexed {
                Indexed::Live { account, rank, .. } => applicants.take(account, rank),
                Indexed::DeletedBinding { rank, .. } => applicants.have_departed(rank),
            }
            if applicants.is_empty() {
                self.applicants.remove(identity);
            }
        }
    }

    /// What a write of ours has made of the binding since this version of it.
    pub(super) fn written_after(
        &self,
        uid: Option<&str>,
        version: Option<&str>,
    ) -> Option<Arc<WorkloadIdentityBinding>> {
        let (written, version) = (self.written.get(uid?)?, version?);
        let is_outdated = written.outdated.iter().any(|it| *it == version);
        is_outdated.then(|| Arc::clone(&written.latest))
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

    /// The names of all bindings, those that cannot be read included.
    pub(super) fn known(&self) -> impl Iterator<Item = &BindingRef> {
        let readable = self.filed.keys().map(|it| &**it);
        readable.chain(self.unreadable.keys())
    }

    pub(super) fn remove(&mut self, reference: &BindingRef) {
        self.unreadable.remove(reference);
        self.withdraw(reference);
        let Some(filed) = self.filed.remove(reference) else {
            return;
        };
        let Keys {
            account,
            age,
            identities,
        } = filed.keys;
        if let Some(age) = age {
            take_out(&mut self.by_account, &account, |it| {
                (it.0, &*it.1).cmp(&(age, reference))
            });
        }
        for identity in identities {
            take_out(&mut self.by_identity, &identity, |it| (**it).cmp(reference));
        }
        let namespace = &*reference.namespace;
        take_out(&mut self.by_namespace, namespace, |it| {
            (**it).cmp(reference)
        });
        self.without_grant.remove(reference);
    }

    pub(super) fn keep_listed(&mut self) {
        self.is_listed = true;
        let listed = std::mem::take(&mut self.listed);
        let known = self.known();
        let gone = known.filter(|known| !listed.contains(known));
        let gone: Vec<_> = gone.cloned().collect();
        for reference in gone {
            self.goes(&reference);
            self.remove(&reference);
        }
    }
}

/// Files an entry under a key; gives the key as the map has it.
fn file_under<K: Hash + Eq + ?Sized, V: Ord>(
    map: &mut HashMap<Arc<K>, Vec<V>>,
    key: Arc<K>,
    entry: V,
) -> Arc<K> {
    let found = map.entry(key);
    let key = Arc::clone(found.key());
    let found = found.or_default();
    if let Err(place) = found.binary_search(&entry) {
        found.insert(place, entry);
    }
    key
}

fn take_out<K: Hash + Eq + ?Sized, V>(
    map: &mut HashMap<Arc<K>, Vec<V>>,
    key: &K,
    compare: impl Fn(&V) -> Ordering,
) {
    if let Some(found) = map.get_mut(key) {
        if let Ok(place) = found.binary_search_by(compare) {
            found.remove(place);
        }
        if found.is_empty() {
            map.remove(key);
        }
    }
}
