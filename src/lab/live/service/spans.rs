//! Spans by the OpenTelemetry SDK: its tracer makes them, its batch processor keeps them on a thread of its own, its
//! propagator passes the trace on from service to service.
//!
//! In: requests, calls, and whether they failed. Out: batches to the exporter beside. Absent on purpose: settings by
//! `OTEL_*` variables, for every service of a run sends alike.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{
    SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};

use super::exporter::Exporter;
use super::orders::Orders;
use crate::lab::live::spec::{Call, Kind};

/// Spans that may wait. When the sidecar is away, what is beyond is dropped.
const WAITING_MAX: usize = 8192;
/// Spans of one request to the sidecar.
const BATCH: usize = 512;
/// How long spans wait for others.
const LINGER: Duration = Duration::from_millis(250);
/// How long the last spans of a service may take.
const LAST: Duration = Duration::from_secs(2);

/// Where spans begin.
#[derive(Clone, Debug)]
pub(super) struct Spans {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
}

impl Spans {
    /// Begins to send them; call it in a runtime.
    pub(super) fn start(orders: &Orders) -> Self {
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(WAITING_MAX)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(LINGER)
            .build();
        let processor = BatchSpanProcessor::new(Exporter::to(orders.otlp), batches);
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
            .with_resource(resource(orders))
            .with_span_processor(processor)
            .build();
        let tracer = provider.tracer("sage-lab-live");
        Self { provider, tracer, propagator: TraceContextPropagator::new() }
    }

    /// Begins the span of a request that came with these headers.
    pub(super) fn serve(&self, op: &str, headers: &HeaderMap) -> Context {
        let caller = self.propagator.extract_with_context(&Context::new(), &Carrier(headers));
        let span = self.tracer.span_builder(name(op)).with_kind(SpanKind::Server);
        let span = span.start_with_context(&self.tracer, &caller);
        caller.with_span(span)
    }

    /// Begins the span of a call to what stands behind a name, made for the request `within`.
    pub(super) fn call(&self, call: &Call, kind: Kind, within: &Context) -> Context {
        let peer = match kind {
            Kind::Logic => vec![KeyValue::new("peer.service", call.service.clone())],
            Kind::Redis => store("redis", call),
            Kind::Memcached => store("memcached", call),
        };
        let span = self.tracer.span_builder(name(&call.op)).with_kind(SpanKind::Client);
        let span = span.with_attributes(peer).start_with_context(&self.tracer, within);
        within.with_span(span)
    }

    /// What a request that belongs to `context` carries.
    pub(super) fn carry(&self, context: &Context, headers: &mut HeaderMap) {
        self.propagator.inject_context(context, &mut CarrierMut(headers));
    }

    /// Sends what is left; blocks until it is sent, or for as long as that may take.
    pub(super) fn finish(&self) -> OTelSdkResult {
        self.provider.shutdown_with_timeout(LAST)
    }
}

/// Ends the span of a context.
pub(super) fn end(context: &Context, failed: bool) {
    if failed {
        context.span().set_status(Status::error(""));
    }
    context.span().end();
}

/// Who sends: the names by which metrics know the replica and its node, and those the conventions want beside.
fn resource(orders: &Orders) -> Resource {
    let replica = format!("{}-0", orders.service.name);
    let attributes = [
        KeyValue::new("service.instance.id", replica.clone()),
        KeyValue::new("k8s.pod.name", replica),
        KeyValue::new("k8s.node.name", orders.node.clone()),
        KeyValue::new("host.name", orders.node.clone()),
    ];
    let named = Resource::builder_empty().with_service_name(orders.service.name.clone());
    named.with_attributes(attributes).build()
}

/// A store sends no spans of its own, so the call says where it went.
fn store(system: &'static str, call: &Call) -> Vec<KeyValue> {
    let address = KeyValue::new("server.address", call.service.clone());
    vec![KeyValue::new("db.system.name", system), address]
}

fn name(op: &str) -> Cow<'static, str> {
    Cow::Owned(op.to_string())
}

struct Carrier<'a>(&'a HeaderMap);

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct CarrierMut<'a>(&'a mut HeaderMap);

impl Injector for CarrierMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        // What the propagator writes is a header.
        if let (Ok(name), Ok(value)) = (key.parse::<HeaderName>(), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;
    use crate::lab::live::spec::Service;

    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn spans() -> Spans {
        let service = Service { name: "cart".into(), kind: Kind::Logic, ops: Vec::new() };
        Spans::start(&Orders {
            service,
            node: "here".into(),
            listen: Ipv4Addr::LOCALHOST.into(),
            otlp: SocketAddr::from((Ipv4Addr::LOCALHOST, 9)),
            places: [].into(),
            dir: "none".into(),
        })
    }

    fn headers(traceparent: &str) -> HeaderMap {
        [("traceparent".parse().unwrap(), traceparent.parse().unwrap())].into_iter().collect()
    }

    #[tokio::test]
    async fn a_trace_goes_on_from_the_caller_to_the_callee() {
        let spans = spans();
        let served = spans.serve("Get", &headers(CALLER));
        let call = Call { service: "stock".into(), op: "Look".into() };
        let called = spans.call(&call, Kind::Logic, &served);
        let mut carried = HeaderMap::new();
        spans.carry(&called, &mut carried);
        let id = called.span().span_context().span_id();
        assert_ne!(id, served.span().span_context().span_id());
        let expected = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{id}-01");
        assert_eq!(carried["traceparent"], expected);
    }

    #[tokio::test]
    async fn without_a_header_that_is_one_a_trace_begins() {
        let spans = spans();
        for header in [
            "",
            "00-00000000000000000000000000000000-0000000000000001-01",
            "00-00000000000000000000000000000001-0000000000000000-01",
            "ff-00000000000000000000000000000001-0000000000000001-01",
            "00-0000000000000000000000000000000G-0000000000000001-01",
        ] {
            let served = spans.serve("Get", &headers(header));
            let context = served.span().span_context().clone();
            assert!(context.is_valid() && context.is_sampled(), "{header}");
            assert_ne!(context.trace_id().to_string(), format!("{:032x}", 1), "{header}");
        }
    }
}
