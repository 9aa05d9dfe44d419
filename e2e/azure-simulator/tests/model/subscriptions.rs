use azure_simulator::control::api::{Role, ServicePrincipalFixture, SubscriptionFixture};
use reqwest::Method;
use serde_json::json;
use uuid::uuid;

use crate::support::{
    ARM_SCOPE, Azure, GROUP, OWNER, SUBSCRIPTION, TENANT, group_path, identities_path,
    identity_path,
};

#[tokio::test]
async fn subscriptions_are_listed_for_those_who_have_a_role_in_them() {
    let azure = Azure::start().await;
    let other = uuid!("22222222-2222-4222-8222-222222222223");
    azure
        .control
        .create_subscription(&SubscriptionFixture {
            subscription_id: other,
            display_name: None,
        })
        .await
        .unwrap();
    let owner = azure.owner().await;
    let list = owner.resources(Method::GET, "/subscriptions", None).await;
    let value = list.body["value"].as_array().unwrap();
    assert_eq!(value.len(), 1);
    assert_eq!(value[0]["subscriptionId"], json!(SUBSCRIPTION));
    assert_eq!(
        value[0]["id"],
        json!(format!("/subscriptions/{SUBSCRIPTION}"))
    );
    assert_eq!(value[0]["tenantId"], json!(TENANT));
    assert_eq!(value[0]["state"], "Enabled");
    let own = owner
        .resources(Method::GET, &format!("/subscriptions/{SUBSCRIPTION}"), None)
        .await;
    assert_eq!(own.body, value[0]);
    let refused = owner
        .resources(Method::GET, &format!("/subscriptions/{other}"), None)
        .await;
    assert_eq!(refused.error(), (403, "AuthorizationFailed"));

    // A role on a resource group is enough to see the subscription.
    let client_id = uuid!("44444444-4444-4444-8444-444444444444");
    azure
        .control
        .create_service_principal(&ServicePrincipalFixture {
            client_id,
            secret: Some("secret".into()),
            federated_credentials: vec![],
        })
        .await
        .unwrap();
    azure
        .control
        .assign_role(&group_path(GROUP), Role::Reader, client_id)
        .await
        .unwrap();
    let token = azure
        .token(&[
            ("grant_type", "client_credentials"),
            ("client_id", &client_id.to_string()),
            ("client_secret", "secret"),
            ("scope", ARM_SCOPE),
        ])
        .await;
    let reader = azure.arm(token.body["access_token"].as_str().unwrap());
    let list = reader.resources(Method::GET, "/subscriptions", None).await;
    assert_eq!(list.body["value"][0]["subscriptionId"], json!(SUBSCRIPTION));
}

#[tokio::test]
async fn an_unknown_subscription_is_not_found() {
    let azure = Azure::start().await;
    let path = identities_path().replace(&SUBSCRIPTION.to_string(), &OWNER.to_string());
    let reply = azure.owner().await.get(&path).await;
    assert_eq!(reply.error(), (404, "SubscriptionNotFound"));
    assert_eq!(
        reply.message(),
        format!("The subscription '{OWNER}' could not be found.")
    );
}

#[tokio::test]
async fn the_tenant_is_listed() {
    let azure = Azure::start().await;
    let list = azure
        .owner()
        .await
        .resources(Method::GET, "/tenants", None)
        .await;
    assert_eq!(list.status, 200);
    assert_eq!(list.body["value"][0]["tenantId"], json!(TENANT));
    assert_eq!(
        list.body["value"][0]["id"],
        json!(format!("/tenants/{TENANT}"))
    );
}

#[tokio::test]
async fn the_provider_describes_its_types_and_operations() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let path = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.ManagedIdentity");
    let provider = owner.resources(Method::GET, &path, None).await;
    assert_eq!(provider.body["namespace"], "Microsoft.ManagedIdentity");
    assert_eq!(provider.body["registrationState"], "Registered");
    let types = provider.body["resourceTypes"].as_array().unwrap();
    let identities = types
        .iter()
        .find(|kind| kind["resourceType"] == "userAssignedIdentities")
        .unwrap();
    assert!(
        identities["apiVersions"]
            .as_array()
            .unwrap()
            .contains(&json!("2023-01-31"))
    );
    assert!(
        identities["locations"]
            .as_array()
            .unwrap()
            .contains(&json!("westeurope"))
    );
    let operations = owner
        .get("/providers/Microsoft.ManagedIdentity/operations")
        .await;
    let names = operations.names();
    for name in [
        "Microsoft.ManagedIdentity/userAssignedIdentities/read",
        "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
        "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete",
    ] {
        assert!(names.contains(&name), "{name}");
    }
}

#[tokio::test]
async fn metadata_endpoints_have_the_shape_of_their_version() {
    let azure = Azure::start().await;
    let (arm, entra) = (azure.simulator.arm_url(), azure.simulator.entra_url());
    // Nobody has signed in yet when it is read.
    let anonymous = azure.arm("");
    let old = anonymous
        .get_version("/metadata/endpoints", "2015-01-01")
        .await;
    assert_eq!(
        old.body["authentication"]["loginEndpoint"],
        json!(format!("{entra}/"))
    );
    assert_eq!(
        old.body["authentication"]["audiences"][0],
        json!(format!("{arm}/"))
    );
    assert!(old.body["graphEndpoint"].is_string());
    let list = anonymous
        .get_version("/metadata/endpoints", "2019-05-01")
        .await;
    let cloud = anonymous
        .get_version("/metadata/endpoints", "2022-09-01")
        .await;
    assert_eq!(list.body, json!([cloud.body]));
    assert_eq!(cloud.body["resourceManager"], json!(arm));
    assert_eq!(cloud.body["authentication"]["loginEndpoint"], json!(entra));
    assert_eq!(
        cloud.body["authentication"]["audiences"][0],
        json!(format!("{arm}/"))
    );
}

#[tokio::test]
async fn the_locations_of_a_subscription_are_listed() {
    let azure = Azure::start().await;
    let path = format!("/subscriptions/{SUBSCRIPTION}/locations");
    let list = azure
        .owner()
        .await
        .resources(Method::GET, &path, None)
        .await;
    let value = list.body["value"].as_array().unwrap();
    let found = value
        .iter()
        .find(|entry| entry["name"] == "westeurope")
        .unwrap();
    assert_eq!(found["id"], json!(format!("{path}/westeurope")));
    assert_eq!(found["displayName"], "West Europe");
    // Recordings of clients use these two.
    let owner = azure.owner().await;
    for name in ["westcentralus", "eastus2euap"] {
        assert!(value.iter().any(|entry| entry["name"] == name), "{name}");
        let body = json!({"location": name});
        let made = owner.put(&identity_path(name), body).await;
        assert_eq!(made.status, 201, "{made:?}");
        assert_eq!(made.body["location"], name);
    }
}
