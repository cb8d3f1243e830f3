//! How well one list of latencies matches another.

use serde::{Deserialize, Serialize};

use crate::stats::median;

/// Goodness of fit (paper 6.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Fit {
    /// Values compared, where they were counted.
    pub(super) values: Option<usize>,
    /// R² in milliseconds.
    pub(super) r2: f64,
    /// R² in log space, where a millisecond of a fast RPC counts like a second of a slow one.
    pub(super) r2_log: f64,
    /// Root of the mean squared error, milliseconds.
    pub(super) rmse_ms: f64,
    /// Half of the values are off by less than this share of themselves.
    pub(super) median_error: Option<f64>,
}

impl Fit {
    /// Compares pairs of (predicted, true) milliseconds; `None` when there are none or nothing
    /// varies.
    pub(super) fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        let logs: Vec<(f64, f64)> =
            pairs.iter().map(|(p, t)| (p.max(1e-3).ln(), t.max(1e-3).ln())).collect();
        let (r2, mse) = r2_mse(pairs)?;
        let (r2_log, _) = r2_mse(&logs)?;
        let errors = pairs.iter().map(|(p, t)| (p - t).abs() / t.max(1e-3));
        let median_error = median(errors);
        Some(Self { values: Some(pairs.len()), r2, r2_log, rmse_ms: mse.sqrt(), median_error })
    }
}

/// Coefficient of determination and mean squared error.
fn r2_mse(pairs: &[(f64, f64)]) -> Option<(f64, f64)> {
    let n = pairs.len() as f64;
    let mean = pairs.iter().map(|(_, t)| t).sum::<f64>() / n;
    let error: f64 = pairs.iter().map(|(p, t)| (p - t).powi(2)).sum();
    let spread: f64 = pairs.iter().map(|(_, t)| (t - mean).powi(2)).sum();
    (spread > 0.0).then(|| (1.0 - error / spread, error / n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_match_a_constant_guess_and_a_known_error_are_told_apart() {
        let truth = [1.0, 2.0, 4.0, 8.0];
        let of = |guess: &dyn Fn(f64) -> f64| {
            Fit::of(&truth.map(|t| (guess(t), t))).expect("the truth varies")
        };
        let perfect = of(&|t| t);
        assert_eq!((perfect.r2, perfect.r2_log, perfect.rmse_ms), (1.0, 1.0, 0.0));
        let mean = of(&|_| 3.75);
        assert!(mean.r2.abs() < 1e-12 && mean.rmse_ms > 2.0);
        let double = of(&|t| 2.0 * t);
        assert_eq!(double.median_error, Some(1.0));
        assert!((double.rmse_ms - (85.0_f64 / 4.0).sqrt()).abs() < 1e-12);
        assert_eq!(Fit::of(&[]), None);
        assert_eq!(Fit::of(&[(1.0, 2.0), (3.0, 2.0)]), None, "nothing varies");
    }
}
