//! Counters of everything that arrives.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::observe::Registry;

/// `protocol` of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// `otlp_grpc`, `otlp_http`, `remote_write` or `webhook`.
    pub protocol: &'static str,
}

/// `protocol` and `reason` of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RejectLabels {
    /// As in [`RequestLabels`].
    pub protocol: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// `reason` an item was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DropLabels {
    /// Why.
    pub reason: &'static str,
}

/// What arrived, was refused, was dropped.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Requests accepted, by protocol.
    pub requests: Family<RequestLabels, Counter>,
    /// Requests refused, by protocol and reason.
    pub requests_rejected: Family<RejectLabels, Counter>,
    /// Bytes that requests hold while they are read.
    pub bytes_in_flight: Gauge,
    /// Spans accepted.
    pub spans: Counter,
    /// Spans dropped, by reason.
    pub spans_dropped: Family<DropLabels, Counter>,
    /// Samples accepted.
    pub samples: Counter,
    /// Native histograms accepted.
    pub histograms: Counter,
    /// Samples and native histograms dropped, by reason.
    pub samples_dropped: Family<DropLabels, Counter>,
    /// Samples and native histograms of metrics that nobody asked for.
    pub samples_ignored: Counter,
    /// Series whose labels are known by the bytes they came as.
    pub series_known: Gauge,
    /// Series that became or stayed unknown for want of room.
    pub series_forgotten: Counter,
    /// Alerts received.
    pub alerts: Counter,
}

/// Protocols, for initialising counters to zero.
pub(super) const PROTOCOLS: [&str; 4] = ["otlp_grpc", "otlp_http", "remote_write", "webhook"];

impl Metrics {
    /// Creates the counters and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Self::default();
        for protocol in PROTOCOLS {
            drop(m.requests.get_or_create(&RequestLabels { protocol }));
            let always = ["malformed", "too_large", "unsupported", "incomplete", "overloaded"];
            // Alerts are taken in whatever memory is left.
            let rest: &[&str] = if protocol == "webhook" { &[] } else { &["memory"] };
            for reason in always.iter().chain(rest) {
                drop(m.requests_rejected.get_or_create(&RejectLabels { protocol, reason }));
            }
        }
        for reason in ["invalid", "too_old", "future"] {
            drop(m.spans_dropped.get_or_create(&DropLabels { reason }));
            drop(m.samples_dropped.get_or_create(&DropLabels { reason }));
        }
        drop(m.samples_dropped.get_or_create(&DropLabels { reason: "oversized" }));
        let r = registry.sub_registry_with_prefix("sage_receive");
        r.register("requests", "Requests accepted", m.requests.clone());
        r.register("requests_rejected", "Requests refused", m.requests_rejected.clone());
        r.register(
            "in_flight_bytes",
            "Bytes that requests hold while they are read",
            m.bytes_in_flight.clone(),
        );
        r.register("spans", "Spans accepted", m.spans.clone());
        r.register("spans_dropped", "Spans dropped at the door", m.spans_dropped.clone());
        r.register("samples", "Samples accepted", m.samples.clone());
        r.register("histograms", "Native histograms accepted", m.histograms.clone());
        r.register(
            "samples_dropped",
            "Samples and native histograms dropped at the door",
            m.samples_dropped.clone(),
        );
        r.register(
            "samples_ignored",
            "Samples and native histograms of metrics the feature table does not name",
            m.samples_ignored.clone(),
        );
        r.register(
            "series_known",
            "Series whose labels are not read again when they come again",
            m.series_known.clone(),
        );
        r.register(
            "series_forgotten",
            "Series that became or stayed unknown for want of room",
            m.series_forgotten.clone(),
        );
        r.register("alerts", "Alerts received", m.alerts.clone());
        m
    }

    pub(super) fn accept(&self, protocol: &'static str) {
        self.requests.get_or_create(&RequestLabels { protocol }).inc();
    }

    pub(super) fn reject(&self, protocol: &'static str, reason: &'static str) {
        self.requests_rejected.get_or_create(&RejectLabels { protocol, reason }).inc();
    }
}
