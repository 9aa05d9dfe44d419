//! An admission webhook that takes its time, as one does whose backend hangs: the operator's writes in some namespaces wait
//! for it, and then they are let through.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::recorder::OPERATOR;
use super::rule::create;
use crate::api_proxy::tls_config;
use crate::certificates::CertificateAuthority;

/// A running webhook. It ends when this is dropped; its configuration stays, and lets everything through then.
#[derive(Debug)]
pub struct SlowWebhook {
    serving: JoinHandle<()>,
    held: Arc<Held>,
}

/// How many writes are held up.
#[derive(Debug, Default)]
struct Held {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Held {
    fn begin(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn end(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl SlowWebhook {
    /// How many writes it has held up at once, at the most.
    pub fn most_held(&self) -> usize {
        self.held.most.load(Ordering::SeqCst)
    }

    /// Holds up each write of the operator in the namespace for so long, at the most 30 seconds.
    ///
    /// # Errors
    /// Nothing can listen on loopback, or the API server refuses the configuration.
    pub async fn start(client: &Client, namespace: &str, takes: Duration) -> anyhow::Result<Self> {
        let ca = CertificateAuthority::new("a slow webhook")?;
        let tls = TlsAcceptor::from(tls_config(&ca.issue_for_loopback("slow-webhook")?)?);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("https://{}/", listener.local_addr()?);
        let held = Arc::<Held>::default();
        let serving = tokio::spawn(serve(listener, tls, takes, Arc::clone(&held)));
        let all = json!([{
            "apiGroups": ["", "azwib.dev"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
            "resources": ["serviceaccounts", "workloadidentitybindings", "workloadidentitybindings/*"],
        }]);
        let webhook = json!({
            "name": "slow.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Ignore",
            "timeoutSeconds": 30,
            "clientConfig": { "url": url, "caBundle": ByteString(ca.pem().into_bytes()) },
            "rules": all,
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
            "matchConditions": [{ "name": "operator", "expression": format!("request.userInfo.username == '{OPERATOR}'") }],
        });
        let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
        let name = format!("slow-{namespace}");
        let configuration = json!({ "metadata": { "name": name }, "webhooks": [webhook] });
        create(&configurations, configuration).await?;
        Ok(Self { serving, held })
    }
}

impl Drop for SlowWebhook {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, takes: Duration, held: Arc<Held>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, held) = (tls.clone(), Arc::clone(&held));
        connections.spawn(async move {
            // An API server that goes away asks again if it still wants to know.
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let handler = service_fn(|request| answer(request, takes, &held));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), handler)
                .await;
        });
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    takes: Duration,
    held: &Held,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    held.begin();
    tokio::time::sleep(takes).await;
    held.end();
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": { "uid": review["request"]["uid"], "allowed": true },
    });
    let mut response = hyper::Response::new(Full::new(Bytes::from(answer.to_string())));
    let json = http::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json);
    Ok(response)
}
