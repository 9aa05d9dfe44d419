use std::time::{Duration, Instant};

use azure_simulator::Tunables;
use azure_simulator::control::api::SecretKind;

use crate::support::{Azure, SUBSCRIPTION};

/// A token that is no longer accepted.
async fn expired_token(azure: &Azure) -> String {
    let short = Tunables {
        access_token_seconds: 1,
        ..Tunables::default()
    };
    azure.control.set_tunables(&short).await.unwrap();
    let token = azure.token().await;
    azure
        .control
        .set_tunables(&Tunables::default())
        .await
        .unwrap();
    let path = format!("/subscriptions/{SUBSCRIPTION}/resourcegroups");
    let started = Instant::now();
    while azure.get(&path, &token).await.0 != 401 {
        assert!(started.elapsed() < Duration::from_secs(20));
        tokio::task::yield_now().await;
    }
    token
}

#[tokio::test]
async fn a_token_that_expires_is_replaced() {
    let azure = Azure::start().await;
    let old = azure.prints("old.json", &expired_token(&azure).await);
    let new = azure.prints("new.json", &azure.token().await);
    let asked = azure.path("asked").display().to_string();
    let command =
        format!("echo >> {asked}; if [ $(wc -l < {asked}) = 1 ]; then {old}; else {new}; fi");
    let outcome = azure
        .run_with(&command, &["--only=duplicate,read-lag"])
        .await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(std::fs::read_to_string(&asked).unwrap().lines().count(), 2);
    assert_eq!(azure.groups().await, [""; 0]);
}

#[tokio::test]
async fn a_token_that_is_refused_again_says_so() {
    let azure = Azure::start().await;
    let command = azure.prints("old.json", &expired_token(&azure).await);
    let outcome = azure.run_with(&command, &[]).await;
    assert_eq!(outcome.code, Some(1));
    for said in [
        "401 ExpiredAuthenticationToken",
        "az login",
        "--resource-manager",
    ] {
        assert!(outcome.stderr.contains(said), "{said}: {}", outcome.stderr);
    }
}

#[tokio::test]
async fn an_audience_that_is_not_assumed_is_named() {
    let azure = Azure::start().await;
    let own = "https://arm.example/".to_owned();
    let mut tunables = Tunables::default();
    tunables.resource_manager_audiences.push(own.clone());
    azure.control.set_tunables(&tunables).await.unwrap();
    let token = azure.token_for(&own).await;
    let command = azure.prints("token.json", &token);
    let outcome = azure.run_with(&command, &["--only=token"]).await;
    assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
    assert_eq!(outcome.facts("differs"), ["audience of the token"]);
    let printed: Tunables = serde_json::from_value(outcome.json["tunables"].clone()).unwrap();
    assert_eq!(printed, tunables);
}

#[tokio::test]
async fn no_token_is_printed_or_written() {
    let azure = Azure::start().await;
    let outcome = azure.run(&["--only=token,duplicate"]).await;
    let report = outcome.json.to_string();
    let mut tokens = 0;
    for secret in azure.control.secrets().await.unwrap() {
        tokens += usize::from(secret.kind == SecretKind::AccessToken);
        for text in [&outcome.stdout, &outcome.stderr, &report] {
            assert!(!text.contains(&secret.value));
        }
    }
    assert!(tokens > 0, "the simulator has issued none");
}
