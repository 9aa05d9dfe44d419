//! What is said of the issuer, and how seldom.

use super::*;
use crate::issuer::judge::Finding as Found;

const TEXT: &str = "why";

fn found(label: &str) -> Found {
    let text = || TEXT.to_owned();
    match label {
        "not_verified" => Found::NotVerified,
        "verified" => Found::Verified(String::new()),
        "proven_by_sign_in" => Found::ProvenBySignIn,
        "could_not_look" => Found::CouldNotLook(text()),
        "wrong" => Found::Wrong(text()),
        "keys_out_of_date" => Found::KeysOutOfDate(text()),
        "refused" => Found::Refused(text()),
        "mismatch" => Found::Mismatch(text()),
        other => panic!("{other}"),
    }
}

/// The status of a binding with everything in place, after a pass that has found this of the issuer.
fn after(binding: &WorkloadIdentityBinding, label: &str) -> WorkloadIdentityBindingStatus {
    let verification = found(label);
    let settled = Settled {
        verification: &verification,
        ..settled()
    };
    let report = of_applied(binding, &done(), &settled, false);
    compute(binding, report, &propagated())
}

/// The credential needs no time.
fn propagated() -> Moment {
    Moment {
        propagation_delay: Duration::ZERO,
        ..at(100)
    }
}

fn condition<'a>(status: &'a WorkloadIdentityBindingStatus, type_: &str) -> &'a Condition {
    let mut conditions = status.conditions.iter();
    conditions.find(|it| it.type_ == type_).unwrap()
}

fn issuer(status: &WorkloadIdentityBindingStatus) -> (&str, &str) {
    let condition = condition(status, "IssuerReady");
    (&condition.status, &condition.reason)
}

#[test]
fn each_finding_has_its_reason_and_only_a_mismatch_takes_ready_away() {
    for (label, expected, ready) in [
        ("not_verified", ("True", "IssuerConfigured"), "True"),
        ("verified", ("True", "IssuerVerified"), "True"),
        ("proven_by_sign_in", ("True", "ProvenBySignIn"), "True"),
        ("could_not_look", ("True", "IssuerUnreachable"), "True"),
        ("wrong", ("True", "IssuerConfigured"), "True"),
        ("keys_out_of_date", ("True", "IssuerConfigured"), "True"),
        ("refused", ("True", "IssuerRefused"), "True"),
        ("mismatch", ("False", "IssuerMismatch"), "False"),
    ] {
        let status = after(&binding(), label);
        assert_eq!(issuer(&status), expected, "{label}");
        assert_eq!(condition(&status, "Ready").status, ready, "{label}");
    }
}

#[test]
fn a_flapping_issuer_costs_a_good_binding_one_write() {
    let mut binding = binding();
    let mut written = vec![];
    let looks = [
        "not_verified",
        "could_not_look",
        "verified",
        "could_not_look",
        "wrong",
        "verified",
        "keys_out_of_date",
        "proven_by_sign_in",
        "could_not_look",
        "not_verified",
        "verified",
    ];
    for label in looks {
        let status = after(&binding, label);
        if binding.status.as_ref() != Some(&status) {
            written.push(label);
        }
        binding = with(status);
    }
    assert_eq!(
        written,
        ["not_verified", "verified"],
        "when it was made, and once it was verified"
    );
}

#[test]
fn what_concerns_all_bindings_is_said_and_taken_back() {
    let mut binding = with(after(&binding(), "verified"));
    for (label, expected) in [
        ("refused", ("True", "IssuerRefused")),
        ("could_not_look", ("True", "IssuerUnreachable")),
        ("mismatch", ("False", "IssuerMismatch")),
        ("not_verified", ("True", "IssuerConfigured")),
    ] {
        binding = with(after(&binding, label));
        let status = binding.status.as_ref().unwrap();
        assert_eq!(issuer(status), expected, "{label}");
    }
    assert!(condition(binding.status.as_ref().unwrap(), "Ready").status == "True");
}

/// The status after a pass that could not look at Azure, or over a suspended binding.
fn kept(
    binding: &WorkloadIdentityBinding,
    label: &str,
    suspended: bool,
) -> WorkloadIdentityBindingStatus {
    let verification = found(label);
    let settled = Settled {
        verification: &verification,
        ..settled()
    };
    let mut binding = binding.clone();
    binding.spec.suspend = suspended;
    let report = match suspended {
        true => of_suspended(&binding, Some(&desired_by_orders()), &settled),
        false => of_kept(&binding, &settled),
    };
    compute(&binding, report, &propagated())
}

#[test]
fn a_mismatch_reaches_a_binding_that_cannot_be_looked_at_or_is_suspended_and_so_does_its_end() {
    for suspended in [false, true] {
        let good = with(after(&binding(), "verified"));
        let fine = kept(&good, "could_not_look", suspended);
        assert_eq!(issuer(&fine), ("True", "IssuerVerified"));
        let mismatch = with(kept(&good, "mismatch", suspended));
        let status = mismatch.status.as_ref().unwrap();
        assert_eq!(issuer(status), ("False", "IssuerMismatch"), "{suspended}");
        assert_eq!(condition(status, "Ready").status, "False", "{suspended}");
        let over = kept(&mismatch, "verified", suspended);
        assert_eq!(issuer(&over), ("True", "IssuerVerified"), "{suspended}");
        assert_eq!(condition(&over, "Ready").status, "True", "{suspended}");
    }
}

#[test]
fn what_is_provably_wrong_stops_new_credentials_and_a_mismatch_those_that_stood() {
    let name = desired_by_orders().credential.name;
    let recording = |origin| {
        let mut binding = binding();
        binding.status.get_or_insert_default().credentials = vec![credential(origin)];
        binding
    };
    let (new, pending, stood) = (
        binding(),
        recording(CredentialOrigin::Pending),
        recording(CredentialOrigin::Created),
    );
    for (label, of_new, of_stood) in [
        ("not_verified", None, None),
        ("verified", None, None),
        ("proven_by_sign_in", None, None),
        ("could_not_look", None, None),
        ("refused", None, None),
        ("wrong", Some("IssuerInvalid"), None),
        ("keys_out_of_date", Some("SigningKeysOutOfDate"), None),
        ("mismatch", Some("IssuerMismatch"), Some("IssuerMismatch")),
    ] {
        let stops = |binding| {
            crate::binding::status::issuer::stops(&found(label), binding, &name)
                .map(|it| it.0.as_str())
        };
        assert_eq!(stops(&new), of_new, "{label}");
        assert_eq!(stops(&pending), of_new, "{label}");
        assert_eq!(stops(&stood), of_stood, "{label}");
    }
}
