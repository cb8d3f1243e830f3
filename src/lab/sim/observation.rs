//! What one simulated interval yields: what telemetry shows, and the truth.

use crate::data::{Interval, Series, Span};

/// What one simulated interval yields.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The interval.
    pub interval: Interval,
    /// Spans that ended in it, in the order they ended.
    pub spans: Vec<Span>,
    /// Series that were scraped in it.
    pub series: Vec<Series>,
    /// What no telemetry knows.
    pub truth: Truth,
}

/// What really happened to the users' requests.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Truth {
    /// Time from arrival at the entry to its answer, milliseconds, of every request that was
    /// answered in the interval, in that order. The user's own network is not part of it.
    pub latencies_ms: Vec<f32>,
    /// Requests that came in the interval.
    pub arrived: u64,
    /// Those of them that were turned away because earlier ones had waited too long.
    pub dropped: u64,
    /// Requests without an answer at the end of the interval.
    pub in_flight: u64,
    /// Messages that were lost because far too many requests and messages waited.
    pub messages_lost: u64,
}

impl Truth {
    /// Latency that the share `quantile` of the answered requests stayed within, milliseconds.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let last = self.latencies_ms.len().checked_sub(1)?;
        let rank = (quantile.clamp(0.0, 1.0) * self.latencies_ms.len() as f64).ceil() as usize;
        let mut latencies = self.latencies_ms.clone();
        let at = rank.saturating_sub(1).min(last);
        let (_, value, _) = latencies.select_nth_unstable_by(at, f32::total_cmp);
        Some(f64::from(*value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let latencies_ms = (1..=100).rev().map(|ms| ms as f32).collect();
        let truth = Truth { latencies_ms, ..Truth::default() };
        let of = |q| truth.quantile_ms(q);
        assert_eq!(
            (of(0.5), of(0.99), of(1.0), of(0.0)),
            (Some(50.), Some(99.), Some(100.), Some(1.))
        );
        assert_eq!(Truth::default().quantile_ms(0.5), None);
    }
}
