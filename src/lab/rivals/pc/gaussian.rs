//! Independence of what is normally distributed: Fisher's z of the partial correlation.

use super::search::Independence;
use crate::stats::normal_cdf;

/// Columns as their correlations.
#[derive(Debug)]
pub(in crate::lab::rivals) struct Gaussian {
    correlations: Vec<Vec<f64>>,
    rows: usize,
    /// Chance to find a dependence where there is none.
    alpha: f64,
}

impl Gaussian {
    /// Of columns of equal length.
    pub(in crate::lab::rivals) fn new(columns: &[&[f64]], alpha: f64) -> Self {
        let correlations =
            columns.iter().map(|x| columns.iter().map(|y| correlation(x, y)).collect()).collect();
        Self { correlations, rows: columns.first().map_or(0, |c| c.len()), alpha }
    }

    /// Correlation of `x` and `y` with the influence of others removed, by recursion over them.
    pub(super) fn partial(&self, x: usize, y: usize, given: &[usize]) -> f64 {
        let Some((last, rest)) = given.split_last() else { return self.correlations[x][y] };
        let with = |a, b| self.partial(a, b, rest);
        let (xz, yz) = (with(x, *last), with(y, *last));
        let scale = ((1.0 - xz * xz) * (1.0 - yz * yz)).sqrt();
        // One that the condition determines has nothing of its own left.
        if scale < 1e-9 { 0.0 } else { (with(x, y) - xz * yz) / scale }
    }
}

impl Independence for Gaussian {
    fn variables(&self) -> usize {
        self.correlations.len()
    }

    fn holds(&self, x: usize, y: usize, given: &[usize]) -> bool {
        let Some(freedom) = self.rows.checked_sub(given.len() + 3).filter(|f| *f > 0) else {
            return true;
        };
        let r = self.partial(x, y, given).clamp(-0.999_999, 0.999_999);
        let z = r.atanh().abs() * (freedom as f64).sqrt();
        2.0 * (1.0 - normal_cdf(z)) > self.alpha
    }
}

/// Pearson's correlation; 0 when either stands still.
pub(in crate::lab::rivals) fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let count = x.len().min(y.len()) as f64;
    let mean = |v: &[f64]| v.iter().sum::<f64>() / count;
    let (mx, my) = (mean(x), mean(y));
    let product = |a: &[f64], ma: f64, b: &[f64], mb: f64| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum()
    };
    let scale = (product(x, mx, x, mx) * product(y, my, y, my)).sqrt();
    if scale > 0.0 { product(x, mx, y, my) / scale } else { 0.0 }
}
