use azure_simulator::Tunables;
use azure_simulator::control::api::{Role, ServicePrincipalFixture};
use reqwest::Method;
use serde_json::json;
use uuid::{Uuid, uuid};

use crate::support::{
    ARM_SCOPE, Arm, Azure, GROUP, SUBSCRIPTION, credential, credential_path, credentials_path,
    group_path, identities_path, identity_path,
};

const CALLER: Uuid = uuid!("44444444-4444-4444-8444-444444444444");

/// A service principal without any role; returns its object id and Resource Manager as it sees it.
async fn stranger(azure: &Azure) -> (Uuid, Arm<'_>) {
    let object_id = azure
        .control
        .create_service_principal(&ServicePrincipalFixture {
            client_id: CALLER,
            secret: Some("secret".into()),
            federated_credentials: vec![],
        })
        .await
        .unwrap();
    let reply = azure
        .token(&[
            ("grant_type", "client_credentials"),
            ("client_id", &CALLER.to_string()),
            ("client_secret", "secret"),
            ("scope", ARM_SCOPE),
        ])
        .await;
    (
        object_id,
        azure.arm(reply.body["access_token"].as_str().unwrap()),
    )
}

/// What a caller may do with the identity `orders` and its credential: read it, write a credential, delete the credential.
async fn rights(caller: &Arm<'_>) -> [bool; 3] {
    let path = credential_path("orders", "rights");
    let put = caller.put(&path, credential("https://rights/", "s")).await;
    let delete = caller.delete(&path).await;
    let get = caller.get(&identity_path("orders")).await;
    [get, put, delete].map(|reply| {
        assert!(
            reply.status < 300 || reply.error() == (403, "AuthorizationFailed"),
            "{reply:?}"
        );
        reply.status < 300
    })
}

#[tokio::test]
async fn a_service_principal_of_the_command_line_owns_the_subscription() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    assert_eq!(rights(&azure.owner().await).await, [true, true, true]);
}

#[tokio::test]
async fn a_caller_without_a_role_gets_authorization_failed() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let (object_id, caller) = stranger(&azure).await;
    let reply = caller.get(&identity_path("orders")).await;
    assert_eq!(reply.error(), (403, "AuthorizationFailed"));
    assert_eq!(
        reply.message(),
        format!(
            "The client '{CALLER}' with object id '{object_id}' does not have authorization to perform action 'Microsoft.ManagedIdentity/userAssignedIdentities/read' over scope '{}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
            identity_path("orders")
        )
    );
    let reply = caller
        .put(
            &credential_path("orders", "shop"),
            credential("https://x/", "s"),
        )
        .await;
    assert_eq!(reply.error(), (403, "AuthorizationFailed"));
    assert!(reply.message().contains(
        "'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write'"
    ));
}

#[tokio::test]
async fn authorization_is_checked_before_existence() {
    let azure = Azure::start().await;
    let (_, caller) = stranger(&azure).await;
    let path = group_path("rg-nowhere");
    let reply = caller.resources(Method::GET, &path, None).await;
    assert_eq!(reply.error(), (403, "AuthorizationFailed"));
    let reply = azure
        .owner()
        .await
        .resources(Method::GET, &path, None)
        .await;
    assert_eq!(reply.error(), (404, "ResourceGroupNotFound"));
}

#[tokio::test]
async fn a_role_counts_on_its_scope_and_below() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    azure
        .control
        .create_resource_group("rg-Shop-two")
        .await
        .unwrap();
    let (object_id, caller) = stranger(&azure).await;
    for (scope, counts) in [
        (format!("/subscriptions/{SUBSCRIPTION}"), true),
        (group_path(GROUP), true),
        (group_path(&GROUP.to_uppercase()), true),
        (group_path("rg-shop-two"), false),
        // A beginning of the name is another name.
        (group_path("rg-sho"), false),
        (identity_path("orders"), true),
        (identity_path("payments"), false),
    ] {
        let id = azure
            .control
            .assign_role(&scope, Role::Contributor, object_id)
            .await
            .unwrap();
        assert_eq!(rights(&caller).await, [counts; 3], "{scope}");
        azure.control.delete_role_assignment(id).await.unwrap();
    }
}

#[tokio::test]
async fn each_built_in_role_allows_what_azure_documents() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let (object_id, caller) = stranger(&azure).await;
    let scope = identity_path("orders");
    for (role, allowed) in [
        (Role::Owner, [true, true, true]),
        (Role::Contributor, [true, true, true]),
        (Role::Reader, [true, false, false]),
        (Role::ManagedIdentityContributor, [true, true, true]),
        (Role::ManagedIdentityOperator, [true, false, false]),
    ] {
        let id = azure
            .control
            .assign_role(&scope, role.clone(), object_id)
            .await
            .unwrap();
        assert_eq!(rights(&caller).await, allowed, "{role:?}");
        azure.control.delete_role_assignment(id).await.unwrap();
    }
}

#[tokio::test]
async fn a_custom_role_allows_its_actions_only() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let (object_id, caller) = stranger(&azure).await;
    let prefix = "Microsoft.ManagedIdentity/userAssignedIdentities";
    let role = Role::Custom {
        actions: vec![
            format!("{prefix}/federatedIdentityCredentials/write"),
            format!("{prefix}/federatedIdentityCredentials/delete"),
        ],
    };
    azure
        .control
        .assign_role(&identity_path("orders"), role, object_id)
        .await
        .unwrap();
    // Writing a credential needs no right to read its parent.
    assert_eq!(rights(&caller).await, [false, true, true]);
}

#[tokio::test]
async fn a_role_that_is_taken_away_counts_no_more() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let (_, caller) = stranger(&azure).await;
    // By client id this time.
    let id = azure
        .control
        .assign_role(&identities_path(), Role::Owner, CALLER)
        .await
        .unwrap();
    assert_eq!(caller.get(&identity_path("orders")).await.status, 200);
    azure.control.delete_role_assignment(id).await.unwrap();
    assert_eq!(caller.get(&identity_path("orders")).await.status, 403);
}

#[tokio::test]
async fn a_managed_identity_is_a_caller_too() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    let token = azure
        .exchange(identity.client_id, &cluster.token())
        .await
        .body["access_token"]
        .clone();
    let caller = azure.arm(token.as_str().unwrap());
    let refused = caller.get(&identity_path("orders")).await;
    assert_eq!(refused.error(), (403, "AuthorizationFailed"));
    assert!(
        refused
            .message()
            .contains(&identity.principal_id.to_string()),
        "{refused:?}"
    );
    azure
        .control
        .assign_role(
            &identity.id,
            Role::ManagedIdentityContributor,
            identity.principal_id,
        )
        .await
        .unwrap();
    assert_eq!(caller.get(&identity_path("orders")).await.status, 200);
    let put = caller
        .put(&identity_path("orders"), json!({"location": "westeurope"}))
        .await;
    assert_eq!(put.status, 200);
}

#[tokio::test]
async fn a_role_counts_some_time_after_it_was_given_or_taken_away() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let (_, caller) = stranger(&azure).await;
    let control = &azure.control;
    let propagating = async |seconds| {
        let tunables = Tunables {
            role_propagation_seconds: seconds,
            ..Tunables::default()
        };
        control.set_tunables(&tunables).await.unwrap();
    };
    let scope = identities_path();
    let assign = async || {
        let assigned = control.assign_role(&scope, Role::Owner, CALLER).await;
        assigned.unwrap()
    };
    let status = async || caller.get(&identity_path("orders")).await.status;
    let becomes = async |expected| {
        let changed = std::time::Instant::now();
        while status().await != expected {
            assert!(changed.elapsed().as_secs() < 10, "it never counted");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    // A day: no test sees the end of it.
    propagating(86_400).await;
    assign().await;
    assert_eq!(status().await, 403);
    propagating(1).await;
    let role = assign().await;
    becomes(200).await;
    control.delete_role_assignment(role).await.unwrap();
    becomes(403).await;
    propagating(0).await;
    let role = assign().await;
    propagating(86_400).await;
    control.delete_role_assignment(role).await.unwrap();
    assert_eq!(status().await, 200);
    // It is gone from the list at once.
    let listed = control.role_assignments().await.unwrap();
    assert!(listed.iter().all(|assignment| assignment.id != role));
}

#[tokio::test]
async fn a_deny_assignment_takes_what_roles_give() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let (_, stranger) = stranger(&azure).await;
    let scope = identity_path("ORDERS");
    let path = credential_path("orders", "rights");
    let all = "Microsoft.ManagedIdentity/*";
    let denial = azure.control.assign_denial(&scope, &[all]).await.unwrap();
    for refused in [
        owner.get(&identity_path("orders")).await,
        owner.get(&credentials_path("orders")).await,
        owner.put(&path, credential("https://rights/", "s")).await,
        owner.delete(&path).await,
    ] {
        assert_eq!(refused.error(), (403, "DenyAssignmentAuthorizationFailed"));
        let message = refused.message();
        assert!(
            message.contains("has permission to perform action"),
            "{message}"
        );
        assert!(message.contains(&denial.simple().to_string()), "{message}");
    }
    let refused = stranger.get(&identity_path("orders")).await;
    assert_eq!(refused.error(), (403, "AuthorizationFailed"));
    azure.control.delete_denial(denial).await.unwrap();
    assert_eq!(rights(&owner).await, [true, true, true]);
    // One for writes leaves reads alone.
    let writes = "Microsoft.ManagedIdentity/*/write";
    azure
        .control
        .assign_denial(&scope, &[writes])
        .await
        .unwrap();
    assert_eq!(owner.get(&identity_path("orders")).await.status, 200);
    let refused = owner.put(&path, credential("https://rights/", "s")).await;
    assert_eq!(refused.error(), (403, "DenyAssignmentAuthorizationFailed"));
}
