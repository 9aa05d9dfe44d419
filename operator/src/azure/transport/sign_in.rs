//! The transport under `azure_identity`, of the 1.x generation.

use async_trait::async_trait;
use azure_core::http::{
    AsyncRawResponse, HttpClient, Request,
    headers::{HeaderName, HeaderValue, Headers},
    request::Body,
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
use zeroize::Zeroizing;

use super::http::{Http, Reply};
use crate::azure::error::{AzureError, AzureErrorKind, Cause};

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
        let sent = to_reqwest(request)?;
        let template = template(request.url().path());
        let reply = self
            .http
            .send_to_azure(sent, "sign in", template)
            .await
            .map_err(|no_reply| no_reply.into_error(AzureErrorKind::SignInUnavailable))?;
        if !reply.is_success() {
            let secrets = secrets_in(request);
            let secrets: Vec<_> = secrets.iter().map(|it| it.as_str()).collect();
            return Err(refusal(&reply, reply.json().as_ref(), &secrets));
        }
        check(&reply.body).map_err(|problem| {
            AzureError::local(AzureErrorKind::SignInUnavailable, problem)
                .with_status(reply.status)
                .with_cause(Cause::Malformed)
        })?;
        Ok(reply)
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

/// The path of a token request without the tenant in it.
fn template(path: &str) -> &'static str {
    if path.ends_with("/oauth2/v2.0/token") {
        "/{tenant}/oauth2/v2.0/token"
    } else {
        "/metadata/identity/oauth2/token"
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

/// What counts in an answer that brings a token. It is looked at where it lies: a copy would not be zeroed.
#[derive(Deserialize)]
struct TokenAnswer<'a> {
    #[serde(borrow)]
    access_token: &'a str,
    #[serde(borrow)]
    expires_in: Option<Number<'a>>,
    #[serde(borrow)]
    expires_on: Option<Number<'a>>,
}

/// The instance metadata service writes its numbers as strings.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number<'a> {
    Number(i64),
    Text(&'a str),
}

impl Number<'_> {
    /// Whether it is one that a time can be computed with: the library adds it up unseen, and would panic.
    fn is_time(&self) -> bool {
        const YEAR_3000: i64 = 32_503_680_000;
        let number = match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
        };
        number.is_some_and(|it| (0..YEAR_3000).contains(&it))
    }
}

/// Whether a library may be given this body for one that brings a token.
fn check(body: &[u8]) -> Result<(), &'static str> {
    let Ok(answer) = serde_json::from_slice::<TokenAnswer<'_>>(body) else {
        return Err(match serde_json::from_slice::<IgnoredAny>(body) {
            Ok(_) => "the answer of the authority has no token in it",
            Err(_) => "the answer of the authority is not json",
        });
    };
    let times = [&answer.expires_in, &answer.expires_on];
    if !times.into_iter().flatten().all(Number::is_time) {
        return Err("the answer of the authority does not say how long its token lives");
    }
    let is_token = |byte: &u8| byte.is_ascii_graphic();
    if answer.access_token.is_empty() || !answer.access_token.as_bytes().iter().all(is_token) {
        return Err("the answer of the authority has no token in it");
    }
    Ok(())
}

/// What a token request proves itself with, which must not come back in a text.
fn secrets_in(request: &Request) -> Vec<Zeroizing<String>> {
    let Body::Bytes(body) = request.body() else {
        return Vec::new();
    };
    url::form_urlencoded::parse(body)
        .filter(|(name, _)| matches!(name.as_ref(), "client_assertion" | "client_secret"))
        .map(|(_, value)| Zeroizing::new(value.into_owned()))
        .collect()
}

/// Reads Entra's error: `{error, error_description, error_codes, trace_id}`. The description begins with the
/// `AADSTS…` code and ends with ids and a time, which are left out.
fn refusal(reply: &Reply, json: Option<&Value>, secrets: &[&str]) -> AzureError {
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
    answer.secrets = secrets;
    AzureError::from_sign_in(answer)
}

fn aadsts_code(description: &str) -> Option<&str> {
    let digits = description.strip_prefix("AADSTS")?;
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    description.get(.."AADSTS".len() + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_brings_a_token_and_its_time_is_passed_on() {
        for body in [
            r#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"a.b-c_d"}"#,
            r#"{"access_token":"x","expires_on":"1767225600","expires_in":"86399"}"#,
            r#"{"access_token":"x"}"#,
        ] {
            assert_eq!(check(body.as_bytes()), Ok(()), "{body}");
        }
        for body in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"access_token":""}"#,
            r#"{"access_token":7,"expires_in":3599}"#,
            r#"{"access_token":"a b","expires_in":3599}"#,
            "{\"access_token\":\"a\\u0000b\",\"expires_in\":3599}",
            r#"{"access_token":"a","expires_in":-1}"#,
            r#"{"access_token":"a","expires_in":9223372036854775807}"#,
            r#"{"access_token":"a","expires_in":18446744073709551615}"#,
            r#"{"access_token":"a","expires_in":1e300}"#,
            r#"{"access_token":"a","expires_in":"soon"}"#,
            r#"{"access_token":"a","expires_on":"99999999999999"}"#,
        ] {
            assert!(check(body.as_bytes()).is_err(), "{body}");
        }
    }
}
