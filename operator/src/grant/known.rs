//! The grants and namespaces that a process knows.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use azwib_crds::{IdentityGrant, IdentityGrantStatus};
use k8s_openapi::api::core::v1::Namespace;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::{Resource, ResourceExt};

use super::grants::Grants;
use super::terms::{Grant, Labels};
use crate::kubeutil::compressed::Compressed;
use crate::kubeutil::versions::order;

/// A grant of the watch, or why it cannot be read.
pub type GuardedGrant = DeserializeGuard<IdentityGrant>;

#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) grants: Grants,
    pub(super) namespaces: HashMap<String, Labelled>,
    /// The names that a list under way has shown.
    pub(super) listed_grants: HashSet<String>,
    pub(super) listed_namespaces: HashSet<String>,
    /// All grants of the watch, those that allow nothing included.
    pub(super) seen: BTreeMap<String, KeptGrant>,
    /// How often a grant has changed, but for its status.
    pub(super) changes: u64,
    /// Whether a list was complete.
    pub(super) has_grants: bool,
    pub(super) has_namespaces: bool,
    /// What the watches have shown may be out of date.
    pub(super) is_doubted: bool,
}

/// The labels of a namespace, and where its version stands among those of the cluster.
#[derive(Debug)]
pub(super) struct Labelled {
    pub(super) labels: Labels,
    order: Option<u64>,
}

/// The status of most grants, as text.
const TYPICAL: &[u8] = br#"{"observedGeneration":1,"bindings":1,"conditions":[{"lastTransitionTime":"2026-01-02T03:04:05Z","message":"the grant is in force","observedGeneration":1,"reason":"InForce","status":"True","type":"Ready"}]}"#;

/// What is kept of a grant besides what it allows.
#[derive(Debug)]
pub(super) struct KeptGrant {
    generation: i64,
    version: Option<Box<str>>,
    invalid: Option<Box<str>>,
    status: Option<Compressed>,
}

/// What is known of a grant besides what it allows.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenGrant {
    pub name: String,
    pub generation: i64,
    /// Which version of it this is.
    pub version: Option<String>,
    /// Why it allows nothing, where it does not.
    pub invalid: Option<String>,
    pub status: Option<IdentityGrantStatus>,
}

/// One grant before and after a change; `None` where there was none, or is none any more.
#[derive(Debug, Clone)]
pub struct Change {
    pub before: Option<Arc<Grant>>,
    pub after: Option<Arc<Grant>>,
}

impl Known {
    /// Takes in a list of this version. What the watch has shown since counts.
    pub(super) fn list(&mut self, listed: &[GuardedGrant], version: Option<&str>) {
        let is_newer = |seen: &KeptGrant, than: Option<&str>| {
            is_newer(
                seen.version.as_deref().and_then(order),
                than.and_then(order),
            )
        };
        let names: HashSet<_> = listed.iter().map(ResourceExt::name_any).collect();
        for grant in listed {
            let version = grant.meta().resource_version.as_deref();
            let seen = self.seen.get(&grant.name_any());
            if !seen.is_some_and(|seen| is_newer(seen, version)) {
                self.put(grant);
            }
        }
        let seen = self.seen.iter();
        let gone = seen.filter(|(name, seen)| !names.contains(*name) && !is_newer(seen, version));
        let gone: Vec<_> = gone.map(|(name, _)| name.clone()).collect();
        for name in gone {
            self.remove(&name);
        }
    }

    /// One that cannot be read, or is being deleted, allows nothing.
    pub(super) fn put(&mut self, grant: &GuardedGrant) -> Option<Change> {
        self.see(grant);
        let in_force = |grant: &IdentityGrant| grant.metadata.deletion_timestamp.is_none();
        let readable = grant.0.as_ref().ok().filter(|it| in_force(it));
        let Some(parsed) = readable.and_then(|it| Grant::parse(it).ok()) else {
            return self.withdraw(&grant.name_any());
        };
        let after = Arc::new(parsed);
        let before = self.grants.put(Arc::clone(&after));
        let is_new = before.as_ref() != Some(&after);
        let change = Change {
            before,
            after: Some(after),
        };
        is_new.then_some(change)
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Change> {
        self.seen.remove(name);
        self.changes += 1;
        self.withdraw(name)
    }

    fn see(&mut self, grant: &GuardedGrant) {
        let name = grant.name_any();
        let invalid = match &grant.0 {
            Ok(grant) => Grant::parse(grant).err().map(|it| it.to_string()),
            Err(unreadable) => Some(unreadable.error.clone()),
        };
        let generation = grant.meta().generation.unwrap_or_default();
        let status = grant.0.as_ref().ok().and_then(|it| it.status.as_ref());
        let seen = KeptGrant {
            generation,
            version: grant.meta().resource_version.as_deref().map(Box::from),
            invalid: invalid.map(Box::from),
            // Without one, it is written once more.
            status: status.and_then(|it| Compressed::of(it, TYPICAL).ok()),
        };
        let before = self.seen.insert(name, seen);
        let same = before.is_some_and(|it| it.generation == generation);
        self.changes += u64::from(!same);
    }

    /// What is known of the grant of this name.
    pub(super) fn seen(&self, name: &str) -> Option<SeenGrant> {
        let kept = self.seen.get(name)?;
        let text = |text: &Option<Box<str>>| text.as_deref().map(String::from);
        let status = kept.status.as_ref();
        Some(SeenGrant {
            name: name.to_owned(),
            generation: kept.generation,
            version: text(&kept.version),
            invalid: text(&kept.invalid),
            status: status.and_then(|it| it.value(TYPICAL).ok()),
        })
    }

    fn withdraw(&mut self, name: &str) -> Option<Change> {
        let before = self.grants.remove(name)?;
        Some(Change {
            before: Some(before),
            after: None,
        })
    }

    /// The labels of this namespace, where it is known.
    pub(super) fn labels_of(&self, namespace: &str) -> Option<&Labels> {
        self.namespaces.get(namespace).map(|it| &it.labels)
    }

    /// The name of a namespace whose labels are others now.
    pub(super) fn label(&mut self, namespace: &PartialObjectMeta<Namespace>) -> Option<String> {
        let (name, labels) = (namespace.name_any(), namespace.labels().clone());
        let order = version_of(namespace);
        let now = Labelled {
            labels: labels.clone(),
            order,
        };
        let before = self.namespaces.insert(name.clone(), now);
        let is_new = before.is_none_or(|before| before.labels != labels);
        is_new.then_some(name)
    }

    /// Takes in a list of namespaces. What the watch has shown since counts.
    pub(super) fn list_namespaces(&mut self, listed: &[PartialObjectMeta<Namespace>]) {
        for namespace in listed {
            let seen = self.namespaces.get(&namespace.name_any());
            if !is_newer(seen.and_then(|it| it.order), version_of(namespace)) {
                self.label(namespace);
            }
        }
    }
}

fn version_of(namespace: &PartialObjectMeta<Namespace>) -> Option<u64> {
    namespace.meta().resource_version.as_deref().and_then(order)
}

/// Whether what was seen is of a later version than this. Where nobody can say what comes first, it is not.
fn is_newer(seen: Option<u64>, than: Option<u64>) -> bool {
    seen.zip(than).is_some_and(|(seen, than)| seen > than)
}
