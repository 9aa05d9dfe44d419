use std::time::Duration;

use azure_simulator::control::api::{
    CredentialFixture, FederatedCredential, Hold, HoldState, Matcher, RequestRecord, When,
};

use crate::support::{Azure, GROUP, credential, credential_path};

const PATIENCE: Duration = Duration::from_secs(20);

fn hold_put(nth: u64, when: When) -> Hold {
    Hold {
        matcher: Matcher {
            method: Some("PUT".into()),
            path: Some("**/federatedIdentityCredentials/*".into()),
            ..Matcher::default()
        },
        nth,
        when,
    }
}

async fn put(azure: &Azure, token: &str, name: &str) -> u16 {
    let path = credential_path("orders", name);
    azure
        .arm(token)
        .put(&path, credential("https://issuer/", name))
        .await
        .status
}

fn fixture(name: &str) -> CredentialFixture {
    CredentialFixture {
        subscription_id: None,
        resource_group: GROUP.into(),
        identity: "orders".into(),
        credential: FederatedCredential {
            name: name.into(),
            issuer: "https://issuer/".into(),
            subject: Some(name.into()),
            claims_matching_expression: None,
            audiences: vec!["a".into()],
        },
    }
}

async fn exists(azure: &Azure, token: &str, name: &str) -> bool {
    azure
        .arm(token)
        .get(&credential_path("orders", name))
        .await
        .status
        == 200
}

/// The record of the PUT, once it has ended.
async fn ended_put(azure: &Azure) -> RequestRecord {
    let waiting = async {
        loop {
            let requests = azure.control.requests().await.unwrap();
            let put = requests.into_iter().find(|record| record.method == "PUT");
            match put {
                Some(put) if put.ended.is_some() => return put,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap()
}

#[tokio::test]
async fn a_held_request_goes_on_when_it_is_released() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let token = azure.owner().await.token;
    for (when, name, effective) in [
        (When::BeforeEffect, "before", false),
        (When::AfterEffect, "after", true),
    ] {
        let hold = azure.control.add_hold(&hold_put(1, when)).await.unwrap();
        let waiting = azure.control.wait_for_hold(hold, Duration::ZERO).await;
        assert_eq!(waiting.unwrap(), HoldState::Waiting);
        let test = async {
            let state = azure.control.wait_for_hold(hold, PATIENCE).await.unwrap();
            assert_eq!(state, HoldState::Reached);
            assert_eq!(exists(&azure, &token, name).await, effective);
            let requests = azure.control.requests().await.unwrap();
            let held = requests
                .iter()
                .rfind(|record| record.method == "PUT")
                .unwrap();
            assert_eq!(
                (held.held, held.effective, held.ended),
                (true, effective, None)
            );
            let state = azure.control.release_hold(hold).await.unwrap();
            assert_eq!(state, HoldState::Released);
        };
        let (status, ()) = tokio::join!(put(&azure, &token, name), test);
        assert_eq!(status, 201);
        assert!(exists(&azure, &token, name).await);
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_before_the_effect_has_changed_nothing() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let token = azure.owner().await.token;
    let hold = azure
        .control
        .add_hold(&hold_put(1, When::BeforeEffect))
        .await
        .unwrap();
    tokio::select! {
        status = put(&azure, &token, "lost") => assert_eq!(status, 0, "it was not held"),
        state = azure.control.wait_for_hold(hold, PATIENCE) => {
            assert_eq!(state.unwrap(), HoldState::Reached);
        }
    }
    let record = ended_put(&azure).await;
    assert_eq!(
        (record.status, record.effective, record.held),
        (None, false, true)
    );
    let state = azure.control.wait_for_hold(hold, PATIENCE).await.unwrap();
    assert_eq!(state, HoldState::CallerGone);
    assert!(!exists(&azure, &token, "lost").await);
    // The hold has had its request: the next one passes.
    assert_eq!(put(&azure, &token, "lost").await, 201);
}

#[tokio::test]
async fn a_caller_that_goes_away_after_the_effect_has_lost_an_answer() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let token = azure.owner().await.token;
    let hold = azure
        .control
        .add_hold(&hold_put(1, When::AfterEffect))
        .await
        .unwrap();
    tokio::select! {
        status = put(&azure, &token, "lost") => assert_eq!(status, 0, "it was not held"),
        state = azure.control.wait_for_hold(hold, PATIENCE) => {
            assert_eq!(state.unwrap(), HoldState::Reached);
        }
    }
    let record = ended_put(&azure).await;
    assert_eq!(
        (record.status, record.effective, record.held),
        (None, true, true)
    );
    assert!(exists(&azure, &token, "lost").await);
}

#[tokio::test]
async fn only_the_nth_matching_request_is_held() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let token = azure.owner().await.token;
    let hold = azure
        .control
        .add_hold(&hold_put(2, When::BeforeEffect))
        .await
        .unwrap();
    assert_eq!(put(&azure, &token, "first").await, 201);
    let test = async {
        let state = azure.control.wait_for_hold(hold, PATIENCE).await.unwrap();
        assert_eq!(state, HoldState::Reached);
        // Others go past it, also to the same identity, where Azure refuses them.
        assert_eq!(put(&azure, &token, "third").await, 409);
        assert!(!exists(&azure, &token, "second").await);
        azure.control.release_hold(hold).await.unwrap();
    };
    let (status, ()) = tokio::join!(put(&azure, &token, "second"), test);
    assert_eq!(status, 201);
}

#[tokio::test]
async fn what_a_held_request_finds_is_the_state_at_its_release() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let token = azure.owner().await.token;
    let hold = azure
        .control
        .add_hold(&hold_put(1, When::BeforeEffect))
        .await
        .unwrap();
    let test = async {
        azure.control.wait_for_hold(hold, PATIENCE).await.unwrap();
        // The same name, from somebody else, meanwhile.
        azure
            .control
            .put_credential(&fixture("shop"))
            .await
            .unwrap();
        azure.control.release_hold(hold).await.unwrap();
    };
    let (status, ()) = tokio::join!(put(&azure, &token, "shop"), test);
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_hold_released_before_its_request_comes_holds_nothing() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let token = azure.owner().await.token;
    let hold = azure
        .control
        .add_hold(&hold_put(1, When::BeforeEffect))
        .await
        .unwrap();
    azure.control.release_hold(hold).await.unwrap();
    assert_eq!(put(&azure, &token, "shop").await, 201);
}
