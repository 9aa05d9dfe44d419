//! What to do about a refusal.

use super::Answer;

/// What to do about an answer that is no success.
pub fn advice(answer: &Answer) -> String {
    match (answer.status, answer.code()) {
        (403, "AuthorizationFailed" | "LinkedAuthorizationFailed") => rights(answer),
        (403, "DenyAssignmentAuthorizationFailed") => {
            "a deny assignment forbids it: use another subscription".to_owned()
        }
        (_, "SubscriptionNotFound" | "InvalidSubscriptionId") => {
            "look at --subscription: `az account list` shows those that you can use".to_owned()
        }
        (_, "MissingSubscriptionRegistration") => {
            "register the provider: az provider register --namespace Microsoft.ManagedIdentity"
                .to_owned()
        }
        (_, "ReadOnlyDisabledSubscription" | "DisabledSubscription") => {
            "the subscription is disabled: use another one with --subscription".to_owned()
        }
        (_, "RequestDisallowedByPolicy") => {
            "a policy of this subscription forbids it: use another subscription, or a region that the policy allows (--location)".to_owned()
        }
        (_, "ScopeLocked") => {
            "a lock on the subscription forbids it: use another subscription, or have the lock removed".to_owned()
        }
        (_, code) if code.contains("Location") => {
            "look at --location: `az account list-locations` shows the regions".to_owned()
        }
        (405, _) => {
            "this region may have no federated identity credentials: use another --location".to_owned()
        }
        (429, _) => "the limits of requests are used up: try again in some minutes".to_owned(),
        (_, code) if code.contains("Quota") || code.contains("LimitExceeded") => {
            "a quota is used up: remove what is not needed, or ask for more (https://aka.ms/azure-quotas)".to_owned()
        }
        (500..600, _) => "Azure has a problem: try again later".to_owned(),
        _ => "this is not expected: please report it with this message".to_owned(),
    }
}

fn rights(answer: &Answer) -> String {
    let action = answer
        .message()
        .split_once("perform action '")
        .and_then(|(_, rest)| rest.split_once('\''))
        .map_or("this action", |(action, _)| action);
    let role = if action.starts_with("Microsoft.Authorization/locks") {
        "Owner or Locks Contributor; or leave this probe out with --only"
    } else {
        "Contributor"
    };
    format!(
        "the account that is signed in may not do {action}: it needs a role that allows it on the subscription ({role}); a new role takes up to 10 minutes"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_refusal_says_what_to_do() {
        let lacks = |action: &str| {
            format!(
                "The client 'c' does not have authorization to perform action '{action}' over scope 's'"
            )
        };
        let group = lacks("Microsoft.Resources/subscriptions/resourceGroups/write");
        let lock = lacks("Microsoft.Authorization/locks/write");
        for (status, code, message, expected) in [
            (
                403,
                "AuthorizationFailed",
                group.as_str(),
                "resourceGroups/write: it needs a role that allows it on the subscription (Contributor)",
            ),
            (403, "AuthorizationFailed", lock.as_str(), "--only"),
            (404, "SubscriptionNotFound", "", "az account list"),
            (
                409,
                "MissingSubscriptionRegistration",
                "",
                "az provider register",
            ),
            (400, "LocationNotAvailableForResourceType", "", "--location"),
            (405, "MethodNotAllowed", "", "another --location"),
            (409, "ResourceGroupQuotaExceeded", "", "quota"),
            (403, "RequestDisallowedByPolicy", "", "policy"),
            (409, "ScopeLocked", "", "a lock on the subscription"),
            (429, "TooManyRequests", "", "some minutes"),
            (503, "ServerBusy", "", "later"),
            (418, "Teapot", "", "report it"),
        ] {
            let answer = Answer {
                status,
                retry_after: None,
                body: json!({"error": {"code": code, "message": message}}),
            };
            let advice = advice(&answer);
            assert!(advice.contains(expected), "{status} {code}: {advice}");
        }
    }
}
