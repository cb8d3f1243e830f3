//! Samples of a metric as remote write delivers them.

use super::name::Name;

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

/// Samples of one series.
#[derive(Clone, Debug)]
pub struct Series {
    /// Label pairs with `__name__` among them, sorted by name.
    pub labels: Vec<(Name, Name)>,
    /// Samples in the order sent.
    pub samples: Vec<Sample>,
}

impl Series {
    /// The value of label `name`.
    pub fn label(&self, name: &str) -> Option<&Name> {
        self.labels.iter().find(|(n, _)| &**n == name).map(|(_, v)| v)
    }
}
