//! Abduction, sharpened: the encoders' guess at Z^s is moved to where the posterior density is highest.
//!
//! Encoders are amortised: they guess well on average, and least well at magnitudes they have hardly
//! seen, which is where a diagnosis matters. A few Gauss-Newton steps on the generative model itself
//! close that gap: per service, the z that minimises the loss the networks were trained on, over the
//! RPCs it serves and those it waits for, beside half the squared distance of z from its prior.

use super::dataset::levels;
use super::gvae::LATENTS;
use super::infer::{
    CLIENT_LATENT, ClientInputs, Evaluator, Gaussian, Levels, SERVER_LATENT, ServerInputs, Tier,
};
use super::layout::{Kind, LEVEL_COUNT, Observed, mean_ms};
use super::loss::{HUBER, SIGMA};

/// Steps at most.
const STEPS: usize = 4;
/// Width of the numerical derivatives.
const DELTA: f32 = 0.05;
/// Damping of the first step, and by what it falls after a good step and rises after a bad one.
const DAMPING: (f32, f32) = (0.1, 8.0);
/// An improvement by a smaller share is the last one.
const IMPROVEMENT_MIN: f32 = 1e-3;

type Latent = [f32; LATENTS];

/// The latencies that one service has a part in: what was seen, and all inputs of their decoders but its
/// latent, which alone differs from one guess to the next.
struct Part<'a> {
    evaluator: &'a Evaluator,
    servers: Vec<(usize, ServerInputs)>,
    clients: Vec<(usize, ClientInputs)>,
    observed: Vec<f32>,
}

impl Evaluator {
    /// The most probable latent of service `j`; `tiers` hold the metrics, and the latents that the
    /// dark callees of others are seen with.
    pub(super) fn most_probable(
        &self,
        j: usize,
        observed: &Observed,
        tiers: &[Tier],
        prior: &Gaussian,
        guess: Latent,
    ) -> Latent {
        let part = self.part(j, observed, tiers);
        let mut z = guess;
        if part.observed.is_empty() {
            return z;
        }
        let mut fit = part.fit(&z);
        let (mut cost, mut damping) = (fit.cost(&part.observed, &z, prior), DAMPING.0);
        for _ in 0..STEPS {
            // Slopes are found out where a step begins, and nowhere else.
            let slopes = fit.slopes.get_or_insert_with(|| part.slopes(&z, &fit.predicted));
            let terms = (&part.observed[..], &fit.predicted[..], &slopes[..]);
            let Some(step) = step(terms, &z, prior, damping) else { break };
            let next = std::array::from_fn(|n| z[n] + step[n]);
            let tried = part.fit(&next);
            let next_cost = tried.cost(&part.observed, &next, prior);
            if next_cost < cost {
                let is_last = cost - next_cost < IMPROVEMENT_MIN * cost;
                (z, fit, cost) = (next, tried, next_cost);
                damping /= DAMPING.1;
                if is_last {
                    break;
                }
            } else {
                damping *= DAMPING.1;
            }
        }
        z
    }

    fn part(&self, j: usize, observed: &Observed, tiers: &[Tier]) -> Part<'_> {
        let client = |k: usize| levels(observed, Kind::Client, k);
        let mut part = Part {
            evaluator: self,
            servers: Vec::new(),
            clients: Vec::new(),
            observed: Vec::new(),
        };
        for &i in self.served[j].iter().filter(|i| observed.seen[**i]) {
            let clients: Vec<Levels> = self.children(i).map(client).collect();
            let pool_ms = self.layout.pool_ms(i, |k| mean_ms(&client(k)));
            let caller = self.layout.caller[i].map(|a| &tiers[a]);
            part.servers.push((i, self.server_inputs(i, &tiers[j], caller, &clients, pool_ms)));
            part.observed.extend(levels(observed, Kind::Server, i));
        }
        let waits = |i: &&usize| observed.seen[**i] && self.has_client(**i);
        for &i in self.invoked[j].iter().filter(waits) {
            let parts =
                [Kind::Request, Kind::Response, Kind::Server].map(|k| levels(observed, k, i));
            part.clients.push((i, self.client_inputs(i, &tiers[j], &parts)));
            part.observed.extend(client(i));
        }
        part
    }
}

impl Part<'_> {
    /// Predicts with `z`.
    fn fit(&self, z: &Latent) -> Fit {
        Fit { predicted: self.predict([*z]).into_iter().flatten().collect(), slopes: None }
    }

    /// How predictions change along each axis from `z`, where they are `predicted`; per deviation.
    fn slopes(&self, z: &Latent, predicted: &[f32]) -> Vec<Latent> {
        let axes: [Latent; LATENTS] = std::array::from_fn(|n| {
            let mut moved = *z;
            moved[n] += DELTA;
            moved
        });
        let around = self.predict(axes);
        let slope = |(around, at): (Latent, &f32)| around.map(|p| (p - at) / (DELTA * SIGMA));
        around.into_iter().zip(predicted).map(slope).collect()
    }

    /// Every latency with each of the latents.
    fn predict<const N: usize>(&self, latents: [Latent; N]) -> Vec<[f32; N]> {
        let mut all = Vec::with_capacity(self.observed.len());
        let mut add = |rows: &[Levels]| {
            all.extend((0..LEVEL_COUNT).map(|q| std::array::from_fn(|n| rows[n][q])));
        };
        for (i, (x, waits)) in &self.servers {
            let rows: [ServerInputs; N] = latents.map(|z| (put(x, SERVER_LATENT, &z), *waits));
            add(&self.evaluator.decode_server_free(*i, &rows));
        }
        for (i, (x, parts)) in &self.clients {
            let rows: [ClientInputs; N] = latents.map(|z| (put(x, CLIENT_LATENT, &z), *parts));
            add(&self.evaluator.decode_client_free(*i, &rows));
        }
        all
    }
}

/// `x` with a latent in its place.
fn put<const N: usize>(x: &[f32; N], from: usize, z: &Latent) -> [f32; N] {
    let mut x = *x;
    x[from..from + LATENTS].copy_from_slice(z);
    x
}

/// Predictions with one latent, and how they change around it once that is asked for.
struct Fit {
    predicted: Vec<f32>,
    slopes: Option<Vec<Latent>>,
}

impl Fit {
    fn cost(&self, observed: &[f32], z: &Latent, prior: &Gaussian) -> f32 {
        let loss = |(seen, predicted): (&f32, &f32)| {
            let distance = ((seen - predicted) / SIGMA).abs();
            let near = distance.min(HUBER);
            near * near / 2.0 + (distance - near) * HUBER
        };
        let distance = |n: usize| ((z[n] - prior.mean[n]) / prior.log_sigma[n].exp()).powi(2) / 2.0;
        let misses: f32 = observed.iter().zip(&self.predicted).map(loss).sum();
        misses + (0..LATENTS).map(distance).sum::<f32>()
    }
}

/// `(J' W J + P) step = J' W r - P (z - mean)`, damped: J the derivatives, W Huber's weights, P the
/// precision of the prior. Observed, predicted, and slopes are by latency.
fn step(
    (observed, predicted, slopes): (&[f32], &[f32], &[Latent]),
    z: &Latent,
    prior: &Gaussian,
    damping: f32,
) -> Option<Latent> {
    let (mut a, mut b) = ([[0.0f32; LATENTS]; LATENTS], [0.0f32; LATENTS]);
    for ((seen, predicted), slope) in observed.iter().zip(predicted).zip(slopes) {
        let rest = (seen - predicted) / SIGMA;
        let weight = (HUBER / rest.abs().max(1e-6)).min(1.0);
        for n in 0..LATENTS {
            b[n] += weight * slope[n] * rest;
            for m in 0..LATENTS {
                a[n][m] += weight * slope[n] * slope[m];
            }
        }
    }
    for n in 0..LATENTS {
        let precision = (-2.0 * prior.log_sigma[n]).exp();
        a[n][n] = (a[n][n] + precision) * (1.0 + damping);
        b[n] -= precision * (z[n] - prior.mean[n]);
    }
    solve(a, b)
}

/// Gaussian elimination; the matrix is symmetric and positive, so the diagonal will do for pivots.
fn solve(mut a: [[f32; LATENTS]; LATENTS], mut b: Latent) -> Option<Latent> {
    for k in 0..LATENTS {
        for row in k + 1..LATENTS {
            let factor = a[row][k] / a[k][k];
            let above = a[k];
            for (value, above) in a[row].iter_mut().zip(above).skip(k) {
                *value -= factor * above;
            }
            b[row] -= factor * b[k];
        }
    }
    for k in (0..LATENTS).rev() {
        let known: f32 = (k + 1..LATENTS).map(|n| a[k][n] * b[n]).sum();
        b[k] = (b[k] - known) / a[k][k];
    }
    b.iter().all(|v| v.is_finite()).then_some(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Latencies that are linear in z have their most probable z in closed form: with one observation of
    /// slope 1 along the first axis, the precision-weighted mean of prior and observation.
    #[test]
    fn one_step_finds_the_most_probable_latent_of_a_linear_model() {
        let prior = Gaussian { mean: [1.0, 0.0, 0.0, 0.0], log_sigma: [0.0; LATENTS] };
        let z = [1.0, 0.0, 0.0, 0.0];
        let slopes = [[1.0 / SIGMA, 0.0, 0.0, 0.0]];
        let step = step((&[1.3], &[1.0], &slopes), &z, &prior, 0.0).unwrap();
        let precision = 1.0 / (SIGMA * SIGMA);
        let expected = 0.3 * precision / (precision + 1.0);
        assert!((step[0] - expected).abs() < 1e-3, "{step:?} {expected}");
        assert!(step[1..].iter().all(|s| s.abs() < 1e-6));
    }

    #[test]
    fn a_system_of_equations_is_solved() {
        let a = [
            [4.0, 1.0, 0.0, 0.5],
            [1.0, 3.0, 0.2, 0.0],
            [0.0, 0.2, 2.0, 0.1],
            [0.5, 0.0, 0.1, 5.0],
        ];
        let x = [1.0, -2.0, 3.0, 0.5];
        let b = a.map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum());
        let found = solve(a, b).unwrap();
        assert!(found.iter().zip(x).all(|(f, x)| (f - x).abs() < 1e-4), "{found:?}");
        assert_eq!(solve([[0.0; 4]; 4], [1.0; 4]), None);
    }
}
