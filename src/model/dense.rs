//! The arithmetic of one small network: rows of inputs in, rows of outputs out. Plain slices only.
//!
//! Programs are compiled for processors of twenty years ago, so this is compiled a second time, for those with AVX2,
//! and the processor is asked which to run. Every output is the same sum in the same order either way, and
//! whatever rows stand beside it: results are equal to the last bit on every machine. That is why nothing is fused.

use pulp::NullaryFnOnce;

use super::stack::HIDDEN;

/// Outputs of a hidden layer that are summed up at a time: as many as stay in registers, of one row and of several.
const WHOLE: usize = HIDDEN;
const PART: usize = 16;
/// Rows that share what is read of the weights.
const ROWS: usize = 4;
/// Sums that a dot product is made of.
const LANES: usize = 8;

/// The parameters of one network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dense<'a> {
    /// Weights `[in, HIDDEN]` and biases of either hidden layer.
    pub hidden: [(&'a [f32], &'a [f32]); 2],
    /// Weights `[out, HIDDEN]` and biases.
    pub last: (&'a [f32], &'a [f32]),
}

impl Dense<'_> {
    /// # Shapes
    /// `batch`: rows of `[in]`. Out: `[batch, out]`, row by row.
    pub(super) fn forward<'x>(self, batch: impl ExactSizeIterator<Item = &'x [f32]>) -> Vec<f32> {
        let work = Work { dense: self, batch };
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = pulp::x86::V3::try_new() {
            return avx2.vectorize(work);
        }
        work.call()
    }

    #[inline(always)]
    fn rows<const R: usize, const T: usize>(&self, x: [&[f32]; R], out: &mut Vec<f32>) {
        let h = hidden::<R, T>(self.hidden[0], x);
        let h = hidden::<R, T>(self.hidden[1], h.each_ref().map(|h| &h[..]));
        let (weights, biases) = self.last;
        for h in &h {
            let rows = weights.as_chunks::<HIDDEN>().0;
            out.extend(rows.iter().zip(biases).map(|(w, b)| dot(w, h) + b));
        }
    }
}

/// One batch for one network.
struct Work<'a, I> {
    dense: Dense<'a>,
    batch: I,
}

impl<'x, I: ExactSizeIterator<Item = &'x [f32]>> NullaryFnOnce for Work<'_, I> {
    type Output = Vec<f32>;

    /// Has to be inlined, with all that it calls, to become what the caller is compiled for.
    #[inline(always)]
    fn call(self) -> Vec<f32> {
        let Self { dense, mut batch } = self;
        let mut out = Vec::with_capacity(batch.len() * dense.last.1.len());
        while batch.len() >= ROWS {
            let rows = std::array::from_fn(|_| batch.next().unwrap_or_default());
            dense.rows::<ROWS, PART>(rows, &mut out);
        }
        for x in batch {
            dense.rows::<1, WHOLE>([x], &mut out);
        }
        out
    }
}

/// A hidden layer of so many rows, `T` outputs at a time.
#[inline(always)]
fn hidden<const R: usize, const T: usize>(
    (weights, biases): (&[f32], &[f32]),
    x: [&[f32]; R],
) -> [[f32; HIDDEN]; R] {
    let weights = weights.as_chunks::<HIDDEN>().0;
    // Said once, so that it is not checked for every number.
    let x = x.map(|x| &x[..weights.len()]);
    let mut y = [[0.0; HIDDEN]; R];
    for from in (0..HIDDEN).step_by(T) {
        let mut sums = [[0.0; T]; R];
        for sums in &mut sums {
            sums.copy_from_slice(&biases[from..from + T]);
        }
        for (k, weights) in weights.iter().enumerate() {
            let weights: &[f32; T] = weights[from..].first_chunk().expect("T divides HIDDEN");
            for (sums, x) in sums.iter_mut().zip(x) {
                *sums = plus(*sums, x[k], weights);
            }
        }
        for (y, sums) in y.iter_mut().zip(&sums) {
            y[from..from + T].copy_from_slice(sums);
        }
    }
    for y in &mut y {
        silu(y);
    }
    y
}

/// By value, so that sums need not be in memory.
#[inline(always)]
fn plus<const T: usize>(sums: [f32; T], x: f32, weights: &[f32; T]) -> [f32; T] {
    std::array::from_fn(|n| sums[n] + x * weights[n])
}

#[inline(always)]
fn dot(a: &[f32; HIDDEN], b: &[f32; HIDDEN]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        sums = std::array::from_fn(|n| sums[n] + a[n] * b[n]);
    }
    let [a, b, c, d]: [f32; LANES / 2] = std::array::from_fn(|n| sums[n] + sums[n + LANES / 2]);
    (a + c) + (b + d)
}

#[inline(always)]
fn silu(x: &mut [f32; HIDDEN]) {
    for v in x {
        *v /= 1.0 + exp(-*v);
    }
}

/// e^x to within a few units of the last place, without a branch: a loop over it becomes vector
/// instructions, which the library's does not. x = n ln 2 + r; e^r is a polynomial (Cephes).
#[inline(always)]
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

/// ln(1 + x) for x in 0..=1, in the same way: 2 artanh(x / (2 + x)), of which the series is short.
#[inline(always)]
pub(super) fn ln_1p(x: f32) -> f32 {
    const SERIES: [f32; 7] =
        [1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0];
    let s = x / (2.0 + x);
    let square = s * s;
    2.0 * s * SERIES.iter().fold(0.0, |sum, c| sum * square + c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IN: usize = 9;
    const OUT: usize = 5;

    /// Parameters of a network, and rows for it.
    fn any_network() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
        let parameters = (IN + HIDDEN + OUT) * HIDDEN + 2 * HIDDEN + OUT;
        let rows = (0..3 * ROWS).prop_flat_map(|n| proptest::collection::vec(-4.0f32..4.0, n * IN));
        (proptest::collection::vec(-0.5f32..0.5, parameters), rows)
    }

    fn dense(parameters: &[f32]) -> Dense<'_> {
        let (first, rest) = parameters.split_at(IN * HIDDEN);
        let (second, rest) = rest.split_at(HIDDEN * HIDDEN);
        let (last, rest) = rest.split_at(OUT * HIDDEN);
        let (b1, rest) = rest.split_at(HIDDEN);
        let (b2, b3) = rest.split_at(HIDDEN);
        Dense { hidden: [(first, b1), (second, b2)], last: (last, b3) }
    }

    /// The same by the book, in double precision.
    fn by_the_book(dense: &Dense<'_>, x: &[f32]) -> Vec<f64> {
        let mut x: Vec<f64> = x.iter().copied().map(f64::from).collect();
        for (weights, biases) in dense.hidden {
            let sum = |n: usize| -> f64 {
                let terms =
                    x.iter().enumerate().map(|(k, x)| x * f64::from(weights[k * HIDDEN + n]));
                terms.sum::<f64>() + f64::from(biases[n])
            };
            x = (0..HIDDEN).map(sum).map(|v| v / (1.0 + (-v).exp())).collect();
        }
        let (weights, biases) = dense.last;
        let sum = |(w, b): (&[f32], &f32)| {
            w.iter().zip(&x).map(|(w, x)| f64::from(*w) * x).sum::<f64>() + f64::from(*b)
        };
        weights.chunks_exact(HIDDEN).zip(biases).map(sum).collect()
    }

    proptest! {
        /// Whichever of the two the processor can run, and however many rows are asked about together.
        #[test]
        fn property_a_row_is_the_same_to_the_last_bit_on_any_processor_and_among_any_others(
            (parameters, values) in any_network()
        ) {
            let dense = dense(&parameters);
            let rows = || values.chunks_exact(IN);
            let together = dense.forward(rows());
            prop_assert_eq!(&together, &Work { dense, batch: rows() }.call());
            let alone: Vec<f32> =
                rows().flat_map(|row| dense.forward(std::iter::once(row))).collect();
            prop_assert_eq!(&together, &alone);
            for (row, found) in rows().zip(together.chunks_exact(OUT)) {
                for (found, expected) in found.iter().zip(by_the_book(&dense, row)) {
                    prop_assert!((f64::from(*found) - expected).abs() < 1e-4, "{found} {expected}");
                }
            }
        }

        #[test]
        fn property_exp_is_exact_to_a_few_units_of_the_last_place(x in -80.0f32..80.0) {
            let expected = f64::from(x).exp();
            prop_assert!((f64::from(exp(x)) / expected - 1.0).abs() < 5e-7);
        }

        #[test]
        fn property_ln_1p_is_exact_to_a_few_units_of_the_last_place(x in 1e-30f32..=1.0) {
            let expected = f64::from(x).ln_1p();
            prop_assert!((f64::from(ln_1p(x)) / expected - 1.0).abs() < 5e-7);
        }
    }
}
