//! For each setting of the simulator that is probed: with another value, that fact differs and no other, and the settings that
//! the tool prints are those that were set.

use azure_simulator::Tunables;
use serde_json::{Value, json};

use crate::support::Azure;

/// Sets the simulator so, runs all probes, and expects exactly these facts to differ.
async fn differs(settings: Value, expected: &[&str]) {
    differs_with(settings, expected, &[]).await;
}

async fn differs_with(settings: Value, expected: &[&str], flags: &[&str]) {
    let azure = Azure::start().await;
    let set: Tunables = serde_json::from_value(settings.clone()).unwrap();
    azure.control.set_tunables(&set).await.unwrap();
    let outcome = azure.run(flags).await;
    let text = format!("{settings}\n{}{}", outcome.stdout, outcome.stderr);
    assert_eq!(outcome.facts("differs"), expected, "{text}");
    assert_eq!(outcome.code, Some(3), "{text}");
    // Back again: the simulator takes what is printed, and then does what it did.
    assert!(text.contains("PUT /tunables"), "{text}");
    let printed: Tunables = serde_json::from_value(outcome.json["tunables"].clone()).unwrap();
    assert_eq!(printed, set, "{text}");
    assert_eq!(azure.groups().await, [""; 0]);
}

fn answer(status: u16, code: &str, message: &str) -> Value {
    json!({"status": status, "code": code, "message": message})
}

#[tokio::test]
async fn the_limit_of_credentials() {
    differs(
        json!({"credentialLimit": 23}),
        &["credentials of an identity, at most"],
    )
    .await;
}

#[tokio::test]
async fn the_answer_to_a_credential_beyond_the_limit() {
    let quota = answer(403, "QuotaExceeded", "The size of the object is too great.");
    differs(
        json!({"credentialLimitAnswer": quota}),
        &["answer to one more"],
    )
    .await;
}

#[tokio::test]
async fn the_text_of_an_answer() {
    let other = answer(400, "BadRequest", "That is one too many.");
    differs(
        json!({"credentialLimitAnswer": other}),
        &["answer to one more"],
    )
    .await;
}

#[tokio::test]
async fn the_answer_to_a_duplicate() {
    let conflict = answer(409, "Conflict", "It exists.");
    differs(
        json!({"duplicateCredentialAnswer": conflict}),
        &["second credential of an issuer and subject"],
    )
    .await;
}

#[tokio::test]
async fn writes_that_overlap() {
    differs(
        json!({"singleWriter": false}),
        &["overlapping writes: one is refused"],
    )
    .await;
}

/// Each of these waits for seconds: all at once.
#[tokio::test]
async fn delays_of_a_new_identity_and_lags_of_reads() {
    let unknown = answer(400, "BadRequest", "The directory does not know it.");
    let directory = differs(
        json!({"directoryDelaySeconds": 1, "directoryAnswer": unknown}),
        &[
            "new identity: seconds unknown to the directory",
            "new identity: answer meanwhile",
        ],
    );
    let parent = differs(
        json!({"parentDelaySeconds": 1, "parentNotFoundPerMille": 1000}),
        &[
            "new identity: seconds in which it is no parent",
            "new identity: of a thousand writes meanwhile",
        ],
    );
    let lag = differs(
        json!({"readLagSeconds": 1}),
        &[
            "read lag in seconds: GET after PUT",
            "read lag in seconds: LIST after PUT",
            "read lag in seconds: GET after DELETE",
            "read lag in seconds: LIST after DELETE",
        ],
    );
    tokio::join!(directory, parent, lag);
}

#[tokio::test]
async fn pages_of_a_list() {
    differs(json!({"pageSize": 7}), &["credentials on a page of a list"]).await;
}

#[tokio::test]
async fn the_status_below_a_lock() {
    differs(
        json!({"scopeLockedStatus": 403}),
        &["deletion below a lock: status"],
    )
    .await;
}

#[tokio::test]
async fn regions_without_credentials() {
    differs_with(
        json!({"regionsWithoutCredentials": ["eastasia"]}),
        &["of 2 regions, without credentials"],
        &["--regions=westus,eastasia"],
    )
    .await;
}

#[tokio::test]
async fn the_lifetime_of_a_token() {
    differs(
        json!({"accessTokenSeconds": 1800}),
        &["lifetime of a service principal's token"],
    )
    .await;
}

/// The answers are in the settings, the rates are not: they are seen, and those that are published are assumed.
#[tokio::test]
async fn limits_of_requests() {
    differs_with(
        json!({"throttling": {"sendsRetryAfter": false, "providerCode": "Busy"}}),
        &[
            "many GET on an identity",
            "many LIST on an identity",
            "many PUT on an identity",
            "429: code",
            "429: has Retry-After",
        ],
        &["--throttling", "--only=throttling"],
    )
    .await;
}
