use super::*;
use crate::azure::{AzureError, AzureErrorKind};
use crate::binding::service_account::ServiceAccountError;
use crate::ledger::NotNow;
use crate::ledger::plan::Refusal;

const ISSUER: &str = "https://oidc.example/";
const ID: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders";

fn binding() -> WorkloadIdentityBinding {
    serde_yaml_ng::from_str(&format!(
        "{{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {{name: orders, namespace: shop, \
         generation: 3, uid: u}}, spec: {{identity: {{resourceId: {ID}}}}}}}"
    ))
    .unwrap()
}

fn with(status: WorkloadIdentityBindingStatus) -> WorkloadIdentityBinding {
    WorkloadIdentityBinding {
        status: Some(status),
        ..binding()
    }
}

/// Second 1000 of this test's time, plus these.
fn at(seconds: i64) -> Moment {
    Moment {
        now: Timestamp::from_second(1000 + seconds).unwrap(),
        stood: Duration::ZERO,
        propagation_delay: Duration::from_secs(10),
        stalled_after: Duration::from_secs(120),
    }
}

fn stood(seconds: u64) -> Moment {
    Moment {
        stood: Duration::from_secs(seconds),
        ..at(0)
    }
}

fn identity() -> ResolvedIdentity {
    ResolvedIdentity {
        resource_id: ID.to_owned(),
        client_id: "client".to_owned(),
        principal_id: "principal".to_owned(),
        tenant_id: "tenant".to_owned(),
    }
}

fn credential(origin: CredentialOrigin) -> RecordedCredential {
    RecordedCredential {
        name: "azwib-shop-orders-99bb76e015ed7c8774a80011f8ebdf81".to_owned(),
        resource_id: ID.to_owned(),
        issuer: ISSUER.to_owned(),
        subject: "system:serviceaccount:shop:orders".to_owned(),
        audience: "api://AzureADTokenExchange".to_owned(),
        origin,
    }
}

fn done() -> Applied {
    use azwib_crds::ServiceAccountOrigin;

    use crate::binding::apply::AppliedAccount;
    Applied {
        identity: identity(),
        account: Some(AppliedAccount {
            status: ServiceAccountStatus {
                name: "orders".to_owned(),
                origin: ServiceAccountOrigin::Created,
            },
            note: None,
        }),
        account_waits: false,
        credential: AppliedCredential::InPlace(credential(CredentialOrigin::Created)),
        recorded: None,
        error: None,
    }
}

fn after(
    binding: &WorkloadIdentityBinding,
    applied: &Applied,
    moment: &Moment,
) -> WorkloadIdentityBindingStatus {
    compute(binding, of_applied(binding, applied, ISSUER, false), moment)
}

fn failed(error: Error, moment: &Moment) -> WorkloadIdentityBindingStatus {
    compute(&binding(), of_error(&error, ISSUER), moment)
}

/// `Type=Status(Reason)` of each condition.
fn shown(status: &WorkloadIdentityBindingStatus) -> Vec<String> {
    status
        .conditions
        .iter()
        .map(|c| format!("{}={}({})", c.type_, c.status, c.reason))
        .collect()
}

fn azure(kind: AzureErrorKind) -> AzureError {
    AzureError::local(kind, "azure says no")
}

fn write_failed(kind: AzureErrorKind) -> Error {
    Error::WriteCredential {
        identity: ID.to_owned(),
        name: azwib_crds::CredentialName::parse("azwib-x").unwrap(),
        source: azure(kind),
    }
}

#[test]
fn a_credential_in_place_propagates_before_the_binding_is_ready() {
    let status = after(&binding(), &done(), &at(0));
    assert_eq!(
        shown(&status),
        [
            "Ready=False(Propagating)",
            "Reconciling=True(Propagating)",
            "Granted=True(GrantsNotRequired)",
            "IssuerReady=True(IssuerConfigured)",
            "IdentityResolved=True(Resolved)",
            "ServiceAccountReady=True(Applied)",
            "CredentialReady=True(InPlace)",
        ]
    );
    assert_eq!(
        propagation_left(&status.conditions, &at(4)),
        Duration::from_secs(6)
    );
    let later = after(&with(status.clone()), &done(), &at(9));
    assert_eq!(shown(&later)[0], "Ready=False(Propagating)");
    let ready = after(&with(status), &done(), &at(10));
    assert_eq!(
        shown(&ready)[..2],
        ["Ready=True(Succeeded)", "Granted=True(GrantsNotRequired)"]
    );
}

#[test]
fn a_transition_in_the_future_counts_as_one_of_now() {
    let status = after(&binding(), &done(), &at(0));
    assert_eq!(
        propagation_left(&status.conditions, &at(-100)),
        Duration::from_secs(10)
    );
}

#[test]
fn a_pass_that_changes_nothing_leaves_the_status_to_the_letter() {
    let ready = after(&with(after(&binding(), &done(), &at(0))), &done(), &at(20));
    let again = after(&with(ready.clone()), &done(), &at(500));
    assert_eq!(ready, again);
}

#[test]
fn every_condition_and_the_status_carry_the_generation() {
    for status in [
        after(&binding(), &done(), &at(0)),
        failed(Error::from(NotNow::UnderWay), &at(0)),
    ] {
        assert_eq!(status.observed_generation, 3);
        assert!(
            status
                .conditions
                .iter()
                .all(|condition| condition.observed_generation == Some(3))
        );
    }
}

#[test]
fn a_step_that_was_not_reached_is_unknown_or_keeps_its_value() {
    let error = || Error::ReadIdentity {
        identity: ID.to_owned(),
        source: azure(AzureErrorKind::ParentNotFound),
    };
    assert_eq!(
        shown(&failed(error(), &at(0)))[4..],
        [
            "IdentityResolved=False(IdentityNotFound)",
            "ServiceAccountReady=Unknown(Pending)",
            "CredentialReady=Unknown(Pending)"
        ]
    );
    let ready = with(after(&binding(), &done(), &at(0)));
    let gone = compute(&ready, of_error(&error(), ISSUER), &at(50));
    assert_eq!(
        shown(&gone),
        [
            "Ready=False(IdentityNotFound)",
            "Reconciling=True(IdentityNotFound)",
            "Granted=True(GrantsNotRequired)",
            "IssuerReady=True(IssuerConfigured)",
            "IdentityResolved=False(IdentityNotFound)",
            "ServiceAccountReady=True(Applied)",
            "CredentialReady=True(InPlace)",
        ]
    );
    assert_eq!(
        gone.identity,
        Some(identity()),
        "what was resolved stays recorded"
    );
}

#[test]
fn a_good_binding_that_could_not_be_looked_at_keeps_its_status() {
    let ready = with(after(
        &with(after(&binding(), &done(), &at(0))),
        &done(),
        &at(20),
    ));
    for kind in [
        AzureErrorKind::Unavailable,
        AzureErrorKind::AuthorizationFailed,
        AzureErrorKind::SignInFailed,
    ] {
        let error = Error::ListCredentials {
            identity: ID.to_owned(),
            source: azure(kind),
        };
        assert!(error.is_disturbance(), "{kind:?}");
        let applied = Applied {
            credential: AppliedCredential::NotReached,
            error: Some(error),
            ..done()
        };
        let kept = compute(&ready, of_applied(&ready, &applied, ISSUER, true), &at(900));
        assert_eq!(Some(&kept), ready.status.as_ref(), "{kind:?}");
    }
    let gone = Error::ReadIdentity {
        identity: ID.to_owned(),
        source: azure(AzureErrorKind::ParentNotFound),
    };
    assert!(
        !gone.is_disturbance(),
        "an identity that is gone is no disturbance"
    );
}

#[test]
fn only_what_status_records_to_the_letter_counts_as_good() {
    use crate::ledger::plan::Claim;
    use azwib_crds::Audience;
    let desired = claim_of_orders();
    let good = after(&binding(), &done(), &at(0));
    assert!(records_good(&good, &desired));
    let mut pending = good.clone();
    pending.credentials[0].origin = CredentialOrigin::Pending;
    assert!(!records_good(&pending, &desired));
    let other_audience = Desired {
        claim: Claim {
            audience: Audience::parse("api://other").unwrap(),
            ..desired.claim.clone()
        },
        ..desired.clone()
    };
    assert!(!records_good(&good, &other_audience));
    let mut adopted = good.clone();
    adopted.credentials[0].origin = CredentialOrigin::Adopted;
    adopted.credentials[0].name = "by-hand".to_owned();
    assert!(records_good(&adopted, &desired));
    let never = Desired {
        claim: Claim {
            adoption: CredentialAdoption::Never,
            ..desired.claim.clone()
        },
        ..desired.clone()
    };
    assert!(!records_good(&adopted, &never));
    assert!(
        records_good(&good, &never),
        "what we made ourselves is not adopted"
    );
    let lost = failed(Error::from(NotNow::UnderWay), &at(0));
    assert!(!records_good(
        &WorkloadIdentityBindingStatus {
            credentials: good.credentials,
            ..lost
        },
        &desired
    ));
}

#[test]
fn a_write_that_azure_refused_withdraws_its_record_and_a_lost_one_keeps_it() {
    let recorded = with(WorkloadIdentityBindingStatus {
        credentials: vec![credential(CredentialOrigin::Pending)],
        ..WorkloadIdentityBindingStatus::default()
    });
    let refused = |credential| Applied {
        credential,
        error: Some(write_failed(AzureErrorKind::AuthorizationFailed)),
        ..done()
    };
    let report = of_applied(
        &binding(),
        &refused(AppliedCredential::Withdrawn),
        ISSUER,
        false,
    );
    assert_eq!(compute(&recorded, report, &at(0)).credentials, vec![]);
    let report = of_applied(
        &binding(),
        &refused(AppliedCredential::Unknown),
        ISSUER,
        false,
    );
    assert_eq!(
        compute(&recorded, report, &at(0)).credentials,
        vec![credential(CredentialOrigin::Pending)]
    );
    // What was recorded before this pass is still there to be cleaned up.
    let repaired = with(after(&binding(), &done(), &at(0)));
    let report = of_applied(
        &repaired,
        &refused(AppliedCredential::Withdrawn),
        ISSUER,
        false,
    );
    assert_eq!(
        compute(&recorded, report, &at(0)).credentials,
        vec![credential(CredentialOrigin::Created)]
    );
}

#[test]
fn what_heals_by_itself_is_reconciling_however_long_it_takes() {
    for error in [
        Error::from(NotNow::UnderWay),
        write_failed(AzureErrorKind::Unavailable),
        write_failed(AzureErrorKind::Throttled { retry_after: None }),
        Error::ServiceAccount(ServiceAccountError::NamespaceTerminating),
    ] {
        let status = failed(error, &stood(100_000));
        assert!(
            shown(&status)[1].starts_with("Reconciling=True"),
            "{:?}",
            shown(&status)
        );
    }
}

#[test]
fn what_something_else_can_cure_is_stalled_after_a_while_and_stays_so_over_a_restart() {
    let full = || {
        Error::Claim(Refusal::LimitReached {
            before: false,
            promised: false,
            used: 20,
            limit: 20,
        })
    };
    assert_eq!(
        shown(&failed(full(), &stood(119)))[1],
        "Reconciling=True(CredentialLimitReached)"
    );
    let stalled = failed(full(), &stood(120));
    assert_eq!(shown(&stalled)[1], "Stalled=True(CredentialLimitReached)");
    let restarted = compute(&with(stalled.clone()), of_error(&full(), ISSUER), &stood(0));
    assert_eq!(restarted, stalled);
    let other = Error::Duplicate {
        older: "a".to_owned(),
    };
    let other = compute(&with(stalled), of_error(&other, ISSUER), &stood(0));
    assert_eq!(shown(&other)[1], "Reconciling=True(DuplicateBinding)");
}

#[test]
fn roles_and_sign_in_get_ten_minutes_before_they_stall() {
    for kind in [
        AzureErrorKind::AuthorizationFailed,
        AzureErrorKind::SignInFailed,
        AzureErrorKind::Unauthorized,
    ] {
        assert!(
            shown(&failed(write_failed(kind), &stood(599)))[1].starts_with("Reconciling"),
            "{kind:?}"
        );
        assert!(
            shown(&failed(write_failed(kind), &stood(600)))[1].starts_with("Stalled"),
            "{kind:?}"
        );
    }
}

#[test]
fn what_needs_a_person_is_stalled_at_once() {
    for kind in [
        AzureErrorKind::PolicyDenied,
        AzureErrorKind::ScopeLocked,
        AzureErrorKind::RegionNotSupported,
        AzureErrorKind::Refused,
    ] {
        let status = failed(write_failed(kind), &stood(0));
        assert!(
            shown(&status)[1].starts_with("Stalled=True"),
            "{kind:?}: {:?}",
            shown(&status)
        );
        assert!(
            !shown(&status)
                .iter()
                .any(|condition| condition.starts_with("Reconciling"))
        );
    }
}

#[test]
fn messages_say_what_to_do() {
    for (error, what) in [
        (
            Error::Claim(Refusal::LimitReached {
                before: false,
                promised: false,
                used: 20,
                limit: 20,
            }),
            "20 of 20",
        ),
        (
            Error::Claim(Refusal::CredentialExists {
                identical: false,
                name: "by-hand".to_owned(),
            }),
            "\"by-hand\"",
        ),
        (
            Error::Duplicate {
                older: "first".to_owned(),
            },
            "\"first\"",
        ),
        (
            write_failed(AzureErrorKind::AuthorizationFailed),
            "grant the operator",
        ),
        (write_failed(AzureErrorKind::ScopeLocked), "remove the lock"),
        (
            Error::ReadIdentity {
                identity: ID.to_owned(),
                source: azure(AzureErrorKind::ParentNotFound),
            },
            "create the managed identity",
        ),
    ] {
        let status = failed(error, &at(0));
        assert!(
            status.conditions[0].message.contains(what),
            "{}",
            status.conditions[0].message
        );
    }
}

fn claim_of_orders() -> Desired {
    crate::binding::validate::validate(
        &binding(),
        &crate::binding::validate::Defaults {
            issuer: azwib_crds::Issuer::parse(ISSUER).unwrap(),
            subscription: None,
            resource_group: None,
        },
    )
    .unwrap()
}

#[test]
fn a_suspended_binding_that_is_good_stays_ready_and_its_generation_moves() {
    let ready = after(&with(after(&binding(), &done(), &at(0))), &done(), &at(20));
    let mut suspended = with(ready.clone());
    suspended.metadata.generation = Some(4);
    let report = of_suspended(&suspended, Some(&claim_of_orders()));
    let status = compute(&suspended, report, &at(30));
    assert_eq!(shown(&status), shown(&ready));
    assert_eq!(status.observed_generation, 4);
}

#[test]
fn a_suspended_binding_that_is_not_good_says_so_and_is_neither_reconciling_nor_stalled() {
    let new = compute(
        &binding(),
        of_suspended(&binding(), Some(&claim_of_orders())),
        &at(0),
    );
    assert_eq!(
        shown(&new)[..2],
        ["Ready=False(Suspended)", "Granted=Unknown(Pending)"]
    );
    let failing = with(failed(write_failed(AzureErrorKind::PolicyDenied), &at(0)));
    let report = of_suspended(&failing, Some(&claim_of_orders()));
    let status = compute(&failing, report, &at(10));
    assert_eq!(shown(&status)[0], "Ready=False(Suspended)");
    assert!(
        !shown(&status)
            .iter()
            .any(|it| it.starts_with("Stalled") || it.starts_with("Reconciling"))
    );
    assert!(
        shown(&status).contains(&"CredentialReady=False(PolicyDenied)".to_owned()),
        "steps keep their values"
    );
}

#[test]
fn an_account_that_waits_for_its_credential_is_the_reason_only_when_nothing_else_fails() {
    let waiting = |credential, error| Applied {
        account: None,
        account_waits: true,
        credential,
        error: Some(error),
        ..done()
    };
    let waits = || Error::ServiceAccount(ServiceAccountError::WaitingForCredential);
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
            ISSUER,
            false,
        ),
        &at(5),
    );
    assert_eq!(shown(&denied)[0], "Ready=False(PolicyDenied)");
    assert!(shown(&denied).contains(&"ServiceAccountReady=False(WaitingForCredential)".to_owned()));
}

#[test]
fn an_account_that_is_gone_and_waited_for_is_no_conflict_any_more() {
    let held = ServiceAccountError::HeldByBinding {
        binding: "older".to_owned(),
        client_id: "c".to_owned(),
    };
    let conflict = compute(&binding(), of_error(&held.into(), ISSUER), &at(0));
    assert!(
        shown(&conflict).contains(&"ServiceAccountReady=False(ServiceAccountConflict)".to_owned())
    );
    let gone = |keep| {
        let applied = Applied {
            account: None,
            account_waits: true,
            credential: AppliedCredential::NotReached,
            error: Some(Error::Duplicate {
                older: "older".to_owned(),
            }),
            ..done()
        };
        let report = of_applied(&binding(), &applied, ISSUER, keep);
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
    let ended = Error::ServiceAccount(ServiceAccountError::NamespaceTerminating);
    let terminating = compute(&binding(), of_error(&ended, ISSUER), &at(0));
    assert_eq!(terminating.conditions[0].reason, "NamespaceTerminating");

    let locked = Error::DeleteCredential {
        identity: ID.to_owned(),
        name: azwib_crds::CredentialName::parse("azwib-x").unwrap(),
        source: AzureError::local(AzureErrorKind::ScopeLocked, "locked"),
    };
    let report = of_departing(&locked, ISSUER, false);
    let status = compute(&with(terminating), report, &at(0));
    for type_ in ["Ready", "Stalled", "CredentialReady"] {
        let found = find(&status.conditions, type_).unwrap();
        assert_eq!(found.reason, "ScopeLocked", "{type_}");
        assert!(found.message.contains("force-detach"), "{}", found.message);
    }
}

#[test]
fn an_additional_identity_does_not_claim_to_be_named_by_the_account() {
    let said = |role| {
        let mut binding = binding();
        binding.spec.service_account.role = role;
        let report = of_applied(&binding, &done(), "https://oidc.example/", false);
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
    let account = |error| failed(Error::ServiceAccount(error), &at(0));
    let refused = account(ServiceAccountError::Refused("quota".to_owned()));
    assert!(account_failed(&with(refused.clone())));
    let waits = account(ServiceAccountError::WaitingForCredential);
    assert!(!account_failed(&with(waits)));
    assert!(!account_failed(&with(after(&binding(), &done(), &at(0)))));
    let mut changed = with(refused);
    changed.metadata.generation = Some(4);
    assert!(!account_failed(&changed));
}
