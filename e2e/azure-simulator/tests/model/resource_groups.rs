use reqwest::Method;
use serde_json::json;

use crate::support::{Azure, GROUP, SUBSCRIPTION, group_path, identity_path};

#[tokio::test]
async fn a_resource_group_is_created_read_listed_and_deleted() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let path = group_path("rg-New");
    let body = json!({"location": "North Europe", "tags": {"team": "shop"}});
    let created = owner
        .resources(Method::PUT, &path, Some(body.clone()))
        .await;
    assert_eq!(created.status, 201);
    assert_eq!(
        created.body,
        json!({
            "id": path,
            "name": "rg-New",
            "type": "Microsoft.Resources/resourceGroups",
            "location": "northeurope",
            "tags": {"team": "shop"},
            "properties": {"provisioningState": "Succeeded"},
        })
    );
    let again = owner.resources(Method::PUT, &path, Some(body)).await;
    assert_eq!((again.status, &again.body), (200, &created.body));
    let read = owner
        .resources(Method::GET, &group_path("RG-NEW"), None)
        .await;
    assert_eq!((read.status, read.body), (200, created.body));
    let list = format!("/subscriptions/{SUBSCRIPTION}/resourcegroups");
    let listed = owner.resources(Method::GET, &list, None).await;
    assert_eq!(listed.names(), ["rg-New", GROUP]);
    assert_eq!(owner.resources(Method::HEAD, &path, None).await.status, 204);
    assert_eq!(
        owner.resources(Method::DELETE, &path, None).await.status,
        200
    );
    assert_eq!(owner.resources(Method::HEAD, &path, None).await.status, 404);
}

#[tokio::test]
async fn a_missing_resource_group_is_not_found() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let path = group_path("rg-nowhere");
    for method in [Method::GET, Method::DELETE] {
        let reply = owner.resources(method, &path, None).await;
        assert_eq!(reply.error(), (404, "ResourceGroupNotFound"));
        assert_eq!(
            reply.message(),
            "Resource group 'rg-nowhere' could not be found."
        );
    }
    let below = identity_path("orders").replace(GROUP, "rg-nowhere");
    let put = owner.put(&below, json!({"location": "westeurope"})).await;
    for reply in [owner.get(&below).await, owner.delete(&below).await, put] {
        assert_eq!(reply.error(), (404, "ResourceGroupNotFound"));
    }
}

#[tokio::test]
async fn a_resource_group_stays_in_its_location() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let path = group_path(GROUP);
    let reply = owner
        .resources(Method::PUT, &path, Some(json!({"location": "eastus"})))
        .await;
    assert_eq!(reply.error(), (409, "InvalidResourceGroupLocation"));
    let reply = owner
        .resources(Method::PUT, &group_path("rg-new"), Some(json!({})))
        .await;
    assert_eq!(reply.error(), (400, "LocationRequired"));
    let reply = owner
        .resources(
            Method::PUT,
            &group_path("rg-new"),
            Some(json!({"location": "atlantis"})),
        )
        .await;
    assert_eq!(reply.error(), (400, "LocationNotAvailableForResourceType"));
}

#[tokio::test]
async fn a_resource_group_name_is_checked() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    for (name, valid) in [
        ("a".to_owned(), true),
        ("(a)_b-c.d".to_owned(), true),
        ("%C3%A9t%C3%A9".to_owned(), true),
        ("g".repeat(90), true),
        ("g".repeat(91), false),
        ("ends-in-a-period.".to_owned(), false),
        ("has%20space".to_owned(), false),
        ("has%2Fslash".to_owned(), false),
    ] {
        let body = Some(json!({"location": "westeurope"}));
        let reply = owner.resources(Method::PUT, &group_path(&name), body).await;
        if valid {
            assert_eq!(reply.status, 201, "{name}");
        } else {
            assert_eq!(reply.error(), (400, "InvalidResourceGroup"), "{name}");
        }
    }
}

#[tokio::test]
async fn a_resource_group_takes_its_identities_along() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    let owner = azure.owner().await;
    assert_eq!(
        azure
            .exchange(identity.client_id, &cluster.token())
            .await
            .status,
        200
    );
    owner
        .resources(Method::DELETE, &group_path(GROUP), None)
        .await;
    let location = Some(json!({"location": "westeurope"}));
    owner
        .resources(Method::PUT, &group_path(GROUP), location)
        .await;
    let reply = owner.get(&identity_path("orders")).await;
    assert_eq!(reply.error(), (404, "ResourceNotFound"));
    let reply = azure.exchange(identity.client_id, &cluster.token()).await;
    assert_eq!(reply.aadsts(), (400, 700_016));
}

#[tokio::test]
async fn a_resource_group_of_any_alphabet_is_found_escaped_and_in_either_case() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let body = json!({"location": "westeurope"});
    let made = owner
        .resources(Method::PUT, &group_path("rg-größe"), Some(body))
        .await;
    assert_eq!((made.status, &made.body["name"]), (201, &json!("rg-größe")));
    for group in [
        "rg-größe",
        "rg-gr%C3%B6%C3%9Fe",
        "RG-GRÖßE",
        "RG-GR%C3%96%C3%9FE",
    ] {
        let read = owner.resources(Method::GET, &group_path(group), None).await;
        assert_eq!((read.status, &read.body), (200, &made.body), "{group}");
    }
    for other in ["rg-grosse", "RG-GRÖSSE"] {
        let other = group_path(other);
        assert_eq!(
            owner.resources(Method::HEAD, &other, None).await.status,
            404
        );
    }
}
