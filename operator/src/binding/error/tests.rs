use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::*;
use crate::azure::error::Answer;
use crate::azure::{AzureError, AzureErrorKind, Cause, RetryAfter};
use crate::binding::credential::duplicates::{OlderDuplicate, OlderState};
use crate::runtime::clock::{self, Clock};
use azwib_crds::CredentialName;

mod looks;

fn azure(kind: AzureErrorKind) -> AzureError {
    AzureError::local(kind, "azure says no")
}

fn write(kind: AzureErrorKind) -> Error {
    Error::from(Failure::WriteCredential {
        identity: "/subscriptions/x".to_owned(),
        name: CredentialName::parse("azwib-x").unwrap(),
        source: azure(kind),
    })
}

#[test]
fn a_younger_duplicate_stalls_only_with_what_the_older_one_does_not_get_over_by_itself() {
    for (stands, heals) in [
        (OlderState::Unready(None), true),
        (OlderState::Unready(Some(Reason::Propagating)), true),
        (OlderState::Unready(Some(Reason::AzureUnavailable)), true),
        (OlderState::Unready(Some(Reason::Suspended)), false),
        (
            OlderState::Unready(Some(Reason::CredentialLimitReached)),
            false,
        ),
        (OlderState::Unready(Some(Reason::PolicyDenied)), false),
        (OlderState::ForAnother("spec.x".to_owned()), false),
    ] {
        let older = OlderDuplicate {
            name: "a-older".to_owned(),
            stands: stands.clone(),
        };
        assert_eq!(older.heals(), heals, "{stands:?}");
        assert!(
            Error::from(Failure::Duplicate(older))
                .message()
                .contains("\"a-older\"")
        );
    }
}

#[test]
fn what_a_younger_duplicate_says_stays_the_same_while_the_older_one_is_on_its_way() {
    let message = |reason| {
        Error::from(Failure::Duplicate(OlderDuplicate {
            name: "a-older".to_owned(),
            stands: OlderState::Unready(Some(reason)),
        }))
        .message()
    };
    for reason in [
        Reason::Throttled,
        Reason::WaitingForTurn,
        Reason::Propagating,
    ] {
        assert_eq!(message(reason), message(Reason::Creating));
    }
    assert!(message(Reason::PolicyDenied).contains("is not Ready (PolicyDenied)"));
}

#[test]
fn every_failed_write_has_its_reason_and_its_pace() {
    let throttled = AzureErrorKind::Throttled;
    for (kind, reason, pace) in [
        (
            AzureErrorKind::ConcurrentWrite,
            Reason::WaitingForTurn,
            Pace::Backoff,
        ),
        (
            AzureErrorKind::IssuerSubjectExists,
            Reason::CredentialExists,
            Pace::Backoff,
        ),
        (
            AzureErrorKind::DirectoryNotReady,
            Reason::Creating,
            Pace::Backoff,
        ),
        (
            AzureErrorKind::ParentNotFound,
            Reason::Creating,
            Pace::Backoff,
        ),
        (
            AzureErrorKind::Unavailable,
            Reason::AzureUnavailable,
            Pace::Backoff,
        ),
        (
            AzureErrorKind::SignInUnavailable,
            Reason::AzureUnavailable,
            Pace::Backoff,
        ),
        (throttled, Reason::Throttled, Pace::Backoff),
        (
            AzureErrorKind::Unauthorized,
            Reason::AzureAuthenticationFailed,
            Pace::WaitForArrival,
        ),
        (
            AzureErrorKind::SignInFailed,
            Reason::AzureAuthenticationFailed,
            Pace::WaitForArrival,
        ),
        (
            AzureErrorKind::AuthorizationFailed,
            Reason::AuthorizationFailed,
            Pace::WaitForArrival,
        ),
        (
            AzureErrorKind::AccessDenied,
            Reason::AuthorizationFailed,
            Pace::WaitForArrival,
        ),
        (
            AzureErrorKind::Conflict,
            Reason::AzureConflict,
            Pace::WaitForArrival,
        ),
        (
            AzureErrorKind::PolicyDenied,
            Reason::PolicyDenied,
            Pace::WaitForArrival,
        ),
        (
            AzureErrorKind::ScopeLocked,
            Reason::ScopeLocked,
            Pace::WaitForArrival,
        ),
        (
            AzureErrorKind::RegionNotSupported,
            Reason::RegionNotSupported,
            Pace::WaitForChange,
        ),
        (
            AzureErrorKind::Refused,
            Reason::RequestRefused,
            Pace::WaitForChange,
        ),
    ] {
        let error = write(kind);
        assert_eq!(
            error.finding(),
            Some((ConditionType::CredentialReady, reason)),
            "{kind:?}"
        );
        assert_eq!(error.pace(), pace, "{kind:?}");
    }
}

#[test]
fn an_identity_that_is_gone_is_waited_for() {
    let source = azure(AzureErrorKind::ParentNotFound);
    let error = Error::from(Failure::ReadIdentity {
        identity: "/subscriptions/x".to_owned(),
        source,
        again: None,
    });
    assert_eq!(
        error.finding(),
        Some((ConditionType::IdentityResolved, Reason::IdentityNotFound))
    );
    assert_eq!(error.pace(), Pace::WaitForArrival);
    assert!(error.message().contains("create the managed identity,"));
}

#[test]
fn messages_do_not_change_from_one_try_to_the_next() {
    for kind in [AzureErrorKind::Unavailable, AzureErrorKind::Throttled] {
        let message = |text| {
            let source = AzureError::local(kind, text);
            Error::from(Failure::ListCredentials {
                identity: "/subscriptions/x".to_owned(),
                source,
                again: None,
            })
            .message()
        };
        assert_eq!(
            message("retry after 7 seconds"),
            message("retry after 8 seconds")
        );
    }
    let sign_in = |time| {
        let text = format!(
            "AADSTS700024: Client assertion is not within its valid time range. Current time: {time}."
        );
        let source = AzureError::local(AzureErrorKind::SignInFailed, &text);
        Error::from(Failure::ReadIdentity {
            identity: "/subscriptions/x".to_owned(),
            source,
            again: None,
        })
        .message()
    };
    assert_eq!(sign_in("10:00"), sign_in("10:01"));
    assert!(sign_in("10:00").contains("AADSTS700024"));
}

#[test]
fn what_the_ledger_or_azure_puts_off_is_a_delay_and_what_azure_refuses_is_none() {
    assert!(Error::from(NotNow::UnderWay).is_delay());
    assert!(write(AzureErrorKind::Throttled).is_delay());
    assert!(!write(AzureErrorKind::PolicyDenied).is_delay());
    assert!(!write(AzureErrorKind::Unavailable).is_delay());
}

fn read(source: AzureError) -> Error {
    Error::from(Failure::ReadIdentity {
        identity: "/subscriptions/x/orders".to_owned(),
        source,
        again: None,
    })
}

fn answer(status: u16, code: &'static str, message: &'static str) -> AzureError {
    AzureError::from_answer(Answer {
        status,
        code: Some(code),
        message: Some(message),
        is_json: true,
        ..Answer::default()
    })
}

#[test]
fn nothing_but_absence_is_evidence_on_a_read() {
    for (status, code) in [
        (400, "BadRequest"),
        (401, "ExpiredAuthenticationToken"),
        (402, "PaymentRequired"),
        (403, "AuthorizationFailed"),
        (403, "DenyAssignmentAuthorizationFailed"),
        (403, "NeverSeenBefore"),
        (404, "InvalidResourceType"),
        (404, "NeverSeenBefore"),
        (405, "MethodNotAllowed"),
        (409, "Conflict"),
        (409, "ResourceGroupBeingDeleted"),
        (409, "ScopeLocked"),
        (418, "Teapot"),
        (429, "TooManyRequests"),
        (500, "InternalServerError"),
    ] {
        let error = read(answer(status, code, "No."));
        assert!(error.is_disturbance(), "{status} {code}");
    }
    for code in [
        "ResourceNotFound",
        "ResourceGroupNotFound",
        "SubscriptionNotFound",
    ] {
        assert!(!read(answer(404, code, "No.")).is_disturbance(), "{code}");
    }
}

#[test]
fn every_message_has_azures_own_words() {
    for (status, code) in [
        (400, "BadRequest"),
        (401, "ExpiredAuthenticationToken"),
        (403, "DenyAssignmentAuthorizationFailed"),
        (404, "ResourceNotFound"),
        (408, "RequestTimeout"),
        (409, "ResourceGroupBeingDeleted"),
        (429, "TooManyRequests"),
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
    ] {
        let message = read(answer(
            status,
            code,
            "The rg-shop is\r\nnot as it was. Ask again.",
        ))
        .message();
        assert!(message.contains(code), "{message}");
        assert!(
            message.contains("The rg-shop is not as it was"),
            "{message}"
        );
    }
    let conflict = read(answer(409, "Conflict", "Something goes on.")).message();
    assert!(!conflict.contains("correct what Azure names"), "{conflict}");
    let denied = read(answer(403, "DenyAssignmentAuthorizationFailed", "Denied.")).message();
    assert!(denied.contains("no role of the operator helps"), "{denied}");
}

#[test]
fn what_differs_from_one_answer_to_the_next_is_not_shown() {
    for (one, other) in [
        (
            "The access token expiry UTC time '11/28/2026 11:00:00 AM' is earlier than current UTC time '11/28/2026 11:05:00 AM'.",
            "The access token expiry UTC time '11/28/2026 11:00:00 AM' is earlier than current UTC time '11/28/2026 11:06:01 AM'.",
        ),
        (
            "Please try again after '17' seconds",
            "Please try again after '3' seconds",
        ),
        (
            "Request failed with tracking id '6f1c1fd0-9ae1-4a52-8f0e-1d2b6e0f3a11' at 2026-11-28T11:00:00.1234567Z",
            "Request failed with tracking id '0a1c1fd0-9ae1-4a52-8f0e-1d2b6e0f3a99' at 2026-11-28T11:00:07.7654321Z",
        ),
    ] {
        let shown = |text| read(answer(401, "ExpiredAuthenticationToken", text)).message();
        assert_eq!(shown(one), shown(other));
    }
    let id = "denied by the assignment with Id '1' since 10:00:00Z";
    let refused = read(answer(403, "DenyAssignmentAuthorizationFailed", id)).message();
    assert!(refused.contains("Id '1' since …"), "{refused}");
    let kept = "cannot reach 10.0.0.7:443 for 00000000-0000-0000-0000-000000000001";
    assert!(read(answer(500, "Oh", kept)).message().contains(kept));
}

#[test]
fn the_cause_is_told_with_what_to_do_about_it() {
    for (cause, advice) in [
        (Cause::Certificate, "--ca-file"),
        (Cause::Tls, "plain HTTP"),
        (Cause::Name, "DNS"),
        (Cause::NoConnection, "network policies"),
        (Cause::ConnectTimeout, "firewall"),
        (Cause::AnswerTimeout, "--request-timeout"),
        (Cause::Proxy, "NO_PROXY"),
        (Cause::NotAzure, "sign-in page"),
        (Cause::Malformed, "report it"),
        (Cause::Endless, "Azure's support"),
    ] {
        for kind in [
            AzureErrorKind::Unavailable,
            AzureErrorKind::SignInUnavailable,
        ] {
            let source = AzureError::local(kind, "cannot connect to arm.example: so it is");
            let error = read(source.with_cause(cause));
            let message = error.message();
            assert!(
                message.contains("cannot connect to arm.example: so it is"),
                "{message}"
            );
            assert!(message.contains(advice), "{message}");
            assert!(!message.contains("without you doing anything"), "{message}");
            assert_eq!(error.pace(), Pace::Backoff);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_is_told_with_its_end_and_alike_each_time() {
    clock::follow(Clock::Tokio {
        time: Timestamp::UNIX_EPOCH,
        at: Instant::now(),
    });
    let throttled = |seconds| {
        let source = AzureError::from_answer(Answer {
            status: 429,
            code: Some("TooManyRequests"),
            retry_after: RetryAfter::of(Duration::from_secs(seconds)),
            is_json: true,
            ..Answer::default()
        });
        read(source)
    };
    let (short, long, too_long) = (throttled(20), throttled(600), throttled(315_360_000));
    let first = [&short, &long, &too_long].map(Error::message);
    assert!(!first[0].contains("1970"), "{}", first[0]);
    assert!(
        first[1].contains("; it is asked again at 1970-01-01T00:10Z;"),
        "{}",
        first[1]
    );
    assert!(
        first[2]
            .contains("a pause of more than 15 minutes, and is asked again at 1970-01-01T00:15Z"),
        "{}",
        first[2]
    );
    assert_eq!(too_long.pace(), Pace::After(Duration::from_secs(900)));
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(77)).await;
        assert_eq!([&short, &long, &too_long].map(Error::message), first);
    }
    clock::follow(Clock::Wall);
}
