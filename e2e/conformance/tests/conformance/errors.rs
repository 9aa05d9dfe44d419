//! Each error says what to do.

use azure_simulator::control::api::{Role, ServicePrincipalFixture};
use serde_json::json;
use uuid::uuid;

use crate::support::{Azure, Outcome, SUBSCRIPTION};

fn says(outcome: &Outcome, expected: &[&str]) {
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    for text in expected {
        assert!(outcome.stderr.contains(text), "{text}: {}", outcome.stderr);
    }
    assert!(!outcome.stderr.contains("eyJ"), "a token is in it");
}

/// Runs the tool as somebody who has this role in the subscription.
async fn run_as(azure: &Azure, role: Role, flags: &[&str]) -> Outcome {
    let client = uuid!("44444444-4444-4444-8444-444444444444");
    let fixture: ServicePrincipalFixture =
        serde_json::from_value(json!({"clientId": client, "secret": "s"})).unwrap();
    azure
        .control
        .create_service_principal(&fixture)
        .await
        .unwrap();
    let scope = format!("/subscriptions/{SUBSCRIPTION}");
    azure
        .control
        .assign_role(&scope, role, client)
        .await
        .unwrap();
    let scope = "https://management.azure.com/.default";
    let token = azure.token_of(client, "s", scope).await;
    azure
        .run_with(&azure.prints("token.json", &token), flags)
        .await
}

/// The actions that the documentation names are enough.
#[tokio::test]
async fn with_the_rights_of_the_documentation() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/conformance.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let actions: Vec<String> = guide
        .lines()
        .filter(|line| line.starts_with("Microsoft."))
        .map(str::to_owned)
        .collect();
    assert_eq!(actions.len(), 12);
    let azure = Azure::start().await;
    let outcome = run_as(&azure, Role::Custom { actions }, &["--regions=westus"]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(azure.groups().await, [""; 0]);
}

#[tokio::test]
async fn without_the_right_to_make_a_group() {
    let azure = Azure::start().await;
    let outcome = run_as(&azure, Role::Reader, &[]).await;
    says(
        &outcome,
        &[
            "403 AuthorizationFailed",
            "may not do Microsoft.Resources/subscriptions/resourceGroups/write",
            "Contributor",
        ],
    );
}

#[tokio::test]
async fn without_the_right_to_make_a_lock() {
    let azure = Azure::start().await;
    let outcome = run_as(&azure, Role::Contributor, &[]).await;
    says(
        &outcome,
        &[
            "probe lock",
            "Microsoft.Authorization/locks/write",
            "--only",
        ],
    );
    // The others have told what they saw.
    assert_eq!(outcome.facts("differs"), [""; 0]);
    assert!(outcome.facts("same").len() > 10, "{}", outcome.stdout);
    assert_eq!(azure.groups().await, [""; 0]);
}

#[tokio::test]
async fn with_an_unknown_subscription() {
    let azure = Azure::start().await;
    let outcome = azure
        .run(&["--subscription", "99999999-9999-4999-8999-999999999999"])
        .await;
    says(&outcome, &["SubscriptionNotFound", "az account list"]);
}

#[tokio::test]
async fn with_an_unknown_region() {
    let azure = Azure::start().await;
    let outcome = azure.run(&["--location=atlantis"]).await;
    says(&outcome, &["atlantis", "--location"]);
}

#[tokio::test]
async fn without_the_azure_cli() {
    let azure = Azure::start().await;
    let outcome = azure.run_with("no-such-program", &[]).await;
    says(&outcome, &["not installed", "--token-command"]);
    assert_eq!(outcome.stdout, "");
}

#[tokio::test]
async fn without_a_sign_in() {
    let azure = Azure::start().await;
    // In a file: the message names the command.
    let script = azure.path("az");
    let text = "echo 'ERROR: Please run az login to setup account.' >&2; exit 1";
    std::fs::write(&script, text).unwrap();
    let command = format!("sh {}", script.display());
    let outcome = azure.run_with(&command, &[]).await;
    says(
        &outcome,
        &["Please run az login to setup", "sign in with `az login`"],
    );
    let outcome = azure.run_with("echo no token here", &[]).await;
    says(&outcome, &["printed neither a token nor JSON"]);
}

#[tokio::test]
async fn where_nobody_answers_or_the_certificate_is_unknown() {
    let azure = Azure::start().await;
    let command = azure.prints("token.json", &azure.token().await);
    // The port of a service that no machine has any more.
    let nobody = "--resource-manager=https://127.0.0.1:9";
    let outcome = azure.run_with(&command, &[nobody]).await;
    says(&outcome, &["gives no answer", "--resource-manager"]);
    let missing = format!("--ca-file={}", azure.path("missing.pem").display());
    let outcome = azure.run_with(&command, &[&missing]).await;
    says(&outcome, &["missing.pem cannot be used", "PEM"]);
    let key = format!("--ca-file={}", azure.path("token.json").display());
    let outcome = azure.run_with(&command, &[&key]).await;
    says(&outcome, &["holds no certificate"]);
}

#[tokio::test]
async fn a_probe_without_the_flag_that_it_needs() {
    let azure = Azure::start().await;
    for (only, flag) in [
        ("regions", "--regions=NAME"),
        ("throttling", "--throttling"),
    ] {
        let outcome = azure.run(&[&format!("--only={only}")]).await;
        says(&outcome, &[flag]);
    }
    assert_eq!(azure.groups().await, [""; 0]);
}
