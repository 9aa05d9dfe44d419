//! A collector: it speaks OTLP over http with protobuf, and keeps the spans that it is sent.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use azwib_e2e::Environment;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// The answer that never comes.
const NEVER: u16 = 0;

type Attributes = BTreeMap<String, String>;

/// A span, with its ids as they were sent.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) is_client: bool,
    pub(crate) failed: bool,
    pub(crate) trace: Vec<u8>,
    pub(crate) id: Vec<u8>,
    /// Empty where it has no parent.
    pub(crate) parent: Vec<u8>,
    pub(crate) attributes: Attributes,
    /// Whose it is.
    pub(crate) resource: Attributes,
}

impl Span {
    /// An attribute; an empty text where it has none of this name.
    pub(crate) fn get(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("", String::as_str)
    }
}

/// A running collector. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Collector {
    address: SocketAddr,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    /// What it answers with.
    status: AtomicU16,
    spans: Mutex<Vec<Span>>,
    /// Where every byte goes that was sent, for the check for secrets.
    file: PathBuf,
    /// The last `Authorization` header.
    authorization: Mutex<String>,
}

impl Collector {
    /// One that takes what it is sent. Every byte of it is kept for the check for secrets over all records.
    pub(crate) async fn start(env: &Environment) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            status: AtomicU16::new(200),
            spans: Mutex::default(),
            file: env.records.traces(),
            authorization: Mutex::default(),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&state)));
        Ok(Self {
            address,
            state,
            serving,
        })
    }

    /// The flag of an operator that sends its traces here.
    pub(crate) fn flag(&self) -> String {
        format!("--otlp-endpoint=http://{}", self.address)
    }

    /// Answers with this from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.state.status.store(status, Ordering::SeqCst);
    }

    /// Answers nothing from now on, and keeps the connections open.
    pub(crate) fn hang(&self) {
        self.answer(NEVER);
    }

    /// What it has taken so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.state.spans.lock().unwrap().clone()
    }

    /// Every byte that it was sent.
    pub(crate) fn received(&self) -> anyhow::Result<String> {
        let bytes = std::fs::read(&self.state.file)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The last `Authorization` header.
    pub(crate) fn authorization(&self) -> String {
        self.state.authorization.lock().unwrap().clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let handler = service_fn(|request| answer(request, &state));
            // A client that goes away is its own concern.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), handler)
                .await;
        });
    }
}

async fn answer(
    request: http::Request<Incoming>,
    state: &State,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let is_otlp = request.method() == "POST"
        && request.uri().path() == "/v1/traces"
        && request.headers()[CONTENT_TYPE] == "application/x-protobuf";
    let authorization = request.headers().get(AUTHORIZATION);
    let authorization = authorization.map(|it| it.to_str().unwrap().to_owned());
    *state.authorization.lock().unwrap() = authorization.unwrap_or_default();
    let body = request.into_body().collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&state.file)
        .unwrap();
    file.write_all(&body).unwrap();
    let status = state.status.load(Ordering::SeqCst);
    if status == NEVER {
        std::future::pending::<()>().await;
    }
    let decoded = ExportTraceServiceRequest::decode(body)
        .ok()
        .filter(|_| is_otlp);
    let response = http::Response::builder().header(CONTENT_TYPE, "application/x-protobuf");
    let (status, taken) = match decoded {
        None => (400, Vec::new()),
        Some(sent) if status == 200 => (status, spans_of(sent)),
        Some(_) => (status, Vec::new()),
    };
    state.spans.lock().unwrap().extend(taken);
    let body = ExportTraceServiceResponse::default().encode_to_vec();
    Ok(response.status(status).body(Full::from(body)).unwrap())
}

fn spans_of(sent: ExportTraceServiceRequest) -> Vec<Span> {
    let of_resource = sent.resource_spans.into_iter().flat_map(|resource| {
        let of = attributes(resource.resource.unwrap_or_default().attributes);
        let spans = resource.scope_spans.into_iter().flat_map(|it| it.spans);
        spans.map(move |span| (of.clone(), span))
    });
    let spans = of_resource.map(|(resource, span)| Span {
        is_client: span.kind() == v1::span::SpanKind::Client,
        failed: span
            .status
            .is_some_and(|it| it.code() == v1::status::StatusCode::Error),
        name: span.name,
        trace: span.trace_id,
        id: span.span_id,
        parent: span.parent_span_id,
        attributes: attributes(span.attributes),
        resource,
    });
    spans.collect()
}

fn attributes(attributes: Vec<KeyValue>) -> Attributes {
    let text = |value: Option<AnyValue>| match value.and_then(|it| it.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes
        .into_iter()
        .map(|it| (it.key, text(it.value)))
        .collect()
}
