//! Robust statistics: medians and what is built on them.

/// MAD to standard deviation, for normal data.
pub const MAD_TO_SIGMA: f64 = 1.4826;

/// The `q` quantile of the finite values, linearly interpolated; `None` when there are none.
pub fn quantile(values: impl IntoIterator<Item = f64>, q: f64) -> Option<f64> {
    quantiles(values, [q]).map(|[value]| value)
}

/// The same for several `q`.
pub fn quantiles<const N: usize>(
    values: impl IntoIterator<Item = f64>,
    q: [f64; N],
) -> Option<[f64; N]> {
    let mut finite: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    let last = finite.len().checked_sub(1)?;
    let first = finite[0];
    if finite.iter().all(|v| *v == first) {
        return Some([first; N]);
    }
    Some(q.map(|q| {
        let at = q.clamp(0.0, 1.0) * last as f64;
        // Two of them have to be in place, not all.
        let (_, low, above) = finite.select_nth_unstable_by(at.floor() as usize, f64::total_cmp);
        let low = *low;
        let next = above.iter().copied().min_by(f64::total_cmp);
        let high = next.filter(|_| at.fract() > 0.0).unwrap_or(low);
        low + (high - low) * at.fract()
    }))
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

/// Requests from which the quantile `q` of their latency is told with relative standard error `error`. `slope`
/// is that of ln(latency) over -ln(1 - q) there.
///
/// Of `n` requests the share above the quantile has the standard error sqrt(q (1 - q) / n), so -ln(1 - q) has
/// sqrt(q / (1 - q) / n), and ln(latency) `slope` times that. No fewer than an exponential tail needs, of which
/// the slope is 1 / -ln(1 - q): where few are seen, the slope is too small. And no fewer than one beyond the
/// quantile: of fewer the largest is always taken for it.
pub fn requests_for(q: f64, slope: f64, error: f64) -> f64 {
    let exponential = 1.0 / -(1.0 - q).ln();
    let needed = q / (1.0 - q) * (slope.max(exponential) / error).powi(2);
    needed.max(1.0 / (1.0 - q)).ceil()
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

    /// Against many samples of an exponential distribution and of one with a heavier tail.
    #[test]
    fn so_many_requests_tell_a_quantile_as_exactly_as_was_asked_for() {
        use rand::rngs::SmallRng;
        use rand::{RngExt as _, SeedableRng as _};
        let mut rng = SmallRng::seed_from_u64(3);
        // ln(latency) at depth x, and its slope there.
        type Tail = (fn(f64) -> f64, fn(f64) -> f64);
        let tails: [Tail; 2] = [(|x| x.ln(), |x| 1.0 / x), (|x| 0.8 * x, |_| 0.8)];
        for (log_ms, slope) in tails {
            for q in [0.9_f64, 0.95, 0.99] {
                let count = requests_for(q, slope(-(1.0 - q).ln()), 0.1) as usize;
                let rank = (q * count as f64).ceil() as usize - 1;
                let told: Vec<f64> = (0..400)
                    .map(|_| {
                        let depth = |_| -(1.0 - rng.random_range(0.0..1.0_f64)).ln();
                        let mut depths: Vec<f64> = (0..count).map(depth).collect();
                        *depths.select_nth_unstable_by(rank, f64::total_cmp).1
                    })
                    .map(log_ms)
                    .collect();
                let mean = told.iter().sum::<f64>() / told.len() as f64;
                let error =
                    told.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / told.len() as f64;
                assert!((0.08..0.12).contains(&error.sqrt()), "{q}: {count}, {}", error.sqrt());
            }
        }
        // Of an exponential tail, and never fewer than one beyond the quantile.
        assert_eq!([requests_for(0.99, 0.0, 0.2), requests_for(0.99, 0.0, 0.9)], [117.0, 100.0]);
    }

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
                let both = quantiles(values.iter().copied(), [0.75, q]);
                assert_eq!(both, quantile(values.iter().copied(), 0.75).map(|at| [at, expected]));
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
