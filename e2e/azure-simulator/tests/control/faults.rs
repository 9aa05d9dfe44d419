use std::time::{Duration, Instant};

use azure_simulator::control::ControlError;
use azure_simulator::control::api::{Fault, FaultAction, Hold, Latency, Matcher, Service, When};
use azure_simulator::{Addresses, Simulator, SimulatorConfig};
use serde_json::json;

use crate::support::{
    Azure, Reply, TENANT, config, credential, credential_path, credentials_path, identity_path,
};

fn fault(matcher: Matcher, when: When, action: FaultAction) -> Fault {
    Fault {
        matcher,
        skip: 0,
        times: Some(1),
        when,
        action,
    }
}

fn throttled() -> FaultAction {
    FaultAction::Respond {
        status: 429,
        code: "TooManyRequests".into(),
        message: "Slow down.".into(),
        headers: vec![("Retry-After".into(), "17".into())],
        body: None,
    }
}

fn operation(name: &str) -> Matcher {
    Matcher {
        operation: Some(name.into()),
        ..Matcher::default()
    }
}

#[tokio::test]
async fn a_fault_hits_the_requests_that_it_names_and_no_others() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    azure.identity("billing").await;
    let owner = azure.owner().await;
    for (matcher, hits_orders, hits_billing, hits_list) in [
        (operation("UserAssignedIdentities_Get"), true, true, false),
        (
            Matcher {
                path: Some(
                    "/subscriptions/*/resourcegroups/*/providers/*/userassignedidentities/ORDERS"
                        .into(),
                ),
                ..Matcher::default()
            },
            true,
            false,
            false,
        ),
        (
            Matcher {
                path: Some("**/orders{,/**}".into()),
                method: Some("get".into()),
                ..Matcher::default()
            },
            true,
            false,
            true,
        ),
        (
            Matcher {
                service: Some(Service::Entra),
                ..Matcher::default()
            },
            false,
            false,
            false,
        ),
        (
            Matcher {
                method: Some("PUT".into()),
                ..Matcher::default()
            },
            false,
            false,
            false,
        ),
    ] {
        let always = Fault {
            times: None,
            ..fault(matcher.clone(), When::BeforeEffect, throttled())
        };
        let id = azure.control.add_fault(&always).await.unwrap();
        for (path, hit) in [
            (identity_path("orders"), hits_orders),
            (identity_path("billing"), hits_billing),
            (credentials_path("orders"), hits_list),
        ] {
            let reply = owner.get(&path).await;
            assert_eq!(reply.status == 429, hit, "{matcher:?} {path}");
        }
        azure.control.remove_fault(id).await.unwrap();
    }
    assert_eq!(owner.get(&identity_path("orders")).await.status, 200);
}

#[tokio::test]
async fn a_fault_skips_some_requests_and_hits_the_next_ones() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let third_and_fourth = Fault {
        skip: 2,
        times: Some(2),
        ..fault(
            operation("UserAssignedIdentities_Get"),
            When::BeforeEffect,
            throttled(),
        )
    };
    azure.control.add_fault(&third_and_fourth).await.unwrap();
    for expected in [200, 200, 429, 429, 200] {
        let reply = owner.get(&identity_path("orders")).await;
        assert_eq!(reply.status, expected);
        if expected == 429 {
            assert_eq!(reply.error(), (429, "TooManyRequests"));
            assert_eq!(reply.message(), "Slow down.");
            assert_eq!(reply.header("retry-after"), "17");
            assert!(!reply.header("x-ms-request-id").is_empty());
        }
    }
}

#[tokio::test]
async fn a_fault_before_the_effect_prevents_it_and_one_after_it_does_not() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let path = credential_path("orders", "shop");
    for (when, expected) in [(When::BeforeEffect, 404), (When::AfterEffect, 200)] {
        let put = operation("FederatedIdentityCredentials_CreateOrUpdate");
        azure
            .control
            .add_fault(&fault(put, when, throttled()))
            .await
            .unwrap();
        let reply = owner.put(&path, credential("https://issuer/", "s")).await;
        assert_eq!(reply.status, 429);
        assert_eq!(owner.get(&path).await.status, expected, "{when:?}");
    }
}

#[tokio::test]
async fn a_dropped_connection_gives_no_answer() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let drop = fault(
        Matcher::default(),
        When::AfterEffect,
        FaultAction::DropConnection,
    );
    azure.control.add_fault(&drop).await.unwrap();
    let url = format!(
        "{}{}?api-version=2023-01-31",
        azure.simulator.arm_url(),
        credential_path("orders", "shop")
    );
    // A client of its own: no idle connection on which it could be sent again.
    let request = Azure::client(&azure.simulator)
        .put(url)
        .bearer_auth(&owner.token)
        .json(&credential("https://issuer/", "s"));
    let error = request.send().await.unwrap_err();
    assert!(!error.is_connect() && !error.is_timeout(), "{error:?}");
    assert_eq!(
        owner.get(&credential_path("orders", "shop")).await.status,
        200
    );
    let requests = azure.control.requests().await.unwrap();
    let put = requests
        .iter()
        .find(|record| record.method == "PUT")
        .unwrap();
    assert_eq!((put.status, put.effective), (None, true));
    assert!(put.ended.is_some());
}

#[tokio::test]
async fn an_invalid_body_is_no_json() {
    let azure = Azure::start().await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let invalid = fault(
        Matcher::default(),
        When::BeforeEffect,
        FaultAction::InvalidBody,
    );
    azure.control.add_fault(&invalid).await.unwrap();
    let reply = owner.get(&identity_path("orders")).await;
    assert_eq!(reply.status, 200);
    assert!(reply.body.is_string(), "{reply:?}");
}

#[tokio::test]
async fn a_fault_at_the_token_endpoint_has_the_shape_of_entra() {
    let azure = Azure::start().await;
    let unavailable = FaultAction::Respond {
        status: 503,
        code: "temporarily_unavailable".into(),
        message: "AADSTS90033".into(),
        headers: vec![],
        body: None,
    };
    let matcher = Matcher {
        service: Some(Service::Entra),
        ..Matcher::default()
    };
    azure
        .control
        .add_fault(&fault(matcher, When::BeforeEffect, unavailable))
        .await
        .unwrap();
    let reply: Reply = azure.token_of(&TENANT.to_string(), &[]).await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.body["error"], "temporarily_unavailable");
}

#[tokio::test]
async fn a_rule_that_cannot_be_used_is_refused() {
    let azure = Azure::start().await;
    let refused = |error: ControlError, what: &str| match error {
        ControlError::Refused {
            status, message, ..
        } => {
            assert_eq!(status, 400);
            assert!(message.contains(what), "{message}");
        }
        ControlError::Transport(error) => unreachable!("{error}"),
    };
    let matcher = |path: Option<&str>, method: Option<&str>| Matcher {
        path: path.map(str::to_owned),
        method: method.map(str::to_owned),
        ..Matcher::default()
    };
    let drop = |matcher| fault(matcher, When::BeforeEffect, FaultAction::DropConnection);
    let glob = drop(matcher(Some("[a"), None));
    refused(azure.control.add_fault(&glob).await.unwrap_err(), "path");
    let method = drop(matcher(None, Some("PUT IT")));
    refused(
        azure.control.add_fault(&method).await.unwrap_err(),
        "method",
    );
    let hold = Hold {
        matcher: Matcher::default(),
        nth: 0,
        when: When::BeforeEffect,
    };
    refused(
        azure.control.add_hold(&hold).await.unwrap_err(),
        "counts from 1",
    );
}

#[tokio::test]
async fn a_field_that_does_not_exist_is_refused() {
    let azure = Azure::start().await;
    for (path, body) in [
        ("/faults", json!({"action": "dropConnection", "time": 1})),
        (
            "/faults",
            json!({"action": {"respond": {"status": 500, "kode": "X"}}}),
        ),
        (
            "/faults",
            json!({"action": "dropConnection", "matcher": {"verb": "PUT"}}),
        ),
        ("/holds", json!({"when": "beforeEffect", "n": 1})),
        ("/issuers", json!({"jwks": {"keys": []}, "url": "x"})),
    ] {
        let url = format!("{}{path}", azure.simulator.control_url());
        let reply = azure.http.post(url).json(&body).send().await.unwrap();
        assert_eq!(reply.status(), 422, "{body}");
    }
}

#[tokio::test]
async fn latency_is_given_by_kind_of_request() {
    let azure = Azure::start_with(SimulatorConfig {
        latency: Duration::from_millis(60),
        ..config()
    })
    .await;
    azure.identity("orders").await;
    let owner = azure.owner().await;
    let timed = || async {
        let started = Instant::now();
        owner.get(&identity_path("orders")).await;
        started.elapsed()
    };
    assert!(timed().await >= Duration::from_millis(60));
    let latency = |matcher, milliseconds| Latency {
        matcher,
        milliseconds,
        jitter_milliseconds: 0,
    };
    let for_gets = latency(operation("UserAssignedIdentities_Get"), 150);
    azure.control.set_latencies(&[for_gets]).await.unwrap();
    assert!(timed().await >= Duration::from_millis(150));
    let for_puts = latency(operation("UserAssignedIdentities_CreateOrUpdate"), 60_000);
    azure.control.set_latencies(&[for_puts]).await.unwrap();
    assert!(timed().await < Duration::from_secs(30));
}

#[tokio::test]
async fn the_control_api_stays_on_loopback() {
    let refused = Simulator::start(SimulatorConfig {
        addresses: Addresses {
            control: "0.0.0.0:0".parse().unwrap(),
            ..Addresses::default()
        },
        ..config()
    })
    .await
    .unwrap_err();
    assert!(refused.to_string().contains("loopback"), "{refused}");
}
