//! What is said of the issuer: a step that is done unless its value is unknown, or provably another. Pure.
//!
//! 20,000 bindings say it. So what only reports how well it is verified is written where something is written anyway, or once where it is
//! better than before; and not each time that it changes.

use azwib_crds::{CredentialName, CredentialOrigin, WorkloadIdentityBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::reason::{ConditionType, Reason};
use super::report::{Finding, Settled};
use crate::issuer::judge::Finding as OfIssuer;
use crate::kubeutil::conditions::ConditionStatus;

/// The reason that a binding's status has for a finding.
pub fn reason(of: &OfIssuer) -> Reason {
    match of {
        OfIssuer::NotVerified => Reason::IssuerConfigured,
        OfIssuer::Verified(_) => Reason::IssuerVerified,
        OfIssuer::ProvenBySignIn => Reason::ProvenBySignIn,
        OfIssuer::CouldNotLook(_) => Reason::IssuerUnreachable,
        OfIssuer::Refused(_) => Reason::IssuerRefused,
        OfIssuer::Wrong(_) => Reason::IssuerInvalid,
        OfIssuer::KeysOutOfDate(_) => Reason::SigningKeysOutOfDate,
        OfIssuer::Mismatch(_) => Reason::IssuerMismatch,
    }
}

/// Why this credential is not written, where that is for the issuer: the reason, and what it says.
///
/// One that stood before is restored: its workload is running. Only with another issuer in the cluster's tokens it would be of no use.
pub fn stops(
    of: &OfIssuer,
    binding: &WorkloadIdentityBinding,
    name: &CredentialName,
) -> Option<(Reason, String)> {
    let why = of.stops()?.to_owned();
    let recorded = binding.status.iter().flat_map(|it| &it.credentials);
    let stood = recorded
        .into_iter()
        .any(|it| it.name == name.as_str() && it.origin == CredentialOrigin::Created);
    (of.concerns_all() || !stood).then(|| (reason(of), why))
}

/// What a pass has to say of the issuer.
pub(super) fn said(settled: &Settled<'_>) -> Finding {
    let issued = format!("{ISSUED} {}", settled.issuer);
    let (reason, message) = match settled.verification {
        OfIssuer::Mismatch(why) => return finding(false, Reason::IssuerMismatch, why.clone()),
        // They stop new credentials, and whoever wants one says so: they are nothing against those that are in place.
        OfIssuer::NotVerified | OfIssuer::Wrong(_) | OfIssuer::KeysOutOfDate(_) => {
            (Reason::IssuerConfigured, issued)
        }
        of @ OfIssuer::Verified(note) => {
            let how = "the key that signs them is published there";
            let note = match note.is_empty() {
                true => String::new(),
                false => format!(" ({note})"),
            };
            (reason(of), format!("{issued}; {how}{note}"))
        }
        of @ OfIssuer::ProvenBySignIn => {
            let how = "Microsoft Entra has taken the operator's own";
            (reason(of), format!("{issued}; {how}"))
        }
        of @ OfIssuer::CouldNotLook(why) => {
            let how = "whether Microsoft Entra can verify them could not be looked at";
            (reason(of), format!("{issued}; {how}: {why}"))
        }
        of @ OfIssuer::Refused(why) => (reason(of), format!("{issued}; {why}")),
    };
    finding(true, reason, message)
}

/// What every message of an issuer that is ready begins with.
const ISSUED: &str = "tokens are issued by";

fn finding(met: bool, reason: Reason, message: String) -> Finding {
    Finding {
        condition: ConditionType::IssuerReady,
        met,
        reason,
        message,
        since: None,
    }
}

/// What a pass has to say of it that could not look at a good binding: only what concerns all bindings, and the end of that.
pub(super) fn said_of_kept(stored: &[Condition], settled: &Settled<'_>) -> Option<Finding> {
    let concerned_all = is_concerned(stored);
    (settled.verification.concerns_all() || concerned_all).then(|| said(settled))
}

/// Whether what is stored says something that concerned all bindings.
pub(super) fn is_concerned(stored: &[Condition]) -> bool {
    stored.iter().any(|it| {
        it.type_ == ConditionType::IssuerReady.as_str()
            && [Reason::IssuerMismatch, Reason::IssuerRefused]
                .iter()
                .any(|reason| it.reason == reason.as_str())
    })
}

/// Whether what is stored stays: it is ready by the same issuer, and what is found now is no better.
pub(super) fn stays(stored: &Condition, found: &Finding) -> bool {
    let (Some(was), Some(is)) = (
        Reason::named(&stored.reason).and_then(rank),
        rank(found.reason),
    ) else {
        return false;
    };
    let is_met = stored.status == ConditionStatus::True.as_str() && found.met;
    is_met && issuer_of(&stored.message) == issuer_of(&found.message) && is <= was
}

/// How well an issuer is verified that is ready.
fn rank(reason: Reason) -> Option<u8> {
    match reason {
        Reason::IssuerConfigured | Reason::IssuerUnreachable => Some(0),
        Reason::IssuerVerified | Reason::ProvenBySignIn => Some(1),
        _ => None,
    }
}

fn issuer_of(message: &str) -> Option<&str> {
    let rest = message.strip_prefix(ISSUED)?;
    Some(rest.split("; ").next().unwrap_or(rest))
}
