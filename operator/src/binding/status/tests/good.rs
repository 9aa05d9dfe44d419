//! A good binding: what counts as one, and what it keeps through whatever does not let us look.

use super::*;

/// A status whose conditions have changed half an hour from second 1000.
fn of_a_clock_ahead(status: &WorkloadIdentityBindingStatus) -> WorkloadIdentityBindingStatus {
    let mut status = status.clone();
    for condition in &mut status.conditions {
        condition.last_transition_time.0 = Timestamp::from_second(2800).unwrap();
    }
    status
}

#[test]
fn a_good_binding_stays_ready_whatever_the_clocks_say() {
    let ready = after(&with(after(&binding(), &done(), &at(0))), &done(), &at(20));
    let ahead = of_a_clock_ahead(&ready);
    assert!(propagation_left(&ahead.conditions, &at(30)).is_zero());
    let judged = after(&with(ahead), &done(), &at(30));
    assert_eq!(shown(&judged)[0], "Ready=True(Succeeded)");
    let times = judged.conditions.iter().map(|it| it.last_transition_time.0);
    assert!(
        times.clone().all(|time| time == at(30).now),
        "put right: {:?}",
        times.collect::<Vec<_>>()
    );
    let again = after(&with(judged.clone()), &done(), &at(40));
    assert_eq!(again, judged, "a foreign time is judged once");
    // Nor by a longer delay than the one that it had.
    let longer = Moment {
        propagation_delay: Duration::from_secs(600),
        ..at(50)
    };
    assert_eq!(after(&with(judged.clone()), &done(), &longer), judged);
}

#[test]
fn who_waits_for_a_credential_of_a_clock_ahead_waits_once() {
    let propagating = of_a_clock_ahead(&after(&binding(), &done(), &at(0)));
    let judged = after(&with(propagating), &done(), &at(5));
    assert_eq!(shown(&judged)[0], "Ready=False(Propagating)");
    let ready = after(&with(judged), &done(), &at(15));
    assert_eq!(shown(&ready)[0], "Ready=True(Succeeded)");
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
        let error = Error::from(Failure::ListCredentials {
            identity: ID.to_owned(),
            source: azure(kind),
            again: None,
        });
        assert!(error.is_disturbance(), "{kind:?}");
        let applied = Applied {
            credential: AppliedCredential::NotReached,
            error: Some(error),
            ..done()
        };
        let kept = compute(
            &ready,
            of_applied(&ready, &applied, &settled(), true),
            &at(900),
        );
        assert_eq!(Some(&kept), ready.status.as_ref(), "{kind:?}");
    }
    let gone = Error::from(Failure::ReadIdentity {
        identity: ID.to_owned(),
        source: azure(AzureErrorKind::ParentNotFound),
        again: None,
    });
    assert!(
        !gone.is_disturbance(),
        "an identity that is gone is no disturbance"
    );
}

#[test]
fn only_what_status_records_to_the_letter_counts_as_good() {
    use crate::ledger::decide::DesiredCredential;
    use azwib_crds::Audience;
    let desired = desired_by_orders();
    let good = after(&binding(), &done(), &at(0));
    assert!(was_good(Some(&good), &desired));
    let mut pending = good.clone();
    pending.credentials[0].origin = CredentialOrigin::Pending;
    assert!(!was_good(Some(&pending), &desired));
    let other_audience = Desired {
        credential: DesiredCredential {
            audience: Audience::parse("api://other").unwrap(),
            ..desired.credential.clone()
        },
        ..desired.clone()
    };
    assert!(!was_good(Some(&good), &other_audience));
    let mut adopted = good.clone();
    adopted.credentials[0].origin = CredentialOrigin::Adopted;
    adopted.credentials[0].name = "by-hand".to_owned();
    assert!(was_good(Some(&adopted), &desired));
    let never = Desired {
        credential: DesiredCredential {
            adoption: CredentialAdoption::Never,
            ..desired.credential.clone()
        },
        ..desired.clone()
    };
    assert!(!was_good(Some(&adopted), &never));
    assert!(
        was_good(Some(&good), &never),
        "what we made ourselves is not adopted"
    );
    let lost = failed(Error::from(NotNow::UnderWay), &at(0));
    assert!(!was_good(
        Some(&WorkloadIdentityBindingStatus {
            credentials: good.credentials,
            ..lost
        }),
        &desired
    ));
}
