//! The reference of conditions: what each reason means, when it stalls, and how often it is looked at again. The last is
//! asked of every error there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use kube::core::Status;

use super::*;
use crate::binding::account::contests::Contested;
use crate::binding::account::error::ServiceAccountError;
use crate::binding::account::{Difference, Drift, Field};
use crate::binding::calls::Call;
use crate::binding::status::reason::Persistence;
use crate::binding::validate;
use crate::grant::{CannotTell, Missing, QuotaReached, Reserved};
use crate::ledger::decide::Refusal;

const CONDITIONS: &str = include_str!("../../../../../docs/reference/conditions.md");

/// What no read meets.
const OF_WRITES: [AzureErrorKind; 6] = [
    AzureErrorKind::ConcurrentWrite,
    AzureErrorKind::IssuerSubjectExists,
    AzureErrorKind::DirectoryNotReady,
    AzureErrorKind::PolicyDenied,
    AzureErrorKind::ScopeLocked,
    AzureErrorKind::RegionNotSupported,
];

/// What a read or a write of the identity's credentials meets; that a credential is gone is no failure.
fn kinds() -> impl Iterator<Item = AzureErrorKind> {
    let all = AzureErrorKind::ALL.iter().copied();
    all.filter(|kind| *kind != AzureErrorKind::CredentialNotFound)
}

fn of_azure() -> Vec<Error> {
    let identity = || "/subscriptions/x".to_owned();
    // The read is made for all bindings of the identity, when the ledger says.
    let again = |kind: AzureErrorKind| kind.waits_for_change().then(Instant::now);
    let reads = kinds()
        .filter(|kind| !OF_WRITES.contains(kind))
        .flat_map(|kind| {
            [
                Failure::ReadIdentity {
                    identity: identity(),
                    source: azure(kind),
                    again: again(kind),
                },
                Failure::ListCredentials {
                    identity: identity(),
                    source: azure(kind),
                    again: again(kind),
                },
            ]
        });
    let writes = kinds().map(write);
    let waits = azure(AzureErrorKind::Unavailable).with_retry_after(Duration::from_secs(7));
    let asked = Failure::WriteCredential {
        identity: identity(),
        name: CredentialName::parse("azwib-x").unwrap(),
        source: waits,
    };
    let reads = reads.map(Error::from);
    reads.chain(writes).chain([asked.into()]).collect()
}

fn of_kubernetes() -> Vec<Error> {
    let api = |code| kube::Error::Api(Status::failure("no", "").with_code(code).boxed());
    let calls = [403, 500]
        .into_iter()
        .map(|code| Failure::Kubernetes(Call::WriteStatus.failed(api(code))));
    let altered = Failure::Kubernetes(Call::AddFinalizer.altered("it"));
    let field = || Field::Annotation("a");
    let account = [
        ServiceAccountError::OwnedByManager {
            field: "f".to_owned(),
            message: "m".to_owned(),
        },
        ServiceAccountError::NamesAnotherBinding {
            binding: "b".to_owned(),
            client_id: "c".to_owned(),
        },
        ServiceAccountError::Frozen {
            field: "f".to_owned(),
            binding: "b".to_owned(),
        },
        ServiceAccountError::Altered(Difference {
            field: field(),
            asked: "a".to_owned(),
            found: None,
        }),
        ServiceAccountError::Contested(Contested {
            drift: Drift {
                field: field(),
                by: None,
                annotations: vec![],
            },
            until: Instant::now(),
        }),
        ServiceAccountError::Refused("no".to_owned()),
        ServiceAccountError::MayNotOwn("no".to_owned()),
        ServiceAccountError::NotTaken(api(500)),
        ServiceAccountError::NamespaceTerminating,
    ];
    let account = account.into_iter().map(Failure::ServiceAccount);
    let all = calls.chain([altered]).chain(account);
    all.map(Error::from).collect()
}

fn of_issuer(reason: Reason) -> Failure {
    let message = String::new();
    Failure::Issuer { reason, message }
}

fn of_ourselves() -> Vec<Error> {
    let changed = || ("was".to_owned(), "is".to_owned());
    let (recorded, now) = changed();
    let issuer = validate::Error::IssuerChanged { recorded, now };
    let (recorded, now) = changed();
    let identity = validate::Error::IdentityChanged { recorded, now };
    let audience = azwib_crds::Audience::parse("").unwrap_err();
    let failures = [
        Failure::Invalid(issuer),
        Failure::Invalid(identity),
        Failure::Invalid(validate::Error::NoIdentity),
        Failure::Invalid(validate::Error::Audience(audience)),
        Failure::NotGranted(Missing {
            identity: "i".to_owned(),
            namespace: "shop".to_owned(),
            account: "orders".to_owned(),
        }),
        Failure::QuotaReached(QuotaReached {
            grant: "g".to_owned(),
            used: 1,
            limit: 1,
        }),
        Failure::Reserved(Reserved::Namespace("azwib-system".to_owned())),
        of_issuer(Reason::IssuerMismatch),
        of_issuer(Reason::IssuerInvalid),
        of_issuer(Reason::SigningKeysOutOfDate),
        Failure::TooManyBindings {
            account: "shared".to_owned(),
        },
        Failure::Duplicate(OlderDuplicate {
            name: "older".to_owned(),
            stands: OlderState::Unready(None),
        }),
        Failure::NoCredential(Refusal::CredentialExists {
            name: "by-hand".to_owned(),
            identical: false,
        }),
        Failure::NoCredential(Refusal::LimitReached {
            used: 20,
            limit: 20,
            before: false,
            promised: false,
            ahead: 0,
            of_platform: vec![],
        }),
    ];
    let for_grants = Wait::ForGrants(CannotTell::NotListed("identitygrants"));
    let waits = [
        NotNow::UnderWay,
        NotNow::Unsettled {
            settles_in: Duration::from_secs(60),
        },
        NotNow::Paced {
            until: Instant::now(),
        },
    ];
    let waits = waits.into_iter().map(Error::from);
    let read_only = Wait::ReadOnly {
        step: ConditionType::CredentialReady,
        would: String::new(),
    };
    let waits = waits.chain([
        Wait::ForCredential.into(),
        for_grants.into(),
        Wait::ForIssuer("why".into()).into(),
        read_only.into(),
    ]);
    failures.into_iter().map(Error::from).chain(waits).collect()
}

/// When this is looked at again.
fn look(error: &Error) -> &'static str {
    const ARRIVAL: &str = "after 10 s, 30 s, then every minute";
    match (error, error.pace()) {
        (Error::Failure(Failure::ServiceAccount(ServiceAccountError::Contested(_))), _) => {
            "every 15 s"
        }
        // As `ledger/shared_read.rs` has it.
        (
            Error::Failure(Failure::ReadIdentity { .. } | Failure::ListCredentials { .. }),
            Pace::Until(_),
        ) => ARRIVAL,
        (_, Pace::Backoff) => "after 1 s, then later each time, up to a minute",
        (_, Pace::WaitForChange) => "after 10 s, 30 s, a minute, then every 5 minutes",
        (_, Pace::WaitForArrival) => ARRIVAL,
        (_, Pace::WaitForSlot { .. }) => {
            "after 10 s, 30 s, then every minute; so much less often as others stand before it"
        }
        (_, Pace::After(_) | Pace::Until(_)) => "when the time has come that was asked for",
    }
}

/// By reason, in the order of their frequency in the code.
fn looks() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut looks: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    let errors = [of_azure(), of_kubernetes(), of_ourselves()];
    for error in errors.into_iter().flatten() {
        if let Some((_, reason)) = error.finding() {
            looks
                .entry(reason.as_str())
                .or_default()
                .insert(look(&error));
        }
    }
    looks
}

/// Reasons that no error has.
fn without_error(reason: Reason) -> &'static str {
    match reason {
        Reason::Succeeded | Reason::ProvidedByOlderBinding | Reason::Suspended => {
            "every `--resync-period`"
        }
        Reason::Propagating => "when that time is over",
        _ => "",
    }
}

#[test]
fn the_reference_of_conditions_describes_every_reason_and_when_it_is_looked_at_again() {
    let looks = looks();
    let mut expected =
        "| reason | meaning | Stalled | looked at again |\n|---|---|---|---|\n".to_owned();
    for reason in Reason::ALL {
        let stalled = match reason.persistence() {
            Persistence::Heals => "never",
            Persistence::CurableElsewhere => "after 2 min",
            Persistence::CurableInAzure => "after 10 min",
            Persistence::NeedsPerson => "at once",
        };
        let again = looks.get(reason.as_str()).map_or_else(
            || without_error(*reason).to_owned(),
            |looks| looks.iter().copied().collect::<Vec<_>>().join("; or "),
        );
        let (name, meaning) = (reason.as_str(), reason.description());
        writeln!(expected, "| `{name}` | {meaning} | {stalled} | {again} |").unwrap();
    }
    let (_, rest) = CONDITIONS
        .split_once("; a test keeps it so -->\n\n")
        .unwrap();
    let (part, _) = rest
        .split_once("\n<!-- end of the generated part -->")
        .unwrap();
    assert_eq!(
        part, expected,
        "docs/reference/conditions.md should hold:\n{expected}"
    );
}

#[test]
fn a_reason_that_no_error_has_needs_no_other_look_than_the_usual_one() {
    let looks = looks();
    let unheard: Vec<_> = Reason::ALL
        .iter()
        .filter(|reason| !looks.contains_key(reason.as_str()))
        .collect();
    for reason in unheard {
        let is_told_by_itself = !without_error(*reason).is_empty();
        let is_of_a_step =
            reason.is_of_step_done() || matches!(reason, Reason::CleanedUp | Reason::Revoked);
        assert!(is_told_by_itself || is_of_a_step, "{reason}");
    }
}
