//! The trained networks as plain arrays: what is asked at diagnosis, without burn.

use burn::tensor::Tensor;
use ndarray::{Array2, Array3, ArrayView3, Axis, RemoveAxis};

use super::dense::Dense;
use super::error::Error;
use super::gvae::Gvae;
use super::stack::Stack;

/// Layers of [`Stack`]: weights and biases, the latter `[node, out]`. Weights of hidden layers are kept as
/// `[node, in, out]`, those of the last one as `[node, out, in]`: as `Dense` reads them, from one end to the other.
#[derive(Clone, Debug, PartialEq)]
pub struct PlainStack(Vec<(Array3<f32>, Array2<f32>)>);

/// All parameters, one network per node.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// As in [`Gvae`].
    pub prior_server: PlainStack,
    /// As in [`Gvae`].
    pub prior_net: PlainStack,
    /// As in [`Gvae`].
    pub encoder_server: PlainStack,
    /// As in [`Gvae`].
    pub encoder_net: PlainStack,
    /// As in [`Gvae`].
    pub decoder_server: PlainStack,
    /// As in [`Gvae`].
    pub decoder_client: PlainStack,
    /// As in [`Gvae`].
    pub decoder_net: PlainStack,
    /// `[rpc, level]`
    pub own_server: Array2<f32>,
    /// `[client, level]`
    pub own_client: Array2<f32>,
    /// `[edge, level]`
    pub weight_edge: Array2<f32>,
    /// `[client, 3 * level]`
    pub weight_part: Array2<f32>,
    /// `[rpc, 1]`
    pub sharp_server: Array2<f32>,
    /// `[client, 1]`
    pub sharp_client: Array2<f32>,
    /// `[paired, 2 * level]`
    pub bias_net: Array2<f32>,
}

impl PlainStack {
    /// Three layers as [`Stack`] has them: weights `[node, out, in]`, biases `[node, out]`.
    fn new(mut layers: Vec<(Array3<f32>, Array2<f32>)>) -> Self {
        let hidden = layers.len().saturating_sub(1);
        for (weights, _) in &mut layers[..hidden] {
            *weights = turned(weights.view()).as_standard_layout().into_owned();
        }
        Self(layers)
    }

    /// Weights and biases of every layer as [`PlainStack::new`] takes them.
    pub(super) fn layers(&self) -> impl Iterator<Item = (ArrayView3<'_, f32>, &Array2<f32>)> {
        let hidden = self.0.len().saturating_sub(1);
        self.0.iter().enumerate().map(move |(l, (weights, biases))| {
            (if l < hidden { turned(weights.view()) } else { weights.view() }, biases)
        })
    }

    /// Nodes it has a network for.
    pub(super) fn nodes(&self) -> usize {
        self.0.first().map_or(0, |(weights, _)| weights.dim().0)
    }

    /// Evaluates the network of one node for a batch of inputs.
    ///
    /// # Shapes
    /// `batch`: rows of `[in]`. Out: `[batch, out]`, row by row.
    pub fn forward<'x>(
        &self,
        node: usize,
        batch: impl ExactSizeIterator<Item = &'x [f32]>,
    ) -> Vec<f32> {
        let [first, second, last] = std::array::from_fn(|l| self.layer(l, node));
        Dense { hidden: [first, second], last }.forward(batch)
    }

    fn layer(&self, layer: usize, node: usize) -> (&[f32], &[f32]) {
        let (weights, biases) = &self.0[layer];
        let standard = "parameters are stored row by row";
        let weights = weights.index_axis(Axis(0), node).to_slice().expect(standard);
        (weights, biases.row(node).to_slice().expect(standard))
    }
}

/// `[node, a, b]` -> `[node, b, a]`
fn turned(weights: ArrayView3<'_, f32>) -> ArrayView3<'_, f32> {
    weights.permuted_axes([0, 2, 1])
}

/// Networks taken from one model for another (paper 4.4). A row is a node's.
impl PlainStack {
    /// One network per list: the mean of the nodes in it.
    pub(super) fn gather(&self, nodes: &[Vec<usize>]) -> Self {
        Self(self.0.iter().map(|(w, b)| (gather(w, nodes), gather(b, nodes))).collect())
    }

    /// Puts network `n` of `from` in the place of node `to[n]`.
    pub(super) fn scatter(&mut self, from: &Self, to: &[(usize, usize)]) {
        for ((w, b), (new_w, new_b)) in self.0.iter_mut().zip(&from.0) {
            scatter(w, new_w, to);
            scatter(b, new_b, to);
        }
    }
}

/// Rows along the first axis: each the mean of the rows in its list, zeros for an empty one.
pub(super) fn gather<D: RemoveAxis>(
    from: &ndarray::Array<f32, D>,
    rows: &[Vec<usize>],
) -> ndarray::Array<f32, D> {
    let mut shape = from.raw_dim();
    shape[0] = rows.len().max(1);
    let mut out = ndarray::Array::zeros(shape);
    for (mut row, of) in out.axis_iter_mut(Axis(0)).zip(rows) {
        for &source in of {
            row += &from.index_axis(Axis(0), source);
        }
        row /= of.len().max(1) as f32;
    }
    out
}

/// Copies row `a` of `from` to row `b` of `into` for every `(a, b)`.
pub(super) fn scatter<D: RemoveAxis>(
    into: &mut ndarray::Array<f32, D>,
    from: &ndarray::Array<f32, D>,
    rows: &[(usize, usize)],
) {
    for &(a, b) in rows {
        into.index_axis_mut(Axis(0), b).assign(&from.index_axis(Axis(0), a));
    }
}

impl From<&Stack> for PlainStack {
    fn from(stack: &Stack) -> Self {
        let layer = |(w, b): (Tensor<3>, Tensor<3>)| (array3(w), matrix(b));
        Self::new(stack.layers().into_iter().map(layer).collect())
    }
}

impl From<&Gvae> for Network {
    fn from(g: &Gvae) -> Self {
        Self {
            prior_server: (&g.prior_server).into(),
            prior_net: (&g.prior_net).into(),
            encoder_server: (&g.encoder_server).into(),
            encoder_net: (&g.encoder_net).into(),
            decoder_server: (&g.decoder_server).into(),
            decoder_client: (&g.decoder_client).into(),
            decoder_net: (&g.decoder_net).into(),
            own_server: matrix(g.own_server.val()),
            own_client: matrix(g.own_client.val()),
            weight_edge: matrix(g.weight_edge.val()),
            weight_part: matrix(g.weight_part.val()),
            sharp_server: matrix(g.sharp_server.val()),
            sharp_client: matrix(g.sharp_client.val()),
            bias_net: matrix(g.bias_net.val()),
        }
    }
}

fn array3(t: Tensor<3>) -> Array3<f32> {
    let dims = t.dims();
    let values = t.into_data().try_to_vec::<f32>().expect("parameters are f32");
    Array3::from_shape_vec(dims, values).expect("a tensor holds as many values as its shape says")
}

/// `[n, width, 1]` -> `[n, width]`
fn matrix(t: Tensor<3>) -> Array2<f32> {
    array3(t).remove_axis(Axis(2))
}

/// Binary form: every array as three little-endian `u32` of shape and its `f32` values.
impl Network {
    fn stacks(&self) -> [&PlainStack; 7] {
        [
            &self.prior_server,
            &self.prior_net,
            &self.encoder_server,
            &self.encoder_net,
            &self.decoder_server,
            &self.decoder_client,
            &self.decoder_net,
        ]
    }

    fn matrices(&self) -> [&Array2<f32>; 7] {
        [
            &self.own_server,
            &self.own_client,
            &self.weight_edge,
            &self.weight_part,
            &self.sharp_server,
            &self.sharp_client,
            &self.bias_net,
        ]
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        let layers = self.stacks().into_iter().flat_map(|s| &s.0).map(|(w, b)| w.len() + b.len());
        layers.sum::<usize>() + self.matrices().into_iter().map(Array2::len).sum::<usize>()
    }

    /// The weights as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.parameters() * 4 + 1024);
        for (w, b) in self.stacks().into_iter().flat_map(PlainStack::layers) {
            put(&mut out, w);
            put(&mut out, b.view().insert_axis(Axis(2)));
        }
        for m in self.matrices() {
            put(&mut out, m.view().insert_axis(Axis(2)));
        }
        out
    }

    /// Reads what [`Network::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when bytes are missing or left over.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut rest = bytes;
        let mut stack = |layers: usize| -> Result<PlainStack, Error> {
            let layer = |_| Ok((take(&mut rest)?, take(&mut rest)?.remove_axis(Axis(2))));
            Ok(PlainStack::new((0..layers).map(layer).collect::<Result<_, Error>>()?))
        };
        let stacks: Vec<PlainStack> = (0..7).map(|_| stack(3)).collect::<Result<_, _>>()?;
        let matrices: Vec<Array2<f32>> = (0..7)
            .map(|_| Ok(take(&mut rest)?.remove_axis(Axis(2))))
            .collect::<Result<_, Error>>()?;
        if !rest.is_empty() {
            return Err(Error::Mismatch(format!("{} bytes left over", rest.len())));
        }
        let [
            prior_server,
            prior_net,
            encoder_server,
            encoder_net,
            decoder_server,
            decoder_client,
            decoder_net,
        ] = stacks.try_into().map_err(|_| Error::Mismatch("stacks".into()))?;
        let [
            own_server,
            own_client,
            weight_edge,
            weight_part,
            sharp_server,
            sharp_client,
            bias_net,
        ] = matrices.try_into().map_err(|_| Error::Mismatch("matrices".into()))?;
        Ok(Self {
            prior_server,
            prior_net,
            encoder_server,
            encoder_net,
            decoder_server,
            decoder_client,
            decoder_net,
            own_server,
            own_client,
            weight_edge,
            weight_part,
            sharp_server,
            sharp_client,
            bias_net,
        })
    }
}

fn put(out: &mut Vec<u8>, array: ArrayView3<'_, f32>) {
    for size in array.shape() {
        out.extend(u32::try_from(*size).unwrap_or(u32::MAX).to_le_bytes());
    }
    for value in &array {
        out.extend(value.to_le_bytes());
    }
}

fn take(rest: &mut &[u8]) -> Result<Array3<f32>, Error> {
    let short = || Error::Mismatch("weights end early".into());
    let mut word = || -> Result<[u8; 4], Error> {
        let (word, tail) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        *rest = tail;
        Ok(*word)
    };
    let mut shape = [0usize; 3];
    for size in &mut shape {
        *size = u32::from_le_bytes(word()?) as usize;
    }
    let count = shape.iter().try_fold(1usize, |n, s| n.checked_mul(*s)).ok_or_else(short)?;
    let values =
        (0..count).map(|_| Ok(f32::from_le_bytes(word()?))).collect::<Result<_, Error>>()?;
    Array3::from_shape_vec(shape, values).map_err(|e| Error::Mismatch(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stack::HIDDEN;

    /// On disk and in burn weights are turned otherwise than they are kept: both must lead back to the same.
    #[test]
    fn layers_are_what_a_stack_was_made_of() {
        let layer = |outputs: usize, inputs: usize| {
            let weight = |(node, o, i): (usize, usize, usize)| (node * 10_000 + o * 100 + i) as f32;
            let bias = |(node, o): (usize, usize)| (node * 100 + o) as f32;
            (
                Array3::from_shape_fn((2, outputs, inputs), weight),
                Array2::from_shape_fn((2, outputs), bias),
            )
        };
        let made_of = vec![layer(HIDDEN, 9), layer(HIDDEN, HIDDEN), layer(5, HIDDEN)];
        let stack = PlainStack::new(made_of.clone());
        let layers = stack.layers().map(|(w, b)| (w.to_owned(), b.clone()));
        assert_eq!(layers.collect::<Vec<_>>(), made_of);
        // The first input alone reaches the first hidden layer by the first column of its weights.
        let (weights, biases) = stack.layer(0, 1);
        assert_eq!(weights[..HIDDEN], made_of[0].0.slice(ndarray::s![1, .., 0]).to_vec());
        assert_eq!(biases, made_of[0].1.row(1).to_vec());
    }
}
