//! Supervised training of Seer's network.

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams, grad_clipping::GradientClippingConfig};
use burn::tensor::{Device, Tensor, TensorData};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::input::{CHANNELS, PAST};
use super::network::Network;

const BATCH: usize = 32;
const STEPS: usize = 600;
/// Learning rate at the start; it falls to nothing along a cosine.
const RATE: f64 = 4e-3;
const WEIGHT_DECAY: f32 = 0.02;
/// Deviation of the noise added to inputs, so that few examples are not learnt by heart.
const NOISE: f32 = 0.2;

/// A labelled violation.
#[derive(Clone, Debug)]
pub(in crate::lab::rivals) struct Example {
    /// `[PAST, CHANNELS, tiers]`
    pub(in crate::lab::rivals) input: Vec<f32>,
    /// Tiers to blame.
    pub(in crate::lab::rivals) to_blame: Vec<usize>,
}

/// What to learn from.
#[derive(Clone, Copy, Debug)]
pub(in crate::lab::rivals) struct Lesson<'a> {
    pub(in crate::lab::rivals) examples: &'a [Example],
    pub(in crate::lab::rivals) tiers: usize,
    pub(in crate::lab::rivals) seed: u64,
}

/// What was learnt.
#[derive(Debug)]
pub(in crate::lab::rivals) struct Trained {
    network: Network,
    tiers: usize,
}

impl Trained {
    /// Probability that each tier is to blame.
    ///
    /// # Shapes
    /// `input`: `[PAST, CHANNELS, tiers]`
    pub(in crate::lab::rivals) fn probabilities(&self, input: &[f32]) -> Vec<f32> {
        let x = tensor(input.to_vec(), self.tiers, &Device::flex());
        self.network.forward(x).exp().into_data().try_to_vec().unwrap_or_default()
    }
}

/// Trains a network; `None` without examples.
pub(in crate::lab::rivals) fn train(lesson: &Lesson<'_>) -> Option<Trained> {
    if lesson.examples.is_empty() {
        return None;
    }
    let device = Device::flex().autodiff();
    let mut rng = SmallRng::seed_from_u64(lesson.seed);
    let mut network = Network::new(lesson.tiers, &mut rng, &device);
    let mut optimizer = AdamWConfig::new()
        .with_weight_decay(WEIGHT_DECAY)
        .with_grad_clipping(Some(GradientClippingConfig::Norm(1.0)))
        .init();
    for step in 0..STEPS {
        let (input, to_blame) = draw(lesson, &mut rng, &device);
        let loss = (network.forward(input) * to_blame).sum().neg() / BATCH as f32;
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / STEPS as f64).cos());
        network = optimizer.step(RATE * cosine, network, gradients);
    }
    Some(Trained { network: network.valid(), tiers: lesson.tiers })
}

/// A batch of noisy examples, and how the blame of each is shared out among the tiers.
fn draw(lesson: &Lesson<'_>, rng: &mut SmallRng, device: &Device) -> (Tensor<3>, Tensor<2>) {
    let mut input = Vec::with_capacity(BATCH * PAST * CHANNELS * lesson.tiers);
    let mut blame = vec![0.0_f32; BATCH * lesson.tiers];
    for row in 0..BATCH {
        let example = &lesson.examples[rng.random_range(0..lesson.examples.len())];
        input.extend(example.input.iter().map(|v| v + NOISE * rng.random_range(-1.7..1.7_f32)));
        for tier in &example.to_blame {
            blame[row * lesson.tiers + tier] += 1.0 / example.to_blame.len() as f32;
        }
    }
    let blame = TensorData::new(blame, [BATCH, lesson.tiers]);
    (tensor(input, lesson.tiers, device), Tensor::from_data(blame, device))
}

fn tensor(values: Vec<f32>, tiers: usize, device: &Device) -> Tensor<3> {
    let rows = values.len() / (CHANNELS * tiers);
    Tensor::from_data(TensorData::new(values, [rows, CHANNELS, tiers]), device)
}
