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
    let throttled = Throttled;
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
            Conflict,
        ),
        (
            json(
                409,
                "ResourceGroupBeingDeleted",
                "The resource group 'g' is in deprovisioning state and cannot perform this operation.",
            ),
            Conflict,
        ),
        (json(409, "NeverSeenBefore", "Not now."), Conflict),
        (json(423, "Locked", "Not now."), Conflict),
        (json(412, "PreconditionFailed", "Not now."), Conflict),
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
            AccessDenied,
        ),
        (
            json(
                403,
                "DenyAssignmentAuthorizationFailed",
                "The client 'c' has permission to perform the action; however, the access is denied because of the deny assignment.",
            ),
            AccessDenied,
        ),
        (json(403, "LinkedAuthorizationFailed", "No."), AccessDenied),
        (json(403, "NeverSeenBefore", "No."), AccessDenied),
        (
            json(403, "authorizationfailed", "The client 'c' may not."),
            AuthorizationFailed,
        ),
        (
            json(404, "resourcenotfound", "The Resource '/x' was not found."),
            ParentNotFound,
        ),
        (json(404, "NeverSeenBefore", "Not here."), Refused),
        (
            Answer {
                code: None,
                ..json(404, "", "Not here.")
            },
            Refused,
        ),
        (json(402, "PaymentRequired", "No."), Refused),
        (json(410, "Gone", "No."), Refused),
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

#[test]
fn only_two_kinds_of_answer_mean_that_something_is_not_there() {
    for status in 300..600 {
        for code in [
            "",
            "NotFound",
            "ResourceNotFound",
            "ResourceGroupNotFound",
            "SubscriptionNotFound",
            "ParentResourceNotFound",
            "InvalidResourceType",
            "AuthorizationFailed",
            "Conflict",
        ] {
            let kind = AzureError::from_answer(json(status, code, "Something.")).kind();
            let is_absence = status == 404 && code.ends_with("NotFound");
            assert_eq!(kind.means_absence(), is_absence, "{status} {code}");
        }
        assert!(
            !AzureError::from_answer(not_json(status))
                .kind()
                .means_absence()
        );
    }
}

#[test]
fn what_answers_in_the_place_of_azure_is_told() {
    let page = Answer {
        media_type: Some("text/html"),
        ..not_json(503)
    };
    let error = AzureError::from_answer(page);
    assert_eq!(error.to_string(), "a web page (http status 503)");
    assert_eq!(error.cause(), Some(Cause::NotAzure));
    for (location, to) in [
        (
            "https://login.hotel.example/welcome?token=eyJhbGciOiJSUzI1NiJ9",
            "login.hotel.example",
        ),
        ("/elsewhere", "another path"),
    ] {
        let redirect = Answer {
            location: Some(location),
            ..not_json(302)
        };
        let error = AzureError::from_answer(redirect);
        assert_eq!(
            error.to_string(),
            format!("a redirect to {to} (http status 302)")
        );
        assert_eq!(error.cause(), Some(Cause::NotAzure));
    }
    let fault = AzureError::from_answer(json(503, "ServiceUnavailable", "Busy."));
    assert_eq!(fault.cause(), Some(Cause::Fault));
}

#[test]
fn what_was_sent_never_comes_back_in_a_text() {
    let token = "Zm9vLWJhci1zZWNyZXQ0N18xMjM0NTY3ODkw";
    let message = format!("I do not like {} {}", &token[..18], &token[18..]);
    let error = AzureError::from_answer(Answer {
        secrets: &[token],
        ..json(400, "BadRequest", Box::leak(message.into_boxed_str()))
    });
    assert_eq!(error.to_string(), "BadRequest: I do not like [removed]");
}
