//! The bindings that are looked at because a grant changes, or the labels of a namespace: those to which it makes a difference, and no
//! others.

use std::collections::HashSet;
use std::sync::Arc;

use azwib_crds::ManagedIdentityId;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use kube_runtime::{WatchStreamExt, watcher};
use tokio::time::Instant;

use super::passes::{Request, request};
use super::watched::watched;
use crate::binding::index::Bindings;
use crate::grant::{Authority, Change, Concerns, Grant, GuardedGrant, Mode};
use crate::kubeutil::pauses::Pauses;
use crate::ledger::BindingRef;

/// Follows grants and namespaces, and asks for a look at each binding that is concerned; for none where grants are off.
pub(super) fn concerned(
    client: &Client,
    grants: Arc<Authority>,
    bindings: &Bindings,
) -> BoxStream<'static, Result<Request, watcher::Error>> {
    if grants.asked() == Some(Mode::Off) {
        return stream::empty().boxed();
    }
    let (of_grants, of_namespaces) = (Arc::clone(&grants), Arc::clone(&grants));
    let followed = watcher(Api::<GuardedGrant>::all(client.clone()), watched())
        .backoff(Pauses::default())
        .map_ok(move |event| of_grants.follow_grants(&event));
    let metadata = Api::<PartialObjectMeta<Namespace>>::all(client.clone());
    let labelled = watcher(metadata, watched())
        .backoff(Pauses::default())
        .map_ok(move |event| of_namespaces.follow_namespaces(&event));
    let bindings = bindings.clone();
    stream::select(followed, labelled)
        .inspect_err({
            let grants = Arc::clone(&grants);
            move |_| grants.failed()
        })
        .map_ok(move |concerns| {
            let began = Instant::now();
            let found = Looking {
                grants: &grants,
                bindings: &bindings,
            }
            .at(concerns);
            let milliseconds = began.elapsed().as_millis();
            tracing::debug!(
                bindings = found.len(),
                milliseconds,
                "grants were asked again"
            );
            stream::iter(found.into_iter().map(|it| Ok(request(&it))))
        })
        .try_flatten()
        .boxed()
}

/// Lists grants and namespaces afresh, for a process that takes over: its watches may lag behind, and what was revoked before the
/// takeover should give nobody anything after it. Until then it is doubted what grants say.
///
/// # Errors
/// The API server does not give a list.
pub async fn list_afresh(client: &Client, grants: &Authority) -> Result<(), kube::Error> {
    if grants.asked() == Some(Mode::Off) {
        return Ok(());
    }
    let listed = Api::<GuardedGrant>::all(client.clone());
    let listed = listed.list(&ListParams::default()).await?;
    // Not as the watch does: a list of its own may be under way.
    grants.list_grants(&listed.items, listed.metadata.resource_version.as_deref());
    let listed = Api::<Namespace>::all(client.clone());
    let listed = listed.list_metadata(&ListParams::default()).await?;
    grants.list_namespaces(&listed.items);
    grants.trust();
    Ok(())
}

/// Looks for who is concerned.
struct Looking<'a> {
    grants: &'a Authority,
    bindings: &'a Bindings,
}

impl Looking<'_> {
    /// In order, so that every run is like the last one.
    fn at(&self, concerns: Concerns) -> Vec<BindingRef> {
        if concerns.is_nothing() {
            return vec![];
        }
        let mut found: Vec<_> = match concerns {
            Concerns::All => self.bindings.all(),
            Concerns::Namespaces(namespaces) => {
                let of = |namespace: &String| self.bindings.names_of_namespace(namespace);
                namespaces.iter().flat_map(of).collect()
            }
            Concerns::Grants(changes) => changes.iter().flat_map(|it| self.of_change(it)).collect(),
        };
        // Who cannot be read cannot be told apart.
        found.extend(self.bindings.unreadable());
        in_order(&mut found);
        self.add_waiting(&mut found);
        found
    }

    /// Whoever waits for room in a quota on the identity of one that is concerned: that one may count towards another grant now.
    fn add_waiting(&self, found: &mut Vec<BindingRef>) {
        let waiting = self.bindings.waiting_for_room().into_iter();
        let is_concerned = |id: &ManagedIdentityId| {
            let of_identity = self.bindings.names_of_identity(id);
            of_identity.iter().any(|it| found.binary_search(it).is_ok())
        };
        let waiting = waiting.filter(|(id, _)| is_concerned(id));
        let waiting: Vec<_> = waiting.flat_map(|(_, waiting)| waiting).collect();
        found.extend(waiting);
        in_order(found);
    }

    fn of_change(&self, change: &Change) -> Vec<BindingRef> {
        let grants = || [&change.before, &change.after].into_iter().flatten();
        let mut found = match named_by(grants()) {
            Some(identities) => {
                let of = |id: &ManagedIdentityId| self.bindings.names_of_identity(id);
                identities.iter().flat_map(of).collect::<Vec<_>>()
            }
            None => {
                let namespaces = grants().flat_map(|it| self.grants.namespaces_of(it));
                let namespaces: HashSet<_> = namespaces.collect();
                let of = |namespace: &String| self.bindings.names_of_namespace(namespace);
                namespaces.iter().flat_map(of).collect()
            }
        };
        found.retain(|who| self.is_concerned(change, who));
        found
    }

    fn is_concerned(&self, change: &Change, who: &BindingRef) -> bool {
        let Some((account, identities)) = self.bindings.concern_of(who) else {
            return false;
        };
        let account = (&*account.0, &*account.1);
        let mut identities = identities.iter();
        identities.any(|id| self.grants.is_concerned(change, id, account))
    }
}

/// Sorted, and each once.
fn in_order(bindings: &mut Vec<BindingRef>) {
    bindings.sort_unstable();
    bindings.dedup();
}

/// The identities that these grants name; None where one of them has a wider scope.
fn named_by<'a>(grants: impl Iterator<Item = &'a Arc<Grant>>) -> Option<Vec<ManagedIdentityId>> {
    let scopes = grants.flat_map(|it| it.scopes());
    scopes
        .map(|scope| ManagedIdentityId::parse(scope.as_str()).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::http::{Request, Response};
    use azwib_crds::Issuer;
    use bytes::Bytes;
    use http_body_util::Full;
    use kube::client::Body;
    use serde_json::{Value, json};

    use kube_runtime::watcher::Event;

    use super::*;
    use crate::binding::validate::Defaults;
    use crate::kubeutil::watch_course::WatchCourse;

    fn grant(name: &str, namespace: &str) -> Value {
        json!({
            "apiVersion": "azwib.dev/v1alpha1", "kind": "IdentityGrant",
            "metadata": { "name": name, "generation": 1 },
            "spec": {
                "namespaces": { "names": [namespace] },
                "identities": [{ "scope": "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg" }],
            },
        })
    }

    /// A cluster with one grant and one namespace.
    fn client() -> Client {
        let service = tower::service_fn(async |request: Request<Body>| {
            let items = if request.uri().path().ends_with("/identitygrants") {
                vec![grant("kept", "shop")]
            } else {
                vec![json!({ "metadata": { "name": "shop" } })]
            };
            let list =
                json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": items });
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(list.to_string()))))
        });
        Client::new(service, "default")
    }

    /// Bindings of the namespace `shop` on the identities `one` and `two`; `status` is the second one's.
    fn bindings(status: &Value) -> Bindings {
        let defaults = Defaults {
            issuer: Issuer::parse("https://oidc.example/").unwrap(),
            unknown_issuer: None,
            subscription: None,
            resource_group: None,
        };
        let bindings = Bindings::new(tokio::sync::watch::channel(defaults).1);
        for (name, identity, status) in [
            ("holds", "one", &Value::Null),
            ("waits", "one", status),
            ("else", "two", status),
        ] {
            let id = ManagedIdentityId::new("00000000-0000-0000-0000-000000000001", "rg", identity);
            let binding = json!({
                "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding",
                "metadata": { "name": name, "namespace": "shop", "uid": name },
                "spec": { "identity": { "resourceId": id.unwrap().as_str() } }, "status": status,
            });
            bindings.follow(&Event::Apply(serde_json::from_value(binding).unwrap()));
        }
        bindings
    }

    /// Who is looked at when a grant for the account `holds` comes.
    fn looked_at(status: &Value) -> Vec<String> {
        let grants = Authority::new(Some(Mode::Enforce), WatchCourse::default());
        for event in [Event::Init, Event::InitDone] {
            grants.follow_grants(&event);
        }
        for event in [Event::Init, Event::InitDone] {
            grants.follow_namespaces(&event);
        }
        let mut comes = grant("new", "shop");
        comes["spec"]["serviceAccounts"] = json!({ "names": ["holds"] });
        let comes = Event::Apply(serde_json::from_value(comes).unwrap());
        let bindings = bindings(status);
        let looking = Looking {
            grants: &grants,
            bindings: &bindings,
        };
        let found = looking.at(grants.follow_grants(&comes));
        found.into_iter().map(|it| it.name).collect()
    }

    #[test]
    fn whoever_waits_for_room_is_looked_at_when_another_of_its_identity_is_concerned() {
        let waits = json!({ "observedGeneration": 1, "credentials": [], "conditions": [{
            "type": "Granted", "status": "False", "reason": "GrantQuotaReached", "message": "1 of the 1",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }] });
        assert_eq!(looked_at(&waits), ["holds", "waits"]);
        assert_eq!(looked_at(&Value::Null), ["holds"]);
    }

    #[tokio::test]
    async fn a_grant_that_the_watch_still_shows_is_gone_after_a_fresh_list() {
        let grants = Authority::new(Some(Mode::Enforce), WatchCourse::default());
        for name in ["kept", "revoked"] {
            let seen = serde_json::from_value(grant(name, "shop")).unwrap();
            grants.follow_grants(&Event::Apply(seen));
        }
        list_afresh(&client(), &grants).await.unwrap();
        let names = grants.names();
        assert_eq!(names, ["kept"]);
    }
}
