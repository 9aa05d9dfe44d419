//! What grants say to a binding.

use std::sync::Arc;

use super::grants::Grants;
use super::terms::{Grant, Request};

/// What grants say to what a binding asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This grant allows it.
    Granted {
        by: Arc<Grant>,
        /// Whether one of the grants that cover it allows `Retain`.
        may_retain: bool,
    },
    /// No grant does.
    NotGranted(Missing),
}

/// What a grant would have to cover, in words that can be sent to the platform team.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no IdentityGrant lets the service account \"{account}\" of the namespace \"{namespace}\" use the managed identity {identity}: \
     ask the platform team for a grant that covers the three (scope: the identity, its resource group or its subscription)"
)]
pub struct Missing {
    pub identity: String,
    pub namespace: String,
    pub account: String,
}

impl Verdict {
    /// Asks the grants. The one that is named already goes on being named while it covers, so that a new grant with an
    /// earlier name changes no status.
    pub fn of(grants: &Grants, request: &Request<'_>, named: Option<&str>) -> Self {
        let covering = grants.covering(request);
        let may_retain = covering.iter().any(|it| it.allow_retain);
        let still = covering.iter().find(|it| Some(it.name.as_str()) == named);
        match still.or(covering.first()) {
            Some(by) => Self::Granted {
                by: Arc::clone(by),
                may_retain,
            },
            None => Self::NotGranted(Missing {
                identity: request.identity().to_owned(),
                namespace: request.namespace.to_owned(),
                account: request.account.to_owned(),
            }),
        }
    }

    /// Whether something may be made.
    pub fn is_granted(&self) -> bool {
        matches!(self, Self::Granted { .. })
    }
}

#[cfg(test)]
mod tests;
