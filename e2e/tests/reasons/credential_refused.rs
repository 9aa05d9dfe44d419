//! Azure refuses the write of the credential: with its own codes, on the requests of one identity.

use std::cell::Cell;

use azure_simulator::control::api::FaultAction;
use azwib_crds::WorkloadIdentityBinding;
use azwib_e2e::Environment;
use azwib_e2e::environment::{Namespace, condition};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::says;

fn refusal(status: u16, code: &str, message: &str) -> FaultAction {
    FaultAction::Respond {
        status,
        code: code.to_owned(),
        message: message.to_owned(),
        headers: Vec::new(),
        body: None,
    }
}

/// The write is refused so: the binding says why, its record is withdrawn, and it is Ready once Azure takes the write.
async fn refused(
    purpose: &str,
    action: FaultAction,
    (reason, with): (&str, &str),
    explanation: &str,
) -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace(purpose).await?;
    let orders = shop.identity("orders").await?;
    let outage = env
        .outage(shop.requests_to("PUT", "orders"), action)
        .await?;
    shop.bind_to("orders", &orders).await?;
    let name = shop.credential_name("orders")?;
    let message = format!("cannot write the federated identity credential {name}: {explanation}");
    let binding = says(&shop, "CredentialReady", reason, with, &message).await?;
    // A further try records itself for a moment, and says the same meanwhile.
    shop.until("orders", "without a record", |binding| {
        let status = binding.status.as_ref();
        status.is_some_and(|status| status.credentials.is_empty())
    })
    .await?;
    let account = condition(&binding, "ServiceAccountReady").unwrap();
    assert_eq!(account.status, "True", "the account does not depend on it");
    assert_eq!(shop.credentials(&orders).await?, []);

    outage.end().await?;
    shop.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_policy_that_denies_credentials_is_named() -> anyhow::Result<()> {
    let said = "Resource 'azwib' was disallowed by policy. Policy identifiers: \
                '[{\"policyAssignment\":{\"name\":\"no-credentials\"}}]'.";
    refused(
        "policy",
        refusal(403, "RequestDisallowedByPolicy", said),
        ("PolicyDenied", "Stalled"),
        "RequestDisallowedByPolicy: Resource 'azwib' was disallowed by policy. Policy identifiers: \
         '[{\"policyAssignment\":{\"name\":\"no-credentials\"}}]'; an Azure Policy forbids it: ask for an exemption, or use an \
         identity outside of its scope",
    )
    .await
}

#[tokio::test]
async fn a_lock_on_the_identity_is_named() -> anyhow::Result<()> {
    let said = "The scope 'orders' cannot perform write operation because following scope(s) are locked: 'orders'. \
                Please remove the lock and try again.";
    refused(
        "lock",
        refusal(409, "ScopeLocked", said),
        ("ScopeLocked", "Stalled"),
        "ScopeLocked: The scope 'orders' cannot perform write operation because following scope(s) are locked: 'orders'; \
         remove the lock on the identity or above",
    )
    .await
}

#[tokio::test]
async fn a_region_without_federated_credentials_is_named() -> anyhow::Result<()> {
    let said = "The request format was unexpected : Support for federated identity credentials not enabled";
    refused(
        "region",
        refusal(405, "MethodNotAllowed", said),
        ("RegionNotSupported", "Stalled"),
        "MethodNotAllowed: The request format was unexpected : Support for federated identity credentials not enabled; \
         use a managed identity in a region that supports federated identity credentials",
    )
    .await
}

#[tokio::test]
async fn a_refusal_of_another_kind_is_passed_on() -> anyhow::Result<()> {
    refused(
        "refused",
        refusal(400, "BadRequest", "The request format was unexpected."),
        ("RequestRefused", "Stalled"),
        "BadRequest: The request format was unexpected; correct what Azure names, or report it if the request looks right",
    )
    .await
}

#[tokio::test]
async fn a_conflict_in_azure_is_told_as_one_and_does_not_stall_at_once() -> anyhow::Result<()> {
    let said = "The resource group 'rg-shop' is in deprovisioning state and cannot perform this operation.";
    for (purpose, code) in [
        ("conflict", "Conflict"),
        ("deprovisioning", "ResourceGroupBeingDeleted"),
    ] {
        refused(
            purpose,
            refusal(409, code, said),
            ("AzureConflict", "Reconciling"),
            &format!(
                "{code}: The resource group 'rg-shop' is in deprovisioning state and cannot perform this operation; it is \
                 tried again; if it stays so, look at what goes on with the identity, its resource group and its \
                 subscription"
            ),
        )
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_deny_assignment_is_no_missing_role() -> anyhow::Result<()> {
    let said = "The client 'azwib' has permission to perform action 'write' on scope 'orders'; however, the access is \
                denied because of the deny assignment with name 'stack' and Id '1' at scope 'shop'.";
    refused(
        "deny-assignment",
        refusal(403, "DenyAssignmentAuthorizationFailed", said),
        ("AuthorizationFailed", "Reconciling"),
        &format!(
            "DenyAssignmentAuthorizationFailed: {}; no role of the operator helps: whoever made the deny assignment or the \
             rule has to exclude the operator's identity, or use a managed identity outside of its scope",
            said.trim_end_matches('.')
        ),
    )
    .await
}

#[tokio::test]
async fn a_missing_permission_to_write_is_named() -> anyhow::Result<()> {
    let said = "The client 'azwib' with object id 'azwib' does not have authorization to perform action 'write' over \
                scope 'orders' or the scope is invalid. If access was recently granted, please refresh your credentials.";
    refused(
        "write",
        refusal(403, "AuthorizationFailed", said),
        ("AuthorizationFailed", "Reconciling"),
        "AuthorizationFailed: The client 'azwib' with object id 'azwib' does not have authorization to perform action \
         'write' over scope 'orders' or the scope is invalid; grant the operator a role with this action there; a new \
         role assignment can take 10 minutes",
    )
    .await
}

#[tokio::test]
async fn an_identity_too_new_for_the_directory_is_waited_for() -> anyhow::Result<()> {
    let said = "MS Graph resource not found during Federated Identity Credential creation.";
    refused(
        "new-identity",
        refusal(404, "NotFound", said),
        ("Creating", "Reconciling"),
        "NotFound: MS Graph resource not found during Federated Identity Credential creation; it is tried again without \
         you doing anything",
    )
    .await
}

#[tokio::test]
async fn throttled_writes_are_waited_for() -> anyhow::Result<()> {
    let mut action = refusal(429, "TooManyRequests", "Retry after 2 seconds.");
    if let FaultAction::Respond { headers, .. } = &mut action {
        headers.push(("Retry-After".to_owned(), "2".to_owned()));
    }
    refused(
        "throttled",
        action,
        ("Throttled", "Reconciling"),
        "Azure asks for fewer requests (TooManyRequests: Retry after … seconds); it is tried again without you doing \
         anything",
    )
    .await
}

/// Has the operator try again, and gives every version of the binding up to the one that says how that ended.
async fn versions_of_another_try(
    shop: &Namespace<'_>,
    first: &WorkloadIdentityBinding,
    requested_at: &str,
) -> anyhow::Result<Vec<WorkloadIdentityBinding>> {
    let annotations = json!({ "azwib.dev/reconcile-requested-at": requested_at });
    let patch = Patch::Merge(json!({ "metadata": { "annotations": annotations } }));
    shop.bindings()
        .patch("orders", &PatchParams::default(), &patch)
        .await?;
    let was_recorded = Cell::new(false);
    // The record is written before the PUT, and withdrawn once that is refused.
    shop.versions_until(first, "refused again", |binding| {
        let is_recorded = !binding.status.as_ref().unwrap().credentials.is_empty();
        was_recorded.replace(is_recorded) && !is_recorded
    })
    .await
}

#[tokio::test]
async fn a_refusal_stands_through_the_tries_that_meet_it_again() -> anyhow::Result<()> {
    let env = Environment::shared().await?;
    let shop = env.namespace("refused-again").await?;
    let orders = shop.identity("orders").await?;
    let denied = refusal(
        403,
        "RequestDisallowedByPolicy",
        "Resource 'azwib' was disallowed by policy.",
    );
    let outage = env
        .outage(shop.requests_to("PUT", "orders"), denied)
        .await?;
    shop.bind_to("orders", &orders).await?;
    shop.failing("orders", "CredentialReady", "PolicyDenied")
        .await?;
    let refused = shop.bindings().get("orders").await?;
    let stalled = condition(&refused, "Stalled").unwrap().clone();
    assert_eq!(stalled.reason, "PolicyDenied");

    let mut last = refused;
    for requested_at in ["2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"] {
        let versions = versions_of_another_try(&shop, &last, requested_at).await?;
        // Somebody has asked for that look: until it is made nothing is said to need anybody.
        // The first one is the request itself.
        let looked_at = versions[..versions.len() - 1].iter();
        for version in looked_at.filter(|it| it.status != last.status) {
            let reconciling = condition(version, "Reconciling").unwrap();
            assert_eq!(reconciling.reason, stalled.reason);
            assert_eq!(condition(version, "Stalled"), None);
        }
        let again = condition(versions.last().unwrap(), "Stalled").unwrap();
        assert_eq!(
            (&again.reason, &again.message),
            (&stalled.reason, &stalled.message)
        );
        last = versions.last().unwrap().clone();
    }
    let puts = shop.operator_requests("PUT", "orders").await?;
    assert!(puts.len() >= 3, "{puts:?}");

    outage.end().await?;
    shop.ready("orders").await?;
    Ok(())
}
