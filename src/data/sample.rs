//! Samples of a metric as remote write delivers them.

use super::labels::Labels;
use super::samples::Samples;

/// Bit pattern of Prometheus' stale marker: the series has ended.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// One value at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Event time, milliseconds since the epoch.
    pub time_ms: i64,
    /// The value; a stale marker is a NaN with [`STALE_NAN_BITS`].
    pub value: f64,
}

impl Sample {
    /// Whether this ends the series.
    pub fn is_stale_marker(&self) -> bool {
        self.value.to_bits() == STALE_NAN_BITS
    }
}

/// What a sender says about a histogram and the one before it in its series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetHint {
    /// Nothing: compare counts and buckets.
    #[default]
    Unknown,
    /// The counts began again at zero.
    Reset,
    /// The counts went on.
    Continued,
    /// The counts are no counters: nothing is to be subtracted.
    Gauge,
}

/// A native histogram at one moment, whatever schema it was sent with.
///
/// A counter like the `_bucket` series of a classic one: counts run from the start of the series, unless
/// [`ResetHint::Gauge`] says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Event time, milliseconds since the epoch.
    pub time_ms: i64,
    /// Observations.
    pub count: f64,
    /// Sum of the observations; a stale marker is a NaN with [`STALE_NAN_BITS`].
    pub sum: f64,
    /// (upper bound, observations), bounds ascending, counts **not** cumulative. A bucket holds what lies
    /// above the bound before it, up to and including its own; where buckets do not adjoin, an empty one
    /// fills the gap. The first begins at minus infinity, the last may end at infinity. Bounds of two
    /// exponential histograms are equal to the bit wherever their schemas share a boundary.
    pub buckets: Vec<(f64, f64)>,
    /// Whether the counts began anew.
    pub reset: ResetHint,
}

impl Histogram {
    /// Whether this ends the series.
    pub fn is_stale_marker(&self) -> bool {
        self.sum.to_bits() == STALE_NAN_BITS
    }
}

/// Samples of one series.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Label pairs with `__name__` among them.
    pub labels: Labels,
    /// Samples in the order sent.
    pub samples: Samples,
    /// Native histograms in the order sent; a series has samples or histograms, rarely both.
    pub histograms: Vec<Histogram>,
}

impl Series {
    /// The value of label `name`.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name)
    }
}
