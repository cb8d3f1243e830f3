//! Convolutions over the tiers, an LSTM over time, a softmax over the tiers.

use burn::module::{Module, Param};
use burn::tensor::activation::{log_softmax, relu, sigmoid, tanh};
use burn::tensor::module::conv1d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;

use super::input::{CHANNELS, PAST};

/// Filters of each convolution, and cells of the LSTM.
const HIDDEN: usize = 32;
/// Tiers a filter sees.
const KERNEL: usize = 3;

/// All parameters.
#[derive(Module, Debug)]
pub(super) struct Network {
    /// `[HIDDEN, CHANNELS, KERNEL]`, `[HIDDEN]`
    first: (Param<Tensor<3>>, Param<Tensor<1>>),
    /// `[HIDDEN, HIDDEN, KERNEL]`, `[HIDDEN]`
    second: (Param<Tensor<3>>, Param<Tensor<1>>),
    /// Input, forget, output and cell gates: `[2 * HIDDEN, 4 * HIDDEN]`, `[1, 4 * HIDDEN]`
    gates: (Param<Tensor<2>>, Param<Tensor<2>>),
    /// `[HIDDEN, 1]`
    score: Param<Tensor<2>>,
    /// What is known of a tier beforehand: `[1, tiers]`
    tier: Param<Tensor<2>>,
}

impl Network {
    /// A fresh network.
    pub(super) fn new(tiers: usize, rng: &mut impl RngExt, device: &Device) -> Self {
        let mut values = |count: usize, fan_in: usize| -> Vec<f32> {
            let limit = 1.0 / (fan_in as f32).sqrt();
            (0..count).map(|_| rng.random_range(-limit..limit)).collect()
        };
        let mut filters = |channels: usize| {
            let shape = [HIDDEN, channels, KERNEL];
            let data = TensorData::new(values(shape.iter().product(), channels * KERNEL), shape);
            let bias = Param::from_tensor(Tensor::zeros([HIDDEN], device));
            (Param::from_tensor(Tensor::from_data(data, device)), bias)
        };
        let (first, second) = (filters(CHANNELS), filters(HIDDEN));
        let mut matrix = |rows: usize, columns: usize| {
            let data = TensorData::new(values(rows * columns, rows), [rows, columns]);
            Param::from_tensor(Tensor::from_data(data, device))
        };
        let gates = (
            matrix(2 * HIDDEN, 4 * HIDDEN),
            Param::from_tensor(Tensor::zeros([1, 4 * HIDDEN], device)),
        );
        let score = matrix(HIDDEN, 1);
        let tier = Param::from_tensor(Tensor::zeros([1, tiers], device));
        Self { first, second, gates, score, tier }
    }

    /// Logarithms of the probability that each tier is to blame.
    ///
    /// # Shapes
    /// `x`: `[batch * PAST, CHANNELS, tiers]`, oldest interval first. Out: `[batch, tiers]`.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<2> {
        let [rows, _, tiers] = x.dims();
        let batch = rows / PAST;
        let x = convolve(&self.second, convolve(&self.first, x));
        // [batch, PAST, HIDDEN, tiers] -> [batch, tiers, PAST, HIDDEN]
        let x = x.reshape([batch, PAST, HIDDEN, tiers]).swap_dims(2, 3).swap_dims(1, 2);
        let last = self.remember(&x.reshape([batch * tiers, PAST, HIDDEN]));
        let scores = last.matmul(self.score.val()).reshape([batch, tiers]);
        log_softmax(scores + self.tier.val(), 1)
    }

    /// The LSTM's output after the last interval.
    ///
    /// # Shapes
    /// `[rows, PAST, HIDDEN]` -> `[rows, HIDDEN]`
    fn remember(&self, x: &Tensor<3>) -> Tensor<2> {
        let [rows, past, _] = x.dims();
        let zeros = Tensor::<2>::zeros([rows, HIDDEN], &x.device());
        let (mut output, mut cell) = (zeros.clone(), zeros);
        for step in 0..past {
            let now = x.clone().narrow(1, step, 1).reshape([rows, HIDDEN]);
            let gates =
                Tensor::cat(vec![now, output], 1).matmul(self.gates.0.val()) + self.gates.1.val();
            let gate = |i: usize| gates.clone().narrow(1, i * HIDDEN, HIDDEN);
            cell = sigmoid(gate(1) + 1.0) * cell + sigmoid(gate(0)) * tanh(gate(3));
            output = sigmoid(gate(2)) * tanh(cell.clone());
        }
        output
    }
}

/// # Shapes
/// `[rows, channels, tiers]` -> `[rows, HIDDEN, tiers]`
fn convolve(layer: &(Param<Tensor<3>>, Param<Tensor<1>>), x: Tensor<3>) -> Tensor<3> {
    let border = KERNEL / 2;
    let options = ConvOptions::new([1], [border], [1], 1);
    relu(conv1d(x, layer.0.val(), Some(layer.1.val()), options))
}
