//! Traces of runs that have ended, told to whoever collects them (OTLP over HTTP). Late or not at all where that one does not answer: a trace is no record.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use sha2::{Digest as _, Sha256};

use crate::model::id::RunId;
use crate::model::time::Timestamp;
use crate::report::trace::{Span, Value};

/// Spans of one request.
const BATCH: usize = 512;
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long is waited before it is tried again; after the last it is left.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

#[derive(Debug)]
pub struct Traces {
    exporter: SpanExporter,
}

#[derive(Debug, thiserror::Error)]
#[error("traces can not be sent to {url}: {why}")]
pub struct TracesError {
    url: String,
    why: String,
}

impl Traces {
    /// `url` is where the collector is (`http://127.0.0.1:4318`), as OTEL_EXPORTER_OTLP_ENDPOINT has it.
    pub fn open(url: &str) -> Result<Self, TracesError> {
        let failed = |why: String| TracesError { url: url.to_owned(), why };
        super::api::tls();
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let endpoint = format!("{}/v1/traces", url.trim_end_matches('/'));
        let builder = SpanExporter::builder().with_http().with_http_client(http).with_endpoint(endpoint).with_protocol(Protocol::HttpBinary);
        let mut exporter = builder.with_timeout(TIMEOUT).build().map_err(|error| failed(error.to_string()))?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        exporter.set_resource(&Resource::builder_empty().with_service_name("tidegate").with_attribute(version).build());
        Ok(Self { exporter })
    }

    /// Tells all of one run.
    pub async fn tell(&self, run: &RunId, spans: &[Span]) {
        for batch in spans.chunks(BATCH) {
            let data: Vec<SpanData> = batch.iter().map(|span| data(run, span)).collect();
            if let Err(why) = self.send(data).await {
                tracing::warn!(run = run.as_str(), "its trace could not be told: {why}");
                return;
            }
        }
    }

    async fn send(&self, data: Vec<SpanData>) -> Result<(), String> {
        for pause in AGAIN {
            if self.exporter.export(data.clone()).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
        }
        self.exporter.export(data).await.map_err(|error| error.to_string())
    }
}

/// Ids follow from what they are of: told twice, it is the same trace.
fn digest(parts: [&str; 2]) -> [u8; 32] {
    let mut whole = Sha256::new();
    for part in parts {
        whole.update((part.len() as u64).to_le_bytes());
        whole.update(part);
    }
    whole.finalize().into()
}

pub fn trace_id(run: &RunId) -> TraceId {
    let mut id = [0; 16];
    id.copy_from_slice(&digest(["run", run.as_str()])[..16]);
    TraceId::from_bytes(id)
}

fn span_id(run: &RunId, of: &str) -> SpanId {
    let mut id = [0; 8];
    id.copy_from_slice(&digest([run.as_str(), of])[..8]);
    SpanId::from_bytes(id)
}

fn moment(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(at.as_micros())
}

fn data(run: &RunId, span: &Span) -> SpanData {
    let mut events = SpanEvents::default();
    events.events = span.events.iter().map(|(at, name)| Event::new(name.clone(), moment(*at), Vec::new(), 0)).collect();
    let attributes = span.attributes.iter().map(|(key, value)| match value {
        Value::Text(text) => KeyValue::new(*key, text.clone()),
        Value::Number(number) => KeyValue::new(*key, i64::try_from(*number).unwrap_or(i64::MAX)),
    });
    SpanData {
        span_context: SpanContext::new(trace_id(run), span_id(run, &span.id), TraceFlags::SAMPLED, false, TraceState::default()),
        parent_span_id: span.parent.as_ref().map_or(SpanId::INVALID, |parent| span_id(run, parent)),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: span.name.clone().into(),
        start_time: moment(span.begin),
        end_time: moment(span.end),
        attributes: attributes.collect(),
        dropped_attributes_count: 0,
        events,
        links: SpanLinks::default(),
        status: span.failed.as_ref().map_or(Status::Ok, |why| Status::error(why.clone())),
        instrumentation_scope: InstrumentationScope::builder("tidegate").build(),
    }
}
