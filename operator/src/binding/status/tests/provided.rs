//! What a binding says that relies on an older one.

use super::*;
use crate::binding::applied::Applied;
use crate::binding::applied::AppliedCredential;
use crate::kubeutil::conditions::find;
use azwib_crds::CredentialOrigin;
use azwib_crds::WorkloadIdentityBindingStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// A pass of a binding whose credential is in place since then, by the doing of `a-older`.
fn provided(since: i64) -> Applied {
    Applied {
        credential: AppliedCredential::Provided {
            credential: credential(CredentialOrigin::Created),
            by: "a-older".to_owned(),
            since: Time(at(since).now),
        },
        ..done()
    }
}

fn time_of(status: &WorkloadIdentityBindingStatus, type_: &str) -> Timestamp {
    find(&status.conditions, type_)
        .unwrap()
        .last_transition_time
        .0
}

#[test]
fn what_an_older_binding_provides_is_ready_at_once_and_names_it() {
    let status = after(&binding(), &provided(-60), &at(0));
    assert_eq!(shown(&status)[0], "Ready=True(ProvidedByOlderBinding)");
    assert!(shown(&status).contains(&"CredentialReady=True(ProvidedByOlderBinding)".to_owned()));
    let message = &status.conditions[0].message;
    assert!(message.contains("\"a-older\""), "{message}");
    assert_eq!(time_of(&status, "CredentialReady"), at(-60).now);
    assert_eq!(status.identity, Some(identity()));
    assert_eq!(
        status.credentials,
        [credential(CredentialOrigin::Created)],
        "it is recorded: it is one's own once the older goes"
    );
}

#[test]
fn a_takeover_changes_the_reason_and_no_time() {
    let before = after(&binding(), &provided(-60), &at(0));
    let taken_over = after(&with(before.clone()), &done(), &at(3));
    assert_eq!(shown(&taken_over)[0], "Ready=True(Succeeded)");
    for type_ in ["Ready", "CredentialReady", "ServiceAccountReady"] {
        let times = (time_of(&taken_over, type_), time_of(&before, type_));
        assert_eq!(times.0, times.1, "{type_}");
    }
}

#[test]
fn a_time_in_the_future_counts_as_now() {
    let status = after(&binding(), &provided(1800), &at(0));
    assert_eq!(time_of(&status, "CredentialReady"), at(0).now);
    assert_eq!(shown(&status)[0], "Ready=False(Propagating)");
}

#[test]
fn a_suspended_binding_that_relied_on_another_is_suspended() {
    let mut suspended = with(after(&binding(), &provided(-60), &at(0)));
    suspended.spec.suspend = true;
    let report = of_suspended(&suspended, Some(&desired_by_orders()), &settled());
    let status = compute(&suspended, report, &at(5));
    assert_eq!(shown(&status)[0], "Ready=False(Suspended)");
}

#[test]
fn it_is_good_like_one_of_its_own() {
    let status = after(&binding(), &provided(-60), &at(0));
    assert!(was_good(Some(&status), &desired_by_orders()));
}
