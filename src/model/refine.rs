//! Abduction, sharpened: the encoders' guess at Z^s is moved to where the posterior density is highest.
//!
//! Encoders are amortised: they guess well on average, and least well at magnitudes they have hardly
//! seen, which is where a diagnosis matters. A few Gauss-Newton steps on the generative model itself
//! close that gap: per service, the z that minimises the loss the networks were trained on, over the
//! RPCs it serves and those it waits for, beside half the squared distance of z from its prior.

use super::dataset::levels;
use super::gvae::LATENTS;
use super::infer::{ClientInputs, Evaluator, Gaussian, Levels, ServerInputs, Tier};
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
/// A prediction at z, and at z moved along each axis.
type Probes = [f32; LATENTS + 1];

/// The latencies that one service has a part in.
#[derive(Default)]
struct Fit {
    predicted: Vec<Probes>,
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
        let mut z = guess;
        let mut fit = self.probe(j, observed, tiers, &z);
        if fit.observed.is_empty() {
            return z;
        }
        let (mut cost, mut damping) = (fit.cost(&z, prior), DAMPING.0);
        for _ in 0..STEPS {
            let Some(step) = fit.step(&z, prior, damping) else { break };
            let next = std::array::from_fn(|n| z[n] + step[n]);
            let tried = self.probe(j, observed, tiers, &next);
            let next_cost = tried.cost(&next, prior);
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

    /// Predicts at `z` and around it.
    fn probe(&self, j: usize, observed: &Observed, tiers: &[Tier], z: &Latent) -> Fit {
        let at: [Tier; LATENTS + 1] = std::array::from_fn(|n| {
            let mut latent = *z;
            if n > 0 {
                latent[n - 1] += DELTA;
            }
            Tier { latent, ..tiers[j] }
        });
        let client = |k: usize| levels(observed, Kind::Client, k);
        let mut fit = Fit::default();
        for &i in self.served[j].iter().filter(|i| observed.seen[**i]) {
            let clients: Vec<Levels> = self.children(i).map(client).collect();
            let pool_ms = self.layout.pool_ms(i, |k| mean_ms(&client(k)));
            let caller = self.layout.caller[i].map(|a| &tiers[a]);
            let inputs: [ServerInputs; LATENTS + 1] =
                at.map(|tier| self.server_inputs(i, &tier, caller, &clients, pool_ms));
            fit.add(&levels(observed, Kind::Server, i), &self.decode_server_free(i, &inputs));
        }
        let waits = |i: &&usize| observed.seen[**i] && self.has_client(**i);
        for &i in self.invoked[j].iter().filter(waits) {
            let parts =
                [Kind::Request, Kind::Response, Kind::Server].map(|k| levels(observed, k, i));
            let inputs: [ClientInputs; LATENTS + 1] =
                at.map(|tier| self.client_inputs(i, &tier, &parts));
            fit.add(&client(i), &self.decode_client_free(i, &inputs));
        }
        fit
    }
}

impl Fit {
    fn add(&mut self, observed: &Levels, predicted: &[Levels]) {
        for q in 0..LEVEL_COUNT {
            self.observed.push(observed[q]);
            self.predicted.push(std::array::from_fn(|n| predicted[n][q]));
        }
    }

    fn cost(&self, z: &Latent, prior: &Gaussian) -> f32 {
        let loss = |(seen, predicted): (&f32, &Probes)| {
            let distance = ((seen - predicted[0]) / SIGMA).abs();
            let near = distance.min(HUBER);
            near * near / 2.0 + (distance - near) * HUBER
        };
        let distance = |n: usize| ((z[n] - prior.mean[n]) / prior.log_sigma[n].exp()).powi(2) / 2.0;
        let misses: f32 = self.observed.iter().zip(&self.predicted).map(loss).sum();
        misses + (0..LATENTS).map(distance).sum::<f32>()
    }

    /// `(J' W J + P) step = J' W r - P (z - mean)`, damped: J the derivatives, W Huber's weights, P the
    /// precision of the prior.
    fn step(&self, z: &Latent, prior: &Gaussian, damping: f32) -> Option<Latent> {
        let (mut a, mut b) = ([[0.0f32; LATENTS]; LATENTS], [0.0f32; LATENTS]);
        for (seen, predicted) in self.observed.iter().zip(&self.predicted) {
            let rest = (seen - predicted[0]) / SIGMA;
            let weight = (HUBER / rest.abs().max(1e-6)).min(1.0);
            let slope: Latent =
                std::array::from_fn(|n| (predicted[n + 1] - predicted[0]) / (DELTA * SIGMA));
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
        let fit = Fit { predicted: vec![[1.0, 1.0 + DELTA, 1.0, 1.0, 1.0]], observed: vec![1.3] };
        let step = fit.step(&z, &prior, 0.0).unwrap();
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
