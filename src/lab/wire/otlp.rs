//! Spans as OTLP over gRPC.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as OtlpSpan, Status, span::SpanKind, status::StatusCode,
};
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Uri};

use super::api::{ATTEMPTS, ApiError, OVERLOADED};
use crate::data::{Half, Name, PeerKind, Span};

/// Spans in one request, as a collector batches them.
const BATCH: usize = 8192;

/// A request as a collector would send it: one resource per replica.
pub fn encode_export(spans: &[Span]) -> ExportTraceServiceRequest {
    let mut by_replica: BTreeMap<(&Name, &Name), Vec<&Span>> = BTreeMap::new();
    for span in spans {
        by_replica.entry((&span.service, &span.replica)).or_default().push(span);
    }
    let resource_spans = by_replica.into_iter().map(|((service, replica), spans)| {
        let mut attributes = vec![text("service.name", service)];
        if !replica.is_empty() {
            attributes.push(text("k8s.pod.name", replica));
        }
        if let Some(node) = spans.first().map(|s| &s.node).filter(|n| !n.is_empty()) {
            attributes.push(text("k8s.node.name", node));
        }
        ResourceSpans {
            resource: Some(Resource { attributes, ..Default::default() }),
            scope_spans: vec![ScopeSpans {
                spans: spans.into_iter().map(encode).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

fn encode(span: &Span) -> OtlpSpan {
    let kind = match span.half {
        Half::Internal => SpanKind::Internal,
        Half::Server => SpanKind::Server,
        Half::Client => SpanKind::Client,
        Half::Producer => SpanKind::Producer,
        Half::Consumer => SpanKind::Consumer,
    };
    let attributes = match &span.peer {
        Some(peer) if peer.kind == PeerKind::Database => {
            vec![text("db.system.name", "other_sql"), text("server.address", &peer.name)]
        }
        Some(peer) => vec![text("peer.service", &peer.name)],
        None => Vec::new(),
    };
    let parent = if span.parent == 0 { Vec::new() } else { span.parent.to_be_bytes().to_vec() };
    OtlpSpan {
        trace_id: span.trace.to_be_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        parent_span_id: parent,
        trace_state: trace_state(span.weight),
        name: span.op.to_string(),
        kind: kind as i32,
        start_time_unix_nano: span.start_ns,
        end_time_unix_nano: span.end_ns,
        attributes,
        status: span
            .failed
            .then(|| Status { code: StatusCode::Error as i32, ..Default::default() }),
        ..Default::default()
    }
}

/// What a consistent probability sampler leaves in the traces that it keeps.
fn trace_state(weight: Option<f32>) -> String {
    let Some(weight) = weight else { return String::new() };
    let rejected = (1.0 - 1.0 / f64::from(weight)) * 2_f64.powi(56);
    let digits = format!("{:014x}", rejected as u64);
    let digits = digits.trim_end_matches('0');
    format!("ot=th:{}", if digits.is_empty() { "0" } else { digits })
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.into())) }),
        ..Default::default()
    }
}

fn uri(address: SocketAddr) -> Uri {
    format!("http://{address}").parse().expect("an address is a valid authority")
}

/// Sends spans to a sidecar, and comes again when it is told to.
#[derive(Clone, Debug)]
pub struct SpanSender {
    client: TraceServiceClient<Channel>,
}

impl SpanSender {
    /// Connects to the OTLP/gRPC listener.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(address: SocketAddr) -> Result<Self, ApiError> {
        let fail = |e: tonic::transport::Error| ApiError::Unreachable(e.to_string());
        let channel = Endpoint::from(uri(address)).connect().await.map_err(fail)?;
        Ok(Self { client: TraceServiceClient::new(channel) })
    }

    /// Connects to it when there is something to send, and again when it was away; call it in a runtime.
    pub fn lazy(address: SocketAddr) -> Self {
        let endpoint = Endpoint::from(uri(address));
        Self { client: TraceServiceClient::new(endpoint.connect_lazy()) }
    }

    /// Sends spans in batches; returns how many the sidecar rejected.
    ///
    /// # Errors
    /// Any answer that does not ask for a retry, or too many that do.
    pub async fn send(&mut self, spans: &[Span]) -> Result<u64, ApiError> {
        let mut rejected = 0;
        for batch in spans.chunks(BATCH) {
            rejected += self.export(encode_export(batch)).await?;
        }
        Ok(rejected)
    }

    /// Sends one request; returns how many spans the sidecar rejected.
    ///
    /// # Errors
    /// The same.
    pub async fn export(&mut self, request: ExportTraceServiceRequest) -> Result<u64, ApiError> {
        let mut attempt = 0;
        let response = loop {
            match self.client.export(request.clone()).await {
                Ok(response) => break response.into_inner(),
                Err(status) if status.code() == Code::Unavailable && attempt < ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(OVERLOADED).await;
                }
                Err(status) => return Err(ApiError::Refused(status.to_string())),
            }
        };
        let partial = response.partial_success.map_or(0, |p| p.rejected_spans);
        Ok(u64::try_from(partial).unwrap_or(0))
    }
}
