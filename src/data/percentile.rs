//! A latency distribution as five percentiles.

use serde::{Deserialize, Serialize};

/// The levels of a [`Percentiles`]; the tail is sampled more finely (paper 3.3.1).
pub const LEVELS: [f64; 5] = [0.5, 0.75, 0.9, 0.95, 0.99];

/// Values at [`LEVELS`], in milliseconds, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Percentiles(pub [f32; 5]);

impl Percentiles {
    /// The same value at every level.
    pub fn flat(ms: f32) -> Self {
        Self([ms; 5])
    }

    /// The value at `quantile`, interpolated linearly in `ln(y)` against `-ln(1 - q)` (an
    /// exponential tail is a straight line there); half that slope beyond the last level.
    pub fn at(&self, quantile: f64) -> f64 {
        let x = depth(quantile.clamp(0.0, DEEPEST));
        let y = self.0.map(log);
        let (i, slope) = segment(&y, |i| depth(LEVELS[i]) >= x);
        (y[i] + slope * (x - depth(LEVELS[i]))).exp()
    }

    /// The share of values above `exp(log_ms)`: the inverse of [`Percentiles::at`].
    pub fn exceedance(&self, log_ms: f64) -> f64 {
        let y = self.0.map(log);
        let (i, slope) = segment(&y, |i| y[i] >= log_ms);
        if slope < 1e-9 {
            // A flat stretch: everything is on one side of it.
            return match i {
                _ if log_ms > y[i] => 1.0 - DEEPEST,
                0 => 1.0,
                _ => 1.0 - LEVELS[i - 1],
            };
        }
        let x = depth(LEVELS[i]) + (log_ms - y[i]) / slope;
        (-x).exp().clamp(1.0 - DEEPEST, 1.0)
    }
}

/// Quantiles beyond this are not told apart.
const DEEPEST: f64 = 0.9999;

fn depth(quantile: f64) -> f64 {
    -(1.0 - quantile).ln()
}

fn log(ms: f32) -> f64 {
    f64::from(ms.max(1e-6)).ln()
}

/// The level to start from and the slope of `y` there: that of the segment which ends at the first
/// level that is `reached`, or half the last segment's beyond all levels.
fn segment(y: &[f64; 5], reached: impl Fn(usize) -> bool) -> (usize, f64) {
    let last = LEVELS.len() - 1;
    let slope = |i: usize| (y[i] - y[i - 1]) / (depth(LEVELS[i]) - depth(LEVELS[i - 1]));
    match (0..=last).find(|i| reached(*i)) {
        Some(i) => (i, slope(i.max(1))),
        None => (last, slope(last) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_levels_come_back_exactly_and_others_lie_between() {
        let p = Percentiles([10.0, 20.0, 40.0, 80.0, 160.0]);
        for (q, v) in LEVELS.iter().zip(p.0) {
            assert!((p.at(*q) - f64::from(v)).abs() < 1e-3, "{q}");
        }
        assert!(p.at(0.8) > 20.0 && p.at(0.8) < 40.0);
        assert!(p.at(0.3) < 10.0 && p.at(0.3) > 1.0);
        assert!(p.at(0.999) > 160.0 && p.at(0.999) < 640.0);
    }

    #[test]
    fn exceedance_undoes_at() {
        let p = Percentiles([10.0, 20.0, 40.0, 80.0, 160.0]);
        for q in [0.1, 0.5, 0.6, 0.9, 0.97, 0.99, 0.999] {
            let back = 1.0 - p.exceedance(p.at(q).ln());
            assert!((back - q).abs() < 1e-6, "{q} came back as {back}");
        }
        let flat = Percentiles::flat(7.0);
        assert_eq!((flat.exceedance(8f64.ln()), flat.exceedance(6f64.ln())), (1.0 - DEEPEST, 1.0));
    }
}
