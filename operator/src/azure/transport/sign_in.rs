//! The transport under `azure_identity`, of the 1.x generation.

use async_trait::async_trait;
use azure_core::http::{
    AsyncRawResponse, HttpClient, Request,
    headers::{HeaderName, HeaderValue, Headers},
    request::Body,
};
use serde_json::Value;

use super::http::{Http, Reply};
use crate::azure::error::{AzureError, AzureErrorKind};

/// Sends token requests. What is not a token comes back as [`AzureError`], which `azure_identity` keeps as a source.
/// That error is of a kind that no retry policy takes up, not even the one of over a minute that the managed identity
/// credential insists on: when to try again is the caller's decision.
#[derive(Debug)]
pub(crate) struct SignInTransport {
    http: Http,
}

impl SignInTransport {
    pub(crate) fn new(http: Http) -> Self {
        Self { http }
    }

    async fn execute(&self, request: &Request) -> Result<Reply, AzureError> {
        let request = to_reqwest(request)?;
        let reply = self
            .http
            .send(request)
            .await
            .map_err(|no_reply| no_reply.into_error(AzureErrorKind::SignInUnavailable))?;
        match (reply.is_success(), reply.json()) {
            (true, Some(_)) => Ok(reply),
            (true, None) => Err(AzureError::local(
                AzureErrorKind::SignInUnavailable,
                "the answer of the authority is not json",
            )
            .with_status(reply.status)),
            (false, json) => Err(refusal(&reply, json.as_ref())),
        }
    }
}

#[async_trait]
impl HttpClient for SignInTransport {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let reply = self.execute(request).await.map_err(|error| {
            azure_core::Error::new(azure_core::error::ErrorKind::Credential, error)
        })?;
        let mut headers = Headers::new();
        for (name, value) in &reply.headers {
            if let Ok(value) = value.to_str() {
                headers.insert(
                    HeaderName::from(name.as_str().to_owned()),
                    HeaderValue::from(value.to_owned()),
                );
            }
        }
        Ok(AsyncRawResponse::from_bytes(
            reply.status.into(),
            headers,
            reply.body,
        ))
    }
}

fn to_reqwest(request: &Request) -> Result<reqwest::Request, AzureError> {
    let unsendable = || {
        AzureError::local(
            AzureErrorKind::SignInFailed,
            "cannot build the token request",
        )
    };
    let method = reqwest::Method::from_bytes(request.method().as_str().as_bytes())
        .map_err(|_| unsendable())?;
    let Body::Bytes(body) = request.body() else {
        return Err(unsendable());
    };
    let mut sent = reqwest::Request::new(method, request.url().clone());
    for (name, value) in request.headers().iter() {
        let name = reqwest::header::HeaderName::from_bytes(name.as_str().as_bytes());
        let value = reqwest::header::HeaderValue::from_str(value.as_str());
        let (Ok(name), Ok(mut value)) = (name, value) else {
            return Err(unsendable());
        };
        value.set_sensitive(true);
        sent.headers_mut().insert(name, value);
    }
    *sent.body_mut() = Some(body.clone().into());
    Ok(sent)
}

/// Reads Entra's error: `{error, error_description, error_codes, trace_id}`. The description begins with the
/// `AADSTS…` code and ends with ids and a time, which are left out.
fn refusal(reply: &Reply, json: Option<&Value>) -> AzureError {
    let text = |name: &str| json.and_then(|json| json.get(name)?.as_str());
    let description = text("error_description").map(|description| {
        description
            .split(" Trace ID:")
            .next()
            .unwrap_or_default()
            .trim_end()
    });
    let numbered = json
        .and_then(|json| json.get("error_codes")?.get(0)?.as_u64())
        .map(|number| format!("AADSTS{number}"));
    let code = description
        .and_then(aadsts_code)
        .or(numbered.as_deref())
        .or_else(|| text("error"));
    let mut answer = reply.answer();
    answer.code = code;
    answer.message = description;
    answer.request_id = text("trace_id").or(answer.request_id);
    answer.is_json = json.is_some();
    AzureError::from_sign_in(answer)
}

fn aadsts_code(description: &str) -> Option<&str> {
    let digits = description.strip_prefix("AADSTS")?;
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    description.get(.."AADSTS".len() + end)
}
