//! How much work arrives, and what of a metric that explains.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::data::{Frame, RpcWindow};
use crate::graph::CausalNet;
use crate::stats::{MAD_TO_SIGMA, median, median_mad};

/// Rounds of reweighting.
const ROUNDS: usize = 15;
/// Keeps the normal equations solvable when the load never changes.
const RIDGE: f64 = 0.1;
/// Observations needed before load is believed to explain anything.
const PAIRS_MIN: usize = 20;

/// A metric's log level as a quadratic function of the log load, fitted so that outliers do not
/// count (Cauchy weights).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct LoadFit {
    /// Constant, linear and quadratic coefficient.
    coefficients: [f64; 3],
    /// Loads seen; beyond them the curve goes on flat.
    range: (f64, f64),
}

impl LoadFit {
    /// Fits (load, log level) pairs; `middle` is the median level.
    pub(super) fn fit(pairs: &[(f64, f64)], middle: f64) -> Self {
        let low = pairs.iter().map(|(l, _)| *l).fold(f64::INFINITY, f64::min);
        let high = pairs.iter().map(|(l, _)| *l).fold(f64::NEG_INFINITY, f64::max);
        let mut fit =
            Self { coefficients: [middle, 0.0, 0.0], range: (low.min(0.0), high.max(0.0)) };
        if pairs.len() < PAIRS_MIN {
            return fit;
        }
        for _ in 0..ROUNDS {
            let rest: Vec<f64> = pairs.iter().map(|(l, v)| v - fit.at(*l)).collect();
            let sigma = median_mad(&rest).map_or(0.0, |(_, mad)| MAD_TO_SIGMA * mad).max(1e-6);
            let weight = |r: f64| 1.0 / (1.0 + (r / (2.5 * sigma)).powi(2));
            let weights: Vec<f64> = rest.iter().map(|r| weight(*r)).collect();
            match solve(pairs, &weights, middle) {
                Some(coefficients) => fit.coefficients = coefficients,
                None => break,
            }
        }
        fit
    }

    /// The same curve, higher by `distance`.
    pub(super) fn moved(&self, distance: f64) -> Self {
        let [constant, linear, quadratic] = self.coefficients;
        Self { coefficients: [constant + distance, linear, quadratic], range: self.range }
    }

    /// The level that load `l` explains.
    pub(super) fn at(&self, l: f64) -> f64 {
        let l = l.clamp(self.range.0, self.range.1);
        let [a, b, c] = self.coefficients;
        a + b * l + c * l * l
    }
}

/// Weighted least squares of `v - middle` on (1, l, l^2), by Cramer's rule.
fn solve(pairs: &[(f64, f64)], weights: &[f64], middle: f64) -> Option<[f64; 3]> {
    let mut moments = [0.0; 5];
    let mut right = [0.0; 3];
    for ((l, v), w) in pairs.iter().zip(weights) {
        for (k, moment) in moments.iter_mut().enumerate() {
            *moment += w * l.powi(k as i32);
        }
        for (k, r) in right.iter_mut().enumerate() {
            *r += w * (v - middle) * l.powi(k as i32);
        }
    }
    let [m0, m1, m2, m3, m4] = moments;
    let matrix = [[m0, m1, m2], [m1, m2 + RIDGE, m3], [m2, m3, m4 + RIDGE]];
    let whole = determinant(&matrix);
    if whole.abs() < 1e-12 {
        return None;
    }
    let mut solution = [middle, 0.0, 0.0];
    for (k, s) in solution.iter_mut().enumerate() {
        let mut replaced = matrix;
        for (row, r) in replaced.iter_mut().zip(right) {
            row[k] = r;
        }
        *s += determinant(&replaced) / whole;
    }
    Some(solution)
}

fn determinant(m: &[[f64; 3]; 3]) -> f64 {
    m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
        - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
}

/// Median requests per half minute of every service over frames that met QoS, and the log load of
/// every frame.
///
/// # Shapes
/// `[service]`, `[service, frame]`
pub(super) fn loads(frames: &[&Frame], net: &CausalNet, met: &[bool]) -> (Vec<f64>, Array2<f64>) {
    let by_frame: Vec<Vec<f64>> = frames.iter().map(|f| served(f, net)).collect();
    let counts = Array2::from_shape_fn((net.services.len(), frames.len()), |(j, t)| by_frame[t][j]);
    let normal: Vec<f64> = counts
        .outer_iter()
        .map(|row| {
            let calm = row.iter().zip(met).filter(|(c, met)| **met && **c > 0.0).map(|(c, _)| *c);
            median(calm).unwrap_or(0.0)
        })
        .collect();
    let load = Array2::from_shape_fn(counts.dim(), |(j, t)| load_log(counts[[j, t]], normal[j]));
    (normal, load)
}

/// Sum of `value` over the RPCs into each service.
pub(super) fn per_service(
    frame: &Frame,
    net: &CausalNet,
    value: impl Fn(&RpcWindow) -> f64,
) -> Vec<f64> {
    let mut sums = vec![0.0; net.services.len()];
    for window in &frame.rpcs {
        if let Some(j) = net.service(&window.key.callee) {
            sums[j] += value(window);
        }
    }
    sums
}

/// Requests each service served in `frame`, per half minute.
pub(super) fn served(frame: &Frame, net: &CausalNet) -> Vec<f64> {
    per_service(frame, net, |w| frame.requests(w))
}

/// ln of the ratio of two request counts, safe at zero.
pub(super) fn load_log(now: f64, normal: f64) -> f64 {
    ((now + 1.0) / (normal + 1.0)).ln()
}

/// Load as the networks see it. Cut off below: where users wait for answers, latency lowers the
/// load, and a network that may use this learns the effect as a cause.
pub(super) fn input_of_load(log: f64) -> f32 {
    (log / 0.5).clamp(-1.0, 3.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quadratic_is_found_although_a_third_of_the_data_lies() {
        let truth = |l: f64| 2.0 + 0.8 * l - 0.3 * l * l;
        let pairs: Vec<(f64, f64)> = (0..300)
            .map(|i| {
                let l = f64::from(i % 100) / 50.0 - 1.0;
                let noise = 0.01 * (f64::from(i * 37 % 11) - 5.0);
                (l, truth(l) + noise + if i % 3 == 0 { 4.0 } else { 0.0 })
            })
            .collect();
        let fit = LoadFit::fit(&pairs, 2.0);
        for l in [-1.0, -0.5, 0.0, 0.5, 0.9] {
            assert!((fit.at(l) - truth(l)).abs() < 0.1, "{l}: {} {}", fit.at(l), truth(l));
        }
        assert_eq!(fit.at(50.0), fit.at(0.98));
    }

    #[test]
    fn with_little_data_load_explains_nothing() {
        assert_eq!(LoadFit::fit(&[(0.0, 5.0), (1.0, 7.0)], 6.0).at(1.0), 6.0);
    }
}
