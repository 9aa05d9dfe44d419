use azwib_crds::{Audience, CredentialName, DeletionPolicy, Issuer, ManagedIdentityId, Subject};
use k8s_openapi::jiff::Timestamp;

use super::*;
use crate::azure::{AzureError, AzureErrorKind};
use crate::binding::account::CLIENT_ID;
use crate::binding::error::Failure;
use crate::binding::status::reason::Reason;

const ISSUER: &str = "https://oidc.example/";

fn desired(role: ServiceAccountRole, creation: ServiceAccountCreation) -> Desired {
    let issuer = Issuer::parse(ISSUER).unwrap();
    Desired {
        identity: ManagedIdentityId::new("00000000-0000-0000-0000-000000000001", "rg", "orders")
            .unwrap(),
        namespace: "shop".to_owned(),
        service_account: "orders".to_owned(),
        role,
        creation,
        credential: crate::ledger::decide::DesiredCredential {
            name: CredentialName::derive(&issuer, "shop", "orders"),
            issuer,
            subject: Subject::of_service_account("shop", "orders"),
            audience: Audience::parse("api://AzureADTokenExchange").unwrap(),
            adoption: azwib_crds::CredentialAdoption::IfIdentical,
        },
    }
}

fn account_binding(name: &str, role: ServiceAccountRole) -> AccountBinding {
    AccountBinding {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        created: Timestamp::from_second(1).ok(),
        role,
        suspended: false,
        client_id: format!("client-{name}"),
        tenant_id: "tenant".to_owned(),
        token_expiration_seconds: 3600,
        deletion_policy: DeletionPolicy::Delete,
    }
}

fn identity(name: &str) -> ResolvedIdentity {
    ResolvedIdentity {
        resource_id: Some(format!("/subscriptions/{name}")),
        client_id: format!("client-{name}"),
        principal_id: Some("principal".to_owned()),
        tenant_id: "tenant".to_owned(),
    }
}

fn account(yaml: &str) -> ExistingAccount {
    ExistingAccount::of(&serde_yaml_ng::from_str(yaml).unwrap())
}

/// An account of somebody's, which names another client id.
fn kept_elsewhere(label_of_ours: &str) -> ExistingAccount {
    account(&format!(
        "{{labels: {{app.kubernetes.io/managed-by: azwib}}, annotations: {{{CLIENT_ID}: client-x}}, managedFields: [\
         {{manager: platform, operation: Apply, fieldsV1: {{f:metadata: {{f:annotations: {{'f:{CLIENT_ID}': {{}}}}}}}}}}, \
         {{manager: azwib, operation: Apply, fieldsV1: {{f:metadata: {{f:labels: {{{label_of_ours}}}}}}}}}]}}"
    ))
}

const LABEL_OF_OURS: &str = "'f:app.kubernetes.io/managed-by': {}";

fn step(
    account_bindings: &[AccountBinding],
    existing: Option<&ExistingAccount>,
    of: &AccountBinding,
    creation: ServiceAccountCreation,
    works: bool,
) -> AccountStep {
    let name = of.name.as_str();
    let desired = desired(of.role, creation);
    account_step(account_bindings, existing, &identity(name), &desired, works)
}

use ServiceAccountCreation::{Immediate, WhenCredentialReady};
use ServiceAccountRole::{Additional, Default};

#[test]
fn an_account_that_is_missing_is_made_at_once_or_once_the_credential_works() {
    let a = account_binding("a", Default);
    for (creation, works, waits) in [
        (Immediate, false, false),
        (Immediate, true, false),
        (WhenCredentialReady, false, true),
        (WhenCredentialReady, true, false),
    ] {
        let step = step(std::slice::from_ref(&a), None, &a, creation, works);
        match step {
            AccountStep::Wait => assert!(waits, "{creation:?} {works}"),
            AccountStep::Apply(..) => assert!(!waits, "{creation:?} {works}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_account_that_is_there_never_waits_for_the_credential() {
    let a = account_binding("a", Default);
    let bare = account("{}");
    let step = step(
        std::slice::from_ref(&a),
        Some(&bare),
        &a,
        WhenCredentialReady,
        false,
    );
    let AccountStep::Apply(configuration, _) = step else {
        panic!("{step:?}");
    };
    assert_eq!(configuration.annotations[CLIENT_ID], "client-a");
}

#[test]
fn another_default_identity_finds_the_account_held_and_an_additional_one_does_not() {
    let (a, b) = (account_binding("a", Default), account_binding("b", Default));
    let both = [a.clone(), b.clone()];
    let held = step(&both, None, &b, Immediate, false);
    let AccountStep::Stop(ServiceAccountError::NamesAnotherBinding { binding, client_id }) = held
    else {
        panic!("{held:?}");
    };
    assert_eq!((binding.as_str(), client_id.as_str()), ("a", "client-a"));
    let holds = step(&both, None, &a, Immediate, false);
    assert!(matches!(holds, AccountStep::Apply(..)), "{holds:?}");

    let b = account_binding("b", Additional);
    let shares = step(&[a, b.clone()], None, &b, Immediate, false);
    let AccountStep::Apply(configuration, _) = shares else {
        panic!("{shares:?}");
    };
    assert_eq!(configuration.annotations[CLIENT_ID], "client-a");
}

#[test]
fn another_managers_client_id_stops_the_holder_and_not_an_additional_identity() {
    let (a, b) = (
        account_binding("a", Default),
        account_binding("b", Additional),
    );
    let both = [a.clone(), b.clone()];
    let existing = kept_elsewhere("");
    let stopped = step(&both, Some(&existing), &a, Immediate, false);
    let AccountStep::Stop(error @ ServiceAccountError::OwnedByManager { .. }) = stopped else {
        panic!("{stopped:?}");
    };
    assert!(error.to_string().contains("\"platform\""), "{error}");
    let untouched = step(&both, Some(&existing), &b, Immediate, false);
    assert!(
        matches!(untouched, AccountStep::InPlace(_)),
        "{untouched:?}"
    );
}

#[test]
fn a_manager_that_calls_itself_a_token_is_not_quoted() {
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";
    let existing = account(&format!(
        "{{annotations: {{{CLIENT_ID}: client-x}}, managedFields: [{{manager: {token}, operation: Apply, \
         fieldsV1: {{f:metadata: {{f:annotations: {{'f:{CLIENT_ID}': {{}}}}}}}}}}]}}"
    ));
    let a = account_binding("a", Default);
    let alone = std::slice::from_ref(&a);
    let stopped = step(alone, Some(&existing), &a, Immediate, false);
    let AccountStep::Stop(error) = stopped else {
        panic!("{stopped:?}");
    };
    assert!(error.to_string().contains("\"[removed]\""), "{error}");
    assert!(!error.to_string().contains("eyJ"), "{error}");
}

#[test]
fn what_still_ties_an_account_to_us_is_given_up_in_a_conflict_whoever_sees_it_first() {
    let (a, b) = (
        account_binding("a", Default),
        account_binding("b", Additional),
    );
    let both = [a.clone(), b.clone()];
    let existing = kept_elsewhere(LABEL_OF_OURS);
    let of_default_binding = step(&both, Some(&existing), &a, Immediate, false);
    let AccountStep::GiveUp(configuration, _) = of_default_binding else {
        panic!("{of_default_binding:?}");
    };
    assert!(configuration.labels.is_empty() && configuration.annotations.is_empty());
    let of_other = step(&both, Some(&existing), &b, Immediate, false);
    let AccountStep::Apply(configuration, _) = of_other else {
        panic!("{of_other:?}");
    };
    assert!(configuration.labels.is_empty() && configuration.annotations.is_empty());
}

fn stepped(older_duplicate: Option<OlderState>, decision: Decision) -> CredentialStep {
    let older_duplicate = older_duplicate.map(|stands| OlderDuplicate {
        name: "a-older".to_owned(),
        stands,
    });
    credential_step(older_duplicate, Ok(vec![]), |_| decision)
}

#[test]
fn the_credential_is_kept_adopted_written_or_refused() {
    let kept = stepped(None, Decision::Keep);
    assert!(matches!(kept, CredentialStep::Keep), "{kept:?}");
    for decision in [Decision::Create, Decision::Update] {
        let written = stepped(None, decision);
        assert!(matches!(written, CredentialStep::Write), "{written:?}");
    }
    let name = "by-hand".to_owned();
    let adopted = stepped(None, Decision::Adopt { name });
    assert!(
        matches!(&adopted, CredentialStep::Adopt { name } if name == "by-hand"),
        "{adopted:?}"
    );
    let full = Refusal::LimitReached {
        used: 20,
        limit: 20,
        before: false,
        promised: false,
        ahead: 0,
        of_platform: vec![],
    };
    let refused = stepped(None, Decision::Refuse(full));
    assert!(matches!(refused, CredentialStep::Refuse(_)), "{refused:?}");
}

#[test]
fn what_an_older_duplicate_does_not_provide_is_not_even_looked_at() {
    // Two that ask for the same would take turns in being wrong: the younger one leaves even what is there alone.
    for stands in [
        OlderState::ForAnother("spec.x is 1 there and 2 here".to_owned()),
        OlderState::Unready(Some(Reason::PolicyDenied)),
        OlderState::Unready(None),
    ] {
        let duplicate = stepped(Some(stands.clone()), Decision::Keep);
        let CredentialStep::Stop(Error::Failure(Failure::Duplicate(older))) = duplicate else {
            panic!("{duplicate:?}");
        };
        assert_eq!((older.name.as_str(), older.stands), ("a-older", stands));
    }
}

#[test]
fn what_a_ready_older_duplicate_provides_is_taken_as_it_stands_and_never_written() {
    let since = Time(Timestamp::from_second(7).unwrap());
    let ready = || {
        Some(OlderState::Ready {
            since: since.clone(),
        })
    };
    let name = "by-hand".to_owned();
    let taken = [
        (Decision::Keep, None),
        (Decision::Adopt { name: name.clone() }, Some(name)),
    ];
    for (decision, expected) in taken {
        let step = stepped(ready(), decision);
        let CredentialStep::Provided {
            by,
            since: at,
            adopted,
        } = step
        else {
            panic!("{step:?}");
        };
        assert_eq!((by.as_str(), at), ("a-older", since.clone()));
        assert_eq!(adopted, expected);
    }
    let exists = Refusal::CredentialExists {
        identical: false,
        name: "by-hand".to_owned(),
    };
    for decision in [Decision::Create, Decision::Update, Decision::Refuse(exists)] {
        let step = stepped(ready(), decision);
        let CredentialStep::Stop(Error::Failure(Failure::Duplicate(older))) = step else {
            panic!("{step:?}");
        };
        assert_eq!(older.name, "a-older");
        assert!(matches!(older.stands, OlderState::Ready { .. }));
    }
}

#[test]
fn nothing_is_decided_without_a_listing() {
    let unread = Error::from(Failure::ListCredentials {
        identity: "/subscriptions/x".to_owned(),
        source: AzureError::local(AzureErrorKind::Unavailable, "away"),
        again: None,
    });
    let stopped = credential_step(None, Err(unread), |_| Decision::Create);
    assert!(
        matches!(
            stopped,
            CredentialStep::Stop(Error::Failure(Failure::ListCredentials { .. }))
        ),
        "{stopped:?}"
    );
}

#[test]
fn a_credential_that_was_good_works_for_its_account_while_it_cannot_be_looked_at() {
    let unread = |kind| {
        CredentialStep::Stop(Error::from(Failure::ListCredentials {
            identity: "/subscriptions/x".to_owned(),
            source: AzureError::local(kind, "no"),
            again: None,
        }))
    };
    for (step, good) in [
        (CredentialStep::Keep, true),
        (CredentialStep::Write, false),
        (unread(AzureErrorKind::AuthorizationFailed), true),
        (unread(AzureErrorKind::Unavailable), true),
        (unread(AzureErrorKind::ParentNotFound), false),
    ] {
        assert_eq!(is_good(&step), good, "{step:?}");
    }
}

#[test]
fn a_suspended_holder_keeps_the_account_without_the_client_id_that_another_would_name() {
    let default = AccountBinding {
        suspended: true,
        ..account_binding("a", Default)
    };
    let same = AccountBinding {
        created: Timestamp::from_second(2).ok(),
        client_id: default.client_id.clone(),
        ..account_binding("b", Default)
    };
    let both = [default, same];
    let of = |existing: &ExistingAccount| {
        let desired = desired(Default, Immediate);
        account_step(&both, Some(existing), &identity("a"), &desired, true)
    };
    let edited = account(&format!("{{annotations: {{{CLIENT_ID}: client-x}}}}"));
    let stopped = of(&edited);
    assert!(
        matches!(
            stopped,
            AccountStep::Stop(ServiceAccountError::Frozen { .. })
        ),
        "{stopped:?}"
    );
    let named = account(&format!("{{annotations: {{{CLIENT_ID}: client-a}}}}"));
    let shared = of(&named);
    assert!(matches!(shared, AccountStep::InPlace(_)), "{shared:?}");
}
