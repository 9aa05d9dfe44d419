//! What an error of Azure is to a binding: its reason, the next try, Azure's own words and what to do about it.

use super::Reason;
use crate::azure::{AzureError, AzureErrorKind, Cause};
use crate::kubeutil::backoff::Pace;
use crate::runtime::clock;

/// The reason for an error of Azure; `not_found` for a 404 of the thing that was asked for.
pub(super) fn reason(error: &AzureError, not_found: Reason) -> Reason {
    match error.kind() {
        AzureErrorKind::ParentNotFound | AzureErrorKind::CredentialNotFound => not_found,
        AzureErrorKind::ConcurrentWrite => Reason::WaitingForTurn,
        AzureErrorKind::DirectoryNotReady => Reason::Creating,
        AzureErrorKind::IssuerSubjectExists => Reason::CredentialExists,
        AzureErrorKind::Unauthorized | AzureErrorKind::SignInFailed => {
            Reason::AzureAuthenticationFailed
        }
        AzureErrorKind::AuthorizationFailed | AzureErrorKind::AccessDenied => {
            Reason::AuthorizationFailed
        }
        AzureErrorKind::PolicyDenied => Reason::PolicyDenied,
        AzureErrorKind::ScopeLocked => Reason::ScopeLocked,
        AzureErrorKind::RegionNotSupported => Reason::RegionNotSupported,
        AzureErrorKind::Throttled { .. } => Reason::Throttled,
        AzureErrorKind::Unavailable | AzureErrorKind::SignInUnavailable => Reason::AzureUnavailable,
        AzureErrorKind::Conflict => Reason::AzureConflict,
        AzureErrorKind::Refused => Reason::RequestRefused,
    }
}

pub(super) fn pace(error: &AzureError) -> Pace {
    // A 503 may say when to come back as well as a 429.
    if let Some(delay) = error.retry_after() {
        return Pace::After(delay);
    }
    match error.kind() {
        kind if !kind.waits_for_change() => Pace::Backoff,
        // Nothing that comes or goes beside it changes these.
        AzureErrorKind::RegionNotSupported | AzureErrorKind::Refused => Pace::WaitForChange,
        // A role, an exemption, an identity that comes, a lock that goes: whoever sees to it watches for the effect.
        _ => Pace::WaitForArrival,
    }
}

/// What to do about it.
pub(super) fn advice(error: &AzureError) -> &'static str {
    if let Some(advice) = error.cause().and_then(advice_on_cause) {
        return advice;
    }
    match error.kind() {
        AzureErrorKind::ParentNotFound => {
            "create the managed identity, or correct the reference in a new binding"
        }
        AzureErrorKind::AuthorizationFailed => {
            "grant the operator a role with this action there; a new role assignment can take 10 minutes"
        }
        AzureErrorKind::AccessDenied => {
            "no role of the operator helps: whoever made the deny assignment or the rule has to exclude the operator's \
             identity, or use a managed identity outside of its scope"
        }
        AzureErrorKind::Unauthorized | AzureErrorKind::SignInFailed => {
            "check the operator's own identity: its client id, tenant id and federated identity credential"
        }
        AzureErrorKind::PolicyDenied => {
            "an Azure Policy forbids it: ask for an exemption, or use an identity outside of its scope"
        }
        AzureErrorKind::ScopeLocked => "remove the lock on the identity or above",
        AzureErrorKind::RegionNotSupported => {
            "use a managed identity in a region that supports federated identity credentials"
        }
        AzureErrorKind::Conflict => {
            "it is tried again; if it stays so, look at what goes on with the identity, its resource group and its \
             subscription"
        }
        AzureErrorKind::Refused => {
            "correct what Azure names, or report it if the request looks right"
        }
        AzureErrorKind::Throttled { .. }
        | AzureErrorKind::Unavailable
        | AzureErrorKind::SignInUnavailable
        | AzureErrorKind::ConcurrentWrite
        | AzureErrorKind::DirectoryNotReady
        | AzureErrorKind::CredentialNotFound
        | AzureErrorKind::IssuerSubjectExists => "it is tried again without you doing anything",
    }
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
        Cause::Lost | Cause::Fault => return None,
    })
}

/// What Azure said, in its own words, without what differs from one try to the next: a status must not change on every
/// pass.
pub(super) fn summary(error: &AzureError) -> String {
    let words = words(error);
    let ours = match error.kind() {
        AzureErrorKind::Throttled { .. } => "Azure asks for fewer requests",
        AzureErrorKind::Unauthorized => "Azure Resource Manager does not take the operator's token",
        AzureErrorKind::Unavailable => "Azure Resource Manager does not answer as it should",
        AzureErrorKind::SignInUnavailable => "the sign-in to Azure does not answer as it should",
        _ => return words.unwrap_or_else(|| "Azure gave no reason".to_owned()),
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
            "; it asks for a longer pause than the operator believes, and is asked again at {}",
            clock::minute_of(at)
        ),
        Some(at) => format!("; it is asked again at {}", clock::minute_of(at)),
        None => String::new(),
    }
}

fn words(error: &AzureError) -> Option<String> {
    let message = error.message().map(|message| {
        // What follows the first sentence is advice of its own, or the time and a trace id. But where somebody has made a rule,
        // it says which, and by whom it was made.
        let sentence = if names_a_rule(error) {
            message
        } else {
            message.split(". ").next().unwrap_or(message)
        };
        steady(sentence.trim_end_matches('.'), passes(error))
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

fn names_a_rule(error: &AzureError) -> bool {
    matches!(
        error.kind(),
        AzureErrorKind::PolicyDenied | AzureErrorKind::Refused | AzureErrorKind::Conflict
    )
}

/// Whether it passes by itself: such answers say how many requests were too many, or for how many seconds.
fn passes(error: &AzureError) -> bool {
    matches!(
        error.kind(),
        AzureErrorKind::Throttled { .. }
            | AzureErrorKind::Unauthorized
            | AzureErrorKind::Unavailable
            | AzureErrorKind::SignInUnavailable
    )
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
