//! What the API server's answer to a call means.
//!
//! The code alone does not tell: a policy or a webhook refuses with any code, 404 and 409 included, and a webhook that is
//! dead is a 500. So what admission says comes first.

use std::time::Duration;

use kube::core::Status;

use crate::azure::error::safe_line;

/// The longest time that an answer may ask for. Longer ones come by mistake, and nobody waits a day for a write.
pub(super) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// The meaning of an answer of the API server that is not a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Somebody else has written since the object was read.
    Race,
    /// The object is not there.
    Gone,
    /// The object's namespace is being deleted.
    NamespaceTerminating,
    /// A policy, a webhook, a right, a quota or the schema forbids it: somebody has to change that.
    Refused,
    /// It is not decided: a webhook cannot be asked, the API server is busy or out of order.
    Undecided,
    /// There is no answer.
    Lost,
}

impl Answer {
    /// What this error of a call means.
    pub fn of(error: &kube::Error) -> Self {
        let kube::Error::Api(status) = error else {
            return Self::Lost;
        };
        match status.code {
            _ if is_denied_by_admission(status) => Self::Refused,
            _ if is_terminating(status) => Self::NamespaceTerminating,
            404 => Self::Gone,
            409 => Self::Race,
            // After a 401 the client gets a new token soon; 408 and 429 ask to try again later.
            401 | 408 | 429 => Self::Undecided,
            400..500 => Self::Refused,
            _ => Self::Undecided,
        }
    }

    /// Whether the object has changed since it was read, or is gone: nobody has refused anything.
    pub fn is_outdated(self) -> bool {
        matches!(self, Self::Race | Self::Gone)
    }
}

/// In the words of the API server for a webhook (`admission webhook "x" denied the request`) and for a policy
/// (`ValidatingAdmissionPolicy 'x' with binding 'y' denied request`), whatever code they come with.
fn is_denied_by_admission(status: &Status) -> bool {
    ["denied the request", "denied request"]
        .iter()
        .any(|words| status.message.contains(words))
}

fn is_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .into_iter()
        .any(|cause| cause.reason == "NamespaceTerminating")
}

/// What was answered, cleaned, as a status may show it.
pub fn words(error: &kube::Error) -> String {
    let kube::Error::Api(status) = error else {
        return "there was no answer in time".to_owned();
    };
    let said = [&status.message, &status.reason];
    let said = said.into_iter().map(|said| safe_line(said));
    said.into_iter()
        .find(|said| !said.is_empty())
        .unwrap_or_else(|| format!("it answered {}", status.code))
}

/// How long the API server asks to be left alone.
pub fn retry_after(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else {
        return None;
    };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    let asked = Duration::from_secs(seconds.into());
    (!asked.is_zero()).then(|| asked.min(LONGEST_RETRY_AFTER))
}

/// Whether two messages say the same, but for what differs from one try to the next: times, ports, numbers and ids.
pub fn say_the_same(one: &str, other: &str) -> bool {
    let lasting = |text: &str| -> Vec<String> {
        let words = text.split_whitespace();
        words
            .map(|word| {
                if is_passing(word) {
                    String::new()
                } else {
                    word.to_owned()
                }
            })
            .collect()
    };
    lasting(one) == lasting(other)
}

/// A number, a time, a duration, an address with its port, or an id of a request.
fn is_passing(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let is_id = word.len() >= 16
        && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
        && word.chars().any(|c| c.is_ascii_digit());
    word.starts_with(|c: char| c.is_ascii_digit()) || word.contains("->") || is_id
}

#[cfg(test)]
mod tests {
    use kube::core::response::{StatusCause, StatusDetails};

    use super::*;

    fn api(code: u16, reason: &str, message: &str) -> kube::Error {
        kube::Error::Api(Status::failure(message, reason).with_code(code).boxed())
    }

    fn with_details(details: StatusDetails) -> kube::Error {
        let status = Status::failure("no", "Forbidden").with_code(403);
        kube::Error::Api(status.with_details(details).boxed())
    }

    fn nothing() -> StatusDetails {
        serde_json::from_str("{}").unwrap()
    }

    const MODIFIED: &str = "Operation cannot be fulfilled on workloadidentitybindings.azwib.dev \"orders\": the object has \
                            been modified; please apply your changes to the latest version and try again";
    const DEAD: &str = "Internal error occurred: failed calling webhook \"accounts.policy.example.com\": failed to call \
                        webhook: Post \"https://127.0.0.1:9/validate?timeout=3s\": dial tcp 127.0.0.1:9: connect: \
                        connection refused";

    #[test]
    fn only_a_conflict_of_versions_is_a_race() {
        for (code, reason, message, expected) in [
            (409, "Conflict", MODIFIED, Answer::Race),
            (404, "NotFound", "\"orders\" not found", Answer::Gone),
            (400, "BadRequest", "unknown field", Answer::Refused),
            (403, "Forbidden", "exceeded quota", Answer::Refused),
            (410, "Gone", "gone", Answer::Refused),
            (413, "RequestEntityTooLarge", "too large", Answer::Refused),
            (422, "Invalid", "is invalid", Answer::Refused),
            (401, "Unauthorized", "Unauthorized", Answer::Undecided),
            (408, "Timeout", "slow", Answer::Undecided),
            (429, "TooManyRequests", "busy", Answer::Undecided),
            (500, "InternalError", DEAD, Answer::Undecided),
            (502, "", "<html>", Answer::Undecided),
            (503, "ServiceUnavailable", "away", Answer::Undecided),
            (
                504,
                "Timeout",
                "request did not complete",
                Answer::Undecided,
            ),
        ] {
            assert_eq!(Answer::of(&api(code, reason, message)), expected, "{code}");
        }
        let lost = kube::Error::Service("connection refused".into());
        assert_eq!(Answer::of(&lost), Answer::Lost);
    }

    #[test]
    fn what_admission_denies_is_refused_whatever_code_it_chose() {
        for message in [
            "admission webhook \"w\" denied the request: the object has been modified",
            "admission webhook \"w\" denied the request without explanation",
            "workloadidentitybindings.azwib.dev \"orders\" is forbidden: ValidatingAdmissionPolicy 'need-team' with binding \
             'need-team' denied request: every object needs the label team",
        ] {
            for code in [400, 401, 403, 404, 409, 418, 422, 429, 500, 503] {
                let answer = Answer::of(&api(code, "Conflict", message));
                assert_eq!(answer, Answer::Refused, "{code} {message}");
            }
        }
    }

    #[test]
    fn a_namespace_that_goes_refuses_nothing() {
        let cause = StatusCause {
            reason: "NamespaceTerminating".to_owned(),
            message: "namespace shop is being terminated".to_owned(),
            field: "metadata.namespace".to_owned(),
        };
        let error = with_details(StatusDetails {
            causes: vec![cause],
            ..nothing()
        });
        assert_eq!(Answer::of(&error), Answer::NamespaceTerminating);
    }

    #[test]
    fn words_are_cleaned_and_never_empty() {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";
        let said = words(&api(422, "Invalid", &format!("no\n\u{202e} {token}")));
        assert_eq!(said, "no [removed]");
        assert_eq!(words(&api(422, "Invalid", "")), "Invalid");
        assert_eq!(words(&api(422, "", " ")), "it answered 422");
    }

    #[test]
    fn a_time_to_come_back_is_believed_within_reason() {
        let after = |seconds| {
            retry_after(&with_details(StatusDetails {
                retry_after_seconds: seconds,
                ..nothing()
            }))
        };
        assert_eq!(after(0), None);
        assert_eq!(after(7), Some(Duration::from_secs(7)));
        assert_eq!(after(u32::MAX), Some(LONGEST_RETRY_AFTER));
        assert_eq!(retry_after(&api(429, "TooManyRequests", "busy")), None);
    }

    #[test]
    fn ports_times_and_ids_make_no_other_message() {
        for (one, other) in [
            (
                "read tcp 10.0.0.1:41000->10.0.0.2:9443: read: connection reset by peer",
                "read tcp 10.0.0.1:41017->10.0.0.2:9443: read: connection reset by peer",
            ),
            (
                "x509: certificate has expired: current time 2026-11-28T11:06:37Z is after 2026-01-01T00:00:00Z",
                "x509: certificate has expired: current time 2026-11-28T11:07:41Z is after 2026-01-01T00:00:00Z",
            ),
            (
                "denied after 12ms (request 6a00f65f-1e53-4543-a2cf-3e84b656ab30)",
                "denied after 9ms (request b1d1a1f0-0000-4000-8000-000000000001)",
            ),
        ] {
            assert!(say_the_same(one, other), "{one}");
        }
        for (one, other) in [
            ("policy one denied", "policy two denied"),
            ("used: count/accounts=1", "used: count/accounts=2"),
            ("webhook policy1.example.com", "webhook policy2.example.com"),
        ] {
            assert!(!say_the_same(one, other), "{one}");
        }
    }
}
