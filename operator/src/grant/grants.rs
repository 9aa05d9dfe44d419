//! All grants, and which of them cover what a binding asks for, found without going through all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use azwib_crds::AzureScope;

use super::terms::{Grant, Request};

/// The names of some grants, in order. Most scopes have one grant.
type Names = Vec<Arc<str>>;

/// All grants.
///
/// A grant is found by its scopes and by its namespaces. Of both ways the one with fewer candidates is gone, so neither a
/// subscription with thousands of grants nor a namespace with thousands costs a look at all of them, as long as not both have.
#[derive(Debug, Default)]
pub struct Grants {
    by_name: BTreeMap<Arc<str>, Arc<Grant>>,
    by_scope: HashMap<AzureScope, Names>,
    by_namespace: HashMap<String, Names>,
    /// By one label of the selector.
    by_label: HashMap<(String, String), Names>,
}

impl Grants {
    /// Takes a grant in, in place of the one of this name, which is given back.
    pub fn put(&mut self, grant: Arc<Grant>) -> Option<Arc<Grant>> {
        let before = self.remove(&grant.name);
        let name: Arc<str> = Arc::from(grant.name.as_str());
        for scope in grant.scopes() {
            add(&mut self.by_scope, scope.clone(), &name);
        }
        for namespace in grant.namespaces() {
            add(&mut self.by_namespace, namespace.clone(), &name);
        }
        if let Some((key, value)) = grant.first_label() {
            add(&mut self.by_label, (key.clone(), value.clone()), &name);
        }
        self.by_name.insert(name, grant);
        before
    }

    /// Takes the grant of this name out, and gives it back.
    pub fn remove(&mut self, name: &str) -> Option<Arc<Grant>> {
        let grant = self.by_name.remove(name)?;
        for scope in grant.scopes() {
            take(&mut self.by_scope, scope, name);
        }
        for namespace in grant.namespaces() {
            take(&mut self.by_namespace, namespace, name);
        }
        if let Some((key, value)) = grant.first_label() {
            take(&mut self.by_label, &(key.clone(), value.clone()), name);
        }
        Some(grant)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The grants that cover this, by name. Several unite: what one of them allows is allowed.
    pub fn covering(&self, request: &Request<'_>) -> Vec<Arc<Grant>> {
        let scopes = request.scopes().iter();
        let by_scope: Vec<&Names> = scopes.filter_map(|it| self.by_scope.get(it)).collect();
        let by_namespace = self.of_namespace(request);
        let count = |sets: &[&Names]| sets.iter().map(|it| it.len()).sum::<usize>();
        let candidates = if count(&by_scope) <= count(&by_namespace) {
            by_scope
        } else {
            by_namespace
        };
        let names: BTreeSet<_> = candidates.into_iter().flatten().collect();
        let grants = names.into_iter().filter_map(|name| self.by_name.get(name));
        grants.filter(|it| it.covers(request)).cloned().collect()
    }

    /// Those that may be for the namespace: they name it, or ask for a label that it has.
    fn of_namespace(&self, request: &Request<'_>) -> Vec<&Names> {
        let labels = request.labels.into_iter().flatten();
        let by_label = labels.filter_map(|(key, value)| {
            let label = (key.clone(), value.clone());
            self.by_label.get(&label)
        });
        let by_name = self.by_namespace.get(request.namespace);
        by_name.into_iter().chain(by_label).collect()
    }
}

fn add<K: Eq + Hash>(index: &mut HashMap<K, Names>, key: K, name: &Arc<str>) {
    let names = index.entry(key).or_default();
    if let Err(place) = names.binary_search(name) {
        if names.is_empty() {
            names.reserve_exact(1);
        }
        names.insert(place, Arc::clone(name));
    }
}

fn take<K: Eq + Hash>(index: &mut HashMap<K, Names>, key: &K, name: &str) {
    let Some(names) = index.get_mut(key) else {
        return;
    };
    if let Ok(place) = names.binary_search_by(|it| (**it).cmp(name)) {
        names.remove(place);
    }
    if names.is_empty() {
        index.remove(key);
    }
}

#[cfg(test)]
mod tests;
