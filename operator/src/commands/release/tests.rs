use super::*;

fn owners(owners: &[(&str, &str)]) -> ObjectMeta {
    let owner = |(api_version, kind): &(&str, &str)| json!({ "apiVersion": api_version, "kind": kind, "name": "orders", "uid": "u" });
    let owners: Vec<_> = owners.iter().map(owner).collect();
    serde_json::from_value(json!({ "name": "orders", "ownerReferences": owners })).unwrap()
}

#[test]
fn only_bindings_are_taken_off_the_owners_of_an_account() {
    let (binding, later) = (
        ("azwib.dev/v1alpha1", "WorkloadIdentityBinding"),
        ("azwib.dev/v1", "WorkloadIdentityBinding"),
    );
    let (others, not_ours) = (
        ("apps/v1", "Deployment"),
        ("example.com/v1", "WorkloadIdentityBinding"),
    );
    let left = without_bindings(&owners(&[binding, others, later, not_ours])).unwrap();
    let kinds: Vec<_> = left
        .iter()
        .map(|it| (&*it.api_version, &*it.kind))
        .collect();
    assert_eq!(kinds, [others, not_ours]);
    assert_eq!(without_bindings(&owners(&[binding])), Some(vec![]));
    assert_eq!(without_bindings(&owners(&[others])), None);
    assert_eq!(without_bindings(&ObjectMeta::default()), None);
}

#[test]
fn a_lease_is_watched_for_as_long_as_it_lasts_and_a_minute_at_most() {
    let lease = |spec| -> Lease { serde_json::from_value(json!({ "spec": spec })).unwrap() };
    for (spec, seconds) in [
        (json!({ "leaseDurationSeconds": 3 }), 3),
        (json!({ "leaseDurationSeconds": 86_400 }), 60),
        (json!({ "leaseDurationSeconds": -1 }), 15),
        (json!({}), 15),
    ] {
        assert_eq!(lasts(&lease(spec)), Duration::from_secs(seconds));
    }
}
