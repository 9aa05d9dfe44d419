//! Errors of Resource Manager: status, code and message as published or recorded.

use http::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::core::http::Response;
use crate::core::rbac::DenyAssignment;
use crate::core::tunables::ErrorAnswer;

/// An error answer.
#[derive(Debug, Clone)]
pub(crate) struct ArmError {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) headers: Vec<(&'static str, String)>,
}

pub(crate) type ArmResult<T> = Result<T, ArmError>;

impl ArmError {
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            headers: Vec::new(),
        }
    }

    /// A 404 that Resource Manager gives itself, before it asks the provider, and says so in a header.
    pub(crate) fn not_found_by_gateway(code: &str, message: impl Into<String>) -> Self {
        Self {
            headers: vec![("x-ms-failure-cause", "gateway".to_owned())],
            ..Self::new(StatusCode::NOT_FOUND, code, message)
        }
    }

    /// A 400 of the managed identity provider.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// The body could not be read.
    pub(crate) fn invalid_content(why: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "InvalidRequestContent",
            format!("The request content was invalid and could not be deserialized: '{why}'."),
        )
    }

    /// 401, with the header that tells a client where to sign in.
    pub(crate) fn unauthenticated(
        code: &str,
        message: impl Into<String>,
        authorization_uri: &str,
    ) -> Self {
        let message = message.into();
        let challenge = format!(
            "Bearer authorization_uri=\"{authorization_uri}\", error=\"invalid_token\", error_description=\"{}\"",
            message.replace('"', "'")
        );
        Self {
            headers: vec![("www-authenticate", challenge)],
            ..Self::new(StatusCode::UNAUTHORIZED, code, message)
        }
    }

    pub(crate) fn authorization_failed(
        client_id: Uuid,
        object_id: Uuid,
        action: &str,
        scope: &str,
    ) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "AuthorizationFailed",
            format!(
                "The client '{client_id}' with object id '{object_id}' does not have authorization to perform action '{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials."
            ),
        )
    }

    /// The caller has a role that allows it, and a deny assignment takes it away.
    pub(crate) fn denied(
        client_id: Uuid,
        object_id: Uuid,
        action: &str,
        scope: &str,
        by: &DenyAssignment,
    ) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "DenyAssignmentAuthorizationFailed",
            format!(
                "The client '{client_id}' with object id '{object_id}' has permission to perform action '{action}' on scope '{scope}'; however, the access is denied because of the deny assignment with name 'Deny assignment of the simulator' and Id '{}' at scope '{}'.",
                by.id.simple(),
                by.scope
            ),
        )
    }

    pub(crate) fn subscription_not_found(subscription: Uuid) -> Self {
        Self::not_found_by_gateway(
            "SubscriptionNotFound",
            format!("The subscription '{subscription}' could not be found."),
        )
    }

    pub(crate) fn group_not_found(group: &str) -> Self {
        Self::not_found_by_gateway(
            "ResourceGroupNotFound",
            format!("Resource group '{group}' could not be found."),
        )
    }

    pub(crate) fn identity_not_found(group: &str, name: &str) -> Self {
        Self::not_found_by_gateway(
            "ResourceNotFound",
            format!(
                "The Resource 'Microsoft.ManagedIdentity/userAssignedIdentities/{name}' under resource group '{group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
            ),
        )
    }

    pub(crate) fn parent_not_found(identity: &str, method: &http::Method) -> Self {
        let operation = match *method {
            http::Method::DELETE => "delete",
            _ => "write",
        };
        Self::not_found_by_gateway(
            "ParentResourceNotFound",
            format!(
                "Failed to perform '{operation}' on resource(s) of type 'userAssignedIdentities/federatedIdentityCredentials', because the parent resource '{identity}' could not be found."
            ),
        )
    }

    /// The provider's own, in the words that its other messages have.
    pub(crate) fn credential_not_found(name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            format!("Federated Identity Credential '{name}' was not found."),
        )
    }

    /// Another write on the identity is under way. Text:
    /// <https://github.com/Azure/bicep-registry-modules/issues/1447>.
    pub(crate) fn concurrent_writes(identity: &str) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
            format!(
                "Too many Federated Identity Credentials are written concurrently for the managed identity '{identity}'. Concurrent Federated Identity Credentials writes under the same managed identity are not supported."
            ),
        )
    }

    /// The method is not one that the resource has.
    pub(crate) fn method_not_allowed(method: &http::Method) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "HttpMethodNotSupported",
            format!("The http method '{method}' is not supported for a resource of this type."),
        )
    }

    pub(crate) fn into_response(self) -> Response {
        self.headers.iter().fold(
            Response::json(
                self.status,
                &json!({"error": {"code": self.code, "message": self.message}}),
            ),
            |response, (name, value)| response.with_header(name, value),
        )
    }
}

impl From<&ErrorAnswer> for ArmError {
    fn from(answer: &ErrorAnswer) -> Self {
        Self::new(
            StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_REQUEST),
            &answer.code,
            answer.message.clone(),
        )
    }
}
