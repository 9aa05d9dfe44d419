use bytes::Bytes;
use futures::FutureExt;
use http::{Request as HttpRequest, Response};
use http_body_util::Full;
use kube::Resource;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use serde_json::{Value, json};
use tower::{BoxError, Layer, ServiceExt, service_fn};

use super::*;

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";

fn grant(name: &str, namespaces: &Value) -> GuardedGrant {
    let scope = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg");
    let grant = json!({
        "apiVersion": "azwib.dev/v1alpha1",
        "kind": "IdentityGrant",
        "metadata": { "name": name },
        "spec": { "identities": [{ "scope": scope }], "namespaces": namespaces },
    });
    DeserializeGuard(Ok(serde_json::from_value(grant).unwrap()))
}

fn namespace(name: &str, labels: &Value) -> PartialObjectMeta<Namespace> {
    let metadata = json!({ "metadata": { "name": name, "labels": labels } });
    serde_json::from_value(metadata).unwrap()
}

/// Both lists, complete.
fn listed(grants: Vec<GuardedGrant>, namespaces: Vec<PartialObjectMeta<Namespace>>) -> Authority {
    listed_by(WatchCourse::default(), grants, namespaces)
}

fn listed_by(
    course: WatchCourse,
    grants: Vec<GuardedGrant>,
    namespaces: Vec<PartialObjectMeta<Namespace>>,
) -> Authority {
    let authority = Authority::new(None, course);
    list(&authority, grants);
    let events = namespaces.into_iter().map(Event::InitApply);
    for event in [Event::Init]
        .into_iter()
        .chain(events)
        .chain([Event::InitDone])
    {
        authority.follow_namespaces(&event);
    }
    authority
}

fn list(authority: &Authority, grants: Vec<GuardedGrant>) -> Concerns {
    authority.follow_grants(&Event::Init);
    for grant in grants {
        authority.follow_grants(&Event::InitApply(grant));
    }
    authority.follow_grants(&Event::InitDone)
}

/// The grant that lets the account `orders` of a namespace use the identity `orders`; a dash where there is none, a question mark
/// where that is not known.
fn granted(authority: &Authority, namespace: &str) -> String {
    let identity = ManagedIdentityId::new(SUBSCRIPTION, "rg", "orders").unwrap();
    match authority.verdict(&identity, (namespace, "orders"), None) {
        Ok(Verdict::Granted { by, .. }) => by.name.clone(),
        Ok(Verdict::NotGranted(_)) => "-".to_owned(),
        Err(_) => "?".to_owned(),
    }
}

fn of_shop() -> Value {
    json!({ "names": ["shop"] })
}

#[test]
fn nothing_is_known_before_both_lists_are_complete() {
    let authority = Authority::new(None, WatchCourse::default());
    assert_eq!(granted(&authority, "shop"), "?");
    assert!(authority.settled().now_or_never().is_none());
    authority.follow_grants(&Event::Init);
    authority.follow_grants(&Event::InitApply(grant("g", &of_shop())));
    assert_eq!(granted(&authority, "shop"), "?", "more may come");
    authority.follow_grants(&Event::InitDone);
    assert_eq!(granted(&authority, "shop"), "?", "labels may matter");
    authority.follow_namespaces(&Event::Init);
    let done = authority.follow_namespaces(&Event::InitDone);
    assert!(matches!(done, Concerns::All), "{done:?}");
    assert_eq!(granted(&authority, "shop"), "g");
    assert!(authority.settled().now_or_never().is_some());
}

#[test]
fn a_list_counts_where_the_watch_is_behind_it_and_not_where_it_is_ahead() {
    let at = |name: &str, version: &str, namespaces: &Value| {
        let mut grant = grant(name, namespaces);
        grant.meta_mut().resource_version = Some(version.to_owned());
        grant
    };
    let other = json!({ "names": ["other"] });
    // As the watch shows them, of which each is in another state in a list of version 20.
    let authority = listed(
        vec![
            at("behind", "10", &other),
            at("ahead", "30", &other),
            at("gone", "10", &of_shop()),
            at("new", "30", &of_shop()),
        ],
        vec![],
    );
    let list = [
        at("behind", "15", &of_shop()),
        at("ahead", "15", &of_shop()),
    ];
    authority.list_grants(&list, Some("20"));
    assert_eq!(authority.names(), ["ahead", "behind", "new"]);
    let version = |name: &str| authority.seen(name).unwrap().version.unwrap();
    let versions = ["ahead", "behind", "new"].map(version);
    assert_eq!(versions, ["30", "15", "30"]);
    assert_eq!(granted(&authority, "shop"), "behind");
}

#[test]
fn passes_do_not_wait_for_a_list_that_fails() {
    let authority = Authority::new(None, WatchCourse::default());
    authority.failed();
    assert!(authority.settled().now_or_never().is_some());
    assert_eq!(granted(&authority, "shop"), "?");
}

/// A watch is opened, and the API server answers it so.
async fn watched(course: &WatchCourse, resource: &str, answer: Result<u16, BoxError>) {
    let answer = answer.map(|status| {
        let body = Full::new(Bytes::new());
        Response::builder().status(status).body(body).unwrap()
    });
    let mut answer = Some(answer);
    let server = service_fn(move |_: HttpRequest<()>| {
        let answer = answer.take().unwrap();
        async move { answer }
    });
    let path = format!("/apis/{resource}?watch=true");
    let request = HttpRequest::get(path).body(()).unwrap();
    let _ = course.layer(server).oneshot(request).await;
}

#[tokio::test]
async fn while_a_watch_is_refused_nobody_can_tell_though_both_lists_were_complete() {
    let course = WatchCourse::default();
    let authority = listed_by(course.clone(), vec![grant("g", &of_shop())], vec![]);
    for resource in ["identitygrants", "namespaces"] {
        for (answer, said) in [
            (Ok(403), "403"),
            (Ok(500), "500"),
            (Err("reset".into()), "no answer"),
        ] {
            assert_eq!(granted(&authority, "shop"), "g");
            watched(&course, resource, answer).await;
            let identity = ManagedIdentityId::new(SUBSCRIPTION, "rg", "orders").unwrap();
            let why = authority.verdict(&identity, ("shop", "orders"), None);
            let why = why.unwrap_err().to_string();
            assert!(why.contains(resource) && why.contains(said), "{why}");
            // Neither is anything known of who has no grant: nothing is taken away.
            assert_eq!(granted(&authority, "other"), "?");
            watched(&course, resource, Ok(200)).await;
        }
    }
    assert_eq!(granted(&authority, "shop"), "g");
    assert_eq!(granted(&authority, "other"), "-");
}

#[test]
fn a_grant_that_a_later_list_does_not_name_is_gone() {
    let authority = listed(vec![grant("g", &of_shop())], vec![]);
    assert_eq!(granted(&authority, "shop"), "g");
    let Concerns::Grants(gone) = list(&authority, vec![]) else {
        panic!("only that grant");
    };
    assert_eq!(gone.len(), 1);
    assert_eq!(granted(&authority, "shop"), "-");
}

#[test]
fn a_grant_that_cannot_be_read_or_is_being_deleted_allows_nothing() {
    let authority = listed(vec![grant("g", &of_shop())], vec![]);
    let invalid = InvalidObject {
        error: "no".to_owned(),
        metadata: grant("g", &of_shop()).0.unwrap().metadata,
    };
    authority.follow_grants(&Event::Apply(DeserializeGuard(Err(invalid))));
    assert_eq!(granted(&authority, "shop"), "-");
    authority.follow_grants(&Event::Apply(grant("g", &of_shop())));
    assert_eq!(granted(&authority, "shop"), "g");
    let mut going = grant("g", &of_shop());
    let since = serde_json::from_value(json!("2026-01-02T03:04:05Z")).unwrap();
    going.0.as_mut().unwrap().metadata.deletion_timestamp = Some(since);
    authority.follow_grants(&Event::Apply(going));
    assert_eq!(granted(&authority, "shop"), "-");
}

#[test]
fn the_labels_of_a_namespace_count_as_they_are_now() {
    let by_label = json!({ "selector": { "matchLabels": { "team": "shop" } } });
    let (labelled, plain) = (json!({ "team": "shop" }), json!({ "team": "other" }));
    let authority = listed(
        vec![grant("g", &by_label)],
        vec![namespace("a", &labelled), namespace("b", &plain)],
    );
    assert_eq!(
        (&*granted(&authority, "a"), &*granted(&authority, "b")),
        ("g", "-")
    );
    let changed = authority.follow_namespaces(&Event::Apply(namespace("a", &plain)));
    assert!(
        matches!(&changed, Concerns::Namespaces(it) if it[..] == ["a"]),
        "{changed:?}"
    );
    assert_eq!(granted(&authority, "a"), "-");
    // The same once more is no change.
    let same = authority.follow_namespaces(&Event::Apply(namespace("a", &plain)));
    assert!(
        matches!(&same, Concerns::Namespaces(it) if it.is_empty()),
        "{same:?}"
    );
    authority.follow_namespaces(&Event::Apply(namespace("b", &labelled)));
    assert_eq!(granted(&authority, "b"), "g");
    // One that is made again has no labels yet.
    authority.follow_namespaces(&Event::Delete(namespace("b", &labelled)));
    assert_eq!(granted(&authority, "b"), "-");
}

#[test]
fn without_the_flag_grants_are_enforced_once_nobody_needs_none_and_from_then_on() {
    let authority = Authority::new(None, WatchCourse::default());
    assert_eq!(authority.mode(|| true), Mode::Audit);
    assert_eq!(authority.mode(|| false), Mode::Enforce);
    assert_eq!(authority.mode(|| true), Mode::Enforce, "a forged status");
    let told = Authority::new(Some(Mode::Audit), WatchCourse::default());
    assert_eq!(told.mode(|| false), Mode::Audit);
}

#[test]
fn listed_labels_count_where_the_watch_is_behind_them_and_not_where_it_is_ahead() {
    let at = |name: &str, version: &str, team: &str| {
        let mut namespace = namespace(name, &json!({ "team": team }));
        namespace.meta_mut().resource_version = Some(version.to_owned());
        namespace
    };
    let of_team_a = json!({ "selector": { "matchLabels": { "team": "a" } } });
    let authority = listed(
        vec![grant("it", &of_team_a)],
        vec![at("behind", "10", "b"), at("ahead", "30", "b")],
    );
    authority.list_namespaces(&[at("behind", "15", "a"), at("ahead", "15", "a")]);
    assert_eq!(granted(&authority, "behind"), "it");
    assert_eq!(granted(&authority, "ahead"), "-");
}
