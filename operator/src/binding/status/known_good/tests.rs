use azwib_crds::WorkloadIdentityBinding;
use serde_json::json;

use super::*;
use crate::binding::fixtures::{binding, defaults};
use crate::binding::validate::validate;
use crate::kubeutil::conditions::is_true;

const CLIENT: &str = "11111111-1111-4111-8111-111111111111";

/// A binding that is Ready, as the operator leaves it, and what it asks for.
fn good(origin: &str, name: Option<&str>) -> (WorkloadIdentityBinding, Desired) {
    let mut binding = binding("orders", 1, ", generation: 1");
    binding.spec.credential.adoption = azwib_crds::CredentialAdoption::IfIdentical;
    binding.status = None;
    let desired = validate(&binding, &defaults()).unwrap();
    let wanted = &desired.credential;
    let id = desired.identity.to_string();
    let condition = |type_: &str, reason: &str, time: &str| {
        json!({
            "type": type_, "status": "True", "reason": reason, "message": "m", "observedGeneration": 1,
            "lastTransitionTime": time,
        })
    };
    let status = json!({
        "observedGeneration": 1,
        "identity": { "resourceId": id, "clientId": CLIENT, "principalId": CLIENT, "tenantId": CLIENT },
        "serviceAccount": { "name": "orders", "origin": "Created" },
        "credentials": [{
            "name": name.unwrap_or(wanted.name.as_str()), "resourceId": id, "issuer": wanted.issuer.as_str(),
            "subject": wanted.subject.as_str(), "audience": wanted.audience.as_str(), "origin": origin,
        }],
        "conditions": [
            condition("Ready", "Succeeded", "2026-01-02T03:06:00Z"),
            condition("IdentityResolved", "Resolved", "2026-01-02T03:04:00Z"),
            condition("ServiceAccountReady", "Applied", "2026-01-02T03:04:00Z"),
            condition("CredentialReady", "InPlace", "2026-01-02T03:05:00Z"),
            condition("example.com/Other", "Seen", "2026-01-02T03:05:00Z"),
        ],
    });
    binding.status = Some(serde_json::from_value(status).unwrap());
    (binding, desired)
}

fn granted() -> Option<Finding> {
    use crate::binding::status::reason::{ConditionType, Reason};
    Some(Finding {
        condition: ConditionType::Granted,
        met: true,
        reason: Reason::Granted,
        message: "m".to_owned(),
        since: None,
    })
}

fn noted(binding: &WorkloadIdentityBinding, desired: &Desired) -> KnownGood {
    let known = KnownGood::default();
    known.note(binding, binding.status.as_ref().unwrap(), Some(desired));
    known
}

#[test]
fn a_good_binding_is_as_it_was_whatever_somebody_has_written_over_its_status() {
    for (origin, name) in [("Created", None), ("Adopted", Some("by-hand"))] {
        let (binding, desired) = good(origin, name);
        let before = binding.status.clone().unwrap();
        let known = noted(&binding, &desired);
        let mut foreign = before.clone();
        foreign.identity = None;
        foreign.credentials[0].issuer = "https://oidc.other.example/".to_owned();
        foreign.conditions.truncate(2);
        for status in [
            None,
            Some(WorkloadIdentityBindingStatus::default()),
            Some(foreign),
        ] {
            let overwritten = WorkloadIdentityBinding {
                status,
                ..binding.clone()
            };
            let again = known.as_known(&overwritten, &desired, granted()).unwrap();
            let again = again.status.unwrap();
            assert!(was_good(Some(&again), &desired));
            assert_eq!(again.credentials, before.credentials);
            assert_eq!(again.identity, before.identity);
            for type_ in ["Ready", "CredentialReady"] {
                assert!(is_true(&again.conditions, type_), "{type_}");
                let time = |of: &[_]| find(of, type_).unwrap().last_transition_time.clone();
                assert_eq!(time(&again.conditions), time(&before.conditions), "{type_}");
            }
            assert!(is_true(&again.conditions, "IdentityResolved"));
            assert!(find(&again.conditions, "example.com/Other").is_none());
        }
    }
}

#[test]
fn nothing_is_known_of_who_was_not_ready_asks_for_something_else_or_is_another() {
    let (binding, desired) = good("Created", None);
    let with = |change: &dyn Fn(&mut WorkloadIdentityBindingStatus)| {
        let mut binding = binding.clone();
        change(binding.status.as_mut().unwrap());
        binding
    };
    let known = noted(&binding, &desired);
    assert!(known.as_known(&binding, &desired, granted()).is_some());
    let other = |change: &dyn Fn(&mut Desired)| {
        let mut desired = desired.clone();
        change(&mut desired);
        known.as_known(&binding, &desired, granted())
    };
    let audience = azwib_crds::Audience::parse("api://other").unwrap();
    assert!(other(&|it| it.credential.audience = audience.clone()).is_none());
    assert!(other(&|it| it.identity = crate::binding::fixtures::id("other")).is_none());
    let mut made_again = binding.clone();
    made_again.metadata.uid = Some("another".to_owned());
    assert!(known.as_known(&made_again, &desired, granted()).is_none());

    let provided = with(&|it| it.conditions[0].reason = "ProvidedByOlderBinding".to_owned());
    assert!(
        noted(&provided, &desired)
            .as_known(&binding, &desired, granted())
            .is_some()
    );

    // The last pass decides.
    for worse in [
        with(&|it| it.conditions[0].status = "False".to_owned()),
        with(&|it| it.credentials[0].origin = CredentialOrigin::Pending),
        with(&|it| it.identity = None),
    ] {
        let known = noted(&binding, &desired);
        known.note(&worse, worse.status.as_ref().unwrap(), Some(&desired));
        assert!(
            known.as_known(&binding, &desired, granted()).is_none(),
            "{worse:?}"
        );
    }
    known.note(&binding, binding.status.as_ref().unwrap(), None);
    assert!(
        known.as_known(&binding, &desired, granted()).is_none(),
        "a spec that asks for nothing"
    );
}

#[test]
fn what_is_gone_is_forgotten() {
    let (binding, desired) = good("Created", None);
    let known = noted(&binding, &desired);
    known.retain(&["uid-orders".to_owned()].into());
    assert!(known.as_known(&binding, &desired, granted()).is_some());
    known.retain(&HashSet::new());
    assert!(known.as_known(&binding, &desired, granted()).is_none());
    let known = noted(&binding, &desired);
    known.forget("uid-orders");
    assert!(known.as_known(&binding, &desired, granted()).is_none());
}
