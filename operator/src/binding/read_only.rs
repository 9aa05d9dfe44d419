//! What azwib would write where it only looks (`--read-only`).
//!
//! Statuses are written, so that everybody sees what would become of the bindings. Nothing is written to Azure or to a ServiceAccount, and
//! no finalizer is put on: there is nothing to clean up. Whoever writes asks here first.

use super::context::Context;
use super::error::Wait;
use super::status::reason::ConditionType;
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
    match is_read_only(ctx) {
        true => Err(withheld(step, would())),
        false => Ok(()),
    }
}

/// What a pass says that would write: the step, and what it would do.
pub(super) fn withheld(step: ConditionType, would: String) -> Wait {
    Wait::ReadOnly { step, would }
}
