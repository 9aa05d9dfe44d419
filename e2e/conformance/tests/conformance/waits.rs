use azure_simulator::Tunables;
use azure_simulator::control::api::{Fault, FaultAction};
use serde_json::json;

use crate::support::{Azure, operation, path, respond};

/// A fault that hits one write of a credential.
fn once(status: u16, headers: &[(&str, &str)]) -> Fault {
    let mut fault = respond(
        path("**/duplicate/federatedIdentityCredentials/*"),
        status,
        "Busy",
    );
    fault.times = Some(1);
    if let FaultAction::Respond { headers: all, .. } = &mut fault.action {
        let own = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        all.extend(own);
    }
    fault
}

#[tokio::test]
async fn a_request_that_is_throttled_is_sent_again_when_it_may_be() {
    let azure = Azure::start().await;
    let fault = once(429, &[("Retry-After", "1")]);
    azure.control.add_fault(&fault).await.unwrap();
    let outcome = azure.run(&["--only=duplicate"]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let requests = azure.control.requests().await.unwrap();
    let writes = requests
        .iter()
        .filter(|it| it.operation == "FederatedIdentityCredentials_CreateOrUpdate");
    let writes: Vec<_> = writes.map(|it| (it.status, it.started)).collect();
    assert_eq!(writes[0].0, Some(429));
    assert!(writes[1].1.duration_since(writes[0].1).as_secs() >= 1);
}

#[tokio::test]
async fn a_request_that_meets_a_server_in_trouble_is_sent_again() {
    let azure = Azure::start().await;
    azure.control.add_fault(&once(503, &[])).await.unwrap();
    let lost = Fault {
        action: FaultAction::DropConnection,
        ..once(503, &[])
    };
    azure.control.add_fault(&lost).await.unwrap();
    let outcome = azure.run(&["--only=duplicate"]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}

#[tokio::test]
async fn a_link_to_another_server_is_not_followed() {
    let azure = Azure::start().await;
    let mut fault = respond(operation("FederatedIdentityCredentials_List"), 200, "");
    let page = json!({"value": [], "nextLink": "https://elsewhere.example/next?api-version=1"});
    if let FaultAction::Respond { body, .. } = &mut fault.action {
        *body = Some(page);
    }
    azure.control.add_fault(&fault).await.unwrap();
    let outcome = azure.run(&["--only=page-size"]).await;
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    let error = outcome.json["errors"][0].as_str().unwrap();
    assert!(
        error.contains("leads elsewhere: https://elsewhere.example"),
        "{error}"
    );
}

/// Where the provider takes one PUT and one DELETE a second for an identity, the second of two is throttled. A PUT and a DELETE overlap.
#[tokio::test]
async fn overlapping_writes_are_seen_where_requests_are_limited() {
    let azure = Azure::start().await;
    let published = serde_json::from_value::<Tunables>(json!({"throttling": {}}));
    let mut limited = json!(published.unwrap());
    for operation in ["put", "delete"] {
        let rate = format!("/throttling/provider/{operation}/resource");
        *limited.pointer_mut(&rate).unwrap() = json!({"perMinute": 60, "burst": 1});
    }
    let limited = serde_json::from_value(limited).unwrap();
    azure.control.set_tunables(&limited).await.unwrap();
    let outcome = azure.run(&["--only=single-writer"]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.facts("same").len(), 2, "{}", outcome.stdout);
}
