//! Dimensionality reduction per resource: whatever metrics a resource has, the model sees the same
//! few numbers. Restoring one resource then means setting its numbers to normal, and networks of
//! different services have one shape.

use linfa_linalg::eigh::{EigSort, Eigh as _};
use ndarray::{Array2, ArrayView2, Axis, s};
use serde::{Deserialize, Serialize};

/// Numbers the model sees per resource.
pub(super) const COMPONENTS: usize = 3;

/// A linear map from the scaled features of one resource to [`COMPONENTS`] numbers. Normal (all
/// zeros) maps to zeros.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Basis {
    /// `rows[c][f]`: weight of feature `f` in component `c`.
    rows: Vec<Vec<f64>>,
}

impl Basis {
    /// The principal directions of `rows`: the eigenvectors of their covariance. Or single features, when they are few
    /// enough, or when so few span all the others that there are not as many directions as [`COMPONENTS`] to be found.
    ///
    /// # Shapes
    /// `rows`: `[services * intervals, features of the resource]`.
    pub(super) fn fit(rows: &Array2<f64>) -> Self {
        let features = rows.ncols();
        if features <= COMPONENTS {
            return Self::identity(features);
        }
        let spanning = spanning(rows);
        if spanning.len() <= COMPONENTS {
            return Self::of(&spanning, features);
        }
        // A dozen features at most: all of the decomposition costs nothing, and it divides by nothing that hardly varies.
        match covariance(rows).map(|c| c.eigh().map(EigSort::sort_eig_desc)) {
            Some(Ok((_, directions))) => Self::upright(directions.t().slice(s![..COMPONENTS, ..])),
            _ => Self::of(&spanning, features),
        }
    }

    fn identity(features: usize) -> Self {
        let unit = |c| (0..features).map(|f| f64::from(u8::from(f == c))).collect();
        Self { rows: (0..COMPONENTS).map(unit).collect() }
    }

    /// The first of the `chosen` features, as they are.
    fn of(chosen: &[usize], features: usize) -> Self {
        let unit = |c: usize| {
            let at = chosen.get(c);
            (0..features).map(|f| f64::from(u8::from(at == Some(&f)))).collect()
        };
        Self { rows: (0..COMPONENTS).map(unit).collect() }
    }

    /// Components with their larger weights positive, so that more of a feature is more of it.
    fn upright(components: ArrayView2<'_, f64>) -> Self {
        let rows = components.outer_iter().map(|row| {
            let sign = if row.sum() < 0.0 { -1.0 } else { 1.0 };
            row.iter().map(|w| w * sign).collect()
        });
        Self { rows: rows.collect() }
    }

    /// Projects scaled features; `out` has [`COMPONENTS`] places.
    pub(super) fn project(&self, features: &[f64], out: &mut [f32]) {
        for (place, row) in out.iter_mut().zip(&self.rows) {
            *place = row.iter().zip(features).map(|(w, f)| w * f).sum::<f64>() as f32;
        }
    }
}

/// `None` without rows.
fn covariance(rows: &Array2<f64>) -> Option<Array2<f64>> {
    let centred = rows - &rows.mean_axis(Axis(0))?;
    Some(centred.t().dot(&centred) / rows.nrows() as f64)
}

/// Features that together say all that `rows` say, that which adds most first (Cholesky decomposition of the
/// covariance, with pivots).
fn spanning(rows: &Array2<f64>) -> Vec<usize> {
    /// A feature of which the others explain all but this share of the largest variance adds nothing.
    const REST: f64 = 1e-6;
    let Some(mut rest) = covariance(rows) else { return Vec::new() };
    let diagonal = |m: &Array2<f64>, f: usize| m[[f, f]];
    let mut chosen = Vec::new();
    let mut largest = None;
    while chosen.len() < rows.ncols() {
        let by_rest = |a: &usize, b: &usize| diagonal(&rest, *a).total_cmp(&diagonal(&rest, *b));
        let Some(next) = (0..rows.ncols()).max_by(by_rest) else { break };
        let variance = diagonal(&rest, next);
        if variance <= 1e-12 || variance <= REST * *largest.get_or_insert(variance) {
            break;
        }
        let column = rest.column(next).to_owned().insert_axis(Axis(1));
        rest -= &(column.dot(&column.t()) / variance);
        chosen.push(next);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array;

    #[test]
    fn collinear_features_fold_into_one_component_and_normal_stays_zero() {
        let rows = Array::from_shape_fn((200, 5), |(i, f)| {
            let fault = if i.is_multiple_of(10) { 3.0 } else { 0.0 };
            fault + 0.01 * ((i * 7 + f * 13) % 17) as f64
        });
        let basis = Basis::fit(&rows);
        let mut out = [9.0; COMPONENTS];
        basis.project(&[0.0; 5], &mut out);
        assert_eq!(out, [0.0; COMPONENTS]);
        basis.project(&[3.0; 5], &mut out);
        let expected = 3.0 * 5f32.sqrt();
        assert!((out[0] - expected).abs() < 0.1, "{out:?}");
    }

    /// Five features of which two say everything: there is no third direction.
    #[test]
    fn features_that_follow_from_others_are_left_out() {
        let rows = Array::from_shape_fn((400, 5), |(i, f)| {
            let (a, b) = (((i * 7) % 13) as f64, ((i * 5) % 11) as f64);
            [a, b, a + b, 2.0 * a, 0.0][f]
        });
        assert_eq!(spanning(&rows).len(), 2);
        let basis = Basis::fit(&rows);
        let mut out = [9.0; COMPONENTS];
        basis.project(&[1.0, 2.0, 3.0, 2.0, 0.0], &mut out);
        assert!(out.iter().all(|v| v.is_finite()) && out[..2] != [0.0; 2], "{out:?}");
        assert_eq!(out[2], 0.0);
    }

    /// Three directions and what hardly differs from them.
    #[test]
    fn features_that_nearly_follow_from_others_have_finite_directions() {
        for rest in [1e-2, 1e-4, 1e-6, 1e-9, 1e-13] {
            let rows = Array::from_shape_fn((400, 6), |(i, f)| {
                let [a, b, c] = [(7, 13), (5, 11), (3, 17)].map(|(k, n)| ((i * k) % n) as f64);
                let noise = rest * ((i * 11 + f * 5) % 19) as f64;
                [a, b, a + b, 0.01 * c, 2.0 * a, 0.0][f] + noise
            });
            let basis = Basis::fit(&rows);
            assert!(basis.rows.iter().flatten().all(|w| w.is_finite()), "{rest}: {basis:?}");
            for (n, row) in basis.rows.iter().enumerate() {
                let length: f64 = row.iter().map(|w| w * w).sum();
                assert!((length - 1.0).abs() < 1e-6, "{rest}, {n}: {row:?}");
            }
        }
    }

    #[test]
    fn few_features_pass_unchanged() {
        let basis = Basis::fit(&Array2::zeros((4, 2)));
        let mut out = [9.0; COMPONENTS];
        basis.project(&[1.0, 2.0], &mut out);
        assert_eq!(out, [1.0, 2.0, 0.0]);
    }
}
