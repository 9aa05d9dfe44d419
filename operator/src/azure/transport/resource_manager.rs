//! The transport under `azure_mgmt_msi`, of the 0.21 generation.
//!
//! That generation writes whole requests to the debug log, the authorization header included (RUSTSEC-2026-0275).
//! So its client works with a placeholder, and the token is put in here, below its log line.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core_legacy::{
    Body, HttpClient, Request, Response, StatusCode,
    error::{Error, ErrorKind},
    headers::{AUTHORIZATION, Headers},
};
use bytes::Bytes;
use http_body_util::Full;
use reqwest::header::HeaderValue;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::{
    allowed::may_go,
    http::{Http, Reply},
    listing::{keep_what_is_understood, keep_what_is_understood_of_one},
    operation::Operation,
};
use crate::azure::{
    auth::{Authorization, BearerToken, TokenSource},
    error::{AzureError, AzureErrorKind, Cause},
    metrics::RequestMetrics,
};
use crate::leader::{Claim, ClaimedBody};
use crate::runtime::deliberate::Bug;

/// Sends requests to Resource Manager, and to no other host: each carries a token that can act as any identity in
/// reach, and the old client follows a listing's `nextLink` wherever it leads.
#[derive(Debug)]
pub(crate) struct ResourceManagerTransport {
    pub(crate) http: Http,
    pub(crate) tokens: Arc<TokenSource>,
    pub(crate) resource_manager: Url,
    pub(crate) authorization: Authorization,
    pub(crate) requests: RequestMetrics,
    /// Asked for at each write.
    pub(crate) claim: Claim,
}

impl ResourceManagerTransport {
    async fn execute(&self, request: &Request) -> Result<Response, AzureError> {
        if request.url().origin() != self.resource_manager.origin() {
            return Err(AzureError::local(
                AzureErrorKind::Unavailable,
                "refused to send a request to a host that is not the resource manager",
            )
            .with_cause(Cause::NotAzure));
        }
        match self.authorization {
            Authorization::InsideTheClient => {
                let header = request.headers().get_optional_str(&AUTHORIZATION);
                let token = header.and_then(|it| it.strip_prefix("Bearer "));
                let token = token.and_then(BearerToken::new).ok_or_else(unsendable)?;
                self.send(request, &token).await
            }
            Authorization::BelowTheLogLine => {
                let token = self.tokens.token().await?;
                match self.send(request, &token).await {
                    // It may have been revoked, or the cache of the authority gave us a stale one. Nothing was done.
                    Err(error) if error.kind() == AzureErrorKind::Unauthorized => {
                        let token = self.tokens.replace(&token).await?;
                        // A sign-in takes its time: what allowed the write may be over.
                        if !may_go() {
                            return Err(error);
                        }
                        self.send(request, &token).await
                    }
                    outcome => outcome,
                }
            }
        }
    }

    async fn send(&self, request: &Request, token: &BearerToken) -> Result<Response, AzureError> {
        let sent = Instant::now();
        let operation = Operation::of(request.method(), request.url().path());
        let outcome = self.exchange(request, operation, token).await;
        let status = match &outcome {
            Ok(response) => Ok(response.status().into()),
            Err(error) => Err(error.status()),
        };
        self.requests
            .count(operation.asked_for(), status, sent.elapsed());
        outcome
    }

    async fn exchange(
        &self,
        request: &Request,
        operation: Operation,
        token: &BearerToken,
    ) -> Result<Response, AzureError> {
        let is_write = operation.is_write();
        let mut sent = to_reqwest(request, token)?;
        if is_write && self.claim.can_end() && !Bug::ClaimAtRecordOnly.is_on() {
            self.claim.check().map_err(AzureError::without_claim)?;
            let body = sent.body_mut().take();
            let bytes = body.and_then(|it| it.as_bytes().map(Bytes::copy_from_slice));
            let body = ClaimedBody::new(Full::new(bytes.unwrap_or_default()), self.claim.clone());
            *sent.body_mut() = Some(reqwest::Body::wrap(body));
        }
        let (name, template) = (operation.name(), operation.template());
        let reply = self.http.send_to_azure(sent, &name, template).await;
        let reply = reply.map_err(|no_reply| {
            let lost = is_write && !no_reply.never_sent;
            let error = no_reply.into_error(AzureErrorKind::Unavailable);
            if lost { error.of_lost_write() } else { error }
        })?;
        into_response(operation, &reply, token).map_err(|error| match error.kind() {
            AzureErrorKind::Unavailable if is_write => error.of_lost_write(),
            _ => error,
        })
    }
}

#[async_trait]
impl HttpClient for ResourceManagerTransport {
    async fn execute_request(&self, request: &Request) -> azure_core_legacy::Result<Response> {
        self.execute(request)
            .await
            .map_err(|error| Error::new(ErrorKind::Other, error))
    }
}

fn unsendable() -> AzureError {
    AzureError::local(AzureErrorKind::Refused, "cannot build the request")
}

fn to_reqwest(request: &Request, token: &BearerToken) -> Result<reqwest::Request, AzureError> {
    let method = reqwest::Method::from_bytes(request.method().as_ref().as_bytes())
        .map_err(|_| unsendable())?;
    let mut sent = reqwest::Request::new(method, request.url().clone());
    for (name, value) in request.headers().iter() {
        let name = reqwest::header::HeaderName::from_bytes(name.as_str().as_bytes())
            .map_err(|_| unsendable())?;
        let value = HeaderValue::from_str(value.as_str()).map_err(|_| unsendable())?;
        sent.headers_mut().insert(name, value);
    }
    sent.headers_mut()
        .insert(reqwest::header::AUTHORIZATION, token.header());
    let Body::Bytes(body) = request.body() else {
        return Err(unsendable());
    };
    *sent.body_mut() = Some(body.clone().into());
    Ok(sent)
}

/// A success whose body is what was asked for goes on to the old client; anything else is an error here, before that
/// client makes one that hides the headers and shows the body.
fn into_response(
    operation: Operation,
    reply: &Reply,
    token: &BearerToken,
) -> Result<Response, AzureError> {
    let json = reply.json();
    if !reply.is_success() {
        return Err(refusal(reply, json.as_ref(), token));
    }
    let unusable = |message| {
        AzureError::local(AzureErrorKind::Unavailable, message)
            .with_status(reply.status)
            .with_cause(Cause::Malformed)
    };
    let status = StatusCode::try_from(reply.status)
        .map_err(|_| unusable("the resource manager answered with an unknown status"))?;
    let body = match json {
        Some(json) => as_asked_for(operation, json)
            .ok_or_else(|| {
                unusable("the answer of the resource manager is not what was asked for")
            })?
            .to_string()
            .into_bytes(),
        None if reply.body.is_empty() => Vec::new(),
        None => {
            let message = "the answer of the resource manager is not json";
            return Err(unusable(message).with_cause(Cause::NotAzure));
        }
    };
    let body = futures::stream::once(async { Ok(body.into()) });
    Ok(Response::new(status, Headers::new(), Box::pin(body)))
}

/// A GET brings a listing or a resource, a PUT a resource; all resources that azwib knows have properties. A DELETE
/// brings nothing that anybody reads.
fn as_asked_for(operation: Operation, json: Value) -> Option<Value> {
    match operation {
        Operation::DeleteCredential => Some(json),
        Operation::ListCredentials => keep_what_is_understood(json),
        Operation::GetCredential => keep_what_is_understood_of_one(json),
        Operation::GetIdentity | Operation::PutCredential => {
            json.get("properties")?.is_object().then_some(json)
        }
    }
}

/// Reads Resource Manager's error: `{"error": {"code", "message"}}`.
fn refusal(reply: &Reply, json: Option<&Value>, token: &BearerToken) -> AzureError {
    let text = |name: &str| json.and_then(|json| json.get("error")?.get(name)?.as_str());
    let mut answer = reply.answer();
    answer.code = text("code");
    answer.message = text("message");
    answer.is_json = json.is_some();
    let secrets = [token.token()];
    answer.secrets = &secrets;
    AzureError::from_answer(answer)
}
