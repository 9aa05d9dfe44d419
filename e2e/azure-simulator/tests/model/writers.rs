use std::time::Duration;

use azure_simulator::control::api::{Hold, HoldState, Matcher, When};
use reqwest::Method;

use crate::support::{Azure, Reply, VERSION, credential, credential_path, identities_path};

const PATIENCE: Duration = Duration::from_secs(20);

/// Lets a PUT of a credential of `orders` arrive, sends another write meanwhile, and gives back both answers.
async fn overlapping(azure: &Azure, when: When, method: Method, identity: &str) -> [Reply; 2] {
    let owner = azure.owner().await;
    let hold = Hold {
        matcher: Matcher {
            method: Some("PUT".into()),
            path: Some("**/first".into()),
            ..Matcher::default()
        },
        nth: 1,
        when,
    };
    let hold = azure.control.add_hold(&hold).await.unwrap();
    let first = credential_path("orders", "first");
    let first = owner.put(&first, credential("https://issuer/", "first"));
    let second = async {
        let state = azure.control.wait_for_hold(hold, PATIENCE).await.unwrap();
        assert_eq!(state, HoldState::Reached);
        let body = (method == Method::PUT).then(|| credential("https://issuer/", "second"));
        let path = credential_path(identity, "second");
        let reply = owner.send(method, &path, VERSION, body).await;
        azure.control.release_hold(hold).await.unwrap();
        reply
    };
    let (first, second) = tokio::join!(first, second);
    [first, second]
}

#[tokio::test]
async fn the_second_of_two_writes_on_one_identity_is_refused() {
    for when in [When::BeforeEffect, When::AfterEffect] {
        for method in [Method::PUT, Method::DELETE] {
            let azure = Azure::start().await;
            azure.identity("orders").await;
            let [first, second] = overlapping(&azure, when, method, "ORDERS").await;
            assert_eq!(first.status, 201, "{first:?}");
            assert_eq!(
                second.error(),
                (
                    409,
                    "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity"
                )
            );
            let id = format!("{}/orders", identities_path()).to_lowercase();
            assert_eq!(
                second.message(),
                format!(
                    "Too many Federated Identity Credentials are written concurrently for the managed identity '{id}'. Concurrent Federated Identity Credentials writes under the same managed identity are not supported."
                )
            );
            let log = azure.control.requests().await.unwrap();
            let refused = log.iter().find(|record| record.status == Some(409));
            let other = log.iter().find(|record| record.path.ends_with("first"));
            assert_eq!(refused.unwrap().overlaps, other.map(|record| record.id));
            assert_eq!(refused.unwrap().identity, Some(id));
        }
    }
}

#[tokio::test]
async fn writes_on_different_identities_do_not_disturb_each_other() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    azure.identity("billing").await;
    let [first, second] = overlapping(&azure, When::BeforeEffect, Method::PUT, "billing").await;
    assert_eq!((first.status, second.status), (201, 201));
}

#[tokio::test]
async fn a_read_during_a_write_is_served() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let [first, second] = overlapping(&azure, When::AfterEffect, Method::GET, "orders").await;
    assert_eq!((first.status, second.error()), (201, (404, "NotFound")));
}
