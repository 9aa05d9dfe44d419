//! What status says of refusals of the API server, of a cleanup on its way, and of what others have written.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::binding::calls::Call;
use crate::binding::cleanup::Stage;
use crate::binding::cleanup::Stopped;
use crate::binding::error::Error;
use crate::kubeutil::conditions::find;
use azwib_crds::DeletionPolicy;
use azwib_crds::WorkloadIdentityBinding;
use azwib_crds::WorkloadIdentityBindingStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

fn refused(call: Call, code: u16, words: &str) -> Error {
    let status = kube::core::Status::failure(words, "").with_code(code);
    call.failed(kube::Error::Api(status.boxed())).into()
}

fn ready() -> WorkloadIdentityBinding {
    with(after(&binding(), &done(), &at(0)))
}

#[test]
fn conditions_of_other_writers_stay_as_they_are() {
    let foreign = Condition {
        type_: "example.com/Reviewed".to_owned(),
        status: "True".to_owned(),
        reason: "ByHand".to_owned(),
        message: "looked at".to_owned(),
        observed_generation: Some(1),
        last_transition_time: Time(Timestamp::from_second(5).unwrap()),
    };
    let mut before = ready();
    let conditions = &mut before.status.as_mut().unwrap().conditions;
    conditions.insert(0, foreign.clone());
    let refused = refused(Call::WriteStatus, 422, "no");
    for status in [
        after(&before, &done(), &at(9)),
        compute(&before, of_error(&refused, &settled()), &at(9)),
        of_unwritten(&before, &refused, &at(9)),
    ] {
        assert_eq!(status.conditions.last(), Some(&foreign));
        assert_eq!(status.conditions[0].type_, "Ready");
        let again = compute(&with(status.clone()), Report::default(), &at(9));
        let others = |it: &&Condition| it.type_ == foreign.type_;
        assert_eq!(again.conditions.iter().filter(others).count(), 1);
    }
}

#[test]
fn a_cleanup_that_is_stopped_tells_how_far_it_came() {
    let stopped = |at, policy| {
        let error = refused(
            Call::RemoveFinalizer,
            422,
            "every object needs the label team",
        );
        let report = of_departing(&Stopped { at, error }, policy, &settled(), false);
        compute(&ready(), report, &stood(0))
    };
    let credential = |status: &WorkloadIdentityBindingStatus| {
        let found = find(&status.conditions, "CredentialReady").unwrap();
        (
            found.status.clone(),
            found.reason.clone(),
            status.credentials.len(),
        )
    };
    let account = |status: &WorkloadIdentityBindingStatus| {
        find(&status.conditions, "ServiceAccountReady")
            .unwrap()
            .reason
            .clone()
    };
    let cleaned = ("False".to_owned(), "CleanedUp".to_owned(), 0);
    let stands = ("True".to_owned(), "InPlace".to_owned(), 1);
    let early = stopped(Stage::Credentials, DeletionPolicy::Delete);
    assert_eq!(
        (credential(&early), &*account(&early)),
        (stands.clone(), "Applied")
    );
    let half = stopped(Stage::Account, DeletionPolicy::Delete);
    assert_eq!(
        (credential(&half), &*account(&half)),
        (cleaned.clone(), "Applied")
    );
    let late = stopped(Stage::Finalizer, DeletionPolicy::Delete);
    assert_eq!(
        (credential(&late), &*account(&late)),
        (cleaned, "CleanedUp")
    );
    let retained = stopped(Stage::Finalizer, DeletionPolicy::Retain);
    assert_eq!(credential(&retained), stands);
    for status in [early, half, late, retained] {
        assert_eq!(
            shown(&status)[..2],
            [
                "Ready=False(BindingRefused)",
                "Reconciling=True(BindingRefused)"
            ]
        );
        let message = &status.conditions[0].message;
        assert!(
            message.contains("every object needs the label team"),
            "{message}"
        );
        assert!(
            !message.contains("force-detach"),
            "it would not help: {message}"
        );
    }
}

#[test]
fn a_refused_status_is_told_in_one_that_has_nothing_new_but_that() {
    let error = refused(
        Call::WriteStatus,
        422,
        "status.identity.principalId: Too long",
    );
    let before = ready();
    let status = of_unwritten(&before, &error, &stood(0));
    let was = before.status.unwrap();
    assert_eq!(
        (&status.identity, &status.credentials),
        (&was.identity, &was.credentials)
    );
    assert_eq!(shown(&status)[0], "Ready=False(BindingRefused)");
    assert!(
        status.conditions[0]
            .message
            .contains("principalId: Too long")
    );
    let later = of_unwritten(&with(status.clone()), &error, &stood(60));
    assert_eq!(later, status, "nothing changes with the next try");
    let stalled = of_unwritten(&with(status), &error, &stood(120));
    assert_eq!(shown(&stalled)[1], "Stalled=True(BindingRefused)");
}

#[test]
fn words_that_differ_in_a_port_or_a_time_change_no_status() {
    let dead = |port: u16| {
        let words =
            format!("failed calling webhook \"w\": read tcp 10.0.0.1:{port}->10.0.0.2:9443: reset");
        refused(Call::AddFinalizer, 500, &words)
    };
    let once = compute(&binding(), of_error(&dead(4000), &settled()), &at(0));
    let again = compute(
        &with(once.clone()),
        of_error(&dead(4711), &settled()),
        &at(0),
    );
    assert_eq!(again, once);
}
