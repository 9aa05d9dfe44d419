//! When a binding reconciles, and when it is stalled.

use super::*;
use crate::binding::error::Error;

#[test]
fn what_heals_by_itself_is_reconciling_however_long_it_takes() {
    for error in [
        Error::from(NotNow::UnderWay),
        write_failed(AzureErrorKind::Unavailable),
        write_failed(AzureErrorKind::Throttled),
        Error::from(ServiceAccountError::NamespaceTerminating),
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
        Error::from(Refusal::LimitReached {
            before: false,
            promised: false,
            used: 20,
            limit: 20,
            ahead: 0,
            of_platform: vec![],
        })
    };
    assert_eq!(
        shown(&failed(full(), &stood(119)))[1],
        "Reconciling=True(CredentialLimitReached)"
    );
    let stalled = failed(full(), &stood(120));
    assert_eq!(shown(&stalled)[1], "Stalled=True(CredentialLimitReached)");
    let restarted = compute(
        &with(stalled.clone()),
        of_error(&full(), &settled()),
        &stood(0),
    );
    assert_eq!(restarted, stalled);
    let other = duplicate_of("a");
    let other = compute(&with(stalled), of_error(&other, &settled()), &stood(0));
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
