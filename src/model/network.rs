//! The trained networks as plain arrays: what is asked at diagnosis, without burn.

use burn::tensor::Tensor;
use ndarray::{Array2, Array3, Axis, RemoveAxis};

use super::error::Error;
use super::gvae::Gvae;
use super::stack::{HIDDEN, Stack};

/// Rows from which on a batch is computed by matrices, and rows of one matrix: what lies between layers should
/// stay in the cache.
const TOGETHER: usize = 16;
const BLOCK: usize = 256;

/// Layers of [`Stack`]: weights `[node, out, in]`, biases `[node, out]`.
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
        if batch.len() >= TOGETHER {
            return self.together(node, batch);
        }
        let [first, second, third] = std::array::from_fn(|l| self.layer(l, node));
        let (mut x1, mut x2) = (Vec::with_capacity(HIDDEN), Vec::with_capacity(HIDDEN));
        let mut out = Vec::new();
        for x in batch {
            first.apply(x, &mut x1);
            silu(&mut x1);
            second.apply(&x1, &mut x2);
            silu(&mut x2);
            third.apply(&x2, &mut out);
            x1.clear();
            x2.clear();
        }
        out
    }

    /// The same as products of matrices: to lay out the weights for that pays for many rows.
    fn together<'x>(&self, node: usize, batch: impl Iterator<Item = &'x [f32]>) -> Vec<f32> {
        let mut rows = batch.peekable();
        let mut out = Vec::new();
        while let Some(first) = rows.peek() {
            let width = first.len();
            let values: Vec<f32> = rows.by_ref().take(BLOCK).flatten().copied().collect();
            let mut x = Array2::from_shape_vec((values.len() / width, width), values)
                .expect("rows are equally long");
            for (layer, (weights, biases)) in self.0.iter().enumerate() {
                x = x.dot(&weights.index_axis(Axis(0), node).t()) + biases.row(node);
                if layer + 1 < self.0.len() {
                    silu(x.as_slice_mut().expect("products are stored row by row"));
                }
            }
            out.extend(x.iter());
        }
        out
    }

    fn layer(&self, layer: usize, node: usize) -> Layer<'_> {
        let (weights, biases) = &self.0[layer];
        let weights = weights.index_axis(Axis(0), node).to_slice();
        let biases = biases.row(node).to_slice();
        let standard = "parameters are stored row by row";
        Layer { weights: weights.expect(standard), biases: biases.expect(standard) }
    }
}

/// One layer of one node: weights `[out, in]`, biases `[out]`.
struct Layer<'a> {
    weights: &'a [f32],
    biases: &'a [f32],
}

impl Layer<'_> {
    /// Appends weights times `x` plus biases.
    fn apply(&self, x: &[f32], out: &mut Vec<f32>) {
        let rows = self.weights.chunks_exact(x.len());
        out.extend(rows.zip(self.biases).map(|(w, b)| dot(w, x) + b));
    }
}

/// In lanes, which compilers turn into vector instructions.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; LANES];
    for (a, b) in a.zip(b) {
        for n in 0..LANES {
            sums[n] += a[n] * b[n];
        }
    }
    sums.iter().sum::<f32>() + rest
}

fn silu(x: &mut [f32]) {
    for v in x {
        *v /= 1.0 + exp(-*v);
    }
}

/// e^x to within a few units of the last place, without a branch: a loop over it becomes vector
/// instructions, which the library's does not. x = n ln 2 + r; e^r is a polynomial (Cephes).
pub(super) fn exp(x: f32) -> f32 {
    /// Adding it rounds to a whole number, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const SERIES: [f32; 6] =
        [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5];
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2[0] - n * LN_2[1];
    let series = SERIES.iter().fold(0.0, |sum, c| sum * r + c);
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    (series * r * r + r + 1.0) * power
}

/// Networks taken from one model for another (paper 4.4). A row is a node's.
impl PlainStack {
    /// Weights and biases of every layer.
    pub(super) fn layers(&self) -> &[(Array3<f32>, Array2<f32>)] {
        &self.0
    }

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
        Self(stack.layers().into_iter().map(layer).collect())
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
        for (w, b) in self.stacks().into_iter().flat_map(|s| &s.0) {
            put(&mut out, w);
            put(&mut out, &b.clone().insert_axis(Axis(2)));
        }
        for m in self.matrices() {
            put(&mut out, &m.clone().insert_axis(Axis(2)));
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
            Ok(PlainStack((0..layers).map(layer).collect::<Result<_, Error>>()?))
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

fn put(out: &mut Vec<u8>, array: &Array3<f32>) {
    for size in array.shape() {
        out.extend(u32::try_from(*size).unwrap_or(u32::MAX).to_le_bytes());
    }
    for value in array {
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

    /// How many rows are asked about together is a matter of speed alone.
    #[test]
    fn a_row_is_the_same_alone_and_among_many() {
        let value = |n: usize| (n * 7919 % 1999) as f32 / 1000.0 - 1.0;
        let layer = |outputs: usize, inputs: usize| {
            let weight =
                |(node, o, i): (usize, usize, usize)| value(node * 31 + o * 17 + i * 5 + 1) / 4.0;
            let weights = Array3::from_shape_fn((2, outputs, inputs), weight);
            (weights, Array2::from_shape_fn((2, outputs), |(node, o)| value(node + o + 7)))
        };
        let stack = PlainStack(vec![layer(HIDDEN, 9), layer(HIDDEN, HIDDEN), layer(5, HIDDEN)]);
        let row = |r: usize| (0..9).map(|i| value(r * 9 + i)).collect::<Vec<f32>>();
        let rows: Vec<Vec<f32>> = (0..BLOCK + TOGETHER + 1).map(row).collect();
        let together = stack.forward(1, rows.iter().map(|r| &r[..]));
        assert_eq!(together.len(), rows.len() * 5);
        for (row, together) in rows.iter().zip(together.chunks_exact(5)) {
            let alone = stack.forward(1, std::iter::once(&row[..]));
            for (a, t) in alone.iter().zip(together) {
                assert!((a - t).abs() < 1e-5 * (1.0 + a.abs()), "{alone:?} {together:?}");
            }
        }
    }
}
