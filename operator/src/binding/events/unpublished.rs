//! Events that were not published: counted, and logged once for each reason and answer.

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Mutex;

use k8s_controller::events::PublishError;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::reason::EventReason;
use crate::azure::error::safe_line;
use crate::runtime::lock::lock;

/// The label of an event that the API server has not answered for.
const NO_ANSWER: &str = "none";

type Labels = [(&'static str, String); 2];

/// How many there were, and which are logged already.
#[derive(Debug, Default)]
pub(super) struct Unpublished {
    events: Family<Labels, Counter>,
    logged: Mutex<HashSet<(&'static str, Option<u16>)>>,
}

impl Unpublished {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "azwib_unpublished_events",
            "Events that the API server refused or that were lost, by reason (responseCode none: no answer, or not sent)",
            self.events.clone(),
        );
    }

    /// Notes one with this reason that the API server answered so. Whether that is told in the log.
    pub(super) fn note(&self, reason: EventReason, code: Option<u16>, why: &dyn Display) -> bool {
        let reason = reason.as_str();
        let answer = code.map_or_else(|| NO_ANSWER.to_owned(), |code| code.to_string());
        let labels = [("reason", reason.to_owned()), ("responseCode", answer)];
        self.events.get_or_create(&labels).inc();
        let is_new = lock(&self.logged).insert((reason, code));
        if is_new {
            tracing::warn!(
                reason,
                why = safe_line(&why.to_string()),
                "an event was not published; further ones like it are counted in azwib_unpublished_events_total only"
            );
        }
        is_new
    }
}

/// What the API server answered.
pub(super) fn code(error: &PublishError) -> Option<u16> {
    match error {
        PublishError::Kube(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::status::reason::Reason;

    #[test]
    fn each_is_counted_and_one_of_a_kind_is_logged() {
        let unpublished = Unpublished::default();
        let creating = EventReason::Ready(Reason::Creating);
        for (reason, code, logged) in [
            (creating, Some(403), true),
            (creating, Some(403), false),
            (creating, Some(422), true),
            (creating, None, true),
            (EventReason::CredentialLeft, Some(403), true),
            (creating, Some(403), false),
        ] {
            let is_logged = unpublished.note(reason, code, &"no");
            assert_eq!(is_logged, logged, "{reason:?} {code:?}");
        }
        let mut registry = Registry::default();
        unpublished.register(&mut registry);
        let mut shown = String::new();
        prometheus_client::encoding::text::encode(&mut shown, &registry).unwrap();
        for sample in [
            "azwib_unpublished_events_total{reason=\"Creating\",responseCode=\"403\"} 3",
            "azwib_unpublished_events_total{reason=\"Creating\",responseCode=\"none\"} 1",
            "azwib_unpublished_events_total{reason=\"CredentialLeft\",responseCode=\"403\"} 1",
        ] {
            assert!(shown.contains(sample), "{shown}");
        }
    }
}
