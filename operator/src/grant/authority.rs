//! What this process knows of grants and namespaces, from its watches, and what follows from it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use azwib_crds::ManagedIdentityId;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube_runtime::watcher::Event;
use tokio::sync::watch;

use super::known::{Change, GuardedGrant, Known, SeenGrant};
use super::mode::Mode;
use super::reserved::OwnNamespace;
use super::terms::{Grant, Request};
use super::verdict::Verdict;
use crate::kubeutil::watch_course::WatchCourse;
use crate::runtime::lock::lock;

/// The resources that are watched.
const GRANTS: &str = "identitygrants";
const NAMESPACES: &str = "namespaces";

/// Who may bind what, as far as this process knows.
#[derive(Debug)]
pub struct Authority {
    /// What the flag says; `None` where it is not given.
    asked: Option<Mode>,
    course: WatchCourse,
    own_namespace: OwnNamespace,
    /// Grants are enforced from now on, although the flag is not given.
    enforces: AtomicBool,
    known: Mutex<Known>,
    settled: watch::Sender<bool>,
}

/// What an event may make a difference to.
#[derive(Debug)]
pub enum Concerns {
    /// Everything: only now are all grants and namespaces known.
    All,
    /// What these grants cover or covered.
    Grants(Vec<Change>),
    /// What is in these namespaces, whose labels have changed.
    Namespaces(Vec<String>),
}

impl Concerns {
    /// Whether nothing has changed.
    pub fn is_nothing(&self) -> bool {
        match self {
            Self::All => false,
            Self::Grants(changes) => changes.is_empty(),
            Self::Namespaces(names) => names.is_empty(),
        }
    }
}

/// Why it is not known what grants say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotTell {
    #[error("the {0} of this cluster are not listed yet")]
    NotListed(&'static str),
    #[error(
        "this process leads since a moment ago, and has not listed the grants of this cluster afresh yet"
    )]
    Doubted,
    #[error(
        "azwib cannot list or watch {resource} ({refusal}): install the CustomResourceDefinition of this version and its RBAC \
         (kubectl apply -k config/default), or start the operator with --grants=off"
    )]
    Refused {
        resource: &'static str,
        refusal: String,
    },
}

impl Authority {
    /// Nothing is known yet. `course` is that of the watches whose events [`Self::follow_grants`] and
    /// [`Self::follow_namespaces`] get to see.
    pub fn new(asked: Option<Mode>, course: WatchCourse) -> Self {
        let (settled, _) = watch::channel(asked == Some(Mode::Off));
        Self {
            asked,
            course,
            own_namespace: OwnNamespace::default(),
            enforces: AtomicBool::new(false),
            known: Mutex::default(),
            settled,
        }
    }

    /// The same, with the namespace that no grant gives away.
    pub fn reserving(self, own_namespace: OwnNamespace) -> Self {
        Self {
            own_namespace,
            ..self
        }
    }

    /// Whether it is the operator's own, whatever grants say.
    pub fn is_reserved(&self, namespace: &str) -> bool {
        self.own_namespace.is(namespace)
    }

    /// The namespace of the operator's own ServiceAccount; `None` where that is not known.
    pub fn own_namespace(&self) -> Option<&str> {
        self.own_namespace.get()
    }

    /// What the flag says.
    pub fn asked(&self) -> Option<Mode> {
        self.asked
    }

    /// Whether grants are required now. Where the flag is not given, they are as soon as no binding is left that was admitted
    /// without one, and from then on: whoever can write a status cannot change it back.
    pub fn mode(&self, some_admitted_without: impl FnOnce() -> bool) -> Mode {
        if let Some(asked) = self.asked {
            return asked;
        }
        if self.enforces.load(Ordering::Relaxed) {
            return Mode::Enforce;
        }
        if some_admitted_without() {
            return Mode::Audit;
        }
        self.enforces.store(true, Ordering::Relaxed);
        Mode::Enforce
    }

    /// What the grants say; `named` is the grant that was named before.
    ///
    /// # Errors
    /// Where that is not known.
    pub fn verdict(
        &self,
        identity: &ManagedIdentityId,
        (namespace, account): (&str, &str),
        named: Option<&str>,
    ) -> Result<Verdict, CannotTell> {
        for resource in [GRANTS, NAMESPACES] {
            if let Some(refusal) = self.course.refusal(resource) {
                return Err(CannotTell::Refused { resource, refusal });
            }
        }
        let known = self.known();
        if !known.has_grants {
            return Err(CannotTell::NotListed(GRANTS));
        }
        if !known.has_namespaces {
            return Err(CannotTell::NotListed(NAMESPACES));
        }
        let labels = known.labels_of(namespace);
        let request = Request::new(identity, namespace, labels, account);
        Ok(Verdict::of(&known.grants, &request, named))
    }

    /// The grants that cover this, by name.
    pub fn covering(
        &self,
        identity: &ManagedIdentityId,
        (namespace, account): (&str, &str),
    ) -> Vec<Arc<Grant>> {
        let known = self.known();
        let labels = known.labels_of(namespace);
        let request = Request::new(identity, namespace, labels, account);
        known.grants.covering(&request)
    }

    /// Whether such a change can make a difference to who asks for this.
    pub fn is_concerned(
        &self,
        change: &Change,
        identity: &ManagedIdentityId,
        (namespace, account): (&str, &str),
    ) -> bool {
        let known = self.known();
        let labels = known.labels_of(namespace);
        let request = Request::new(identity, namespace, labels, account);
        super::terms::concerns(change.before.as_deref(), change.after.as_deref(), &request)
    }

    /// The namespaces that a grant is for.
    pub fn namespaces_of(&self, grant: &Grant) -> HashSet<String> {
        let known = self.known();
        let selected = known
            .namespaces
            .iter()
            .filter(|(name, it)| grant.is_for_namespace(name, Some(&it.labels)))
            .map(|(name, _)| name.clone());
        grant.namespaces().cloned().chain(selected).collect()
    }

    /// Takes in a list of grants of this version, which the watch may be behind on, or ahead of.
    pub fn list_grants(&self, listed: &[GuardedGrant], version: Option<&str>) {
        self.known().list(listed, version);
    }

    /// Takes in a list of namespaces, which the watch may be behind on, or ahead of.
    pub fn list_namespaces(&self, listed: &[PartialObjectMeta<Namespace>]) {
        self.known().list_namespaces(listed);
    }

    /// Takes an event of the watch of grants in.
    pub fn follow_grants(&self, event: &Event<GuardedGrant>) -> Concerns {
        let mut known = self.known();
        match event {
            Event::Init => known.listed_grants.clear(),
            Event::InitApply(grant) => {
                known.listed_grants.insert(grant.name_any());
                return Concerns::Grants(known.put(grant).into_iter().collect());
            }
            Event::Apply(grant) => {
                return Concerns::Grants(known.put(grant).into_iter().collect());
            }
            Event::Delete(grant) => {
                return Concerns::Grants(known.remove(&grant.name_any()).into_iter().collect());
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut known.listed_grants);
                let names = known.seen.keys().cloned();
                let gone: Vec<_> = names.filter(|name| !listed.contains(name)).collect();
                let changes: Vec<_> = gone.iter().filter_map(|name| known.remove(name)).collect();
                if !std::mem::replace(&mut known.has_grants, true) && known.has_namespaces {
                    drop(known);
                    self.settle();
                    return Concerns::All;
                }
                return Concerns::Grants(changes);
            }
        }
        Concerns::Grants(vec![])
    }

    /// Takes an event of the watch of namespaces in.
    pub fn follow_namespaces(&self, event: &Event<PartialObjectMeta<Namespace>>) -> Concerns {
        let mut known = self.known();
        let changed = match event {
            Event::Init => {
                known.listed_namespaces.clear();
                None
            }
            Event::InitApply(namespace) => {
                known.listed_namespaces.insert(namespace.name_any());
                known.label(namespace)
            }
            Event::Apply(namespace) => known.label(namespace),
            Event::Delete(namespace) => {
                let name = namespace.name_any();
                known.namespaces.remove(&name).map(|_| name)
            }
            Event::InitDone => {
                let listed = std::mem::take(&mut known.listed_namespaces);
                let gone: Vec<_> = known
                    .namespaces
                    .extract_if(|name, _| !listed.contains(name))
                    .map(|(name, _)| name)
                    .collect();
                if !std::mem::replace(&mut known.has_namespaces, true) && known.has_grants {
                    drop(known);
                    self.settle();
                    return Concerns::All;
                }
                return Concerns::Namespaces(gone);
            }
        };
        Concerns::Namespaces(changed.into_iter().collect())
    }

    /// Takes note of a watch that has failed: passes need not wait for it any longer.
    pub fn failed(&self) {
        self.settle();
    }

    /// This process is about to lead, and its watches may be behind: where grants are enforced it is not known what they say before
    /// they are listed afresh.
    pub fn doubt(&self) {
        self.known().is_doubted = self.asked != Some(Mode::Off);
    }

    /// Grants and namespaces are known as they are now.
    pub fn trust(&self) {
        self.known().is_doubted = false;
    }

    /// Whether they have to be listed afresh.
    pub fn is_doubted(&self) -> bool {
        self.known().is_doubted
    }

    /// How often grants have changed so far, but for their statuses.
    pub fn changes(&self) -> u64 {
        self.known().changes
    }

    /// The names of all grants, in order.
    pub fn names(&self) -> Vec<String> {
        self.known().seen.keys().cloned().collect()
    }

    /// The grant of this name, as it was seen last.
    pub fn seen(&self, name: &str) -> Option<SeenGrant> {
        self.known().seen(name)
    }

    /// Resolves once it is known what grants say, or that it cannot be known now.
    pub async fn settled(&self) {
        let mut settled = self.settled.subscribe();
        // It fails once this is dropped, and then nobody waits.
        let _ = settled.wait_for(|settled| *settled).await;
    }

    fn settle(&self) {
        self.settled.send_replace(true);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

#[cfg(test)]
mod tests;
