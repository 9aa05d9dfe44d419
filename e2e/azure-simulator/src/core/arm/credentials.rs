//! Federated identity credentials of managed identities.

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::api_version::ApiVersion;
use super::body::parse_body;
use super::error::{ArmError, ArmResult};
use super::ids::credential_id;
use super::paging;
use super::route::IdentityPath;
use crate::core::http::{Request, Response};
use crate::core::state::{
    ClaimsMatchingExpression, Credentials, FederatedCredential, Identity, State,
};
use crate::core::tunables::Tunables;

/// The longest issuer, subject or audience, in characters.
const MAXIMUM_LENGTH: usize = 600;

#[derive(Debug, Deserialize)]
struct Body {
    properties: Option<Properties>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    issuer: Option<String>,
    subject: Option<String>,
    audiences: Option<Vec<String>>,
    claims_matching_expression: Option<ClaimsMatchingExpression>,
}

/// What every operation on credentials needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) request: &'a Request,
    pub(crate) version: &'a ApiVersion,
    pub(crate) tunables: &'a Tunables,
    pub(crate) now: Timestamp,
}

/// A change to an identity's credentials, which others have yet to learn of.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) client_id: Uuid,
    pub(crate) before: Credentials,
    pub(crate) credentials: Credentials,
}

impl Changed {
    fn of(identity: &Identity, before: Credentials) -> Self {
        Self {
            client_id: identity.client_id,
            before,
            credentials: identity.credentials.clone(),
        }
    }
}

fn body(id: &str, credential: &FederatedCredential, version: &ApiVersion) -> Value {
    let mut properties = json!({
        "issuer": credential.issuer,
        "audiences": credential.audiences,
    });
    if let Some(subject) = &credential.subject {
        properties["subject"] = json!(subject);
    }
    if let (true, Some(expression)) = (
        version.has_flexible_credentials(),
        &credential.claims_matching_expression,
    ) {
        properties["claimsMatchingExpression"] = json!(expression);
    }
    json!({
        "id": id,
        "name": credential.name,
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
        "properties": properties,
    })
}

fn id(state: &State, path: &IdentityPath, name: &str) -> ArmResult<String> {
    let group = state.resource_group(&path.group)?;
    let identity = state.identity(path)?;
    Ok(credential_id(
        path.group.subscription,
        &group.name,
        &identity.name,
        name,
    ))
}

pub(crate) fn get(
    state: &State,
    path: &IdentityPath,
    name: &str,
    context: Context<'_>,
) -> ArmResult<Response> {
    let identity = state.identity(path)?;
    let credential = state
        .shown_credentials(identity, context.now)
        .get(&name.to_ascii_lowercase())
        .ok_or_else(|| ArmError::credential_not_found(name))?;
    Ok(Response::json(
        StatusCode::OK,
        &body(
            &id(state, path, &credential.name)?,
            credential,
            context.version,
        ),
    ))
}

pub(crate) fn list(
    state: &State,
    path: &IdentityPath,
    context: Context<'_>,
) -> ArmResult<Response> {
    let mut entries = Vec::new();
    let identity = state.identity(path)?;
    for (key, credential) in state.shown_credentials(identity, context.now) {
        let id = id(state, path, &credential.name)?;
        entries.push((key.clone(), body(&id, credential, context.version)));
    }
    paging::page(context.request, context.tunables.page_size, entries)
}

/// PUT: 201 with `Location` when it is new, 200 when it was there: all of it is replaced.
pub(crate) fn put(
    state: &mut State,
    path: &IdentityPath,
    name: &str,
    context: Context<'_>,
) -> ArmResult<(Response, Changed)> {
    if !is_valid_name(name) {
        return Err(ArmError::bad_request(format!(
            "Federated Identity Credential name '{name}' is invalid."
        )));
    }
    let credential = read(name, parse_body(context.request)?, context.version)?;
    let identity = state
        .identity_mut(path)
        .map_err(|error| parent_of_credential(error, path, &context.request.method))?;
    let key = name.to_ascii_lowercase();
    let duplicate = identity.credentials.iter().any(|(other, existing)| {
        *other != key
            && existing.subject.is_some()
            && existing.issuer == credential.issuer
            && existing.subject == credential.subject
    });
    if duplicate {
        return Err((&context.tunables.duplicate_credential_answer).into());
    }
    let before = identity.credentials.clone();
    let (written, status) = match before.get(&key) {
        Some(existing) => {
            let name = existing.name.clone();
            let written = FederatedCredential { name, ..credential };
            (written, StatusCode::OK)
        }
        None if before.len() >= context.tunables.credential_limit => {
            return Err((&context.tunables.credential_limit_answer).into());
        }
        None => (credential, StatusCode::CREATED),
    };
    identity.credentials.insert(key, written.clone());
    let changed = Changed::of(identity, before);
    let id = id(state, path, &written.name)?;
    let response = Response::json(status, &body(&id, &written, context.version));
    let response = if status == StatusCode::CREATED {
        response.with_header("location", &id)
    } else {
        response
    };
    Ok((response, changed))
}

/// DELETE: 200 when it was there, 204 when not.
pub(crate) fn delete(
    state: &mut State,
    path: &IdentityPath,
    name: &str,
) -> ArmResult<(Response, Option<Changed>)> {
    let identity = state
        .identity_mut(path)
        .map_err(|error| parent_of_credential(error, path, &Method::DELETE))?;
    let before = identity.credentials.clone();
    Ok(
        match identity.credentials.remove(&name.to_ascii_lowercase()) {
            Some(_) => (
                Response::empty(StatusCode::OK),
                Some(Changed::of(identity, before)),
            ),
            None => (Response::empty(StatusCode::NO_CONTENT), None),
        },
    )
}

/// A write below an identity that is missing names the parent; a missing group or subscription keeps its own code.
fn parent_of_credential(error: ArmError, path: &IdentityPath, method: &Method) -> ArmError {
    if error.code == "ResourceNotFound" {
        ArmError::parent_not_found(&path.scope(), method)
    } else {
        error
    }
}

/// Checks a body's shape: issuer, subject and audience are not compared with anything outside.
fn read(name: &str, body: Body, version: &ApiVersion) -> ArmResult<FederatedCredential> {
    let properties = body.properties.ok_or_else(|| {
        ArmError::bad_request("Federated Identity Credential from HTTP body has empty properties")
    })?;
    let expression = properties
        .claims_matching_expression
        .filter(|_| version.has_flexible_credentials());
    let issuer = properties.issuer.filter(|text| !text.is_empty());
    let subject = properties.subject.filter(|text| !text.is_empty());
    let (Some(issuer), Some(audiences)) = (issuer, properties.audiences) else {
        return Err(incomplete());
    };
    if subject.is_none() && expression.is_none() {
        return Err(incomplete());
    }
    if subject.is_some() && expression.is_some() {
        return Err(ArmError::bad_request(
            "Federated Identity Credential must specify exactly one of 'subject' and 'claimsMatchingExpression'.",
        ));
    }
    if audiences.len() != 1 {
        return Err(ArmError::bad_request(
            "Federated identity credentials must have exactly one audience.",
        ));
    }
    if audiences[0].is_empty() {
        return Err(incomplete());
    }
    for (what, text) in [
        ("issuer", Some(&issuer)),
        ("subject", subject.as_ref()),
        ("audience", audiences.first()),
    ] {
        if text.is_some_and(|text| text.chars().count() > MAXIMUM_LENGTH) {
            return Err(ArmError::bad_request(format!(
                "Federated Identity Credential property '{what}' has more than {MAXIMUM_LENGTH} characters."
            )));
        }
    }
    Ok(FederatedCredential {
        name: name.to_owned(),
        issuer,
        subject,
        claims_matching_expression: expression,
        audiences,
    })
}

fn incomplete() -> ArmError {
    ArmError::bad_request(
        "The request format was unexpected. Federated Identity Credential must specify 'issuer', 'subject' and 'audience'.",
    )
}

/// `^[a-zA-Z0-9]{1}[a-zA-Z0-9-_]{2,119}$`, as published.
fn is_valid_name(name: &str) -> bool {
    (3..=120).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}
