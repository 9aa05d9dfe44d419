//! What azwib would write where it only looks (`--read-only`).
//!
//! Statuses are written, so that everybody sees what would become of the bindings. Nothing is written to Azure or to a ServiceAccount, and
//! no finalizer is put on: there is nothing to clean up. Whoever writes asks here first.

use super::context::Context;
use super::error::Wait;
use super::plan::{AccountStep, CredentialStep, Plan};
use super::status::reason::ConditionType;
use super::validate::Desired;
use crate::runtime::deliberate::Bug;

/// Whether azwib only looks.
pub(super) fn is_read_only(ctx: &Context) -> bool {
    ctx.settings.read_only && !Bug::ReadOnlyForgotten.is_on()
}

/// What is withheld, where azwib only looks.
///
/// # Errors
/// It is withheld: the step that would write, and what it would do.
pub(super) fn withhold(
    step: ConditionType,
    would: impl FnOnce() -> String,
    ctx: &Context,
) -> Result<(), Wait> {
    if is_read_only(ctx) {
        let would = would();
        return Err(Wait::ReadOnly { step, would });
    }
    Ok(())
}

/// What a plan would write: the step that tells of it, and what it would do. None where all is in place, or nothing can be written.
pub(super) fn writes(plan: &Plan, desired: &Desired) -> Option<(ConditionType, String)> {
    let account = format!("{}/{}", desired.namespace, desired.service_account);
    let account = match &plan.account {
        AccountStep::Apply(configuration, _) if configuration.uid.is_none() => {
            Some(format!("make the service account {account}"))
        }
        AccountStep::Apply(configuration, _) => {
            let annotations = configuration.annotations.iter();
            let annotations: Vec<_> = annotations.map(|(k, v)| format!("{k}={v}")).collect();
            Some(match annotations.is_empty() {
                true => format!("change the service account {account}"),
                false => format!(
                    "give the service account {account} {}",
                    annotations.join(", ")
                ),
            })
        }
        AccountStep::Wait => Some(format!(
            "make the service account {account} once its credential works"
        )),
        AccountStep::InPlace(_) | AccountStep::Stop(_) | AccountStep::GiveUp(..) => None,
    };
    let credential = matches!(plan.credential, CredentialStep::Write).then(|| {
        let wanted = &desired.credential;
        format!(
            "write the federated identity credential {} (issuer {}, subject {}, audience {}) of {}",
            wanted.name, wanted.issuer, wanted.subject, wanted.audience, desired.identity
        )
    });
    let step = match (&account, &credential) {
        (None, None) => return None,
        (Some(_), None) => ConditionType::ServiceAccountReady,
        (_, Some(_)) => ConditionType::CredentialReady,
    };
    let all: Vec<_> = account.into_iter().chain(credential).collect();
    Some((step, all.join(", and ")))
}
