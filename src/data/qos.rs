//! What counts as good enough, and whether a frame was.

use serde::{Deserialize, Serialize};

use super::frame::Frame;
use super::percentile::Percentiles;

/// "`quantile` of the requests to `service` finish within `target_ms`".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QosTarget {
    /// Entry service.
    pub service: String,
    /// Quantile in (0, 1).
    #[serde(default = "QosTarget::default_quantile")]
    pub quantile: f64,
    /// Milliseconds.
    pub target_ms: f64,
}

impl QosTarget {
    fn default_quantile() -> f64 {
        0.99
    }

    /// The latency the target is about, as `frame` has it; `None` without requests.
    ///
    /// Client-side latency: what callers of the service see. For requests from outside that is the
    /// server side, because nothing else is known.
    pub fn observed_ms(&self, frame: &Frame) -> Option<f64> {
        let parts: Vec<(f64, Percentiles)> = frame
            .entry_rpcs(&self.service)
            .into_iter()
            .filter(|w| w.count > 0)
            .map(|w| (w.count as f64, w.client))
            .collect();
        mixture_quantile(&parts, self.quantile)
    }

    /// Whether `frame` misses the target; `None` without requests.
    pub fn is_violated(&self, frame: &Frame) -> Option<bool> {
        Some(self.observed_ms(frame)? > self.target_ms)
    }
}

/// The `quantile` of requests drawn from several distributions in proportion to their weights.
/// `None` when nothing weighs anything.
pub fn mixture_quantile(parts: &[(f64, Percentiles)], quantile: f64) -> Option<f64> {
    let total: f64 = parts.iter().map(|(w, _)| w).sum();
    if total <= 0.0 {
        return None;
    }
    if let [(_, only)] = parts {
        return Some(only.at(quantile));
    }
    // Share of requests slower than exp(m); monotone, so bisection finds the level.
    let slower =
        |m: f64| -> f64 { parts.iter().map(|(w, p)| w * p.exceedance(m)).sum::<f64>() / total };
    let (mut low, mut high) = (-14.0_f64, 18.0_f64);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if slower(middle) > 1.0 - quantile {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(f64::midpoint(low, high).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixture_of_equals_is_the_same_and_a_slow_minority_rules_the_tail() {
        let fast = Percentiles([1.0, 1.5, 2.0, 2.5, 4.0]);
        let slow = Percentiles([100.0, 150.0, 200.0, 250.0, 400.0]);
        let same = mixture_quantile(&[(1.0, fast), (3.0, fast)], 0.99).unwrap();
        assert!((same - 4.0).abs() < 0.01, "{same}");
        let p99 = mixture_quantile(&[(98.0, fast), (2.0, slow)], 0.99).unwrap();
        assert!((p99 - 100.0).abs() < 5.0, "half of the slow ones lie beyond p99: {p99}");
        let p50 = mixture_quantile(&[(98.0, fast), (2.0, slow)], 0.5).unwrap();
        assert!(p50 < 1.1, "{p50}");
        assert_eq!(mixture_quantile(&[], 0.99), None);
    }
}
