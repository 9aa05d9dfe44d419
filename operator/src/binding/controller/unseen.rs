//! What the watch of bindings has not shown yet when a replica takes over.
//!
//! A watch may be behind for minutes: its connection is silent, or its server is slow. The leader before may have sent a deletion
//! of which such a watch shows nothing, and whoever writes to that identity meanwhile would be a second writer.

use std::collections::HashSet;
use std::time::Duration;

use azwib_crds::ManagedIdentityId;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep};

use crate::binding::cleanup::deleted_binding::DeletedBinding;
use crate::binding::cleanup::unreadable::raw_bindings;
use crate::binding::index::{Bindings, Guarded, Listed};
use crate::ledger::BindingRef;
use crate::runtime::deliberate::Bug;

/// Items on a page. They are metadata only.
const PAGE: u32 = 500;

/// How long the watch has to catch up with the list. One that works needs milliseconds.
const CATCHES_UP: Duration = Duration::from_secs(1);

/// How often it is looked at meanwhile.
const LOOKS: Duration = Duration::from_millis(20);

/// A binding that is now otherwise than its watch shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    pub binding: BindingRef,
    /// The identities that it has to do with, as the watch shows it and as it is now.
    pub identities: Vec<ManagedIdentityId>,
}

/// Lists the bindings afresh and gives the watch a moment to catch up: those of which it still does not show what the list has.
///
/// # Errors
/// The API server does not give a list, or a binding.
pub async fn unseen(client: &Client, bindings: &Bindings) -> Result<Vec<Unseen>, kube::Error> {
    if Bug::WatchTrustedAtTakeover.is_on() {
        return Ok(vec![]);
    }
    let api = Api::<Guarded>::all(client.clone());
    let (mut changed, mut gone) = compared(&api, bindings).await?;
    let until = Instant::now() + CATCHES_UP;
    while !(changed.is_empty() && gone.is_empty()) && Instant::now() < until {
        sleep(LOOKS).await;
        changed.retain(|it| !bindings.shows(it));
        gone.retain(|it| bindings.has(it));
    }
    let mut behind: Vec<_> = changed
        .into_iter()
        .map(|it| it.binding)
        .chain(gone)
        .collect();
    // What they record is read from the raw object, whether the watch is behind or not.
    behind.extend(bindings.unreadable());
    behind.sort_unstable();
    behind.dedup();
    let mut unseen = Vec::new();
    for binding in behind {
        let one = Api::<Guarded>::namespaced(client.clone(), &binding.namespace);
        let now = one.get_opt(&binding.name).await?;
        let mut identities = bindings.identities_of(&binding, now.as_ref());
        if now.is_some_and(|it| it.0.is_err()) {
            identities.extend(recorded_raw(client, &binding).await?);
        }
        unseen.push(Unseen {
            binding,
            identities,
        });
    }
    Ok(unseen)
}

/// All bindings that the watch shows, where nothing is known of how far it is behind.
pub fn all_unseen(bindings: &Bindings) -> Vec<Unseen> {
    let all = bindings.all().into_iter().map(|binding| Unseen {
        identities: bindings.identities_of(&binding, None),
        binding,
    });
    all.collect()
}

/// The identities on which a binding that cannot be read records credentials.
async fn recorded_raw(
    client: &Client,
    binding: &BindingRef,
) -> Result<Vec<ManagedIdentityId>, kube::Error> {
    let raw = raw_bindings(client, &binding.namespace);
    let raw = raw.get_opt(&binding.name).await?;
    // Where that cannot be read either, nobody could delete anything for it.
    let read = raw.and_then(|raw| DeletedBinding::from_raw(&raw).ok());
    let recorded = read.into_iter().flat_map(|it| it.credentials);
    Ok(recorded.filter_map(|it| it.managed_identity()).collect())
}

/// What a list has that the watch has not shown, and the bindings that it does not have any more.
async fn compared(
    api: &Api<Guarded>,
    bindings: &Bindings,
) -> Result<(Vec<Listed>, Vec<BindingRef>), kube::Error> {
    let mut pages = ListParams::default().limit(PAGE);
    let mut names = HashSet::new();
    let mut changed = Vec::new();
    let version = loop {
        let page = api.list_metadata(&pages).await?;
        for item in page.items {
            let listed = Listed::of(&item.metadata);
            names.insert(listed.binding.clone());
            if !bindings.shows(&listed) {
                changed.push(listed);
            }
        }
        match page.metadata.continue_.filter(|more| !more.is_empty()) {
            Some(more) => pages = pages.continue_token(&more),
            None => break page.metadata.resource_version,
        }
    };
    let mut gone = bindings.known_at(version.as_deref());
    gone.retain(|it| !names.contains(it));
    Ok((changed, gone))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::http::{Request, Response};
    use bytes::Bytes;
    use http_body_util::Full;
    use kube::client::Body;
    use kube::core::DeserializeGuard;
    use kube_runtime::watcher::Event;
    use serde_json::{Value, json};
    use tokio::sync::watch;

    use super::*;
    use crate::binding::fixtures::{defaults, id};

    fn binding(name: &str, version: &str, identity: &str) -> Value {
        json!({
            "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding",
            "metadata": { "namespace": "shop", "name": name, "uid": format!("uid-{name}"), "resourceVersion": version },
            "spec": { "identity": { "name": identity } },
        })
    }

    /// A cluster with these bindings, as of this version, of which one page has two.
    fn client(version: &'static str, bindings: Vec<Value>) -> Client {
        let service = tower::service_fn(move |request: Request<Body>| {
            let (path, query) = (request.uri().path(), request.uri().query());
            let query = query.unwrap_or_default();
            let one = bindings.iter().find(|it| {
                let name = it["metadata"]["name"].as_str().unwrap();
                path.ends_with(&format!("/{name}"))
            });
            let (code, answer) = if let Some(one) = one {
                (200, one.clone())
            } else if path.ends_with("/workloadidentitybindings") {
                let second = query.contains("continue=more");
                let from = if second { 2 } else { 0 };
                let items: Vec<_> = bindings.iter().skip(from).take(2).collect();
                let more = (!second && bindings.len() > 2).then_some("more");
                let metadata = json!({ "resourceVersion": version, "continue": more });
                let list = json!({
                    "kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items,
                });
                (200, list)
            } else {
                let status = json!({
                    "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound", "message": "",
                    "metadata": {}, "details": {},
                });
                (404, status)
            };
            let body = Full::new(Bytes::from(answer.to_string()));
            let response = Response::builder().status(code).body(body).unwrap();
            async move { Ok::<_, Infallible>(response) }
        });
        Client::new(service, "default")
    }

    async fn behind(
        shown: &[Value],
        version: &'static str,
        listed: Vec<Value>,
    ) -> Vec<(String, Vec<ManagedIdentityId>)> {
        let bindings = Bindings::new(watch::channel(defaults()).1);
        for one in shown {
            let one: DeserializeGuard<_> = serde_json::from_value(one.clone()).unwrap();
            bindings.follow(&Event::Apply(one));
        }
        let unseen = unseen(&client(version, listed), &bindings).await.unwrap();
        let named = unseen
            .into_iter()
            .map(|it| (it.binding.name, it.identities));
        named.collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_later_page_has_in_a_later_version_is_behind_with_the_identities_of_both() {
        let shown = [
            binding("a", "5", "one"),
            binding("b", "6", "one"),
            binding("c", "7", "old"),
        ];
        let listed = vec![shown[0].clone(), shown[1].clone(), binding("c", "8", "new")];
        let behind = behind(&shown, "9", listed).await;
        assert_eq!(behind, [("c".to_owned(), vec![id("old"), id("new")])]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_watch_shows_and_the_list_does_not_is_gone_unless_it_came_later() {
        let shown = [binding("gone", "5", "one"), binding("later", "12", "two")];
        let behind = behind(&shown, "9", vec![]).await;
        assert_eq!(behind, [("gone".to_owned(), vec![id("one")])]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_only_the_list_has_is_behind_and_a_later_version_in_the_watch_is_not() {
        let shown = [binding("a", "10", "one")];
        let listed = vec![binding("a", "9", "one"), binding("new", "7", "two")];
        let behind = behind(&shown, "9", listed).await;
        assert_eq!(behind, [("new".to_owned(), vec![id("two")])]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_made_anew_under_its_name_is_behind() {
        let mut anew = binding("a", "3", "one");
        anew["metadata"]["uid"] = json!("another");
        let behind = behind(&[binding("a", "5", "one")], "9", vec![anew]).await;
        assert_eq!(behind.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn versions_that_cannot_be_compared_count_as_behind() {
        let shown = [binding("a", "x", "one")];
        let behind = behind(&shown, "9", shown.to_vec()).await;
        assert_eq!(behind, [("a".to_owned(), vec![id("one"), id("one")])]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_catches_up_in_time_is_not_behind() {
        let bindings = Bindings::new(watch::channel(defaults()).1);
        let client = client("9", vec![binding("a", "5", "one")]);
        let looking = unseen(&client, &bindings);
        let showing = async {
            sleep(CATCHES_UP / 2).await;
            let one: DeserializeGuard<_> =
                serde_json::from_value(binding("a", "5", "one")).unwrap();
            bindings.follow(&Event::Apply(one));
        };
        let (unseen, ()) = tokio::join!(looking, showing);
        assert_eq!(unseen.unwrap(), []);
    }

    /// A change of the schema by hand lets anything in. What such a binding records is what something may be under way for.
    #[tokio::test(start_paused = true)]
    async fn one_that_cannot_be_read_is_behind_with_the_identities_that_it_records() {
        let mut broken = binding("a", "5", "one");
        broken["spec"]["credential"] = json!(7);
        broken["status"] = json!({ "credentials": [{
            "name": "n", "resourceId": id("recorded").as_str(), "issuer": "i", "subject": "s", "audience": "a", "origin": "Created",
        }] });
        let behind = behind(std::slice::from_ref(&broken), "9", vec![broken.clone()]).await;
        assert_eq!(behind, [("a".to_owned(), vec![id("recorded")])]);
    }
}
