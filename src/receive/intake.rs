//! What every endpoint needs to hand on what it accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use super::budget::{Budget, Share};
use super::config::Config;
use super::error::Rejection;
use super::metrics::{DropLabels, Metrics};
use super::remote_write::Known;
use crate::data::{EventTime, Series, Span, Telemetry};
use crate::delivery::AlertDelivery;
use crate::hash::HashSet;
use crate::memory::Pressure;
use crate::queue::Sender;

/// How long a request waits for room in the queue before its sender is told to come again.
const PATIENCE: Duration = Duration::from_secs(2);

/// Shared by all endpoints; cheap to clone.
#[derive(Clone, Debug)]
pub struct Intake {
    /// Limits.
    pub config: Arc<Config>,
    /// Counters.
    pub metrics: Metrics,
    /// Bytes of requests that are being read.
    pub budget: Budget,
    /// Whether memory is short: then telemetry is turned away before it is read. Alerts are not.
    pub pressure: Pressure,
    /// Towards the windows.
    pub telemetry: Sender<Telemetry>,
    /// Towards the diagnoses.
    pub alerts: mpsc::Sender<AlertDelivery>,
    /// Series that came before.
    pub known: Arc<Known>,
    /// Metric names worth keeping.
    pub wanted: Arc<HashSet<String>>,
    /// Start of the oldest open interval, milliseconds; older data comes too late.
    pub horizon_ms: Arc<AtomicI64>,
    /// Reads the wall clock, milliseconds; only the guard against the future uses it.
    pub wall_ms: fn() -> i64,
}

/// How many items were dropped, and the reasons in words.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    /// All of them.
    pub(super) count: u64,
    /// Those that came too late, which is hardly the sender's fault.
    pub(super) late: u64,
    pub(super) text: String,
}

/// What was dropped of a remote-write request.
#[derive(Debug, Default)]
pub(super) struct DroppedItems {
    pub(super) samples: u64,
    /// Native histograms.
    pub(super) histograms: u64,
    /// Both, with the reasons.
    pub(super) all: Dropped,
}

impl Dropped {
    pub(super) fn add(&mut self, count: u64, why: impl FnOnce() -> String) {
        if count > 0 {
            self.count += count;
            if !self.text.is_empty() {
                self.text.push_str("; ");
            }
            self.text.push_str(&why());
        }
    }
}

/// Sorts items by whether their time can still be counted.
struct Ages {
    oldest: i64,
    newest: i64,
    kept: usize,
    old: u64,
    future: u64,
}

impl Ages {
    fn new(oldest: i64, newest: i64) -> Self {
        Self { oldest, newest, kept: 0, old: 0, future: 0 }
    }

    fn admit(&mut self, time_ms: i64) -> bool {
        let (is_old, is_future) = (time_ms < self.oldest, time_ms > self.newest);
        self.old += u64::from(is_old);
        self.future += u64::from(is_future);
        let is_kept = !is_old && !is_future;
        self.kept += usize::from(is_kept);
        is_kept
    }

    fn dropped(&self) -> u64 {
        self.old + self.future
    }
}

impl Intake {
    /// Lets a request with telemetry in: its share of the bytes in flight, nothing yet.
    ///
    /// # Errors
    /// [`Rejection::Short`].
    pub(super) fn admit(&self) -> Result<Share, Rejection> {
        if self.pressure.is_short() { Err(Rejection::Short) } else { Ok(self.budget.share()) }
    }

    fn bounds(&self) -> (i64, i64) {
        let ahead = i64::from(self.config.future_seconds_max) * 1000;
        // Before 1970 there is no telemetry, whatever the intervals think.
        let oldest = self.horizon_ms.load(Ordering::Relaxed).max(0);
        (oldest, (self.wall_ms)().saturating_add(ahead))
    }

    /// Hands spans on, less those outside the time that can still be counted.
    pub(super) async fn spans(&self, mut spans: Vec<Span>) -> Result<Dropped, Rejection> {
        let (oldest, newest) = self.bounds();
        let mut ages = Ages::new(oldest, newest);
        spans.retain(|s| ages.admit(EventTime::from_nanos(s.end_ns).0));
        let accepted = ages.kept;
        if accepted > 0 {
            self.telemetry.send(Telemetry::Spans(spans), accepted, PATIENCE).await?;
        }
        self.metrics.spans.inc_by(accepted as u64);
        let drops = &self.metrics.spans_dropped;
        Ok(self.drops(drops, "spans", ages.old, ages.future))
    }

    /// Hands series on, less samples and histograms outside the time that can still be counted.
    pub(super) async fn series(&self, mut series: Vec<Series>) -> Result<DroppedItems, Rejection> {
        let (oldest, newest) = self.bounds();
        let (mut samples, mut histograms) = (Ages::new(oldest, newest), Ages::new(oldest, newest));
        // A histogram takes the room of its buckets.
        let mut buckets = 0;
        series.retain_mut(|s| {
            s.samples.retain(|p| samples.admit(p.time_ms));
            s.histograms.retain(|h| {
                let is_kept = histograms.admit(h.time_ms);
                buckets += if is_kept { h.buckets.len() } else { 0 };
                is_kept
            });
            !(s.samples.is_empty() && s.histograms.is_empty())
        });
        if !series.is_empty() {
            let weight = samples.kept + histograms.kept + buckets;
            self.telemetry.send(Telemetry::Series(series), weight, PATIENCE).await?;
        }
        self.metrics.samples.inc_by(samples.kept as u64);
        self.metrics.histograms.inc_by(histograms.kept as u64);
        let drops = &self.metrics.samples_dropped;
        let (old, future) = (samples.old + histograms.old, samples.future + histograms.future);
        Ok(DroppedItems {
            samples: samples.dropped(),
            histograms: histograms.dropped(),
            all: self.drops(drops, "samples", old, future),
        })
    }

    fn drops(
        &self,
        counter: &prometheus_client::metrics::family::Family<
            DropLabels,
            prometheus_client::metrics::counter::Counter,
        >,
        what: &str,
        old: u64,
        future: u64,
    ) -> Dropped {
        counter.get_or_create(&DropLabels { reason: "too_old" }).inc_by(old);
        counter.get_or_create(&DropLabels { reason: "future" }).inc_by(future);
        let mut dropped = Dropped { late: old, ..Dropped::default() };
        dropped.add(old, || {
            let horizon = EventTime(self.horizon_ms.load(Ordering::Relaxed));
            format!("{old} {what} dropped: older than the oldest open interval ({horizon})")
        });
        dropped.add(future, || {
            let ahead = self.config.future_seconds_max;
            format!("{future} {what} dropped: more than {ahead} s ahead of this host's clock")
        });
        dropped
    }
}
