use super::{AzureErrorKind::*, *};

fn json(status: u16, code: &'static str, message: &'static str) -> Answer<'static> {
    Answer {
        status,
        code: Some(code),
        message: Some(message),
        is_json: true,
        ..Answer::default()
    }
}

fn not_json(status: u16) -> Answer<'static> {
    Answer {
        status,
        ..Answer::default()
    }
}

#[test]
fn every_answer_of_resource_manager_has_its_kind() {
    let throttled = Throttled { retry_after: None };
    let exists = "Issuer and subject combination already exists for this Managed Identity.";
    for (answer, expected) in [
        (
            json(
                409,
                "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
                "Too many Federated Identity Credentials are written concurrently for the managed identity '/x'.",
            ),
            ConcurrentWrite,
        ),
        (json(400, "BadRequest", exists), IssuerSubjectExists),
        (json(409, "Conflict", exists), IssuerSubjectExists),
        (
            json(409, "Conflict", "Something else is in the way."),
            Refused,
        ),
        (
            json(404, "NotFound", "The credential was not found."),
            CredentialNotFound,
        ),
        (
            json(404, "ResourceNotFound", "The Resource '/x' was not found."),
            ParentNotFound,
        ),
        (
            json(
                404,
                "ResourceGroupNotFound",
                "Resource group 'g' could not be found.",
            ),
            ParentNotFound,
        ),
        (
            json(
                404,
                "SubscriptionNotFound",
                "The subscription 's' could not be found.",
            ),
            ParentNotFound,
        ),
        (
            json(
                404,
                "ParentResourceNotFound",
                "Failed to perform 'write' on resource.",
            ),
            ParentNotFound,
        ),
        (
            json(
                400,
                "BadRequest",
                "MS Graph resource not found during Federated Identity Credential creation.",
            ),
            DirectoryNotReady,
        ),
        (
            json(404, "NotFound", "MS Graph resource not found."),
            DirectoryNotReady,
        ),
        (
            json(
                401,
                "ExpiredAuthenticationToken",
                "The access token expiry is in the past.",
            ),
            Unauthorized,
        ),
        (not_json(401), Unauthorized),
        (
            json(
                403,
                "AuthorizationFailed",
                "The client 'c' does not have authorization.",
            ),
            AuthorizationFailed,
        ),
        (
            json(
                403,
                "RequestDisallowedByPolicy",
                "Resource 'x' was disallowed by policy.",
            ),
            PolicyDenied,
        ),
        (
            json(
                409,
                "ScopeLocked",
                "The scope '/x' cannot perform delete operation.",
            ),
            ScopeLocked,
        ),
        (
            json(
                405,
                "MethodNotAllowed",
                "The request format was unexpected : Support for federated identity credentials not enabled",
            ),
            RegionNotSupported,
        ),
        (
            json(429, "SubscriptionRequestsThrottled", "Too many requests."),
            throttled,
        ),
        (
            json(429, "ResourceRequestsThrottled", "Too many requests."),
            throttled,
        ),
        (
            json(429, "TooManyRequests", "Too many requests."),
            throttled,
        ),
        (json(429, "NeverSeenBefore", "Slow down."), throttled),
        (
            json(403, "SubscriptionRequestsThrottled", "Too many requests."),
            throttled,
        ),
        (not_json(429), throttled),
        (
            json(
                400,
                "BadRequest",
                "Federated identity credentials must have exactly one audience.",
            ),
            Refused,
        ),
        (
            json(
                403,
                "Directory_ResourceSizeExceeded",
                "The size of the object has exceeded its limit.",
            ),
            Refused,
        ),
        (
            json(
                404,
                "InvalidResourceType",
                "The resource type could not be found.",
            ),
            Refused,
        ),
        (json(408, "RequestTimeout", "Took too long."), Unavailable),
        (json(500, "InternalServerError", "Try again."), Unavailable),
        (json(503, "ServiceUnavailable", "Try again."), Unavailable),
        (
            json(
                503,
                "AuthorizationFailed",
                "A fault keeps its class whatever its code.",
            ),
            Unavailable,
        ),
        (not_json(302), Unavailable),
        (not_json(403), Unavailable),
        (not_json(404), Unavailable),
        (not_json(502), Unavailable),
    ] {
        assert_eq!(
            AzureError::from_answer(answer).kind(),
            expected,
            "{answer:?}"
        );
    }
}

#[test]
fn every_answer_of_the_token_endpoint_has_its_kind() {
    for (answer, expected) in [
        (
            json(401, "AADSTS700213", "AADSTS700213: No matching record."),
            SignInFailed,
        ),
        (
            json(400, "AADSTS700016", "AADSTS700016: Application not found."),
            SignInFailed,
        ),
        (
            json(400, "invalid_request", "Identity not found"),
            SignInFailed,
        ),
        (
            json(
                400,
                "AADSTS90024",
                "AADSTS90024: RequestBudgetExceededError.",
            ),
            SignInUnavailable,
        ),
        (
            json(
                400,
                "AADSTS90033",
                "AADSTS90033: A transient error has occurred.",
            ),
            SignInUnavailable,
        ),
        (
            json(400, "AADSTS90055", "AADSTS90055: TenantThrottlingError."),
            SignInUnavailable,
        ),
        (json(429, "too_many", "Slow down."), SignInUnavailable),
        (json(500, "server_error", "Oh."), SignInUnavailable),
        (
            json(410, "gone", "The instance metadata service is updating."),
            SignInUnavailable,
        ),
        (not_json(403), SignInUnavailable),
        (not_json(307), SignInUnavailable),
    ] {
        assert_eq!(
            AzureError::from_sign_in(answer).kind(),
            expected,
            "{answer:?}"
        );
    }
}

#[test]
fn what_is_shown_is_one_safe_line() {
    let answer = Answer {
        request_id: Some("req-1"),
        ..json(
            403,
            "AuthorizationFailed",
            "The client\r\n 'c' may not. eyJhbGciOiJSUzI1NiJ9.eyJ4Ijoxfg.c2ln",
        )
    };
    assert_eq!(
        AzureError::from_answer(answer).to_string(),
        "AuthorizationFailed: The client 'c' may not. [removed] (request id req-1)"
    );
    for (error, shown) in [
        (
            AzureError::from_sign_in(json(
                401,
                "AADSTS700213",
                "AADSTS700213: No matching record.",
            )),
            "AADSTS700213: No matching record.",
        ),
        (
            AzureError::from_answer(not_json(502)),
            "azure answered with http status 502",
        ),
        (
            AzureError::local(Unavailable, "no answer from arm in time"),
            "no answer from arm in time",
        ),
        (
            AzureError::local(Unavailable, "the answer is not json").with_status(200),
            "the answer is not json (http status 200)",
        ),
    ] {
        assert_eq!(error.to_string(), shown);
    }
}

#[test]
fn a_huge_answer_gives_a_short_line() {
    let text = "word ".repeat(10_000);
    let error = AzureError::from_answer(Answer {
        status: 400,
        code: Some(&text),
        message: Some(&text),
        request_id: Some(&text),
        is_json: true,
        ..Answer::default()
    });
    assert!(error.to_string().chars().count() < 1500);
}
