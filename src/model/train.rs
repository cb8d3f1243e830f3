//! Training from scratch: seeded, with early stopping, in two stages. First one network per kind of
//! node, shared by all of them, learns what services have in common; then every node gets a copy of
//! its own and learns what it alone does.

use std::sync::atomic::{AtomicBool, Ordering};

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams, grad_clipping::GradientClippingConfig};
use burn::tensor::{Device, Tensor};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::config::Config;
use super::dataset::{Tensors, split};
use super::error::Error;
use super::features::FeatureModel;
use super::gvae::{Gvae, Latents};
use super::index::Index;
use super::layout::Layout;
use super::loss::{SIGMA, hybrid_loss, residual};
use super::part::Part;
use super::sampler::Sampler;
use crate::data::Frame;
use crate::graph::CausalNet;

/// Frames per step.
const BATCH: usize = 128;
/// Learning rates of the two stages.
const RATES: [f64; 2] = [3e-3, 1e-3];
/// Steps over which the first stage's rate rises.
const WARM_UP: usize = 50;
/// The rate falls to this share of itself along a cosine.
const RATE_END: f64 = 0.02;
/// Steps between looks at the held-back frames.
const EVALUATE: usize = 25;
/// Looks without improvement before a stage ends early.
const PATIENCE: usize = 5;

/// How long and how hard one stage of training is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    /// Steps at most.
    pub steps: usize,
    /// Learning rate at its highest.
    pub rate: f64,
    /// Steps over which it rises.
    pub warm_up: usize,
    /// Steps between looks at the held-back frames.
    pub evaluate: usize,
}

impl Plan {
    /// A stage of a training from scratch.
    pub(super) fn stage(stage: usize, config: &Config) -> Self {
        let steps = config.steps[stage];
        let warm_up = if stage == 0 { WARM_UP.min(steps / 2) } else { 0 };
        Self { steps, rate: RATES[stage], warm_up, evaluate: EVALUATE }
    }

    /// Warm-up, then a cosine.
    fn rate(&self, step: usize) -> f64 {
        if step < self.warm_up {
            return self.rate * (step + 1) as f64 / self.warm_up as f64;
        }
        let share = (step - self.warm_up) as f64 / (self.steps - self.warm_up).max(1) as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * share).cos());
        self.rate * (RATE_END + (1.0 - RATE_END) * cosine)
    }
}

/// What to learn from.
#[derive(Clone, Copy, Debug)]
pub struct Lesson<'a> {
    /// Frames in order.
    pub frames: &'a [&'a Frame],
    /// Whether QoS was met in each.
    pub met: &'a [bool],
    /// The net to fit.
    pub net: &'a CausalNet,
}

/// What was learnt.
#[derive(Debug)]
pub(super) struct Learnt {
    /// Metrics.
    pub features: FeatureModel,
    /// Structure and normal values.
    pub layout: Layout,
    /// Networks, one per node, without gradients.
    pub gvae: Gvae,
    /// The frames held back.
    pub held_back: Vec<usize>,
}

/// Trains a model. `progress` hears the share done, in 0..=1; `cancel` ends it between steps.
///
/// # Errors
/// [`Error::TooFew`] without frames to learn from, [`Error::Cancelled`], [`Error::Diverged`].
pub(super) fn train(
    lesson: &Lesson<'_>,
    config: &Config,
    progress: &dyn Fn(f32),
    cancel: &AtomicBool,
) -> Result<Learnt, Error> {
    let (train_on, held_back) = split(lesson.frames);
    if train_on.is_empty() || lesson.net.rpcs.is_empty() {
        return Err(Error::TooFew { frames: lesson.frames.len(), rpcs: lesson.net.rpcs.len() });
    }
    let features = FeatureModel::fit(lesson.frames, lesson.met, lesson.net)?;
    let layout = Layout::new(lesson.net, lesson.frames, lesson.met);
    let device = Device::flex();
    let data = Tensors::new(lesson.frames, lesson.net, &layout, &features, &device);
    let index = Index::new(&layout, &Part::whole(&layout), &device);
    let mut rng = SmallRng::seed_from_u64(config.seed);
    let model = Gvae::new(&layout, &mut rng, &device.clone().autodiff());
    let total = (config.steps[0] + config.steps[1]) as f32;
    let sampler = Sampler::new(&train_on, lesson.met, BATCH);
    let mut run = Run::new((data, index), sampler, &held_back, config, rng);
    let first = Plan::stage(0, config);
    let tied = run.stage(model, &first, &|s| progress(s as f32 / total), cancel)?;
    let own = tied.untied(&layout);
    let after = |s| progress((first.steps + s) as f32 / total);
    let gvae = run.stage(own, &Plan::stage(1, config), &after, cancel)?;
    Ok(Learnt { features, layout, gvae: gvae.valid(), held_back })
}

/// A training under way: its data, and where its randomness comes from.
pub(super) struct Run<'a> {
    data: Tensors,
    held_back: Tensors,
    index: Index,
    tracked_index: Index,
    device: Device,
    sampler: Sampler,
    config: &'a Config,
    rng: SmallRng,
}

impl<'a> Run<'a> {
    /// Trains on the frames of `data` that `sampler` draws, and stops by those `held_back`.
    pub(super) fn new(
        (data, index): (Tensors, Index),
        sampler: Sampler,
        held_back: &[usize],
        config: &'a Config,
        rng: SmallRng,
    ) -> Self {
        let device = Device::flex();
        let held_back = data.select(&as_i32(held_back), &device);
        let tracked_index = index.tracked();
        Self { data, held_back, index, tracked_index, device, sampler, config, rng }
    }

    /// One stage of training; returns the best model by the held-back frames.
    pub(super) fn stage(
        &mut self,
        mut model: Gvae,
        plan: &Plan,
        progress: &dyn Fn(usize),
        cancel: &AtomicBool,
    ) -> Result<Gvae, Error> {
        let mut optimizer = AdamWConfig::new()
            .with_weight_decay(1e-4)
            .with_grad_clipping(Some(GradientClippingConfig::Norm(5.0)))
            .init();
        let mut best = (self.evaluate(&model), model.clone(), 0);
        for step in 0..plan.steps {
            if cancel.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            let loss = self.loss(&model);
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = optimizer.step(plan.rate(step), model, gradients);
            progress(step + 1);
            if (step + 1) % plan.evaluate == 0 || step + 1 == plan.steps {
                let value = self.evaluate(&model);
                if !value.is_finite() {
                    return Err(Error::Diverged { step });
                }
                if value < best.0 {
                    best = (value, model.clone(), step);
                } else if step - best.2 >= PATIENCE * plan.evaluate {
                    break;
                }
            }
        }
        tracing::debug!(?plan, held_back_loss = best.0, best_step = best.2, "stage done");
        Ok(best.1)
    }

    fn loss(&mut self, model: &Gvae) -> Tensor<1> {
        let batch = self.sampler.draw(&mut self.rng);
        let plain_data = self.data.select(&batch, &self.device);
        let tracked = plain_data.tracked();
        hybrid_loss(
            model,
            &model.valid(),
            (&self.tracked_index, &self.index),
            (&tracked, &plain_data),
            (self.config.alpha, self.config.beta),
            &mut self.rng,
        )
        .total
    }

    /// Mean squared error of held-back log latencies, in units of SIGMA, from posterior and prior
    /// means in the proportion of the loss.
    fn evaluate(&self, model: &Gvae) -> f32 {
        let fit = fit(&model.valid(), &self.index, &self.held_back);
        let alpha = self.config.alpha as f32;
        alpha * fit.0 + (1.0 - alpha) * fit.1
    }
}

/// Mean loss over seen latencies of a batch, clipped like the training loss: (from posterior means,
/// from prior means).
fn fit(model: &Gvae, index: &Index, data: &Tensors) -> (f32, f32) {
    let prior = model.prior(index, data);
    let rest = residual(model, index, data);
    let posterior = model.posterior(index, data, &prior, &rest);
    let z = Latents { server: posterior.server.0, net: posterior.net.0 };
    let predicted = model.decode(index, data, &z);
    let error = |observed: &Tensor<3>, predicted: Tensor<3>, seen: &Tensor<3>| -> f32 {
        let distance = (observed.clone() - predicted).abs().clamp_max(2.0) / SIGMA;
        let count: f32 = seen.clone().sum().into_scalar();
        let sum: f32 = (distance * seen.clone()).sum().into_scalar();
        sum / count.max(1.0)
    };
    let from_posterior = error(&data.latency_server, predicted.server, &data.seen)
        + error(&data.latency_client, predicted.client, &data.seen_client)
        + error(&data.delays, predicted.delays, &data.seen_paired);
    let mean = |r: Tensor<3>, seen: &Tensor<3>| -> f32 {
        let count: f32 = seen.clone().sum().into_scalar();
        let sum: f32 = (r.abs().clamp_max(2.0) / SIGMA).sum().into_scalar();
        sum / count.max(1.0)
    };
    let from_prior = mean(rest.server, &data.seen)
        + mean(rest.client, &data.seen_client)
        + mean(rest.delays, &data.seen_paired);
    (from_posterior, from_prior)
}

fn as_i32(indices: &[usize]) -> Vec<i32> {
    indices.iter().map(|i| i32::try_from(*i).unwrap_or(i32::MAX)).collect()
}
