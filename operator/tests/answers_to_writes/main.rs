//! Every write that the operator makes to the API server, and every kind of answer to it: what is told, where, when, and when
//! it is tried again.
//!
//! A refusal is told at once and somebody has to change it: it is looked at every minute. What is left open (a dead webhook,
//! an API server that is busy or away) is told once it has been so for ten seconds. Both are Stalled after two minutes. A
//! race is nobody's fault: it is tried again at once, and never told. What comes back otherwise than it was asked for is told
//! like a refusal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api_server;
mod operator;

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};

use api_server::{Answer, ApiServer, State, Write};
use operator::{CLIENT, ISSUER};

const ID: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders";

const WORDS: &str = "in the server's own words";
const DENIED: &str = "admission webhook \"w\" denied the request: in the server's own words";

const REFUSED: [Answer; 3] = [
    Answer::Refuses(403, "Forbidden", WORDS, None),
    Answer::Refuses(422, "Invalid", WORDS, None),
    // A webhook may choose any code, that of a race too.
    Answer::Refuses(409, "Conflict", DENIED, None),
];
const LEFT_OPEN: [Answer; 4] = [
    Answer::Refuses(429, "TooManyRequests", WORDS, Some(7)),
    Answer::Refuses(500, "InternalError", WORDS, None),
    Answer::Refuses(503, "ServiceUnavailable", WORDS, None),
    Answer::IsLost,
];
const RACE: Answer = Answer::Refuses(409, "Conflict", "the object has been modified", None);
const GONE: Answer = Answer::Refuses(404, "NotFound", "not found", None);

/// What is done with a write that is answered so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    AtOnce,
    AfterTenSeconds,
    Never,
}

fn of_kind(answer: Answer) -> Told {
    if REFUSED.contains(&answer) || answer == Answer::Alters {
        Told::AtOnce
    } else if LEFT_OPEN.contains(&answer) {
        Told::AfterTenSeconds
    } else {
        Told::Never
    }
}

fn binding(write: Write) -> Value {
    let mut binding = json!({
        "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding",
        "metadata": {
            "name": "orders", "namespace": "shop", "uid": "u", "generation": 1, "resourceVersion": "1",
            "creationTimestamp": "2026-01-02T03:04:05Z",
        },
        "spec": { "identity": { "resourceId": ID } },
        "status": { "observedGeneration": -1 },
    });
    if write != Write::FinalizerOn {
        binding["metadata"]["finalizers"] = json!(["azwib.dev/cleanup"]);
    }
    if matches!(write, Write::FinalizerOff | Write::AccountAtCleanup) {
        binding["metadata"]["deletionTimestamp"] = json!("2026-01-02T04:00:00Z");
        binding["status"] = json!({
            "observedGeneration": 1,
            "identity": { "resourceId": ID, "clientId": CLIENT, "principalId": CLIENT, "tenantId": CLIENT },
        });
    }
    binding
}

/// An account that azwib has made for the binding.
fn account() -> Value {
    let annotations = [
        ("azure.workload.identity/client-id", CLIENT),
        ("azure.workload.identity/tenant-id", CLIENT),
        (
            "azure.workload.identity/service-account-token-expiration",
            "3600",
        ),
    ];
    let annotations: serde_json::Map<_, _> = annotations
        .into_iter()
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .collect();
    let owned: serde_json::Map<_, _> = annotations
        .keys()
        .map(|key| (format!("f:{key}"), json!({})))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {
            "name": "orders", "namespace": "shop", "uid": "account", "annotations": annotations,
            "labels": { "azwib.dev/origin": "Created" },
            "ownerReferences": [{
                "apiVersion": "azwib.dev/v1alpha1", "kind": "WorkloadIdentityBinding", "name": "orders", "uid": "u",
            }],
            "managedFields": [{
                "manager": "azwib", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
                "fieldsV1": { "f:metadata": {
                    "f:annotations": owned, "f:labels": { "f:azwib.dev/origin": {} },
                    "f:ownerReferences": { "k:{\"uid\":\"u\"}": {} },
                } },
            }],
        },
    })
}

async fn play(write: Write, answer: Answer) -> (ApiServer, String) {
    let account = (write == Write::AccountAtCleanup).then(account);
    let server = ApiServer::new(binding(write), account, (write, answer));
    let metrics = operator::run(&server).await;
    (server, metrics)
}

/// When a condition first had this reason, and its message.
fn said(state: &State, type_: &str, reason: &str) -> Option<(Duration, String)> {
    state.statuses.iter().find_map(|(at, status)| {
        let all = status["conditions"].as_array()?;
        let found = all
            .iter()
            .find(|it| it["type"] == type_ && it["reason"] == reason)?;
        Some((*at, found["message"].as_str()?.to_owned()))
    })
}

fn event(state: &State, reason: &str) -> Option<(Duration, String)> {
    let found = state.events.iter().find(|(_, of, _)| of == reason)?;
    Some((found.0, found.2.clone()))
}

fn seconds(range: RangeInclusive<u64>) -> RangeInclusive<Duration> {
    Duration::from_secs(*range.start())..=Duration::from_secs(*range.end())
}

/// Holds when something is told to what the kind of answer asks for; the words are the server's.
fn is_told(told: Option<(Duration, String)>, answer: Answer, what: &str) {
    let expected = of_kind(answer);
    let Some((at, message)) = told else {
        assert_eq!(expected, Told::Never, "{what}: nothing is told");
        return;
    };
    let when = match expected {
        Told::AtOnce => seconds(0..=1),
        // With the first try after that.
        Told::AfterTenSeconds => seconds(10..=30),
        Told::Never => panic!("{what}: told {message}"),
    };
    assert!(when.contains(&at), "{what}: told after {at:?}");
    let words = match answer {
        Answer::Alters => "came back changed",
        Answer::IsLost => "there was no answer in time",
        _ => WORDS,
    };
    assert!(message.contains(words), "{what}: {message}");
}

/// Holds how often it is tried to what the kind of answer asks for.
fn is_tried(state: &State, answer: Answer, what: &str) {
    let mut made = state.made.clone();
    // A race is tried once more in the same pass, and a status that is refused is followed by a smaller one.
    made.dedup();
    let gaps: Vec<_> = made.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(gaps.len() >= 3, "{what}: tried {made:?}");
    // Half a minute more than the usual minute: what is told brings a try forward, never puts one off.
    assert!(
        gaps.iter().all(|gap| *gap <= Duration::from_secs(67)),
        "{what}: {gaps:?}"
    );
    let first = gaps[0];
    let expected = match answer {
        Answer::Refuses(_, _, _, Some(asked)) => seconds(asked.into()..=u64::from(asked) + 1),
        _ if of_kind(answer) == Told::AtOnce => seconds(9..=11),
        _ => Duration::from_millis(100)..=Duration::from_secs(2),
    };
    assert!(
        expected.contains(&first),
        "{what}: tried again after {first:?}"
    );
    assert!(gaps.len() < 40, "{what}: tried {} times", gaps.len());
}

fn all_that_go_on() -> impl Iterator<Item = Answer> {
    REFUSED.into_iter().chain(LEFT_OPEN).chain([Answer::Alters])
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_that_cannot_be_put_on_is_told_in_ready() {
    for answer in all_that_go_on().chain([RACE, GONE]) {
        let (server, _) = play(Write::FinalizerOn, answer).await;
        let (state, what) = (server.state(), format!("{answer:?}"));
        is_told(said(&state, "Ready", "BindingRefused"), answer, &what);
        is_told(event(&state, "BindingRefused"), answer, &what);
        is_tried(&state, answer, &what);
        let stalled = said(&state, "Stalled", "BindingRefused").map(|(at, _)| at);
        let stalls = of_kind(answer) != Told::Never;
        assert_eq!(stalled.is_some(), stalls, "{what}");
        assert!(
            stalled.is_none_or(|at| seconds(115..=190).contains(&at)),
            "{what}: {stalled:?}"
        );
        assert_eq!(state.account, None, "{what}: nothing is made before");
    }
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_that_cannot_be_taken_off_is_told_with_what_is_cleaned_up() {
    for answer in all_that_go_on().chain([RACE]) {
        let (server, _) = play(Write::FinalizerOff, answer).await;
        let (state, what) = (server.state(), format!("{answer:?}"));
        let ready = said(&state, "Ready", "BindingRefused");
        if let Some((_, message)) = &ready {
            // Letting go would not help.
            assert!(!message.contains("force-detach"), "{message}");
            assert!(
                said(&state, "CredentialReady", "CleanedUp").is_some(),
                "{what}"
            );
        }
        is_told(ready, answer, &what);
        is_told(event(&state, "BindingRefused"), answer, &what);
        is_tried(&state, answer, &what);
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_not_taken_is_told_in_an_event() {
    for answer in all_that_go_on().chain([RACE, GONE]) {
        let (server, _) = play(Write::Status, answer).await;
        let (state, what) = (server.state(), format!("{answer:?}"));
        is_told(event(&state, "BindingRefused"), answer, &what);
        is_tried(&state, answer, &what);
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_not_taken_is_told_in_its_step() {
    let step = "ServiceAccountReady";
    for answer in all_that_go_on().chain([RACE]) {
        let (server, _) = play(Write::Account, answer).await;
        let (state, what) = (server.state(), format!("{answer:?}"));
        let reason = match answer {
            Answer::Alters => "ServiceAccountConflict",
            _ => "ServiceAccountRefused",
        };
        for type_ in [step, "Ready"] {
            is_told(said(&state, type_, reason), answer, &what);
        }
        is_told(event(&state, reason), answer, &what);
        if answer != Answer::Alters {
            is_tried(&state, answer, &what);
        }
        let stalled = said(&state, "Stalled", reason).is_some();
        assert_eq!(stalled, of_kind(answer) != Told::Never, "{what}");
    }
    // Without its namespace there is nothing to refuse.
    let (server, _) = play(Write::Account, GONE).await;
    assert!(said(&server.state(), step, "NamespaceTerminating").is_some());
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_not_released_keeps_its_binding_and_says_how_to_let_go() {
    for answer in REFUSED.into_iter().chain(LEFT_OPEN).chain([RACE]) {
        let (server, _) = play(Write::AccountAtCleanup, answer).await;
        let (state, what) = (server.state(), format!("{answer:?}"));
        let told = said(&state, "ServiceAccountReady", "ServiceAccountRefused");
        if let Some((_, message)) = &told {
            assert!(message.contains("azwib.dev/force-detach=true"), "{message}");
            assert!(
                said(&state, "CredentialReady", "CleanedUp").is_some(),
                "{what}"
            );
        }
        is_told(told, answer, &what);
        is_told(event(&state, "ServiceAccountRefused"), answer, &what);
        is_tried(&state, answer, &what);
        assert!(state.binding.is_some(), "{what}");
    }
    // What is gone needs no release, and what a policy makes of it holds nothing up.
    for (answer, told) in [(GONE, None), (Answer::Alters, Some("AccountAltered"))] {
        let (server, _) = play(Write::AccountAtCleanup, answer).await;
        let state = server.state();
        assert!(state.binding.is_none(), "{answer:?}");
        assert!(
            told.is_none_or(|reason| event(&state, reason).is_some()),
            "{:?}",
            state.events
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_not_taken_is_counted_and_nothing_else() {
    for answer in REFUSED.into_iter().chain(LEFT_OPEN).chain([GONE]) {
        let (server, metrics) = play(Write::Event, answer).await;
        let (state, what) = (server.state(), format!("{answer:?}"));
        let code = match answer {
            Answer::Refuses(code, ..) => code.to_string(),
            _ => "none".to_owned(),
        };
        let counted = format!(
            "azwib_unpublished_events_total{{reason=\"Succeeded\",responseCode=\"{code}\"}} 1"
        );
        assert!(metrics.contains(&counted), "{what}: {metrics}");
        assert!(said(&state, "Ready", "Succeeded").is_some(), "{what}");
        assert!(state.made.len() <= 2, "{what}: {:?}", state.made);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pass_keeps_the_issuer_that_it_began_with_and_the_next_one_takes_the_new() {
    // No answer of this server is out of the ordinary.
    let never = (Write::FinalizerOff, Answer::IsLost);
    let server = ApiServer::new(binding(Write::Status), None, never);
    let new = "https://new.example/";
    operator::run_while_the_issuer_changes(&server, new).await;
    let state = server.state();
    let (_, first) = state.statuses.first().unwrap();
    assert_eq!(first["credentials"][0]["issuer"], ISSUER, "{first}");
    assert!(said(&state, "Ready", "Succeeded").is_some(), "{state:?}");
    let (_, changed) = said(&state, "IssuerReady", "IssuerChanged").unwrap();
    assert!(changed.contains(new), "{changed}");
}
