//! What one pass has to say, before it becomes a status.

use std::time::Duration;

use azwib_crds::{
    RecordedCredential, ResolvedIdentity, ServiceAccountStatus, WorkloadIdentityBinding,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::reason::{ConditionType, Reason};
use super::stored::account_failed;
use crate::issuer::judge::Finding as Verification;

/// What one pass has to say about one condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub condition: ConditionType,
    pub met: bool,
    pub reason: Reason,
    pub message: String,
    /// Since when, where that was before this pass.
    pub since: Option<Time>,
}

/// What one pass has to say. What it does not mention keeps its value.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub findings: Vec<Finding>,
    pub identity: Option<ResolvedIdentity>,
    pub service_account: Option<ServiceAccountStatus>,
    pub credentials: Option<Vec<RecordedCredential>>,
    /// The binding has no account any more.
    pub is_without_account: bool,
}

/// What is settled before the first step of a pass.
#[derive(Debug, Clone)]
pub struct Settled<'a> {
    pub issuer: &'a str,
    /// What is found of it.
    pub verification: &'a Verification,
    /// What grants say; None where that is not known, and what is said stays.
    pub granted: Option<Finding>,
}

/// The clock and what depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub now: Timestamp,
    /// How long the reason that stops this binding has stood.
    pub stood: Duration,
    pub propagation_delay: Duration,
    pub stalled_after: Duration,
}

impl Report {
    pub(super) fn met(
        &mut self,
        condition: ConditionType,
        reason: Reason,
        message: impl Into<String>,
    ) {
        self.findings.push(Finding {
            condition,
            met: true,
            reason,
            message: message.into(),
            since: None,
        });
    }

    pub(super) fn unmet(
        &mut self,
        condition: ConditionType,
        reason: Reason,
        message: impl Into<String>,
    ) {
        self.findings
            .retain(|finding| finding.condition != condition);
        self.findings.push(Finding {
            condition,
            met: false,
            reason,
            message: message.into(),
            since: None,
        });
    }

    /// What both have to say; of the same condition, what the other says.
    pub fn and(mut self, other: Self) -> Self {
        self.findings
            .retain(|it| other.finding(it.condition).is_none());
        self.findings.extend(other.findings);
        self
    }

    /// Says nothing of this condition: it stays as it is.
    pub fn leave(&mut self, condition: ConditionType) {
        self.findings
            .retain(|finding| finding.condition != condition);
    }

    /// Whether this report says that the account is in place, while status still says that it failed.
    pub fn mends_account(&self, binding: &WorkloadIdentityBinding) -> bool {
        account_failed(binding)
            && self
                .finding(ConditionType::ServiceAccountReady)
                .is_some_and(|finding| finding.met)
    }

    pub(super) fn finding(&self, condition: ConditionType) -> Option<&Finding> {
        self.findings
            .iter()
            .find(|finding| finding.condition == condition)
    }
}
