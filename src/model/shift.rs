//! How far a normal value has moved, judged by few values.

use crate::stats::{MAD_TO_SIGMA, median_mad};

/// Values are never taken to vary less than this, in log units: two that agree by chance are no proof.
const SPREAD_MIN: f64 = 0.1;
/// Variance of a median by that of a mean, for normal data.
const MEDIAN_VARIANCE: f64 = std::f64::consts::FRAC_PI_2;

/// The typical value of `moves`, drawn towards zero by as much as chance explains (James and Stein,
/// positive part): a clear move passes whole, noise of a few values does not move anything. `spread` is
/// how much such values are known to vary.
pub(super) fn moved(moves: &[f64], spread: f64) -> f64 {
    let Some((middle, mad)) = median_mad(moves) else { return 0.0 };
    let count = moves.iter().filter(|v| v.is_finite()).count();
    let spread = spread.max(MAD_TO_SIGMA * mad).max(SPREAD_MIN);
    let chance = MEDIAN_VARIANCE * spread * spread / count as f64;
    if middle == 0.0 { 0.0 } else { middle * (1.0 - chance / (middle * middle)).max(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clear_move_passes_and_noise_does_not() {
        let clear = moved(&[1.5, 1.7, 1.6, 1.4], 0.0);
        assert!((clear - 1.55).abs() < 0.05, "{clear}");
        assert_eq!(moved(&[0.05, -0.02, 0.08], 0.0), 0.0);
        assert!(moved(&[0.5, -0.4, 0.3], 0.0) < 0.2);
        assert_eq!(moved(&[], 0.0), 0.0);
    }

    #[test]
    fn known_variation_is_not_taken_for_a_move() {
        assert_eq!(moved(&[0.4, 0.41, 0.42], 1.0), 0.0);
    }

    #[test]
    fn more_values_make_a_small_move_believable() {
        let values = |n: usize| (0..n).map(|i| 0.1 + 0.02 * (i % 3) as f64).collect::<Vec<_>>();
        assert_eq!(moved(&values(1), 0.1), 0.0);
        assert!(moved(&values(60), 0.1) > 0.08);
    }
}
