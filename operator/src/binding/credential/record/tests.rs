use super::*;
use crate::binding::fixtures::{binding, defaults};
use crate::binding::validate::validate;

/// When the credential of [`recorded`] was acknowledged.
const ACKNOWLEDGED: &str = "2026-01-02T03:05:00Z";

/// A binding whose status records its own credential.
fn recorded(origin: &str, ready: &str) -> (WorkloadIdentityBinding, Desired) {
    let mut binding = binding("a", 1, "");
    let new = WorkloadIdentityBinding {
        status: None,
        ..binding.clone()
    };
    let desired = validate(&new, &defaults()).unwrap();
    let status = binding.status.as_mut().unwrap();
    status.credentials = serde_yaml_ng::from_str(&format!(
        "[{{name: {}, resourceId: r, issuer: i, subject: s, audience: before, origin: {origin}}}]",
        desired.credential.name
    ))
    .unwrap();
    status.conditions = serde_yaml_ng::from_str(&format!(
        "[{{type: CredentialReady, status: '{ready}', reason: r, message: m, lastTransitionTime: '{ACKNOWLEDGED}'}}]"
    ))
    .unwrap();
    (binding, desired)
}

#[test]
fn what_status_says_to_be_in_place_was_acknowledged_when_it_came_to_say_so() {
    let acknowledged = |origin, ready, client_id: &str, now: &str| {
        let (binding, desired) = recorded(origin, ready);
        let identity = ResolvedIdentity {
            client_id: client_id.to_owned(),
            ..binding.status.clone().unwrap().identity.unwrap()
        };
        let found = acknowledged(&binding, &desired, &identity, now.parse().unwrap());
        found.map(|it| (it.content.audiences, it.ago.as_secs()))
    };
    let now = "2026-01-02T03:05:07Z";
    // What was written counts, also where the spec has changed since.
    let written = vec!["before".to_owned()];
    assert_eq!(
        acknowledged("Created", "True", "client-a", now),
        Some((written.clone(), 7))
    );
    assert_eq!(
        acknowledged("Created", "True", "client-a", "2026-01-02T03:04:00Z"),
        Some((written, 0)),
        "clocks differ"
    );
    assert_eq!(acknowledged("Created", "False", "client-a", now), None);
    assert_eq!(acknowledged("Pending", "False", "client-a", now), None);
    assert_eq!(acknowledged("Adopted", "True", "client-a", now), None);
    assert_eq!(
        acknowledged("Created", "True", "client-new", now),
        None,
        "it went with the identity"
    );
}

#[test]
fn a_record_gets_in_however_many_others_have_put_there() {
    let record = |name: &str, issuer: &str, origin| RecordedCredential {
        name: name.to_owned(),
        resource_id: Some("r".to_owned()),
        id: None,
        issuer: issuer.to_owned(),
        subject: "s".to_owned(),
        audience: "a".to_owned(),
        origin,
    };
    let own = || record("own", "ours", CredentialOrigin::Pending);
    let adopted = |name| record(name, "ours", CredentialOrigin::Adopted);
    let others = |name| record(name, "theirs", CredentialOrigin::Created);
    let odd = |name| record(name, "ours", CredentialOrigin::Created);
    for (before, names) in [
        (vec![], vec!["own"]),
        (
            vec![
                record("own", "ours", CredentialOrigin::Created),
                adopted("a"),
            ],
            vec!["a", "own"],
        ),
        (
            vec![others("a"), adopted("b"), others("c"), odd("d")],
            vec!["a", "c", "d", "own"],
        ),
        (
            vec![odd("a"), others("b"), others("c"), others("d")],
            vec!["a", "c", "d", "own"],
        ),
        (
            vec![odd("a"), odd("b"), odd("c"), odd("d")],
            vec!["b", "c", "d", "own"],
        ),
    ] {
        let mut records = before.clone();
        put_record(&mut records, own());
        let found: Vec<_> = records.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(found, names, "{before:?}");
        assert_eq!(records.last(), Some(&own()));
    }
}
