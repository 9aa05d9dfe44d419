use super::*;

fn azure(kind: AzureErrorKind) -> AzureError {
    AzureError::local(kind, "azure says no")
}

fn write(kind: AzureErrorKind) -> Error {
    Error::WriteCredential {
        identity: "/subscriptions/x".to_owned(),
        name: CredentialName::parse("azwib-x").unwrap(),
        source: azure(kind),
    }
}

#[test]
fn every_failed_write_has_its_reason_and_its_pace() {
    let throttled = AzureErrorKind::Throttled { retry_after: None };
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
            Pace::WaitForChange,
        ),
        (
            AzureErrorKind::SignInFailed,
            Reason::AzureAuthenticationFailed,
            Pace::WaitForChange,
        ),
        (
            AzureErrorKind::AuthorizationFailed,
            Reason::AuthorizationFailed,
            Pace::WaitForChange,
        ),
        (
            AzureErrorKind::PolicyDenied,
            Reason::PolicyDenied,
            Pace::WaitForChange,
        ),
        (
            AzureErrorKind::ScopeLocked,
            Reason::ScopeLocked,
            Pace::WaitForChange,
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
    let error = Error::ReadIdentity {
        identity: "/subscriptions/x".to_owned(),
        source,
    };
    assert_eq!(
        error.finding(),
        Some((ConditionType::IdentityResolved, Reason::IdentityNotFound))
    );
    assert_eq!(error.pace(), Pace::WaitForChange);
    assert!(error.message().contains("create the managed identity,"));
}

#[test]
fn messages_do_not_change_from_one_try_to_the_next() {
    for kind in [
        AzureErrorKind::Unavailable,
        AzureErrorKind::Throttled {
            retry_after: Some(Duration::from_secs(7)),
        },
    ] {
        let message = |text| {
            let source = AzureError::local(kind, text);
            Error::ListCredentials {
                identity: "/subscriptions/x".to_owned(),
                source,
            }
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
        Error::ReadIdentity {
            identity: "/subscriptions/x".to_owned(),
            source,
        }
        .message()
    };
    assert_eq!(sign_in("10:00"), sign_in("10:01"));
    assert!(sign_in("10:00").contains("AADSTS700024"));
}

#[test]
fn a_deletion_that_azure_refuses_says_how_to_let_go_and_a_wait_does_not() {
    let refused = Error::DeleteCredential {
        identity: "/subscriptions/x".to_owned(),
        name: CredentialName::parse("azwib-x").unwrap(),
        source: azure(AzureErrorKind::ScopeLocked),
    };
    let message = refused.message_of_departing(false);
    assert!(message.contains("remove the lock"), "{message}");
    assert!(
        message.ends_with("annotate its Namespace with azwib.dev/force-detach=true"),
        "{message}"
    );
    let message = refused.message_of_departing(true);
    assert!(
        message.contains("its Namespace or the binding with"),
        "{message}"
    );
    let waiting = Error::from(NotNow::UnderWay);
    assert_eq!(waiting.message_of_departing(true), waiting.message());
}

#[test]
fn what_the_ledger_or_azure_puts_off_is_a_wait_and_what_azure_refuses_is_none() {
    assert!(Error::from(NotNow::UnderWay).is_wait());
    assert!(write(AzureErrorKind::Throttled { retry_after: None }).is_wait());
    assert!(!write(AzureErrorKind::PolicyDenied).is_wait());
    assert!(!write(AzureErrorKind::Unavailable).is_wait());
}
