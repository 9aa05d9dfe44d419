//! The HTTP client of the exporter: that of the requests to Azure, with its rules. It tells when a collector takes nothing.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;

use crate::azure::error::SetupError;
use crate::azure::{Http, HttpOptions, Reply};

/// Sends what the exporter has made.
#[derive(Debug)]
pub(super) struct Sender {
    http: Http,
    /// The exporter has a thread of its own, in which no request can be made.
    runtime: Handle,
    is_refused: AtomicBool,
}

impl Sender {
    /// One that sends from the runtime that this is called in.
    ///
    /// # Errors
    /// The certificates cannot be used.
    pub(super) fn new(
        ca_file: Option<&Path>,
        request_timeout: Duration,
    ) -> Result<Self, SetupError> {
        let options = HttpOptions {
            request_timeout,
            ca_file: ca_file.map(Path::to_owned),
        };
        Ok(Self {
            http: Http::new(&options)?,
            runtime: Handle::current(),
            is_refused: AtomicBool::new(false),
        })
    }

    async fn sent(&self, request: Request<Bytes>) -> Result<Reply, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move { http.send(request).await });
        Ok(sent.await?.map_err(|no_reply| no_reply.message)?)
    }

    /// Says once that the collector takes nothing, and once that it does again.
    fn tell(&self, problem: Option<String>) {
        let was_refused = self.is_refused.swap(problem.is_some(), Ordering::Relaxed);
        match problem {
            Some(error) if !was_refused => {
                tracing::warn!(
                    error,
                    "the collector of --otlp-endpoint takes no traces; they are lost until it does"
                );
            }
            None if was_refused => tracing::info!("the collector takes traces again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.sent(request).await;
        self.tell(match &sent {
            Ok(reply) if reply.is_success() => None,
            Ok(reply) => Some(format!("it answered {}", reply.status)),
            Err(error) => Some(error.to_string()),
        });
        let reply = sent?;
        let mut response = Response::builder().status(reply.status).body(reply.body)?;
        *response.headers_mut() = reply.headers;
        Ok(response)
    }
}
