//! The log of the passes: what stops a binding is told once, with its causes, and again when something else does.

use std::collections::HashMap;
use std::panic::resume_unwind;

use super::passes::Notice;
use crate::binding::Failed;
use crate::ledger::BindingRef;
use crate::runtime::hash::hash;

/// What was told last. Passes repeat.
#[derive(Debug, Default)]
pub struct PassLog {
    /// What stops a binding, as a hash.
    stopped: HashMap<BindingRef, u64>,
    /// What has interrupted a watch.
    interrupted: Option<String>,
}

impl PassLog {
    /// Tells of one pass, or of what kept passes from being made.
    pub fn write(&mut self, notice: Notice) {
        match notice {
            Notice::Began(_) => {}
            Notice::Passed(binding, Ok(next)) => {
                self.stopped.remove(&binding);
                tracing::debug!(%binding, again_in = ?next, "reconciled");
            }
            Notice::Passed(binding, Err(failed)) if failed.error.is_progress() => {
                tracing::debug!(%binding, error = %failed.error, "not there yet");
            }
            Notice::Passed(binding, Err(failed)) if !self.is_news(&binding, &failed) => {
                tracing::debug!(
                    %binding,
                    retry_in = %format_args!("{:.1?}", failed.retry_in),
                    error = %failed.error,
                    "the pass failed again as before"
                );
            }
            Notice::Passed(binding, Err(failed)) => tracing::warn!(
                %binding,
                retry_in = %format_args!("{:.1?}", failed.retry_in),
                error = &failed.error as &dyn std::error::Error,
                "the pass over the binding failed"
            ),
            Notice::Gone(binding) => {
                self.stopped.remove(&binding);
                tracing::debug!(%binding, "is gone");
            }
            Notice::Interrupted(error) => {
                let shown = Some(error.to_string());
                if self.interrupted == shown {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "a watch was interrupted again; it is started again"
                    );
                } else {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a watch was interrupted; it is started again"
                    );
                }
                self.interrupted = shown;
            }
            Notice::Panicked(panic) => match panic.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // Only the end of the runtime ends a pass otherwise.
                Err(error) => tracing::debug!(%error, "a pass was abandoned"),
            },
        }
    }

    /// Whether this was not what was told of the binding last.
    fn is_news(&mut self, binding: &BindingRef, failed: &Failed) -> bool {
        // What differs from one try to the next, such as Azure's id of the request, is not part of this.
        let what = hash((failed.error.attempt_key(), failed.error.message()));
        self.stopped.insert(binding.clone(), what) != Some(what)
    }
}
