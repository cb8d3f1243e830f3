//! The hybrid loss of Eq. 6 to 9: reconstruction from the posterior, KL divergence, reconstruction
//! from the prior (GSNN).

use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::dataset::Tensors;
use super::gvae::{Gaussians, Gvae, Latents, Predicted};
use super::index::Index;

/// Standard deviation of a log latency around its prediction. Fixed: a learned one inflates on
/// violations, exactly where fit matters.
pub(super) const SIGMA: f32 = 0.2;
/// Beyond this many deviations the loss grows linearly (Huber).
pub(super) const HUBER: f32 = 3.0;
/// Residuals the encoders see are clipped to this range.
pub(super) const RESIDUAL: (f32, f32) = (-4.0, 6.0);

/// Terms of the loss, for logs.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    /// What is minimised.
    pub total: Tensor<1>,
}

/// The loss of a batch on the tracking device. `plain` is the same model, `plain_data` the same
/// batch on the device without gradients; they give the encoders their residuals.
pub(super) fn hybrid_loss(
    model: &Gvae,
    plain: &Gvae,
    index: (&Index, &Index),
    data: (&Tensors, &Tensors),
    weights: (f64, f64),
    rng: &mut impl Rng,
) -> Loss {
    let (index, plain_index) = index;
    let (data, plain_data) = data;
    let (alpha, beta) = weights;
    let residual = residual(plain, plain_index, plain_data);
    let prior = model.prior(index, data);
    let posterior = model.posterior(index, data, &prior, &residual.tracked());
    let device = plain_data.server.device();
    let from_posterior = reconstruction(model, index, data, &sample(&posterior, rng, &device));
    let from_prior = reconstruction(model, index, data, &sample(&prior, rng, &device));
    let kl = divergence(&posterior, &prior, data);
    let rpcs = data.latency_server.dims()[0] as f64;
    let total = (from_posterior * alpha + kl * (alpha * beta) + from_prior * (1.0 - alpha)) / rpcs;
    Loss { total }
}

/// What is left of the observed latencies when metrics and callees have explained what they can.
pub(super) fn residual(model: &Gvae, index: &Index, data: &Tensors) -> Predicted {
    let prior = model.prior(index, data);
    let means = Latents { server: prior.server.0, net: prior.net.0 };
    let predicted = model.decode(index, data, &means);
    let rest = |observed: &Tensor<3>, predicted: Tensor<3>, seen: &Tensor<3>| {
        (observed.clone() - predicted).clamp(RESIDUAL.0, RESIDUAL.1) * seen.clone()
    };
    Predicted {
        server: rest(&data.latency_server, predicted.server, &data.seen),
        client: rest(&data.latency_client, predicted.client, &data.seen_client),
        delays: rest(&data.delays, predicted.delays, &data.seen_paired),
    }
}

impl Predicted {
    fn tracked(self) -> Self {
        Self {
            server: Tensor::from_inner(self.server),
            client: Tensor::from_inner(self.client),
            delays: Tensor::from_inner(self.delays),
        }
    }
}

fn sample(gaussians: &Gaussians, rng: &mut impl Rng, device: &Device) -> Latents {
    let mut draw = |(mean, log_sigma): &(Tensor<3>, Tensor<3>)| {
        let dims = mean.dims();
        let noise: Vec<f32> =
            (0..dims.iter().product()).map(|_| StandardNormal.sample(rng)).collect();
        let noise = Tensor::<3>::from_data(TensorData::new(noise, dims), device);
        mean.clone() + log_sigma.clone().exp() * Tensor::from_inner(noise)
    };
    Latents { server: draw(&gaussians.server), net: draw(&gaussians.net) }
}

/// -ln P(Y | X, z), summed over nodes, averaged over levels and frames.
fn reconstruction(model: &Gvae, index: &Index, data: &Tensors, z: &Latents) -> Tensor<1> {
    let predicted = model.decode(index, data, z);
    huber(&data.latency_server, predicted.server, &data.seen)
        + huber(&data.latency_client, predicted.client, &data.seen_client)
        + huber(&data.delays, predicted.delays, &data.seen_paired)
}

/// # Shapes
/// `[node, level, batch]` twice and `[node, 1, batch]`.
fn huber(observed: &Tensor<3>, predicted: Tensor<3>, seen: &Tensor<3>) -> Tensor<1> {
    let [_, levels, batch] = predicted.dims();
    let distance = ((observed.clone() - predicted) / SIGMA).abs();
    let near = distance.clone().clamp_max(HUBER);
    // near^2 / 2 within, HUBER * (distance - HUBER / 2) beyond.
    let loss = near.clone().square() * 0.5 + (distance - near) * HUBER;
    (loss * seen.clone()).sum() / (levels * batch) as f64
}

/// KL(Q || P), summed over nodes, averaged over frames.
fn divergence(q: &Gaussians, p: &Gaussians, data: &Tensors) -> Tensor<1> {
    let batch = data.load.dims()[2] as f64;
    let one = |q: &(Tensor<3>, Tensor<3>), p: &(Tensor<3>, Tensor<3>)| {
        let variance = |log_sigma: &Tensor<3>| (log_sigma.clone() * 2.0).exp();
        let distance = (q.0.clone() - p.0.clone()).square();
        let ratio = (variance(&q.1) + distance) / (variance(&p.1) * 2.0);
        (p.1.clone() - q.1.clone() + ratio - 0.5).sum()
    };
    (one(&q.server, &p.server) + one(&q.net, &p.net)) / batch
}
