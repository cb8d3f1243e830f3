//! Robust statistics: medians and what is built on them.

/// MAD to standard deviation, for normal data.
pub const MAD_TO_SIGMA: f64 = 1.4826;

/// The `q` quantile of the finite values, linearly interpolated; `None` when there are none.
pub fn quantile(values: impl IntoIterator<Item = f64>, q: f64) -> Option<f64> {
    let mut finite: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    let last = finite.len().checked_sub(1)?;
    let first = finite[0];
    if finite.iter().all(|v| *v == first) {
        return Some(first);
    }
    let at = q.clamp(0.0, 1.0) * last as f64;
    // Two of them have to be in place, not all.
    let (_, low, above) = finite.select_nth_unstable_by(at.floor() as usize, f64::total_cmp);
    let low = *low;
    let next = above.iter().copied().min_by(f64::total_cmp);
    let high = next.filter(|_| at.fract() > 0.0).unwrap_or(low);
    Some(low + (high - low) * at.fract())
}

/// The median of the finite values.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    quantile(values, 0.5)
}

/// Median and median absolute deviation of the finite values.
pub fn median_mad(values: &[f64]) -> Option<(f64, f64)> {
    let middle = median(values.iter().copied())?;
    let mad = median(values.iter().map(|v| (v - middle).abs()))?;
    Some((middle, mad))
}

/// Centre and spread for judging how unusual a *high* value is: the median, and the larger of what
/// the MAD and what the upper tenth say. Where the upper tail is heavy, as for tails of latency
/// taken from few requests, the MAD alone would find every tenth value extraordinary.
pub fn centre_and_spread(values: &[f64]) -> Option<(f64, f64)> {
    /// Distance of the 90th percentile from the median in standard deviations, for normal data.
    const UPPER_TENTH: f64 = 1.281_552;
    let (middle, mad) = median_mad(values)?;
    let upper = quantile(values.iter().copied(), 0.9)? - middle;
    Some((middle, (MAD_TO_SIGMA * mad).max(upper / UPPER_TENTH)))
}

/// Distribution function of the standard normal (Abramowitz and Stegun 7.1.26, error < 1.5e-7).
pub fn normal_cdf(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let poly = t
        * (0.254_829_592
            + t * (-0.284_496_736
                + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let erf = 1.0 - poly * (-z * z).exp();
    if x < 0.0 { (1.0 - erf) / 2.0 } else { (1.0 + erf) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_skip_what_is_not_finite() {
        let values = [3.0, f64::NAN, 1.0, f64::INFINITY, 2.0];
        assert_eq!(median(values), Some(2.0));
        assert_eq!(quantile(values, 0.25), Some(1.5));
        assert_eq!(median([f64::NAN]), None);
    }

    /// Two values are put in their places instead of all; sorting finds the same ones.
    #[test]
    fn quantiles_are_what_sorting_finds() {
        for count in 1..40 {
            let values: Vec<f64> = (0..count).map(|n| f64::from(n * 7919 % 31) / 3.0).collect();
            let mut sorted = values.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            for q in [0.0, 0.1, 0.25, 0.5, 0.9, 0.999, 1.0] {
                let at = q * f64::from(count - 1);
                let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
                let expected = low + (high - low) * at.fract();
                assert_eq!(quantile(values.iter().copied(), q), Some(expected), "{count} {q}");
            }
        }
    }

    #[test]
    fn one_outlier_does_not_move_median_and_mad() {
        assert_eq!(median_mad(&[1.0, 2.0, 3.0, 4.0, 1e9]), Some((3.0, 1.0)));
    }

    #[test]
    fn a_heavy_upper_tail_widens_the_spread_and_a_lower_one_does_not() {
        let upper: Vec<f64> =
            (0..100).map(|i| if i < 80 { f64::from(i % 5) } else { 50.0 }).collect();
        assert!(centre_and_spread(&upper).unwrap().1 > 30.0);
        let lower: Vec<f64> = upper.iter().map(|v| -v).collect();
        assert!(centre_and_spread(&lower).unwrap().1 < 3.0);
    }

    #[test]
    fn the_normal_distribution_function_has_its_known_values() {
        for (x, p) in [(0.0, 0.5), (1.0, 0.841_344_7), (-1.96, 0.024_997_9), (6.0, 1.0)] {
            assert!((normal_cdf(x) - p).abs() < 1e-6, "{x}");
        }
    }
}
