//! From spans to OTLP: the SDK of OpenTelemetry, set up.

use std::path::Path;
use std::thread;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use tokio::sync::oneshot;
use tracing_subscriber::Layer;

use super::Collector;
use super::sender::Sender;
use crate::azure::error::SetupError;
use crate::runtime::telemetry::SpanLayer;

/// Spans that wait to be sent: those of some 200 passes, about 2 MB. Those that find no room are dropped.
const WAITING: usize = 2048;

/// How long sending may take, from connecting to the last byte of the answer; and what is left at the end of the process.
const SENT_WITHIN: Duration = Duration::from_secs(5);

/// Why there are no traces although a collector was given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot make an HTTP client for traces")]
    Client(#[from] SetupError),
    /// A variable of OpenTelemetry has a value that does not work.
    #[error("cannot send traces: check the variables that begin with OTEL_")]
    Exporter(#[from] ExporterBuildError),
}

/// What sends spans, if anything does.
#[derive(Debug, Default)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Sends spans to this collector; makes none where there is no collector. `ca_file`: certificates to trust besides the public ones.
    ///
    /// # Errors
    /// The certificates or a variable of OpenTelemetry cannot be used.
    pub fn to(collector: Option<&Collector>, ca_file: Option<&Path>) -> Result<Self, Error> {
        let Some(collector) = collector else {
            return Ok(Self::default());
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender::new(ca_file, SENT_WITHIN)?)
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(SENT_WITHIN)
            .with_endpoint(collector.traces())
            .build()?;
        let batches = BatchConfigBuilder::default().with_max_queue_size(WAITING);
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches.build());
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_span_processor(processor.build())
            .build();
        Ok(Self(Some(provider)))
    }

    /// What takes spans.
    pub fn layer(&self) -> Option<SpanLayer> {
        let tracer = self.0.as_ref()?.tracer("azwib-operator");
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        Some(layer.boxed())
    }

    /// Sends what is left, and waits for that for five seconds at the most.
    pub async fn end(self) {
        let Some(provider) = self.0 else { return };
        let (done, ended) = oneshot::channel();
        // It blocks. Nobody waits for a thread of its own when the process is told to end at once.
        let thread = thread::Builder::new().name("last-traces".to_owned());
        let spawned = thread.spawn(move || {
            // What went wrong the log has told already.
            let _ = provider.shutdown_with_timeout(SENT_WITHIN);
            let _ = done.send(());
        });
        if spawned.is_ok() {
            let _ = ended.await;
        }
    }
}

/// Whose spans they are. `OTEL_RESOURCE_ATTRIBUTES` adds to it, such as the name of the cluster.
fn resource() -> Resource {
    let pod = std::env::var("POD_NAME").ok();
    let pod = pod.map(|pod| KeyValue::new("service.instance.id", pod));
    Resource::builder_empty()
        .with_service_name("azwib-operator")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attributes(pod)
        .with_detectors(&[
            Box::new(TelemetryResourceDetector),
            Box::new(EnvResourceDetector::new()),
        ])
        .build()
}
