//! Which objects of a watch there is something new about.
//!
//! kube-runtime tells of an object of a list as soon as it is decoded; its store shows it once the whole list is there. Who
//! looked in between would find no object, or the one of the list before, and would not be told again.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use futures::{Stream, TryStreamExt, stream};
use kube_runtime::reflector::{Lookup, Store};
use kube_runtime::watcher::{self, Event};

/// Objects that were changed or deleted, and after a list all of it with those that it does not name any more. The store
/// is the one that these events go to, and they have to go there first; `object` gives an object as it was before that.
pub fn touched<K, S>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>>,
    store: Store<S>,
    object: impl Fn(Arc<S>) -> K + Clone,
) -> impl Stream<Item = Result<K, watcher::Error>>
where
    S: Lookup + Clone + 'static,
    S::DynamicType: Eq + Hash + Clone,
{
    let mut before = Vec::new();
    let objects = events.map_ok(move |event| {
        let (told, found) = match event {
            Event::Apply(object) | Event::Delete(object) => (Some(object), Vec::new()),
            Event::Init => {
                before = store.state();
                (None, Vec::new())
            }
            Event::InitApply(_) => (None, Vec::new()),
            Event::InitDone => (None, listed(std::mem::take(&mut before), store.state())),
        };
        // One by one, so that those of a long list are not there twice.
        let found = found.into_iter().map(object.clone());
        stream::iter(told.into_iter().chain(found).map(Ok))
    });
    objects.try_flatten()
}

/// What a list has shown, and then what was there before and is not any more.
fn listed<K: Lookup>(before: Vec<Arc<K>>, now: Vec<Arc<K>>) -> Vec<Arc<K>> {
    let gone: Vec<_> = {
        let is_there: HashSet<_> = now.iter().map(|it| (it.namespace(), it.name())).collect();
        let before = before.into_iter();
        before
            .filter(|it| !is_there.contains(&(it.namespace(), it.name())))
            .collect()
    };
    [in_order(now), in_order(gone)].concat()
}

/// By their names: the store has no order, and every start is to be like the last one.
fn in_order<K: Lookup>(mut objects: Vec<Arc<K>>) -> Vec<Arc<K>> {
    objects.sort_by(|a, b| (a.namespace(), a.name()).cmp(&(b.namespace(), b.name())));
    objects
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use k8s_openapi::api::core::v1::ServiceAccount;
    use kube::ResourceExt;
    use kube_runtime::WatchStreamExt;
    use kube_runtime::reflector::store;

    use super::*;

    fn account(name: &str) -> ServiceAccount {
        let metadata = serde_json::json!({ "name": name, "namespace": "shop" });
        serde_json::from_value(serde_json::json!({ "metadata": metadata })).unwrap()
    }

    #[tokio::test]
    async fn who_is_told_of_an_object_finds_it_in_the_store() {
        let (accounts, writer) = store::<ServiceAccount>();
        let list = |names: [&str; 2]| {
            let objects = names.map(|name| Event::InitApply(account(name)));
            [vec![Event::Init], objects.into(), vec![Event::InitDone]].concat()
        };
        let changes = vec![Event::Apply(account("c")), Event::Delete(account("a"))];
        let events = [list(["a", "b"]), changes, list(["c", "d"])].concat();
        let events = stream::iter(events.into_iter().map(Ok)).reflect(writer);
        let told = touched(events, accounts.clone(), Arc::unwrap_or_clone).map(|told| {
            let name = told.unwrap().name_any();
            let is_there = accounts.state().iter().any(|it| it.name_any() == name);
            (name, is_there)
        });
        let told: Vec<_> = told.collect().await;
        let expected = [
            ("a", true),
            ("b", true),
            ("c", true),
            ("a", false),
            ("c", true),
            ("d", true),
            ("b", false),
        ];
        let told: Vec<_> = told.iter().map(|(name, is)| (name.as_str(), *is)).collect();
        assert_eq!(told, expected);
    }
}
