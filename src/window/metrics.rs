//! Counters of what the windows did with what they got.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::histograms::{Assembled, CONVENTIONS};
use crate::observe::Registry;

/// `reason` something was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    /// Why.
    pub reason: &'static str,
}

/// `item` and `reason` of a drop.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DropLabels {
    /// `span`, `sample` or `histogram`.
    pub item: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// `half` of an RPC whose other half never came.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HalfLabels {
    /// `client` or `server`.
    pub half: &'static str,
}

/// `convention` of a latency histogram.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ConventionLabels {
    /// Its key in the configuration.
    pub convention: &'static str,
}

/// What the windows did.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// RPCs placed in an interval.
    pub rpcs: Counter,
    /// Halves whose other half never came.
    pub unmatched: Family<HalfLabels, Counter>,
    /// Spans, samples and native histograms dropped, by reason.
    pub dropped: Family<DropLabels, Counter>,
    /// Series not followed, by reason.
    pub series_dropped: Family<ReasonLabels, Counter>,
    /// RPCs of closed intervals that latency histograms showed, by convention.
    pub histogram_rpcs: Family<ConventionLabels, Counter>,
    /// Those of them whose percentiles are rough, by reason.
    pub histogram_rpcs_imprecise: Family<ReasonLabels, Counter>,
    /// RPCs counted in the overflow bucket.
    pub rpcs_overflowed: Counter,
    /// Frames closed.
    pub frames: Counter,
    /// Spans waiting for their other half.
    pub spans_waiting: Gauge,
    /// Series followed.
    pub series: Gauge,
    /// Latency histograms followed.
    pub histograms: Gauge,
    /// What the history takes, about.
    pub history_bytes: Gauge,
    /// Open intervals, counted in the configured length.
    pub open_intervals: Gauge,
    /// How long the next interval will be, seconds.
    pub interval_seconds: Gauge<f64, std::sync::atomic::AtomicU64>,
    /// Event-time watermark, seconds since the epoch.
    pub watermark_seconds: Gauge,
    /// Share of halves placed in the newest frame.
    pub completeness_ratio: Gauge<f64, std::sync::atomic::AtomicU64>,
}

impl Metrics {
    /// Creates the counters and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Self::default();
        for half in ["client", "server"] {
            drop(m.unmatched.get_or_create(&HalfLabels { half }));
        }
        for (item, reason) in [
            ("span", "late"),
            ("span", "intervals_full"),
            ("span", "duplicate"),
            ("span", "trace_limit"),
            ("span", "evicted"),
            ("span", "memory"),
            ("sample", "late"),
            ("sample", "intervals_full"),
            ("sample", "duplicate"),
            ("sample", "not_finite"),
            ("sample", "buckets_full"),
            ("sample", "histograms_full"),
            ("sample", "unbound"),
            ("histogram", "late"),
            ("histogram", "intervals_full"),
            ("histogram", "duplicate"),
            ("histogram", "not_finite"),
            ("histogram", "buckets_full"),
            ("histogram", "histograms_full"),
            ("histogram", "gauge"),
        ] {
            drop(m.dropped.get_or_create(&DropLabels { item, reason }));
        }
        for convention in CONVENTIONS {
            drop(m.histogram_rpcs.get_or_create(&ConventionLabels { convention }));
        }
        for reason in ["one_bucket", "beyond_bounds"] {
            drop(m.histogram_rpcs_imprecise.get_or_create(&ReasonLabels { reason }));
        }
        for reason in ["limit", "unbound", "histograms_full"] {
            drop(m.series_dropped.get_or_create(&ReasonLabels { reason }));
        }
        m.expose(registry.sub_registry_with_prefix("sage_window"));
        m
    }

    fn expose(&self, r: &mut Registry) {
        let m = self;
        r.register("rpcs", "RPCs placed in an interval", m.rpcs.clone());
        r.register("unmatched", "RPC halves whose other half never came", m.unmatched.clone());
        r.register(
            "dropped",
            "Spans, samples and native histograms dropped by the windows",
            m.dropped.clone(),
        );
        r.register("series_dropped", "Pushes of series not followed", m.series_dropped.clone());
        r.register("rpcs_overflowed", "RPCs in the overflow bucket", m.rpcs_overflowed.clone());
        r.register("frames", "Frames closed", m.frames.clone());
        r.register("spans_waiting", "Spans waiting for their other half", m.spans_waiting.clone());
        r.register("series", "Series followed", m.series.clone());
        r.register(
            "history_bytes",
            "What the closed intervals in memory take, about",
            m.history_bytes.clone(),
        );
        r.register(
            "open_intervals",
            "Open intervals, counted in the configured length",
            m.open_intervals.clone(),
        );
        r.register(
            "interval_seconds",
            "How long the next interval will be",
            m.interval_seconds.clone(),
        );
        r.register(
            "watermark_timestamp_seconds",
            "Event-time watermark, seconds since the epoch",
            m.watermark_seconds.clone(),
        );
        r.register(
            "completeness_ratio",
            "Share of RPC halves placed in the newest frame",
            m.completeness_ratio.clone(),
        );
        r.register("histograms", "Latency histograms followed", m.histograms.clone());
        r.register(
            "histogram_rpcs",
            "RPCs of closed intervals shown by latency histograms",
            m.histogram_rpcs.clone(),
        );
        r.register(
            "histogram_rpcs_imprecise",
            "RPCs shown by latency histograms with buckets too coarse for percentiles",
            m.histogram_rpcs_imprecise.clone(),
        );
    }

    /// Counts what histograms gave.
    pub(super) fn count_assembled(&self, assembled: &Assembled) {
        for convention in &assembled.by_convention {
            self.histogram_rpcs.get_or_create(&ConventionLabels { convention }).inc();
        }
        for (reason, count) in
            [("one_bucket", assembled.in_one_bucket), ("beyond_bounds", assembled.beyond_bounds)]
        {
            self.histogram_rpcs_imprecise.get_or_create(&ReasonLabels { reason }).inc_by(count);
        }
    }

    pub(super) fn drop_items(&self, item: &'static str, reason: &'static str, count: u64) {
        self.dropped.get_or_create(&DropLabels { item, reason }).inc_by(count);
    }
}
