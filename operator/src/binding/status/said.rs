//! What each kind of pass has to say. Pure: the time comes in.

use std::time::Duration;

use azwib_crds::{
    CredentialOrigin, DeletionPolicy, RecordedCredential, ResolvedIdentity, ServiceAccountRole,
    WorkloadIdentityBinding, WorkloadIdentityBindingStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::compute::{compute, of_others};
use super::issuer;
use super::reason::{ConditionType, Reason};
use super::report::{Finding, Moment, Report, Settled};
use super::stored::{is_failing, recorded_credentials, was_good};
use crate::binding::applied::{Applied, AppliedCredential};
use crate::binding::cleanup::{Stage, Stopped, message_of};
use crate::binding::credential::duplicates::is_provided;
use crate::binding::credential::record::put_record;
use crate::binding::error::{Error, Failure, Wait};
use crate::binding::validate::{Desired, service_account_name};
use crate::issuer::judge::Finding as Verification;
use crate::kubeutil::conditions::{ConditionStatus, is_true, transition};
use crate::runtime::deliberate::Bug;

/// The status that is written before a PUT.
pub fn recording(
    binding: &WorkloadIdentityBinding,
    identity: &ResolvedIdentity,
    credential: RecordedCredential,
    settled: &Settled<'_>,
    moment: &Moment,
) -> WorkloadIdentityBindingStatus {
    let mut report = before_steps(settled);
    identity_resolved(&mut report, identity);
    report.identity = Some(identity.clone());
    let name = credential.name.clone();
    let mut credentials = recorded_credentials(binding);
    put_record(&mut credentials, credential);
    if is_failing(binding) {
        // One more try of a write that failed before: what is said of it stands until it succeeds.
        let status = binding.status.clone().unwrap_or_default();
        return WorkloadIdentityBindingStatus {
            credentials,
            ..status
        };
    }
    report.credentials = Some(credentials);
    let message = format!("the federated identity credential {name} is about to be written");
    report.unmet(ConditionType::CredentialReady, Reason::Creating, message);
    compute(binding, report, moment)
}

/// The status before a look that somebody asked for, and why it was stalled; None where it was not. It speaks of the
/// generation that it spoke of.
pub fn taken_up(
    binding: &WorkloadIdentityBinding,
    moment: &Moment,
) -> Option<(WorkloadIdentityBindingStatus, Reason)> {
    let mut status = binding.status.clone()?;
    let mut conditions = status.conditions.iter_mut();
    let stalled = conditions.find(|it| it.type_ == ConditionType::Stalled.as_str())?;
    let reason = Reason::named(&stalled.reason)?;
    *stalled = transition(
        None,
        ConditionType::Reconciling.as_str(),
        ConditionStatus::True,
        reason.as_str(),
        format!("azwib is looking again; so far: {}", stalled.message),
        status.observed_generation,
        moment.now,
    );
    Some((status, reason))
}

/// What a pass that came as far as `applied` has to say.
///
/// `keep` is set for a binding whose credential was good when last seen and which was only kept from looking: then
/// the steps that could not be looked at keep their values.
pub fn of_applied(
    binding: &WorkloadIdentityBinding,
    applied: &Applied,
    settled: &Settled<'_>,
    keep: bool,
) -> Report {
    let Applied {
        identity,
        account,
        account_waits,
        credential,
        recorded: _,
        error,
    } = applied;
    let mut report = before_steps(settled);
    if !keep {
        identity_resolved(&mut report, identity);
        report.identity = Some(identity.clone());
    }
    if let Some(account) = account {
        let mut message = account_stands(binding, &account.status.name, &identity.client_id);
        if let Some(note) = &account.note {
            message = format!("{message}; {note}");
        }
        report.met(ConditionType::ServiceAccountReady, Reason::Applied, message);
        report.service_account = Some(account.status.clone());
    }
    if *account_waits && !keep {
        // A failure of an account that existed before does not count any more.
        say(&mut report, &Wait::ForCredential.into());
    }
    match credential {
        AppliedCredential::InPlace(credential) => {
            let message = credential_stands(credential);
            report.met(ConditionType::CredentialReady, Reason::InPlace, message);
            report.credentials = Some(vec![credential.clone()]);
            if Bug::TakesOverFromScratch.is_on() && is_provided(binding) {
                let message = "it is taken over";
                report.unmet(ConditionType::CredentialReady, Reason::Creating, message);
            }
        }
        AppliedCredential::Provided {
            credential,
            by,
            since,
        } => {
            report.findings.push(Finding {
                condition: ConditionType::CredentialReady,
                met: true,
                reason: Reason::ProvidedByOlderBinding,
                message: format!(
                    "the older binding \"{by}\" provides the federated identity credential {}; this one takes over when \
                     it goes",
                    credential.name
                ),
                since: Some(since.clone()),
            });
            report.credentials = Some(vec![credential.clone()]);
        }
        // The credentials recorded before this pass, the binding having been read before the record was written.
        AppliedCredential::Withdrawn => {
            report.credentials = Some(recorded_credentials(binding));
            // Not what the record announced; an error of the write itself says more.
            let message =
                "the federated identity credential is written once the other steps are done";
            report.unmet(ConditionType::CredentialReady, Reason::Creating, message);
        }
        // What was adopted is gone, or not as it was, or is not to be adopted any more.
        AppliedCredential::NotReached
            if matches!(error, Some(Error::Failure(Failure::NoCredential(_)))) =>
        {
            let mut left = recorded_credentials(binding);
            left.retain(|record| record.origin != CredentialOrigin::Adopted);
            report.credentials = Some(left);
        }
        AppliedCredential::NotReached | AppliedCredential::Unknown => {}
    }
    if let Some(error) = error.as_ref().filter(|_| !keep) {
        say(&mut report, error);
    }
    report
}

fn account_stands(binding: &WorkloadIdentityBinding, name: &str, client_id: &str) -> String {
    match binding.spec.service_account.role {
        ServiceAccountRole::Default => {
            format!("service account {name} names the client id {client_id}")
        }
        ServiceAccountRole::Additional => format!(
            "service account {name} is there; the workload names the client id {client_id} itself"
        ),
    }
}

fn credential_stands(credential: &RecordedCredential) -> String {
    let by = match credential.origin {
        CredentialOrigin::Adopted => "; it was made by somebody else and is left as it is",
        _ => "",
    };
    let name = &credential.name;
    format!("the federated identity credential {name} is in place{by}")
}

/// The status of a binding that was good with this identity and this credential, which was in place since the first of these
/// times, while the binding was Ready since the second, and for which grants say this. Nothing of the status that is stored is in it, but for others' conditions.
pub fn of_known_good(
    binding: &WorkloadIdentityBinding,
    identity: ResolvedIdentity,
    credential: RecordedCredential,
    (granted, (in_place_since, ready_since)): (Option<Finding>, (Timestamp, Timestamp)),
) -> WorkloadIdentityBindingStatus {
    let mut report = before_steps(&Settled {
        issuer: &credential.issuer,
        verification: &Verification::NotVerified,
        granted,
    });
    identity_resolved(&mut report, &identity);
    let account = service_account_name(binding);
    let message = account_stands(binding, &account, &identity.client_id);
    report.met(ConditionType::ServiceAccountReady, Reason::Applied, message);
    report.findings.push(Finding {
        condition: ConditionType::CredentialReady,
        met: true,
        reason: Reason::InPlace,
        message: credential_stands(&credential),
        since: Some(Time(in_place_since)),
    });
    report.identity = Some(identity);
    report.credentials = Some(vec![credential]);
    let stored = binding.status.as_ref();
    let told = stored.and_then(|status| status.service_account.clone());
    report.service_account = told.filter(|told| told.name == account);
    let stored = stored.map_or(&[][..], |status| &status.conditions);
    let blank = WorkloadIdentityBinding {
        status: Some(WorkloadIdentityBindingStatus {
            conditions: of_others(stored).cloned().collect(),
            ..WorkloadIdentityBindingStatus::default()
        }),
        ..binding.clone()
    };
    let moment = Moment {
        now: ready_since,
        stood: Duration::ZERO,
        // It had its time.
        propagation_delay: Duration::ZERO,
        stalled_after: Duration::ZERO,
    };
    compute(&blank, report, &moment)
}

/// What a pass that stopped before anything could be applied has to say.
pub fn of_error(error: &Error, settled: &Settled<'_>) -> Report {
    let mut report = before_steps(settled);
    say(&mut report, error);
    report
}

/// What the cleanup of a binding that is being deleted has to say where it was stopped: what is done, and what is not.
pub fn of_departing(
    stopped: &Stopped,
    policy: DeletionPolicy,
    settled: &Settled<'_>,
    allow_force_detach: bool,
) -> Report {
    let Stopped { at, error } = stopped;
    let mut report = before_steps(settled);
    cleaned_before(*at, policy, &mut report);
    if let Some((condition, reason)) = error.finding() {
        let message = message_of(error, allow_force_detach);
        report.unmet(condition, reason, message.clone());
        // Whatever else is not as it should be, such as an account that went with its namespace: this keeps the binding.
        report.unmet(ConditionType::Ready, reason, message);
    }
    report
}

/// What a binding has to say that is cleaned up and stays for the sake of others.
pub fn of_cleaned_up(policy: DeletionPolicy, settled: &Settled<'_>, finalizers: &[&str]) -> Report {
    let mut report = before_steps(settled);
    cleaned_before(Stage::Finalizer, policy, &mut report);
    let message = format!(
        "azwib has cleaned up; the binding is gone once others have removed their finalizers: {}",
        finalizers.join(", ")
    );
    report.unmet(ConditionType::Ready, Reason::CleanedUp, message);
    report
}

/// What is undone before this stage. What is to be retained stays, and so does what is said of it.
fn cleaned_before(stage: Stage, policy: DeletionPolicy, report: &mut Report) {
    if policy == DeletionPolicy::Retain {
        return;
    }
    if stage > Stage::Credentials {
        let message = "the binding has no federated identity credential any more";
        report.unmet(ConditionType::CredentialReady, Reason::CleanedUp, message);
        report.credentials = Some(vec![]);
    }
    if stage > Stage::Account {
        let message = "the service account carries nothing for this binding any more";
        report.unmet(
            ConditionType::ServiceAccountReady,
            Reason::CleanedUp,
            message,
        );
    }
}

/// The stored status with one change: `Ready` says that the API server refuses the full status.
pub fn of_unwritten(
    binding: &WorkloadIdentityBinding,
    error: &Error,
    moment: &Moment,
) -> WorkloadIdentityBindingStatus {
    let mut report = Report::default();
    if let Some((_, reason)) = error.finding() {
        report.unmet(ConditionType::Ready, reason, error.message());
    }
    compute(binding, report, moment)
}

/// What a pass over a suspended binding has to say of its steps: nothing where its credential was good when last seen.
pub fn of_suspended(
    binding: &WorkloadIdentityBinding,
    desired: Option<&Desired>,
    settled: &Settled<'_>,
) -> Report {
    let mut report = of_kept(binding, settled);
    let status = binding.status.as_ref();
    let of_issuer = report.finding(ConditionType::IssuerReady).map(|it| it.met);
    let is_done = |step: &ConditionType| match of_issuer {
        // As it is now, whatever is stored.
        Some(met) if *step == ConditionType::IssuerReady => met,
        _ => status.is_some_and(|status| is_true(&status.conditions, step.as_str())),
    };
    let good = desired.is_some_and(|desired| was_good(status, desired))
        // What another binding looks after is not frozen by this one.
        && !is_provided(binding)
        && ConditionType::STEPS.iter().all(is_done);
    if !good {
        let message = "nothing is written for this binding until spec.suspend is false";
        report.unmet(ConditionType::Ready, Reason::Suspended, message);
    }
    report
}

fn say(report: &mut Report, error: &Error) {
    if let Some((condition, reason)) = error.finding() {
        report.unmet(condition, reason, error.message());
    }
}

fn before_steps(settled: &Settled<'_>) -> Report {
    let granted = settled.granted.iter().cloned();
    Report {
        findings: granted.chain([issuer::said(settled)]).collect(),
        ..Report::default()
    }
}

/// What a pass has to say that could not look at a good binding.
pub fn of_kept(binding: &WorkloadIdentityBinding, settled: &Settled<'_>) -> Report {
    let stored = binding.status.as_ref().map(|it| &*it.conditions);
    let of_issuer = issuer::said_of_kept(stored.unwrap_or_default(), settled);
    let granted = settled.granted.iter().cloned();
    Report {
        findings: granted.chain(of_issuer).collect(),
        ..Report::default()
    }
}

/// That a binding is granted, or is not; nothing else.
pub fn of_granted(met: bool, reason: Reason, message: String) -> Report {
    let mut report = Report::default();
    if met {
        report.met(ConditionType::Granted, reason, message);
    } else {
        report.unmet(ConditionType::Granted, reason, message);
    }
    report
}

/// What a binding has to say from which everything was taken away but what somebody else has made.
pub fn of_revoked(adopted: Vec<RecordedCredential>) -> Report {
    let mut report = Report::default();
    let message = "what azwib had made was taken away";
    for step in [
        ConditionType::ServiceAccountReady,
        ConditionType::CredentialReady,
    ] {
        report.unmet(step, Reason::Revoked, message);
    }
    report.credentials = Some(adopted);
    report.is_without_account = true;
    report
}

fn identity_resolved(report: &mut Report, identity: &ResolvedIdentity) {
    let message = format!(
        "the client id of the managed identity is {}",
        identity.client_id
    );
    report.met(ConditionType::IdentityResolved, Reason::Resolved, message);
}
