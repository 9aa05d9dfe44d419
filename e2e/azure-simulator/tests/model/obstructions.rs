use azure_simulator::Tunables;
use azure_simulator::control::api::LockLevel;
use reqwest::Method;
use serde_json::json;

use crate::support::{
    Azure, GROUP, Reply, SUBSCRIPTION, credential, credential_path, credentials_path, group_path,
    identity_path,
};

/// Longer than any test takes.
const DAY: u64 = 86_400;

async fn put(azure: &Azure, name: &str) -> Reply {
    let path = credential_path("orders", name);
    let body = credential("https://issuer/", name);
    azure.owner().await.put(&path, body).await
}

async fn delete(azure: &Azure, name: &str) -> Reply {
    let path = credential_path("orders", name);
    azure.owner().await.delete(&path).await
}

async fn set(azure: &Azure, tunables: Tunables) {
    azure.control.set_tunables(&tunables).await.unwrap();
}

/// Makes `orders` through Resource Manager: fixtures are there from the beginning of time.
async fn create_orders(azure: &Azure) {
    let owner = azure.owner().await;
    let body = json!({"location": "westeurope"});
    let reply = owner.put(&identity_path("orders"), body).await;
    assert_eq!(reply.status, 201);
}

#[tokio::test]
async fn a_new_identity_is_unknown_to_the_directory_for_a_while() {
    let azure = Azure::start().await;
    create_orders(&azure).await;
    set(
        &azure,
        Tunables {
            directory_delay_seconds: DAY,
            ..Tunables::default()
        },
    )
    .await;
    let refused = put(&azure, "shop").await;
    assert_eq!(refused.error(), (404, "NotFound"));
    assert_eq!(
        refused.message(),
        "MS Graph resource not found during Federated Identity Credential creation."
    );
    // The identity itself and its credentials can be read, and deletions need no directory.
    let owner = azure.owner().await;
    assert_eq!(owner.get(&identity_path("orders")).await.status, 200);
    assert_eq!(owner.get(&credentials_path("orders")).await.status, 200);
    assert_eq!(delete(&azure, "shop").await.status, 204);
    set(&azure, Tunables::default()).await;
    assert_eq!(put(&azure, "shop").await.status, 201);
}

#[tokio::test]
async fn a_new_identity_is_now_and_then_no_parent_of_a_credential() {
    let azure = Azure::start().await;
    create_orders(&azure).await;
    let lagging = |per_mille| Tunables {
        parent_delay_seconds: DAY,
        parent_not_found_per_mille: per_mille,
        ..Tunables::default()
    };
    set(&azure, lagging(1000)).await;
    let refused = put(&azure, "shop").await;
    assert_eq!(refused.error(), (404, "ParentResourceNotFound"));
    let refused = delete(&azure, "shop").await;
    assert_eq!(refused.error(), (404, "ParentResourceNotFound"));
    set(&azure, lagging(500)).await;
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(put(&azure, "shop").await.status);
    }
    assert!(statuses.contains(&404), "{statuses:?}");
    assert!(statuses.contains(&200), "{statuses:?}");
}

#[tokio::test]
async fn an_identity_made_again_is_another_one_under_the_same_id() {
    let azure = Azure::start().await;
    let first = azure.identity("orders").await;
    assert_eq!(put(&azure, "shop").await.status, 201);
    let second = azure.control.recreate_identity(GROUP, "orders").await;
    let second = second.unwrap();
    assert_eq!(first.id, second.id);
    assert_ne!(first.client_id, second.client_id);
    assert_ne!(first.principal_id, second.principal_id);
    let list = azure.owner().await.get(&credentials_path("orders")).await;
    assert_eq!(list.names(), [""; 0]);
    // It is as new to the directory as one that was made through Resource Manager.
    set(
        &azure,
        Tunables {
            directory_delay_seconds: DAY,
            ..Tunables::default()
        },
    )
    .await;
    assert_eq!(put(&azure, "shop").await.error(), (404, "NotFound"));
}

#[tokio::test]
async fn some_regions_have_no_credentials() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    set(
        &azure,
        Tunables {
            regions_without_credentials: vec!["West Europe".into()],
            ..Tunables::default()
        },
    )
    .await;
    let refused = put(&azure, "shop").await;
    assert_eq!(refused.error(), (405, "MethodNotAllowed"));
    assert_eq!(
        refused.message(),
        "The request format was unexpected : Support for federated identity credentials not enabled"
    );
    let owner = azure.owner().await;
    assert_eq!(owner.get(&credentials_path("orders")).await.status, 200);
    let elsewhere = json!({"location": "northeurope"});
    owner.put(&identity_path("billing"), elsewhere).await;
    let path = credential_path("billing", "shop");
    let reply = owner.put(&path, credential("https://issuer/", "s")).await;
    assert_eq!(reply.status, 201);
}

#[tokio::test]
async fn a_lock_on_the_identity_or_above_forbids_deletions() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    let credential = credential_path("orders", "shop");
    for scope in [identity_path("ORDERS"), group_path(GROUP), subscription] {
        assert!(put(&azure, "shop").await.status < 300);
        let lock = azure.control.lock(&scope, LockLevel::CanNotDelete).await;
        let lock = lock.unwrap();
        let refused = delete(&azure, "shop").await;
        assert_eq!(refused.error(), (409, "ScopeLocked"));
        assert_eq!(
            refused.message(),
            format!(
                "The scope '{credential}' cannot perform delete operation because following scope(s) are locked: '{scope}'. Please remove the lock and try again."
            )
        );
        assert_eq!(put(&azure, "shop").await.status, 200);
        // What takes a locked resource along cannot be deleted either.
        let owner = azure.owner().await;
        let group = owner
            .resources(reqwest::Method::DELETE, &group_path(GROUP), None)
            .await;
        assert_eq!(group.error(), (409, "ScopeLocked"));
        azure.control.unlock(lock).await.unwrap();
        assert_eq!(delete(&azure, "shop").await.status, 200);
    }
}

#[tokio::test]
async fn a_read_only_lock_forbids_writes_too() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    set(
        &azure,
        Tunables {
            scope_locked_status: 403,
            ..Tunables::default()
        },
    )
    .await;
    let scope = identity_path("orders");
    azure
        .control
        .lock(&scope, LockLevel::ReadOnly)
        .await
        .unwrap();
    let refused = put(&azure, "shop").await;
    assert_eq!(refused.error(), (403, "ScopeLocked"));
    assert!(refused.message().contains("cannot perform write operation"));
    assert_eq!(delete(&azure, "shop").await.error(), (403, "ScopeLocked"));
    let owner = azure.owner().await;
    assert_eq!(owner.get(&credentials_path("orders")).await.status, 200);
}

#[tokio::test]
async fn a_lock_is_made_read_listed_and_deleted() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let locks = |scope: &str| format!("{scope}/providers/Microsoft.Authorization/locks");
    let body = |level: &str| json!({"properties": {"level": level, "notes": "kept"}});
    let send =
        async |method: Method, path: &str, body| owner.send(method, path, "2016-09-01", body).await;
    let subscription = format!("/subscriptions/{SUBSCRIPTION}");
    for scope in [identity_path("orders"), group_path(GROUP), subscription] {
        let path = format!("{}/Keep", locks(&scope));
        let made = send(Method::PUT, &path, Some(body("CanNotDelete"))).await;
        assert_eq!(made.status, 201, "{made:?}");
        assert_eq!(made.body["name"], "Keep");
        assert_eq!(made.body["type"], "Microsoft.Authorization/locks");
        let again = send(Method::PUT, &path.to_uppercase(), Some(body("ReadOnly"))).await;
        assert_eq!((again.status, &again.body["name"]), (200, &json!("Keep")));
        let read = send(Method::GET, &path, None).await;
        assert_eq!(read.body["properties"], body("ReadOnly")["properties"]);
        let list = send(Method::GET, &locks(&group_path(GROUP)), None).await;
        let below: &[&str] = if scope.contains("resourceGroups") {
            &["Keep"]
        } else {
            &[]
        };
        assert_eq!(list.names(), below);
        assert_eq!(put(&azure, "shop").await.error(), (409, "ScopeLocked"));
        assert_eq!(send(Method::DELETE, &path, None).await.status, 200);
        assert_eq!(send(Method::DELETE, &path, None).await.status, 204);
        let gone = send(Method::GET, &path, None).await;
        assert_eq!(gone.error(), (404, "LockNotFound"));
        assert!(put(&azure, "shop").await.status < 300);
    }
    let nowhere = format!("{}/keep", locks(&identity_path("nobody")));
    let refused = send(Method::PUT, &nowhere, Some(body("ReadOnly"))).await;
    assert_eq!(refused.error(), (404, "ResourceNotFound"));
    let nonsense = format!("{}/keep", locks(&identity_path("orders")));
    let refused = send(Method::PUT, &nonsense, Some(body("Nonsense"))).await;
    assert_eq!(refused.error(), (400, "InvalidRequestContent"));
}

#[tokio::test]
async fn a_policy_denies_writes_of_credentials() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    assert_eq!(put(&azure, "shop").await.status, 201);
    let denial = azure.control.deny_by_policy(&group_path(GROUP)).await;
    let denial = denial.unwrap();
    let refused = put(&azure, "shop").await;
    assert_eq!(refused.error(), (403, "RequestDisallowedByPolicy"));
    assert!(
        refused
            .message()
            .starts_with("Resource 'shop' was disallowed by policy."),
        "{refused:?}"
    );
    assert_eq!(delete(&azure, "shop").await.status, 200);
    azure.control.allow_by_policy(denial).await.unwrap();
    assert_eq!(put(&azure, "shop").await.status, 201);
}

#[tokio::test]
async fn reads_can_lag_behind_writes() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    assert_eq!(put(&azure, "first").await.status, 201);
    let lagging = |seconds| Tunables {
        read_lag_seconds: seconds,
        ..Tunables::default()
    };
    set(&azure, lagging(DAY)).await;
    let owner = azure.owner().await;
    assert_eq!(put(&azure, "second").await.status, 201);
    assert_eq!(delete(&azure, "first").await.status, 200);
    let list = owner.get(&credentials_path("orders")).await;
    assert_eq!(list.names(), ["first"]);
    let read = owner.get(&credential_path("orders", "second")).await;
    assert_eq!(read.error(), (404, "NotFound"));
    // Writes see what is there.
    assert_eq!(put(&azure, "second").await.status, 200);
    assert_eq!(delete(&azure, "first").await.status, 204);
    // And in the end reads do.
    set(&azure, lagging(1)).await;
    assert_eq!(put(&azure, "third").await.status, 201);
    let written = std::time::Instant::now();
    while owner.get(&credentials_path("orders")).await.names() != ["second", "third"] {
        assert!(written.elapsed().as_secs() < 10, "it was never shown");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
