use azure_simulator::SimulatorConfig;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    Azure, GROUP, SUBSCRIPTION, TENANT, VERSION, config, credential, credential_path,
    credentials_path, group_path, identities_path, identity_path,
};

#[tokio::test]
async fn an_identity_is_created_with_201_and_updated_with_200() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let path = identity_path("Orders");
    let created = owner
        .put(
            &path,
            json!({"location": "West Europe", "tags": {"team": "shop"}}),
        )
        .await;
    assert_eq!(created.status, 201);
    let id = format!(
        "/subscriptions/{SUBSCRIPTION}/resourcegroups/{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/Orders"
    );
    assert_eq!(created.header("location"), id);
    let properties = &created.body["properties"];
    assert_eq!(properties["tenantId"], json!(TENANT));
    for property in ["clientId", "principalId"] {
        assert!(Uuid::try_parse(properties[property].as_str().unwrap()).is_ok());
    }
    assert_ne!(properties["clientId"], properties["principalId"]);
    assert_eq!(
        created.body,
        json!({
            "id": id,
            "name": "Orders",
            "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
            "location": "westeurope",
            "tags": {"team": "shop"},
            "properties": properties,
        })
    );
    let updated = owner.put(&path, json!({"location": "westeurope"})).await;
    assert_eq!(updated.status, 200);
    assert_eq!(updated.header("location"), "");
    assert_eq!(&updated.body["properties"], properties);
    assert_eq!(updated.body["tags"], json!({}));
}

#[tokio::test]
async fn an_identity_keeps_the_case_in_which_it_was_created() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    owner
        .put(&identity_path("Orders"), json!({"location": "westeurope"}))
        .await;
    let again = owner
        .put(&identity_path("oRDERS"), json!({"location": "westeurope"}))
        .await;
    assert_eq!(again.status, 200);
    assert_eq!(again.body["name"], "Orders");
    assert_eq!(owner.get(&identities_path()).await.names(), ["Orders"]);
}

#[tokio::test]
async fn patch_replaces_the_tags_and_nothing_else() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let path = identity_path("orders");
    let body = json!({"location": "westeurope", "tags": {"a": "1"}});
    let created = owner.put(&path, body).await;
    let patched = owner
        .send(
            Method::PATCH,
            &path,
            VERSION,
            Some(json!({"tags": {"b": "2"}})),
        )
        .await;
    assert_eq!(patched.status, 200);
    assert_eq!(patched.body["tags"], json!({"b": "2"}));
    assert_eq!(patched.body["properties"], created.body["properties"]);
    let untouched = owner
        .send(Method::PATCH, &path, VERSION, Some(json!({})))
        .await;
    assert_eq!(untouched.body["tags"], json!({"b": "2"}));
    let missing = owner
        .send(
            Method::PATCH,
            &identity_path("nobody"),
            VERSION,
            Some(json!({})),
        )
        .await;
    assert_eq!(missing.error(), (404, "ResourceNotFound"));
}

#[tokio::test]
async fn deleting_an_identity_answers_200_and_then_204() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    assert_eq!(owner.delete(&identity_path("orders")).await.status, 200);
    assert_eq!(owner.get(&identity_path("orders")).await.status, 404);
    assert_eq!(owner.delete(&identity_path("orders")).await.status, 204);
}

#[tokio::test]
async fn deleting_an_identity_takes_its_credentials_along() {
    let azure = Azure::start().await;
    let (identity, cluster) = azure.federated_identity().await;
    let owner = azure.owner().await;
    owner.delete(&identity_path("orders")).await;
    let reply = azure.exchange(identity.client_id, &cluster.token()).await;
    assert_eq!(reply.aadsts(), (400, 700_016));
    let made_again = owner
        .put(&identity_path("orders"), json!({"location": "westeurope"}))
        .await;
    assert_ne!(
        made_again.body["properties"]["clientId"],
        json!(identity.client_id)
    );
    assert!(
        owner
            .get(&credentials_path("orders"))
            .await
            .names()
            .is_empty()
    );
}

#[tokio::test]
async fn a_missing_identity_is_not_found() {
    let azure = Azure::start().await;
    let reply = azure.owner().await.get(&identity_path("nobody")).await;
    assert_eq!(reply.error(), (404, "ResourceNotFound"));
    assert_eq!(
        reply.message(),
        format!(
            "The Resource 'Microsoft.ManagedIdentity/userAssignedIdentities/nobody' under resource group '{GROUP}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
        )
    );
}

#[tokio::test]
async fn an_identity_stays_in_its_location() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let path = identity_path("orders");
    assert_eq!(
        owner.put(&path, json!({})).await.error(),
        (400, "LocationRequired")
    );
    owner.put(&path, json!({"location": "westeurope"})).await;
    let moved = owner.put(&path, json!({"location": "eastus"})).await;
    assert_eq!(moved.error(), (409, "InvalidResourceLocation"));
}

#[tokio::test]
async fn an_identity_name_is_checked() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    for (name, valid) in [
        ("abc".to_owned(), true),
        ("1-_".to_owned(), true),
        ("n".repeat(128), true),
        ("n".repeat(129), false),
        ("ab".to_owned(), false),
        ("-abc".to_owned(), false),
        ("a.bc".to_owned(), false),
        ("a%2Fbc".to_owned(), false),
    ] {
        let reply = owner
            .put(&identity_path(&name), json!({"location": "westeurope"}))
            .await;
        if valid {
            assert_eq!(reply.status, 201, "{name}");
        } else {
            assert_eq!(reply.error(), (400, "BadRequest"), "{name}");
        }
    }
}

#[tokio::test]
async fn the_seed_decides_the_ids() {
    let mut ids = Vec::new();
    for seed in [7, 7, 8] {
        let azure = Azure::start_with(SimulatorConfig { seed, ..config() }).await;
        // What was asked before does not matter.
        if ids.len() == 1 {
            azure.owner().await;
        }
        ids.push(azure.identity("orders").await.client_id);
    }
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
}

#[tokio::test]
async fn isolation_scope_is_shown_by_versions_that_know_it() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    let path = identity_path("orders");
    let body = json!({"location": "westeurope", "properties": {"isolationScope": "Regional"}});
    let created = owner.put_version(&path, "2024-11-30", body).await;
    assert_eq!(created.body["properties"]["isolationScope"], "Regional");
    let old = owner.get_version(&path, "2023-01-31").await;
    assert_eq!(old.body["properties"].get("isolationScope"), None);
    let other = identity_path("others");
    owner.put(&other, json!({"location": "westeurope"})).await;
    let unset = owner.get_version(&other, "2024-11-30").await;
    assert_eq!(unset.body["properties"]["isolationScope"], "None");
}

#[tokio::test]
async fn identities_are_listed_by_group_and_by_subscription() {
    let azure = Azure::start().await;
    azure
        .control
        .create_resource_group("rg-other")
        .await
        .unwrap();
    let owner = azure.owner().await;
    let location = json!({"location": "westeurope"});
    assert_eq!(
        owner.get(&identities_path()).await.body,
        json!({"value": []})
    );
    owner.put(&identity_path("orders"), location.clone()).await;
    owner.put(&identity_path("billing"), location.clone()).await;
    let other = identities_path().replace(GROUP, "rg-other");
    owner.put(&format!("{other}/payments"), location).await;
    assert_eq!(
        owner.get(&identities_path()).await.names(),
        ["billing", "orders"]
    );
    assert_eq!(owner.get(&other).await.names(), ["payments"]);
    let all = identities_path().replace(
        &group_path(GROUP),
        &format!("/subscriptions/{SUBSCRIPTION}"),
    );
    let mut names = owner
        .get(&all)
        .await
        .names()
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    names.sort();
    assert_eq!(names, ["billing", "orders", "payments"]);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let azure = Azure::start().await;
    let owner = azure.owner().await;
    for number in 0..5 {
        azure.identity(&format!("orders-{number}")).await;
    }
    let mut url = format!(
        "{}{}?api-version={VERSION}&$top=2",
        azure.simulator.arm_url(),
        identities_path()
    );
    let mut pages = Vec::new();
    loop {
        let page = owner.send_url(Method::GET, &url, None).await;
        pages.push(
            page.names()
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
        );
        // An entry that goes meanwhile makes no other one be missed.
        owner.delete(&identity_path("orders-1")).await;
        match page.body["nextLink"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(
        pages,
        [
            vec!["orders-0", "orders-1"],
            vec!["orders-2", "orders-3"],
            vec!["orders-4"]
        ]
    );
    for query in ["$top=0", "$top=many", "$skiptoken=!"] {
        let reply = owner.get(&format!("{}?{query}", identities_path())).await;
        assert_eq!(reply.error(), (400, "BadRequest"), "{query}");
    }
    // The page's own size is the limit, whatever is asked for.
    let mut tunables = azure.control.tunables().await.unwrap();
    tunables.page_size = 3;
    azure.control.set_tunables(&tunables).await.unwrap();
    let page = owner.get(&format!("{}?$top=4", identities_path())).await;
    assert_eq!(page.names().len(), 3);
    for number in 0..4 {
        let path = credential_path("orders-0", &format!("shop-{number}"));
        owner
            .put(&path, credential("https://issuer/", &number.to_string()))
            .await;
    }
    let page = owner.get(&credentials_path("orders-0")).await;
    assert_eq!(page.names().len(), 3);
    let next = page.body["nextLink"].as_str().unwrap();
    let page = owner.send_url(Method::GET, next, None).await;
    assert_eq!(page.names(), ["shop-3"]);
}
