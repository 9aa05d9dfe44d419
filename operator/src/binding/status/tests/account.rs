//! What status says of the account.

use super::*;
use crate::binding::applied::Applied;
use crate::binding::applied::AppliedCredential;
use crate::binding::cleanup::Stage;
use crate::binding::cleanup::Stopped;
use crate::binding::error::{Error, Failure, Wait};
use crate::binding::status::reason::ConditionType;
use crate::kubeutil::conditions::find;
use azwib_crds::CredentialOrigin;
use azwib_crds::DeletionPolicy;
use azwib_crds::ServiceAccountRole;

#[test]
fn an_account_that_waits_for_its_credential_is_the_reason_only_when_nothing_else_fails() {
    let waiting = |credential, error| Applied {
        account: None,
        account_waits: true,
        credential,
        error: Some(error),
        ..done()
    };
    let waits = || Error::from(Wait::ForCredential);
    let in_place = AppliedCredential::InPlace(credential(CredentialOrigin::Created));
    let status = after(&binding(), &waiting(in_place, waits()), &at(0));
    assert_eq!(
        shown(&status)[..2],
        [
            "Ready=False(WaitingForCredential)",
            "Reconciling=True(WaitingForCredential)"
        ]
    );
    let denied = compute(
        &with(status),
        of_applied(
            &binding(),
            &waiting(
                AppliedCredential::NotReached,
                write_failed(AzureErrorKind::PolicyDenied),
            ),
            &settled(),
            false,
        ),
        &at(5),
    );
    assert_eq!(shown(&denied)[0], "Ready=False(PolicyDenied)");
    assert!(shown(&denied).contains(&"ServiceAccountReady=False(WaitingForCredential)".to_owned()));
}

#[test]
fn an_account_that_is_gone_and_waited_for_is_no_conflict_any_more() {
    let held = ServiceAccountError::NamesAnotherBinding {
        binding: "older".to_owned(),
        client_id: "c".to_owned(),
    };
    let conflict = compute(&binding(), of_error(&held.into(), &settled()), &at(0));
    assert!(
        shown(&conflict).contains(&"ServiceAccountReady=False(ServiceAccountConflict)".to_owned())
    );
    let gone = |keep| {
        let applied = Applied {
            account: None,
            account_waits: true,
            credential: AppliedCredential::NotReached,
            error: Some(duplicate_of("older")),
            ..done()
        };
        let report = of_applied(&binding(), &applied, &settled(), keep);
        shown(&compute(&with(conflict.clone()), report, &at(5)))
    };
    assert_eq!(gone(false)[0], "Ready=False(DuplicateBinding)");
    assert!(gone(false).contains(&"ServiceAccountReady=False(WaitingForCredential)".to_owned()));
    assert!(
        gone(true).contains(&"ServiceAccountReady=False(ServiceAccountConflict)".to_owned()),
        "nothing is said by a pass that could not look"
    );
}

#[test]
fn a_deletion_that_fails_is_what_ready_says_whatever_else_went_with_the_namespace() {
    let ended = Error::from(ServiceAccountError::NamespaceTerminating);
    let terminating = compute(&binding(), of_error(&ended, &settled()), &at(0));
    assert_eq!(terminating.conditions[0].reason, "NamespaceTerminating");

    let locked = Error::from(Failure::DeleteCredential {
        identity: ID.to_owned(),
        name: azwib_crds::CredentialName::parse("azwib-x").unwrap(),
        source: AzureError::local(AzureErrorKind::ScopeLocked, "locked"),
    });
    let stopped = Stopped {
        at: Stage::Credentials,
        error: locked,
    };
    let report = of_departing(&stopped, DeletionPolicy::Delete, &settled(), false);
    let status = compute(&with(terminating), report, &at(0));
    for type_ in ["Ready", "Stalled", "CredentialReady"] {
        let found = find(&status.conditions, type_).unwrap();
        assert_eq!(found.reason, "ScopeLocked", "{type_}");
        assert!(found.message.contains("force-detach"), "{}", found.message);
    }
}

#[test]
fn an_additional_identity_does_not_say_it_is_named_by_the_account() {
    let said = |role| {
        let mut binding = binding();
        binding.spec.service_account.role = role;
        let report = of_applied(&binding, &done(), &settled(), false);
        let finding = report.finding(ConditionType::ServiceAccountReady).unwrap();
        finding.message.clone()
    };
    let message = said(ServiceAccountRole::Default);
    assert!(message.contains("names the client id"), "{message}");
    let message = said(ServiceAccountRole::Additional);
    assert!(
        message.contains("the workload names the client id"),
        "{message}"
    );
}

#[test]
fn an_account_counts_as_refused_until_the_spec_changes_and_not_while_it_waits() {
    let refused = ServiceAccountError::Refused("quota".to_owned());
    let refused = failed(refused.into(), &at(0));
    assert!(account_failed(&with(refused.clone())));
    let waits = failed(Wait::ForCredential.into(), &at(0));
    assert!(!account_failed(&with(waits)));
    assert!(!account_failed(&with(after(&binding(), &done(), &at(0)))));
    let mut changed = with(refused);
    changed.metadata.generation = Some(4);
    assert!(!account_failed(&changed));
}
