use azwib_crds::Issuer;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use kube::Resource;
use kube::core::DeserializeGuard;

use super::*;

mod gone;

const ID: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/";

fn bindings() -> Bindings {
    let defaults = Defaults {
        issuer: Issuer::parse("https://oidc.example/").unwrap(),
        unknown_issuer: None,
        subscription: None,
        resource_group: None,
    };
    Bindings::new(watch::channel(defaults).1)
}

fn binding(name: &str, account: &str, identity: &str, status: &str) -> Guarded {
    serde_yaml_ng::from_str(&format!(
        "{{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {{name: {name}, namespace: shop}}, \
         spec: {{identity: {{resourceId: {ID}{identity}}}, serviceAccount: {{name: {account}}}}}, status: {status}}}"
    ))
    .unwrap()
}

fn names(found: Vec<Found>) -> Vec<String> {
    found
        .iter()
        .map(|binding| binding.readable().unwrap().name_any())
        .collect()
}

fn of(bindings: &Bindings, identity: &str) -> Vec<String> {
    let id = ManagedIdentityId::parse(&format!("{ID}{identity}")).unwrap();
    names(bindings.of_identity(&id))
}

#[test]
fn bindings_are_found_by_their_account_and_by_their_identity_in_any_case() {
    let bindings = bindings();
    for (name, account, identity) in [
        ("b", "orders", "one"),
        ("a", "orders", "two"),
        ("c", "api", "ONE"),
    ] {
        let event = Event::Apply(binding(name, account, identity, "null"));
        bindings.follow(&event);
    }
    assert_eq!(names(bindings.of_account("shop", "orders")), ["a", "b"]);
    assert!(bindings.of_account("other", "orders").is_empty());
    assert_eq!(of(&bindings, "one"), ["b", "c"]);
    assert_eq!(of(&bindings, "two"), ["a"]);
}

#[test]
fn a_binding_is_found_by_the_identity_of_its_record_as_well() {
    let bindings = bindings();
    let status = format!(
        "{{observedGeneration: 1, credentials: [{{name: n, resourceId: {ID}old, issuer: i, subject: s, audience: a, \
         origin: Created}}]}}"
    );
    let event = Event::Apply(binding("a", "orders", "new", &status));
    bindings.follow(&event);
    assert_eq!(
        (of(&bindings, "old"), of(&bindings, "new")),
        (vec!["a".to_owned()], vec!["a".to_owned()])
    );
    let event = Event::Apply(binding("a", "orders", "new", "null"));
    bindings.follow(&event);
    assert!(of(&bindings, "old").is_empty(), "its record is gone");
}

#[test]
fn what_is_deleted_or_missing_from_a_new_list_is_not_found() {
    let bindings = bindings();
    for name in ["a", "b", "c"] {
        let event = Event::Apply(binding(name, "orders", "one", "null"));
        bindings.follow(&event);
    }
    let event = Event::Delete(binding("b", "orders", "one", "null"));
    bindings.follow(&event);
    assert_eq!(of(&bindings, "one"), ["a", "c"]);
    for event in [
        Event::Init,
        Event::InitApply(binding("c", "orders", "one", "null")),
        Event::InitDone,
    ] {
        bindings.follow(&event);
    }
    assert_eq!(of(&bindings, "one"), ["c"]);
    assert_eq!(bindings.index().filed.len(), 1);
}

fn version(binding: Guarded, version: &str) -> WorkloadIdentityBinding {
    let mut binding = binding.0.unwrap();
    binding.metadata.uid = Some("uid".to_owned());
    binding.metadata.resource_version = Some(version.to_owned());
    binding
}

#[test]
fn a_write_of_ours_counts_until_the_watch_shows_it_or_a_later_one() {
    let bindings = bindings();
    let at = |number: &str| version(binding("a", "orders", "one", "null"), number);
    let latest = |bindings: &Bindings, seen: &str| {
        bindings
            .latest(Arc::new(at(seen)))
            .resource_version()
            .unwrap()
    };
    bindings.wrote(&at("1"), &at("2"));
    bindings.wrote(&at("2"), &at("3"));
    assert_eq!(latest(&bindings, "1"), "3");
    assert_eq!(latest(&bindings, "2"), "3");
    assert_eq!(latest(&bindings, "4"), "4", "somebody else wrote since");
    for (shown, then) in [("2", "3"), ("3", "1")] {
        let event = Event::Apply(DeserializeGuard(Ok(at(shown))));
        bindings.follow(&event);
        assert_eq!(latest(&bindings, "1"), then, "after {shown}");
    }
    assert!(bindings.index().written.is_empty());
}

#[test]
fn a_write_of_ours_that_the_watch_has_shown_already_is_not_kept() {
    let bindings = bindings();
    let at = |number: &str| version(binding("a", "orders", "one", "null"), number);
    bindings.wrote(&at("1"), &at("2"));
    let event = Event::Apply(DeserializeGuard(Ok(at("3"))));
    bindings.follow(&event);
    bindings.wrote(&at("2"), &at("3"));
    assert!(bindings.index().written.is_empty());
}

#[test]
fn it_is_known_where_a_binding_cannot_be_read_and_until_when() {
    let bindings = bindings();
    let unreadable = || {
        serde_yaml_ng::from_str(
            "{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {name: a, namespace: shop}, \
             spec: {identity: 7}}",
        )
        .unwrap()
    };
    let known = |bindings: &Bindings| Vec::from_iter(bindings.namespaces_with_unreadable());
    let readable = || binding("a", "orders", "one", "null");
    bindings.follow(&Event::Apply(unreadable()));
    assert_eq!(known(&bindings), ["shop"]);
    bindings.follow(&Event::Apply(readable()));
    assert!(known(&bindings).is_empty());
    bindings.follow(&Event::Apply(unreadable()));
    bindings.follow(&Event::Delete(unreadable()));
    assert!(known(&bindings).is_empty());
    bindings.follow(&Event::Apply(unreadable()));
    bindings.follow(&Event::Init);
    bindings.follow(&Event::InitDone);
    assert!(known(&bindings).is_empty(), "a new list does not name it");
}

/// A version of a binding with this status.
fn saying(number: &str, status: &str) -> WorkloadIdentityBinding {
    version(binding("a", "orders", "one", status), number)
}

#[test]
fn a_status_of_somebody_else_is_told_from_one_of_ours_whichever_comes_first() {
    let bindings = bindings();
    let others = |bindings: &Bindings, shown: &WorkloadIdentityBinding| {
        let event = Event::Apply(DeserializeGuard(Ok(shown.clone())));
        bindings.follow(&event);
        bindings.statuses_of_others(&BindingRef::of(shown))
    };
    let (first, second) = ("{observedGeneration: 1}", "{observedGeneration: 2}");
    assert_eq!(others(&bindings, &saying("1", "null")), 0, "the first look");
    // The answer comes first, then the events of both writes.
    bindings.wrote(&saying("1", "null"), &saying("2", first));
    bindings.wrote(&saying("2", first), &saying("3", second));
    assert_eq!(others(&bindings, &saying("2", first)), 0);
    assert_eq!(others(&bindings, &saying("3", second)), 0);
    // The event comes before the answer.
    let sending = bindings.sending(&saying("3", first));
    assert_eq!(others(&bindings, &saying("4", first)), 0);
    bindings.wrote(&saying("3", second), &saying("4", first));
    drop(sending);
    // Something else than the status changed.
    assert_eq!(others(&bindings, &saying("5", first)), 0);
    // Another writer's condition is nothing of ours.
    let condition = "{type: example.com/Audited, status: 'True', reason: r, message: m, lastTransitionTime: '2026-01-02T03:04:05Z'}";
    let audited = format!("{{observedGeneration: 1, conditions: [{condition}]}}");
    assert_eq!(others(&bindings, &saying("6", &audited)), 0);
    // An older status, an empty one, none.
    for (number, status) in [("7", second), ("8", "{}"), ("9", "null")] {
        assert!(others(&bindings, &saying(number, status)) > 0, "{status}");
    }
    assert_eq!(others(&bindings, &saying("10", "null")), 3);
}

#[test]
fn a_credential_once_recorded_is_remembered_for_as_long_as_its_binding_is_there() {
    let bindings = bindings();
    let who = BindingRef {
        namespace: "shop".to_owned(),
        name: "a".to_owned(),
    };
    let issuer = Issuer::parse("https://oidc.example/").unwrap();
    let name = azwib_crds::CredentialName::derive(&issuer, "shop", "orders");
    let recording = |issuer: &str| {
        format!(
            "{{credentials: [{{name: {name}, resourceId: {ID}one, issuer: '{issuer}', subject: s, audience: a, \
             origin: Pending}}]}}"
        )
    };
    for (number, status, remembered) in [
        ("1", "{}".to_owned(), false),
        ("2", recording("https://other.example/"), false),
        ("3", recording("https://oidc.example/"), true),
        ("4", "{}".to_owned(), true),
    ] {
        let event = Event::Apply(DeserializeGuard(Ok(saying(number, &status))));
        bindings.follow(&event);
        assert_eq!(bindings.has_recorded(&who, "uid"), remembered, "{status}");
    }
    assert!(!bindings.has_recorded(&who, "another of its name"));
    let gone = Event::Delete(DeserializeGuard(Ok(saying("5", "{}"))));
    bindings.follow(&gone);
    assert!(!bindings.has_recorded(&who, "uid"));
}

#[test]
fn of_very_many_bindings_of_an_account_the_oldest_are_served() {
    let bindings = bindings();
    let aged = |name: &str, created: &str, deleted: bool| {
        let mut binding = binding(name, "orders", "one", "null");
        let times = serde_json::json!({ "creationTimestamp": created });
        let metadata: ObjectMeta = serde_json::from_value(times).unwrap();
        binding.meta_mut().creation_timestamp = metadata.creation_timestamp.clone();
        if deleted {
            binding.meta_mut().deletion_timestamp = metadata.creation_timestamp;
        }
        binding
    };
    const EARLY: &str = "2026-01-02T03:04:05Z";
    const LATE: &str = "2026-01-02T03:04:06Z";
    // By name the oldest is the last.
    for number in 0..BINDINGS_OF_AN_ACCOUNT {
        let event = Event::Apply(aged(&format!("b{number:03}"), LATE, false));
        bindings.follow(&event);
    }
    bindings.follow(&Event::Apply(aged("z", EARLY, false)));
    let is_served =
        |name: &str, created| bindings.is_served(aged(name, created, false).0.as_ref().unwrap());
    let served = names(bindings.of_account("shop", "orders"));
    assert_eq!(served.len(), BINDINGS_OF_AN_ACCOUNT);
    assert_eq!((&*served[0], &*served[1]), ("z", "b000"));
    assert!(is_served("z", EARLY) && is_served("b098", LATE));
    assert!(!is_served("b099", LATE), "all others are older");
    // One that is being deleted makes room for the next.
    bindings.follow(&Event::Apply(aged("b005", LATE, true)));
    assert!(is_served("b099", LATE));
    assert!(!names(bindings.of_account("shop", "orders")).contains(&"b005".to_owned()));
    bindings.follow(&Event::Delete(aged("b005", LATE, true)));
    assert_eq!(
        bindings.of_account("shop", "orders").len(),
        BINDINGS_OF_AN_ACCOUNT
    );
}

/// Letters without a small one of their own are kept: `İ` has none, and `ß` is no `ss`.
#[test]
fn what_a_binding_concerns_is_told_by_its_letters() {
    let bindings = bindings();
    for (name, group) in [("a", "rg-straße"), ("b", "rg-İzmir"), ("c", "RG-Plain")] {
        let id = ManagedIdentityId::new("00000000-0000-0000-0000-000000000001", group, "one");
        let id = id.unwrap();
        let binding = serde_yaml_ng::from_str(&format!(
            "{{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {{name: {name}, namespace: shop, uid: u}}, \
             spec: {{identity: {{resourceId: {id}}}}}}}"
        ));
        bindings.follow(&Event::Apply(binding.unwrap()));
        let who = BindingRef {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        };
        let (account, ids) = bindings.concern_of(&who).unwrap();
        assert_eq!(*account, ("shop".to_owned(), name.to_owned()));
        let groups: Vec<_> = ids
            .iter()
            .map(|it| it.resource_group().to_uppercase())
            .collect();
        assert_eq!(groups, [group.to_uppercase()], "{name}");
    }
}
