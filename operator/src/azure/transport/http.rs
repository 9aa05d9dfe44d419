//! reqwest with our rules: rustls, time limits, no redirects, bounded answers.

use std::{
    error::Error as _,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::{
    Certificate, Client, ClientBuilder, Request,
    header::{CONTENT_TYPE, HeaderMap, LOCATION},
    redirect,
};
use serde_json::Value;
use tracing::Instrument;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::azure::{
    error::{Answer, AzureError, AzureErrorKind, Cause, SetupError, safe_line},
    retry_after::RetryAfter,
};
use crate::leader::NoClaim;
use crate::runtime::spans::RequestSpan;

/// The longest answer that is read, in bytes. A full listing of 20 credentials is below 50 kB.
const MAX_BODY_BYTES: usize = 512 << 10;

/// How long a connection may take to come about, if the time for the whole request is not shorter.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Idle connections that are kept for each host: as many as a subscription's requests under way, twice. Each holds some 15 kB.
const IDLE_CONNECTIONS: usize = 32;

const CA_FILE: &str = "ca-file";

/// Headers by which Azure's support finds a request, and all that belong to one operation.
const REQUEST_ID: &str = "x-ms-request-id";
const CORRELATION_ID: &str = "x-ms-correlation-request-id";

/// How requests are made.
#[derive(Debug, Clone)]
pub(crate) struct HttpOptions {
    /// The time for one request, from connecting to the last byte of the answer.
    pub(crate) request_timeout: Duration,
    /// PEM certificates to trust in addition to the bundled public ones.
    pub(crate) ca_file: Option<PathBuf>,
}

/// Takes the place of the network, for a simulation.
#[async_trait]
pub trait Exchange: fmt::Debug + Send + Sync + 'static {
    /// Carries a request to whom it is for and the whole answer back. It keeps the time limit by itself.
    async fn exchange(&self, request: Request) -> Result<Reply, NoReply>;
}

/// What requests go through.
#[derive(Debug, Clone)]
pub(crate) enum Http {
    Network(Clients),
    Simulated(Arc<dyn Exchange>),
}

/// A pair of clients that differ in one thing: the proxy of the environment. It never stands before a loopback or
/// link-local address (the instance metadata service is one), whatever `NO_PROXY` says.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    proxied: Client,
    direct: Client,
}

impl Http {
    pub(crate) fn new(options: &HttpOptions) -> Result<Self, SetupError> {
        Clients::new(options).map(Self::Network)
    }

    /// The same as [`Self::send`] for a request to Azure, which has a span of this name and path.
    pub(super) async fn send_to_azure(
        &self,
        request: Request,
        name: &str,
        template: &str,
    ) -> Result<Reply, NoReply> {
        let host = request.url().host_str().unwrap_or_default();
        let span = RequestSpan::new(name, request.method().as_str(), host, template);
        let outcome = self.send(request).instrument(span.0.clone()).await;
        span.answered(outcome.as_ref().ok().map(|reply| reply.status));
        if let Ok(reply) = &outcome {
            let id = |name| reply.header(name).map(safe_line);
            span.identified(id(REQUEST_ID).as_deref(), id(CORRELATION_ID).as_deref());
        }
        outcome
    }

    /// Sends the request once and reads the whole answer, whatever its status.
    pub(crate) async fn send(&self, request: Request) -> Result<Reply, NoReply> {
        match self {
            Self::Network(clients) => clients.send(request).await,
            Self::Simulated(exchange) => exchange.exchange(request).await,
        }
    }
}

impl Clients {
    fn new(options: &HttpOptions) -> Result<Self, SetupError> {
        let roots = match &options.ca_file {
            Some(path) => ca_bundle(path)?,
            None => Vec::new(),
        };
        let build = |builder: ClientBuilder| {
            builder.build().map_err(|error| match &options.ca_file {
                // The builder reads certificates only now.
                Some(path) if error.is_builder() => unusable_ca(path),
                _ => SetupError::Client(safe_line(&innermost(&error))),
            })
        };
        let builder = || {
            let builder = Client::builder()
                .user_agent(crate::USER_AGENT)
                .use_rustls_tls()
                // The body of a write asks for the claim at a moment that HTTP/1 has (`claimed`).
                .http1_only()
                .pool_max_idle_per_host(IDLE_CONNECTIONS)
                .redirect(redirect::Policy::none())
                .referer(false)
                .connect_timeout(CONNECT_TIMEOUT.min(options.request_timeout))
                .timeout(options.request_timeout);
            roots
                .iter()
                .cloned()
                .fold(builder, ClientBuilder::add_root_certificate)
        };
        Ok(Self {
            proxied: build(builder())?,
            direct: build(builder().no_proxy())?,
        })
    }

    async fn send(&self, request: Request) -> Result<Reply, NoReply> {
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let client = match is_local(request.url()) {
            true => &self.direct,
            false => &self.proxied,
        };
        let lost = |error| NoReply::new(&host, error);
        let mut response = client.execute(request).await.map_err(lost)?;
        let mut body = Received::default();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.0.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(NoReply {
                    message: format!(
                        "the answer of {host} is too long: more than {} kB",
                        MAX_BODY_BYTES >> 10
                    ),
                    never_sent: false,
                    cause: Cause::Malformed,
                });
            }
            body.take(&chunk);
        }
        Ok(Reply {
            status: response.status().as_u16(),
            headers: std::mem::take(response.headers_mut()),
            body: body.into_bytes(),
        })
    }
}

/// What was read of an answer. It may bring a token, so all of it is zeroed: the part that is outgrown, and the whole when the
/// last who reads it is done.
#[derive(Default)]
struct Received(Zeroizing<Vec<u8>>);

impl Received {
    fn take(&mut self, chunk: &[u8]) {
        let needed = self.0.len() + chunk.len();
        if needed > self.0.capacity() {
            // A vector that grows by itself leaves its bytes where they were.
            let capacity = needed.max(2 * self.0.capacity());
            let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(chunk);
    }

    fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.0)
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body, if it is JSON.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// A header, if it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What the headers say, for the body's reader to complete.
    pub(crate) fn answer(&self) -> Answer<'_> {
        Answer {
            status: self.status,
            request_id: self
                .header(REQUEST_ID)
                .or_else(|| self.header(CORRELATION_ID)),
            retry_after: RetryAfter::read(&self.headers, SystemTime::now()),
            media_type: self.header(CONTENT_TYPE.as_str()).map(media_type),
            location: self.header(LOCATION.as_str()),
            ..Answer::default()
        }
    }
}

/// Without its parameters.
fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Why there is no answer, or not the whole of one.
#[derive(Debug)]
pub struct NoReply {
    /// One line with the host and the innermost cause, without the URL.
    pub message: String,
    /// No byte of the request left this machine.
    pub never_sent: bool,
    pub cause: Cause,
}

impl NoReply {
    fn new(host: &str, error: reqwest::Error) -> Self {
        let message = match (error.is_connect(), error.is_timeout()) {
            (true, _) => format!("cannot connect to {host}: {}", innermost(&error)),
            (false, true) => format!("no answer from {host} in time"),
            (false, false) => format!("lost the connection to {host}: {}", innermost(&error)),
        };
        let cause = Cause::of(&error);
        // The body of a request whose claim has ended fails before the first byte of it is on its way.
        let never_sent = error.is_connect() || error.is_builder() || cause == Cause::NoClaim;
        Self {
            message: match cause {
                Cause::NoClaim => NoClaim.to_string(),
                _ => message,
            },
            never_sent,
            cause,
        }
    }

    pub(crate) fn into_error(self, kind: AzureErrorKind) -> AzureError {
        AzureError::local(kind, &self.message).with_cause(self.cause)
    }
}

/// The text of the last cause in the chain: the one that says something.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = None;
    while let Some(error) = cause {
        text = Some(error.to_string());
        cause = error.source();
    }
    text.unwrap_or_else(|| "no cause is known".to_owned())
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_link_local(),
        Some(Host::Ipv6(address)) => address.is_loopback() || address.is_unicast_link_local(),
        None => false,
    }
}

fn ca_bundle(path: &Path) -> Result<Vec<Certificate>, SetupError> {
    let pem = fs::read(path).map_err(|source| SetupError::Unreadable {
        flag: CA_FILE,
        path: path.to_owned(),
        source,
    })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(unusable_ca(path)),
    }
}

fn unusable_ca(path: &Path) -> SetupError {
    SetupError::Unusable {
        flag: CA_FILE,
        path: path.to_owned(),
        problem: "does not hold certificates in PEM form",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whole_in_whatever_pieces_it_comes() {
        for pieces in [1, 7, 64, 5000] {
            let text: Vec<u8> = (0..5000).map(|it| (it % 251) as u8).collect();
            let mut received = Received::default();
            text.chunks(pieces).for_each(|chunk| received.take(chunk));
            assert_eq!(received.into_bytes(), text, "{pieces}");
        }
        assert!(Received::default().into_bytes().is_empty());
    }

    #[test]
    fn local_addresses_are_never_behind_a_proxy() {
        for (url, local) in [
            ("https://127.0.0.1:8443/", true),
            ("https://[::1]/", true),
            ("https://localhost/", true),
            ("http://169.254.169.254/metadata", true),
            ("https://management.azure.com/", false),
            ("https://10.0.0.1/", false),
        ] {
            assert_eq!(is_local(&url.parse().expect("valid")), local, "{url}");
        }
    }
}
