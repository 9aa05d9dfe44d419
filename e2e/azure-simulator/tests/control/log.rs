use azure_simulator::control::ControlError;
use azure_simulator::control::api::{
    Fault, FaultAction, Hold, Matcher, Role, SecretKind, Service, When,
};
use uuid::Uuid;

use crate::support::{Azure, OWNER, OWNER_SECRET, SUBSCRIPTION, credential_path, identity_path};

#[tokio::test]
async fn the_log_says_who_asked_for_what_and_when() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let before = jiff::Timestamp::now();
    azure.control.clear_log().await.unwrap();
    let answer = owner.get(&identity_path("nobody")).await;
    azure.arm("").get(&credential_path("orders", "shop")).await;
    let after = jiff::Timestamp::now();
    let requests = azure.control.requests().await.unwrap();
    let [first, second] = requests.as_slice() else {
        unreachable!("{requests:?}");
    };
    assert_eq!(first.service, Service::ResourceManager);
    assert_eq!(first.method, "GET");
    assert_eq!(first.path, identity_path("nobody"));
    assert_eq!(first.api_version.as_deref(), Some("2023-01-31"));
    assert_eq!(first.operation, "UserAssignedIdentities_Get");
    assert_eq!(first.caller, Some(OWNER));
    assert_eq!(first.status, Some(404));
    let request_id = answer.header("x-ms-request-id");
    assert_eq!(first.request_id.as_deref(), Some(request_id));
    assert!(before <= first.started && first.started <= first.ended.unwrap());
    assert!(first.ended.unwrap() <= after);
    assert!(!first.held);
    assert_eq!(second.operation, "FederatedIdentityCredentials_Get");
    assert_eq!((second.caller, second.status), (None, Some(401)));
    assert!(second.id > first.id);
}

#[tokio::test]
async fn every_secret_that_goes_over_the_wire_is_remembered() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    let assertion = cluster.token();
    let reply = azure.exchange(identity.client_id, &assertion).await;
    let issued = reply.body["access_token"].as_str().unwrap();
    let foreign = "bearer-token-from-elsewhere";
    azure.arm(foreign).get(&identity_path("orders")).await;
    let seen = azure.control.secrets().await.unwrap();
    for (kind, value) in [
        (SecretKind::ClientSecret, OWNER_SECRET),
        (SecretKind::ClientAssertion, &assertion),
        (SecretKind::AccessToken, issued),
        (SecretKind::BearerToken, foreign),
    ] {
        let found = seen.iter().filter(|secret| secret.value == value);
        let kinds: Vec<_> = found.map(|secret| secret.kind).collect();
        assert_eq!(kinds, [kind]);
    }
    azure.control.clear_log().await.unwrap();
    assert!(azure.control.secrets().await.unwrap().is_empty());
}

#[tokio::test]
async fn reset_returns_to_the_beginning() {
    let azure = Azure::start().await;
    let first = azure.identity("orders").await;
    azure
        .control
        .assign_role(
            &format!("/subscriptions/{SUBSCRIPTION}"),
            Role::Reader,
            first.principal_id,
        )
        .await
        .unwrap();
    let mut tunables = azure.control.tunables().await.unwrap();
    tunables.credential_limit = 1;
    azure.control.set_tunables(&tunables).await.unwrap();
    let fault = Fault {
        matcher: Matcher::default(),
        skip: 0,
        times: None,
        when: When::BeforeEffect,
        action: FaultAction::DropConnection,
    };
    azure.control.add_fault(&fault).await.unwrap();
    let hold = Hold {
        matcher: Matcher::default(),
        nth: 1,
        when: When::BeforeEffect,
    };
    let hold = azure.control.add_hold(&hold).await.unwrap();

    azure.control.reset().await.unwrap();
    let owner = azure.owner().await;
    assert_eq!(owner.get(&identity_path("orders")).await.status, 404);
    assert_eq!(azure.control.tunables().await.unwrap().credential_limit, 20);
    assert_eq!(azure.control.role_assignments().await.unwrap().len(), 1);
    assert_eq!(azure.control.requests().await.unwrap().len(), 2);
    let gone = azure.control.release_hold(hold).await.unwrap_err();
    assert!(matches!(gone, ControlError::Refused { status, .. } if status == 404));
    // The seed starts anew as well.
    assert_eq!(azure.identity("orders").await.client_id, first.client_id);
}

#[tokio::test]
async fn a_fixture_below_nothing_is_refused() {
    let azure = Azure::start().await;
    let refused = azure
        .control
        .create_identity("rg-nowhere", "orders")
        .await
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("Resource group 'rg-nowhere' could not be found."),
        "{refused}"
    );
    let gone = azure
        .control
        .delete_role_assignment(Uuid::nil())
        .await
        .unwrap_err();
    assert!(matches!(gone, ControlError::Refused { status, .. } if status == 404));
}
