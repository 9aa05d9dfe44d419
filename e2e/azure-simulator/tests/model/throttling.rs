use azure_simulator::Tunables;
use azure_simulator::core::throttle::{
    Rate, ThrottleLevel, ThrottleScope, ThrottledResource, Throttling,
};
use serde_json::json;

use crate::support::{
    Azure, OWNER, Reply, SUBSCRIPTION, TENANT, credential, credential_path, credentials_path,
    identities_path, identity_path,
};

/// It lets `burst` requests through and no more.
fn only(burst: u32) -> Rate {
    Rate {
        per_minute: 0,
        burst,
    }
}

async fn throttled(change: impl FnOnce(&mut Throttling)) -> Azure {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    azure.identity("billing").await;
    let mut throttling = Throttling::published(60);
    change(&mut throttling);
    azure
        .control
        .set_tunables(&Tunables {
            throttling: Some(throttling),
            ..Tunables::default()
        })
        .await
        .unwrap();
    azure
}

async fn put(azure: &Azure, identity: &str, name: &str) -> Reply {
    let path = credential_path(identity, name);
    let body = credential("https://issuer/", name);
    azure.owner().await.put(&path, body).await
}

async fn get(azure: &Azure, path: &str) -> Reply {
    azure.owner().await.get(path).await
}

/// The budgets that refused, in order.
async fn refusals(azure: &Azure) -> Vec<ThrottleScope> {
    let log = azure.control.requests().await.unwrap();
    log.into_iter()
        .filter_map(|record| record.throttled_by)
        .collect()
}

fn scope(level: ThrottleLevel, operation: &str, key: impl Into<String>) -> ThrottleScope {
    ThrottleScope {
        level,
        operation: operation.into(),
        key: key.into(),
    }
}

fn lower_id(identity: &str) -> String {
    identity_path(identity).to_lowercase()
}

#[tokio::test]
async fn the_provider_limits_the_requests_to_a_resource() {
    let azure = throttled(|throttling| throttling.provider.put.resource = only(1)).await;
    assert_eq!(put(&azure, "orders", "first").await.status, 201);
    let refused = put(&azure, "orders", "second").await;
    assert_eq!(refused.error(), (429, "TooManyRequests"));
    assert_eq!(
        refused.message(),
        format!(
            "Request is temporarily throttled because resource {} has issued too many requests. Retry after 3600 seconds.",
            lower_id("orders")
        )
    );
    assert_eq!(refused.header("retry-after"), "3600");
    // Another operation and another identity have budgets of their own.
    assert_eq!(get(&azure, &credentials_path("orders")).await.status, 200);
    assert_eq!(put(&azure, "billing", "first").await.status, 201);
    let expected = scope(ThrottleLevel::Resource, "PUT", lower_id("orders"));
    assert_eq!(refusals(&azure).await, [expected]);
}

#[tokio::test]
async fn a_resource_is_the_identity_or_what_the_request_names() {
    for (resource, expected) in [
        (ThrottledResource::Identity, 429),
        (ThrottledResource::Named, 201),
    ] {
        let azure = throttled(|throttling| {
            throttling.resource = resource;
            throttling.provider.put.resource = only(1);
        })
        .await;
        assert_eq!(put(&azure, "orders", "first").await.status, 201);
        assert_eq!(put(&azure, "orders", "second").await.status, expected);
        assert_eq!(put(&azure, "orders", "first").await.status, 429);
    }
}

#[tokio::test]
async fn the_provider_limits_the_requests_to_a_subscription_and_of_a_tenant() {
    let azure = throttled(|throttling| throttling.provider.list.subscription = only(2)).await;
    assert_eq!(get(&azure, &credentials_path("orders")).await.status, 200);
    assert_eq!(get(&azure, &identities_path()).await.status, 200);
    assert_eq!(get(&azure, &credentials_path("billing")).await.status, 429);
    assert_eq!(get(&azure, &identity_path("billing")).await.status, 200);
    let expected = scope(
        ThrottleLevel::Subscription,
        "LIST",
        SUBSCRIPTION.to_string(),
    );
    assert_eq!(refusals(&azure).await, [expected]);

    let azure = throttled(|throttling| throttling.provider.get.tenant = only(1)).await;
    assert_eq!(get(&azure, &identity_path("orders")).await.status, 200);
    assert_eq!(get(&azure, &identity_path("billing")).await.status, 429);
    let expected = scope(ThrottleLevel::Tenant, "GET", TENANT.to_string());
    assert_eq!(refusals(&azure).await, [expected]);
}

#[tokio::test]
async fn the_published_rates_are_the_default() {
    let azure = throttled(|_| {}).await;
    azure
        .control
        .set_tunables(&serde_json::from_value(json!({"throttling": {}})).unwrap())
        .await
        .unwrap();
    let rates = azure.control.tunables().await.unwrap().throttling.unwrap();
    assert_eq!(rates, Throttling::published(1));
    let provider = rates.provider;
    for (scopes, tenant, subscription, resource) in [
        (provider.put, 10, 2, 0.25),
        (provider.get, 30, 10, 0.5),
        (provider.list, 15, 5, 0.25),
        (provider.delete, 10, 2, 0.25),
    ] {
        assert_eq!(scopes.tenant.per_minute, tenant * 60);
        assert_eq!(scopes.subscription.per_minute, subscription * 60);
        assert_eq!(f64::from(scopes.resource.per_minute), resource * 60.0);
    }
    assert_eq!(put(&azure, "orders", "first").await.status, 201);
    assert_eq!(put(&azure, "orders", "second").await.status, 429);
}

#[tokio::test]
async fn resource_manager_limits_a_principal_and_counts_down() {
    let azure = throttled(|throttling| {
        throttling.resource_manager.reads.subscription = only(2);
        throttling.resource_manager.reads.global = only(10);
    })
    .await;
    for left in ["1", "0"] {
        let reply = get(&azure, &identity_path("orders")).await;
        assert_eq!(reply.status, 200);
        let own = "x-ms-ratelimit-remaining-subscription-reads";
        assert_eq!(reply.header(own), left);
    }
    let refused = get(&azure, &identity_path("orders")).await;
    assert_eq!(refused.error(), (429, "SubscriptionRequestsThrottled"));
    let log = azure.control.requests().await.unwrap();
    assert!(
        refused.message().starts_with(&format!(
            "Number of 'read' requests for subscription '{SUBSCRIPTION}' actor '"
        )),
        "{refused:?}"
    );
    assert_eq!(refused.header("retry-after"), "3600");
    let global = "x-ms-ratelimit-remaining-subscription-global-reads";
    assert_eq!(refused.header(global), "8");
    assert_eq!(log.last().unwrap().caller, Some(OWNER));
    let refusals = refusals(&azure).await;
    assert_eq!(
        refusals[0].level,
        ThrottleLevel::ResourceManagerSubscription
    );
    assert_eq!(refusals[0].operation, "reads");
    // Writes have a bucket of their own.
    assert_eq!(put(&azure, "orders", "first").await.status, 201);
}

#[tokio::test]
async fn resource_manager_limits_a_subscription_and_a_tenant() {
    let azure = throttled(|throttling| {
        throttling.resource_manager.reads.global = only(1);
        throttling.resource_manager.reads.tenant = only(1);
    })
    .await;
    let owner = azure.owner().await;
    assert_eq!(owner.get(&identity_path("orders")).await.status, 200);
    let refused = owner.get(&identity_path("orders")).await;
    assert_eq!(refused.error(), (429, "SubscriptionRequestsThrottled"));
    let tenants = format!(
        "{}/tenants?api-version=2022-09-01",
        azure.simulator.arm_url()
    );
    let reply = owner.send_url(reqwest::Method::GET, &tenants, None).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-ms-ratelimit-remaining-tenant-reads"), "0");
    let refused = owner.send_url(reqwest::Method::GET, &tenants, None).await;
    assert_eq!(refused.error(), (429, "TooManyRequests"));
    let levels: Vec<_> = refusals(&azure)
        .await
        .into_iter()
        .map(|s| s.level)
        .collect();
    assert_eq!(
        levels,
        [
            ThrottleLevel::ResourceManagerGlobal,
            ThrottleLevel::ResourceManagerTenant
        ]
    );
}

#[tokio::test]
async fn a_request_before_the_wait_is_over_is_refused_with_a_new_value() {
    let azure = throttled(|throttling| {
        // A token comes back within 10 ms, and the wait is longer all the same.
        throttling.provider.get.resource = Rate {
            per_minute: 6000,
            burst: 0,
        };
        throttling.retry_after_seconds = Some(30);
    })
    .await;
    let first = get(&azure, &identity_path("orders")).await;
    assert_eq!((first.status, first.header("retry-after")), (429, "30"));
    let mut throttling = Throttling::published(60);
    throttling.retry_after_seconds = Some(90);
    let tunables = Tunables {
        throttling: Some(throttling),
        ..Tunables::default()
    };
    azure.control.set_tunables(&tunables).await.unwrap();
    let second = get(&azure, &identity_path("orders")).await;
    let value: u64 = second.header("retry-after").parse().unwrap();
    assert_eq!(second.status, 429);
    assert!((1..=30).contains(&value), "{second:?}");
    assert_eq!(get(&azure, &identity_path("billing")).await.status, 200);
}

#[tokio::test]
async fn a_refusal_can_come_without_retry_after() {
    let azure = throttled(|throttling| {
        throttling.provider.get.resource = only(0);
        throttling.sends_retry_after = false;
        throttling.provider_code = "ResourceRequestsThrottled".into();
    })
    .await;
    let refused = get(&azure, &identity_path("orders")).await;
    assert_eq!(refused.error(), (429, "ResourceRequestsThrottled"));
    assert!(!refused.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn without_throttling_nothing_is_refused() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    for number in 0..10 {
        let reply = owner.get(&identity_path("orders")).await;
        assert_eq!(reply.status, 200, "{number}");
    }
}
