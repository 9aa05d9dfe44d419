//! Requests and answers as the core sees them: plain values, without a connection.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One of the simulated services. Each has a listener of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Service {
    /// Azure Resource Manager.
    ResourceManager,
    /// Microsoft Entra's token endpoint and discovery documents.
    Entra,
    /// The public issuer of clusters: discovery documents and keys.
    Issuer,
}

/// A request whose body has been read.
#[derive(Debug, Clone)]
pub struct Request {
    /// The service whose listener took it.
    pub service: Service,
    /// HTTP method.
    pub method: Method,
    /// Path as it was sent, percent-encoded.
    pub path: String,
    /// Query as it was sent, without the question mark.
    pub query: String,
    /// Scheme and authority the caller used; links in answers start with it.
    pub base_url: String,
    /// Headers as they were sent.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Request {
    /// A request without query, headers and body, as sent to `https://localhost`. A method that is none is GET.
    pub fn new(service: Service, method: &str, path: &str) -> Self {
        Self {
            service,
            method: method.parse().unwrap_or_default(),
            path: path.to_owned(),
            query: String::new(),
            base_url: "https://localhost".to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// Replaces the query.
    #[must_use]
    pub fn with_query(mut self, query: &str) -> Self {
        query.clone_into(&mut self.query);
        self
    }

    /// Sets a header. A value that no HTTP header can carry is left out.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        set_header(&mut self.headers, name, value);
        self
    }

    /// Replaces the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The path's segments, percent-decoded, without empty ones at the ends. One in the middle is an empty name, and
    /// must not let the next segment take its place.
    pub fn segments(&self) -> Vec<String> {
        self.path
            .trim_matches('/')
            .split('/')
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect()
    }

    /// The first value of a query parameter; Azure compares their names without case.
    pub fn query_parameter(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.into_owned())
    }

    /// A header's value, if it is there and readable as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// An answer, to be handed out once latency and holds have passed.
#[derive(Debug, Clone)]
pub struct Response {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers of the service; the connection adds its own.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// An answer without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// A JSON answer.
    pub fn json(status: StatusCode, body: &Value) -> Self {
        Self::empty(status)
            .with_header("content-type", "application/json; charset=utf-8")
            .with_body(body.to_string())
    }

    /// Replaces the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a header. A value that no HTTP header can carry is left out.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        set_header(&mut self.headers, name, value);
        self
    }
}

fn set_header(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (
        HeaderName::try_from(name),
        HeaderValue::try_from(value.as_bytes()),
    ) {
        headers.insert(name, value);
    }
}

/// What a caller gets.
#[derive(Debug, Clone)]
pub enum Answer {
    /// With an answer.
    Response(Response),
    /// With a connection that is closed without an answer.
    ConnectionDropped,
    /// With a connection that is reset in the middle of this answer's body.
    CutOff(Response),
    /// Not at all: the connection stays open until the caller gives up.
    Never,
}

impl Answer {
    /// The answer, if it arrives whole.
    pub fn response(&self) -> Option<&Response> {
        match self {
            Self::Response(response) => Some(response),
            Self::ConnectionDropped | Self::CutOff(_) | Self::Never => None,
        }
    }
}
