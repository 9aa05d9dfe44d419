//! What an error of Azure is to a binding: its reason, the next try, Azure's own words and what to do about it.

use super::Reason;
use crate::azure::{AzureError, AzureErrorKind, Cause, azure_errors};
use crate::kubeutil::backoff::Pace;
use crate::runtime::clock;

macro_rules! what_is_told {
    ($(
        $(#[doc = $doc:literal])+
        $kind:ident: [$($answers:tt)+], $pace:ident, $reason:ident, $quote:ident $(($ours:literal))?, $advice:literal;
    )+) => {
        /// The reason for an error of Azure; `not_found` for a 404 of the thing that was asked for.
        pub(super) fn reason(error: &AzureError, not_found: Reason) -> Reason {
            match error.kind() { $(AzureErrorKind::$kind => reason_or!($reason, not_found),)+ }
        }

        fn quote(kind: AzureErrorKind) -> Quote {
            match kind { $(AzureErrorKind::$kind => Quote::$quote $(($ours))?,)+ }
        }

        fn advice_on_kind(kind: AzureErrorKind) -> &'static str {
            match kind { $(AzureErrorKind::$kind => $advice,)+ }
        }
    };
}

macro_rules! reason_or {
    (absent, $not_found:ident) => {
        $not_found
    };
    ($reason:ident, $not_found:ident) => {
        Reason::$reason
    };
}

azure_errors!(what_is_told);

/// What a message quotes of Azure's words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    /// What follows the first sentence is advice of Azure's own, or the time and a trace id.
    FirstSentence,
    /// Somebody has made a rule: it says which, and by whom it was made.
    Everything,
    /// The first sentence, after words of ours and without any number. It passes by itself: such answers say how many
    /// requests were too many, or for how many seconds.
    After(&'static str),
}

pub(super) fn pace(error: &AzureError) -> Pace {
    // A 503 may say when to come back as well as a 429.
    error
        .retry_after()
        .map_or_else(|| error.kind().pace(), Pace::After)
}

/// What to do about it.
pub(super) fn advice(error: &AzureError) -> &'static str {
    let of_cause = error.cause().and_then(advice_on_cause);
    of_cause.unwrap_or_else(|| advice_on_kind(error.kind()))
}

/// What to do where no usable answer came, if there is anything to do.
fn advice_on_cause(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::Certificate => {
            "it is tried again; give the authority that signed the certificate with --ca-file (a proxy that opens TLS has \
             one of its own), and check the names and dates in it and the clock of the node"
        }
        Cause::Tls => {
            "it is tried again; what answers there does not speak TLS 1.2 or 1.3 as Azure does: check host and port in --cloud or \
             its addresses, and whether a server of plain HTTP or a proxy listens there"
        }
        Cause::Name => {
            "it is tried again; check the cluster's DNS, and the host in --cloud or its addresses"
        }
        Cause::NoConnection | Cause::ConnectTimeout => {
            "it is tried again; check that the operator's pod may go there: network policies, firewall, HTTPS_PROXY"
        }
        Cause::Proxy => {
            "it is tried again; check HTTPS_PROXY and NO_PROXY of the operator, and what the proxy lets through"
        }
        Cause::AnswerTimeout => {
            "it is tried again; if it stays so, see --request-timeout, and what stands between the operator and Azure"
        }
        Cause::NotAzure => {
            "it is tried again; if it stays so, something between the operator and Azure answers in its place: look for a \
             proxy or a sign-in page"
        }
        Cause::Malformed => {
            "it is tried again; if it stays so, report it with the operator's version"
        }
        Cause::Endless => {
            "it is tried again; if it stays so, report it to Azure's support with the identity's id"
        }
        // It passes by itself.
        Cause::Lost | Cause::Fault | Cause::NoClaim => return None,
    })
}

/// What Azure said, in its own words, without what differs from one try to the next: a status must not change on every
/// pass.
pub(super) fn summary(error: &AzureError) -> String {
    let words = words(error);
    let Quote::After(ours) = quote(error.kind()) else {
        return words.unwrap_or_else(|| "Azure gave no reason".to_owned());
    };
    let words = words.map_or_else(String::new, |words| format!(" ({words})"));
    format!("{ours}{words}{}", until(error))
}

/// A wait of less is over before anybody reads of it.
const WAIT_TO_TELL_OF: std::time::Duration = std::time::Duration::from_secs(60);

/// Until when Azure wants to be left alone.
fn until(error: &AzureError) -> String {
    let told = error
        .retry_after()
        .is_some_and(|wait| wait >= WAIT_TO_TELL_OF);
    match error.retry_at().filter(|_| told) {
        Some(at) if error.asks_for_too_long() => format!(
            "; it asks for a pause of more than 15 minutes, and is asked again at {}",
            clock::minute_of(at)
        ),
        Some(at) => format!("; it is asked again at {}", clock::minute_of(at)),
        None => String::new(),
    }
}

fn words(error: &AzureError) -> Option<String> {
    let quote = quote(error.kind());
    let message = error.message().map(|message| {
        let sentence = match quote {
            Quote::Everything => message,
            _ => message.split(". ").next().unwrap_or(message),
        };
        steady(
            sentence.trim_end_matches('.'),
            matches!(quote, Quote::After(_)),
        )
    });
    match (error.code(), message) {
        (Some(code), Some(message)) if message.starts_with(code) => Some(message),
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (Some(code), None) => Some(code.to_owned()),
        (None, Some(message)) => Some(match error.status() {
            Some(status) => format!("{message}, with HTTP status {status}"),
            None => message,
        }),
        (None, None) => error.status().map(|status| format!("HTTP status {status}")),
    }
}

/// The text without the times and the ids of a request in it, which are others in the next try; without any number, where
/// those are, too.
fn steady(text: &str, without_numbers: bool) -> String {
    let mut kept: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_of_request = kept.last().is_some_and(|it| is_word(it, "id"))
            && kept
                .iter()
                .rev()
                .nth(1)
                .is_some_and(|it| REQUEST_IDS.iter().any(|name| is_word(it, name)));
        let is_other_each_time =
            is_number(core) && (without_numbers || core.contains(':')) || is_of_request;
        if !core.is_empty() && is_other_each_time {
            kept.push(word.replacen(core, "…", 1));
        } else {
            kept.push(word.to_owned());
        }
    }
    kept.join(" ")
}

/// What the ids are of that are others with each request: `tracking id '…'`.
const REQUEST_IDS: [&str; 6] = [
    "activity",
    "correlation",
    "operation",
    "request",
    "trace",
    "tracking",
];

fn is_word(word: &str, name: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    word.eq_ignore_ascii_case(name)
}

/// A number, a date or a time of day; neither an address nor a GUID.
fn is_number(word: &str) -> bool {
    const GUID_CHARS: usize = 36;
    let in_number =
        |c: char| c.is_ascii_digit() || matches!(c, ':' | '.' | '/' | '-' | '+' | 'T' | 'Z' | ',');
    let is_address =
        || word.parse::<std::net::IpAddr>().is_ok() || word.parse::<std::net::SocketAddr>().is_ok();
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(in_number)
        && word.len() != GUID_CHARS
        && !is_address()
}
