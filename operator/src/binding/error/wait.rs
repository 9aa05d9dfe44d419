//! What a pass only waits for.

use std::borrow::Cow;
use std::sync::Arc;

use crate::binding::status::reason::{ConditionType, Reason};
use crate::grant::CannotTell;
use crate::kubeutil::backoff::Pace;
use crate::ledger::NotNow;
use crate::runtime::clock;

/// What a pass waits for that has done what it can do now. Nothing has failed.
#[derive(Debug, thiserror::Error)]
pub enum Wait {
    /// The ledger has put it off.
    #[error("{}", why_not_now(why))]
    Ledger {
        /// The step that has to wait.
        step: ConditionType,
        /// It waits for a read; for its turn to write otherwise.
        reading: bool,
        why: NotNow,
    },
    #[error("the service account is made once its credential works")]
    ForCredential,
    #[error("it is not known whether a grant covers the binding: {0}")]
    ForGrants(CannotTell),
    #[error(
        "azwib runs with --read-only, and writes nothing but statuses; without it, azwib would {would}"
    )]
    ReadOnly {
        /// The step that would write.
        step: ConditionType,
        /// What it would do, after "would".
        would: String,
    },
    /// It is not known which issuer the cluster's tokens carry.
    #[error("{0}")]
    ForIssuer(Arc<str>),
    #[error("the grant went while the binding was worked on")]
    GrantGone,
}

impl From<NotNow> for Wait {
    /// For whoever wants to write.
    fn from(why: NotNow) -> Self {
        Self::Ledger {
            step: ConditionType::CredentialReady,
            reading: false,
            why,
        }
    }
}

impl Wait {
    /// For a read that this step begins with.
    pub fn for_read(step: ConditionType, why: NotNow) -> Self {
        Self::Ledger {
            step,
            reading: true,
            why,
        }
    }

    /// The condition that tells of it, and its reason; None when status stays as it is.
    pub(super) fn finding(&self) -> Option<(ConditionType, Reason)> {
        match self {
            Self::Ledger { step, reading, why } => match why {
                NotNow::Paced { .. } => Some((*step, Reason::Throttled)),
                // Nothing is known to have changed.
                NotNow::PutOff { .. } => None,
                // Another binding is reading, and both will know soon.
                _ if *reading => None,
                NotNow::UnderWay | NotNow::Unsettled { .. } => {
                    Some((*step, Reason::WaitingForTurn))
                }
            },
            Self::ForCredential => Some((
                ConditionType::ServiceAccountReady,
                Reason::WaitingForCredential,
            )),
            Self::ForGrants(_) => Some((ConditionType::Ready, Reason::Pending)),
            Self::ForIssuer(_) => Some((ConditionType::IssuerReady, Reason::IssuerUnknown)),
            Self::ReadOnly { step, .. } => Some((*step, Reason::ReadOnly)),
            Self::GrantGone => None,
        }
    }

    /// When the pass is made again.
    pub(super) fn pace(&self) -> Pace {
        match self {
            Self::Ledger { why, .. } => match why {
                NotNow::Paced { until } | NotNow::PutOff { until } => Pace::Until(*until),
                // The turn wakes who waits for it; the back-off is a second line.
                NotNow::UnderWay | NotNow::Unsettled { .. } => Pace::Backoff,
            },
            Self::ForCredential | Self::ForGrants(_) | Self::ForIssuer(_) => Pace::WaitForArrival,
            Self::ReadOnly { .. } => Pace::WaitForChange,
            Self::GrantGone => Pace::Backoff,
        }
    }
}

fn why_not_now(why: &NotNow) -> Cow<'static, str> {
    match why {
        NotNow::UnderWay => {
            "another write on the identity is under way; Azure takes one at a time".into()
        }
        NotNow::Unsettled { .. } => {
            "Azure did not answer an earlier write on the identity: nothing is written until a read shows what became of \
             it, or --write-settle-time has passed"
                .into()
        }
        NotNow::Paced { until } => format!(
            "Azure asked the operator to slow down; this request is made when its time has come, at {}",
            clock::minute_of(*until)
        )
        .into(),
        NotNow::PutOff { .. } => "other requests come first, or the same was read a moment ago".into(),
    }
}
