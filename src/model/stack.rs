//! Many small networks of one shape, evaluated together.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData, activation::silu};
use rand::RngExt;

/// Hidden units per layer.
pub(super) const HIDDEN: usize = 32;
/// The last layer starts this much smaller, so that training starts from the structural prediction.
const LAST_LAYER: f32 = 0.1;

/// `n` perceptrons of three layers with SiLU between them; or one that all nodes share (`n = 1`).
#[derive(Module, Debug)]
pub struct Stack {
    weights: Vec<Param<Tensor<3>>>,
    biases: Vec<Param<Tensor<3>>>,
}

impl Stack {
    /// One shared network with fresh weights.
    pub fn shared(inputs: usize, outputs: usize, rng: &mut impl RngExt, device: &Device) -> Self {
        let mut layer = |rows: usize, columns: usize, scale: f32| {
            let limit = scale / (columns as f32).sqrt();
            let values: Vec<f32> =
                (0..rows * columns).map(|_| rng.random_range(-limit..limit)).collect();
            let data = TensorData::new(values, [1, rows, columns]);
            Param::from_tensor(Tensor::from_data(data, device))
        };
        let zeros = |rows| Param::from_tensor(Tensor::zeros([1, rows, 1], device));
        Self {
            weights: vec![
                layer(HIDDEN, inputs, 1.0),
                layer(HIDDEN, HIDDEN, 1.0),
                layer(outputs, HIDDEN, LAST_LAYER),
            ],
            biases: vec![zeros(HIDDEN), zeros(HIDDEN), zeros(outputs)],
        }
    }

    /// Weights `[n, out, in]` and biases `[n, out, 1]` of every layer.
    pub fn layers(&self) -> Vec<(Tensor<3>, Tensor<3>)> {
        self.weights.iter().zip(&self.biases).map(|(w, b)| (w.val(), b.val())).collect()
    }

    /// A stack of given layers.
    pub fn from_layers(layers: Vec<(Tensor<3>, Tensor<3>)>) -> Self {
        let (weights, biases) =
            layers.into_iter().map(|(w, b)| (Param::from_tensor(w), Param::from_tensor(b))).unzip();
        Self { weights, biases }
    }

    /// One network per node, all starting as copies of the shared one, all tracked.
    pub fn untied(&self, nodes: usize) -> Self {
        let copy = |t: Tensor<3>| Tensor::from_inner(t.inner().repeat_dim(0, nodes.max(1)));
        Self::from_layers(self.layers().into_iter().map(|(w, b)| (copy(w), copy(b))).collect())
    }

    /// # Shapes
    /// `x`: `[nodes, in, batch]`. Out: `[nodes, out, batch]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let last = self.weights.len() - 1;
        self.layers().into_iter().enumerate().fold(x, |x, (i, (w, b))| {
            let y = apply(w, x) + b;
            if i == last { y } else { silu(y) }
        })
    }
}

/// `w`: `[nodes or 1, out, in]`, `x`: `[nodes, in, batch]`. A shared `w` sees all nodes as one long
/// batch.
fn apply(w: Tensor<3>, x: Tensor<3>) -> Tensor<3> {
    let [n, inputs, batch] = x.dims();
    if w.dims()[0] == n {
        return w.matmul(x);
    }
    let outputs = w.dims()[1];
    let wide = x.swap_dims(0, 1).reshape([1, inputs, n * batch]);
    w.matmul(wide).reshape([outputs, n, batch]).swap_dims(0, 1)
}
