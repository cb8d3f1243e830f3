//! Bounds on one request.

use crate::receive::config::Config;

/// How much of what a request may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Labels of one series.
    pub labels: usize,
    /// Bytes of a name or value.
    pub name_bytes: usize,
    /// Samples of one series.
    pub series_samples: usize,
    /// Series of wanted metrics.
    pub request_series: usize,
}

impl Limits {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            labels: config.labels_max,
            name_bytes: config.name_bytes_max,
            series_samples: config.series_samples_max,
            request_series: config.request_series_max,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::of(&Config::default())
    }
}
