use super::reason::{ConditionType, Reason};
use super::*;
use crate::azure::{AzureError, AzureErrorKind};
use crate::binding::account::error::ServiceAccountError;
use crate::binding::applied::Applied;
use crate::binding::applied::AppliedCredential;
use crate::binding::credential::duplicates::{OlderDuplicate, OlderState};
use crate::binding::error::{Error, Failure};
use crate::binding::validate::Desired;
use crate::kubeutil::conditions::ConditionStatus;
use crate::kubeutil::conditions::transition;
use crate::ledger::NotNow;
use crate::ledger::decide::Refusal;
use azwib_crds::CredentialAdoption;
use azwib_crds::CredentialOrigin;
use azwib_crds::RecordedCredential;
use azwib_crds::ResolvedIdentity;
use azwib_crds::ServiceAccountStatus;
use azwib_crds::WorkloadIdentityBinding;
use azwib_crds::WorkloadIdentityBindingStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

mod account;
mod good;
mod issuer;
mod provided;
mod refused;
mod stalled;
mod suspended;

const ISSUER: &str = "https://oidc.example/";

/// Grants are not required.
fn settled() -> Settled<'static> {
    Settled {
        verification: &crate::issuer::judge::Finding::NotVerified,
        issuer: ISSUER,
        granted: Some(Finding {
            condition: ConditionType::Granted,
            met: true,
            reason: Reason::GrantsNotRequired,
            message: "every binding is admitted".to_owned(),
            since: None,
        }),
    }
}
const ID: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders";

fn binding() -> WorkloadIdentityBinding {
    serde_yaml_ng::from_str(&format!(
        "{{apiVersion: azwib.dev/v1alpha1, kind: WorkloadIdentityBinding, metadata: {{name: orders, namespace: shop, \
         generation: 3, uid: u}}, spec: {{identity: {{resourceId: {ID}}}}}}}"
    ))
    .unwrap()
}

/// Of a binding that is older and was not looked at yet.
fn duplicate_of(older: &str) -> Error {
    Error::from(Failure::Duplicate(OlderDuplicate {
        name: older.to_owned(),
        stands: OlderState::Unready(None),
    }))
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
        resource_id: Some(ID.to_owned()),
        client_id: "client".to_owned(),
        principal_id: Some("principal".to_owned()),
        tenant_id: "tenant".to_owned(),
    }
}

fn credential(origin: CredentialOrigin) -> RecordedCredential {
    RecordedCredential {
        name: "azwib-shop-orders-99bb76e015ed7c8774a80011f8ebdf81".to_owned(),
        resource_id: Some(ID.to_owned()),
        id: None,
        issuer: ISSUER.to_owned(),
        subject: "system:serviceaccount:shop:orders".to_owned(),
        audience: "api://AzureADTokenExchange".to_owned(),
        origin,
    }
}

fn done() -> Applied {
    use azwib_crds::ServiceAccountOrigin;

    use crate::binding::applied::AppliedAccount;
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
    compute(
        binding,
        of_applied(binding, applied, &settled(), false),
        moment,
    )
}

fn failed(error: Error, moment: &Moment) -> WorkloadIdentityBindingStatus {
    compute(&binding(), of_error(&error, &settled()), moment)
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
    Error::from(Failure::WriteCredential {
        identity: ID.to_owned(),
        name: azwib_crds::CredentialName::parse("azwib-x").unwrap(),
        source: azure(kind),
    })
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
fn ours_get_in_however_many_conditions_others_write_and_the_last_of_those_give_way() {
    let of_others = |count: usize| -> Vec<Condition> {
        let others = (0..count).map(|number| {
            transition(
                None,
                &format!("Other{number}"),
                ConditionStatus::True,
                "Seen",
                "by others".to_owned(),
                1,
                at(0).now,
            )
        });
        others.collect()
    };
    // Ready, one of Reconciling and Stalled, and five steps.
    for (others, left) in [(0, 0), (25, 25), (26, 25), (32, 25), (64, 25)] {
        let crowded = with(WorkloadIdentityBindingStatus {
            conditions: of_others(others),
            ..WorkloadIdentityBindingStatus::default()
        });
        let status = after(&crowded, &done(), &at(0));
        assert_eq!(
            shown(&status)[..7],
            shown(&after(&binding(), &done(), &at(0)))
        );
        assert_eq!(status.conditions[7..], of_others(left), "{others}");
        // A Ready one has room for one more; those that are left stay as they are.
        let ready = after(&with(status), &done(), &at(20));
        assert_eq!(ready.conditions[6..], of_others(left), "{others}");
        assert_eq!(after(&with(ready.clone()), &done(), &at(40)), ready);
    }
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
    let error = || {
        Error::from(Failure::ReadIdentity {
            identity: ID.to_owned(),
            source: azure(AzureErrorKind::ParentNotFound),
            again: None,
        })
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
    let gone = compute(&ready, of_error(&error(), &settled()), &at(50));
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
        &settled(),
        false,
    );
    assert_eq!(compute(&recorded, report, &at(0)).credentials, vec![]);
    let report = of_applied(
        &binding(),
        &refused(AppliedCredential::Unknown),
        &settled(),
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
        &settled(),
        false,
    );
    assert_eq!(
        compute(&recorded, report, &at(0)).credentials,
        vec![credential(CredentialOrigin::Created)]
    );
}

#[test]
fn messages_say_what_to_do() {
    for (error, what) in [
        (
            Error::from(Refusal::LimitReached {
                before: false,
                promised: false,
                used: 20,
                limit: 20,
                ahead: 0,
                of_platform: vec![],
            }),
            "20 of 20",
        ),
        (
            Error::from(Refusal::CredentialExists {
                identical: false,
                name: "by-hand".to_owned(),
            }),
            "\"by-hand\"",
        ),
        (duplicate_of("first"), "\"first\""),
        (
            write_failed(AzureErrorKind::AuthorizationFailed),
            "grant the operator",
        ),
        (write_failed(AzureErrorKind::ScopeLocked), "remove the lock"),
        (
            Error::from(Failure::ReadIdentity {
                identity: ID.to_owned(),
                source: azure(AzureErrorKind::ParentNotFound),
                again: None,
            }),
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

fn desired_by_orders() -> Desired {
    crate::binding::validate::validate(
        &binding(),
        &crate::binding::validate::Defaults {
            issuer: azwib_crds::Issuer::parse(ISSUER).unwrap(),
            unknown_issuer: None,
            subscription: None,
            resource_group: None,
        },
    )
    .unwrap()
}
