//! Dimensionality reduction per resource: whatever metrics a resource has, the model sees the same
//! few numbers. Restoring one resource then means setting its numbers to normal, and networks of
//! different services have one shape.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_reduction::Pca;
use ndarray::{Array2, Axis};
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
    /// The principal directions of `rows`, or the features themselves when they are few enough or
    /// when they never vary.
    ///
    /// # Shapes
    /// `rows`: `[services * intervals, features of the resource]`.
    pub(super) fn fit(rows: &Array2<f64>) -> Self {
        let features = rows.ncols();
        if features <= COMPONENTS {
            return Self::identity(features);
        }
        let varied = rows.var_axis(Axis(0), 0.0).iter().filter(|v| **v > 1e-12).count();
        if varied <= COMPONENTS {
            return Self::of_the_varied(rows);
        }
        match Pca::params(COMPONENTS).fit(&DatasetBase::from(rows.clone())) {
            Ok(pca) => Self::upright(pca.components()),
            // The decomposition did not converge: the features that vary most, as they are.
            Err(_) => Self::of_the_varied(rows),
        }
    }

    fn identity(features: usize) -> Self {
        let unit = |c| (0..features).map(|f| f64::from(u8::from(f == c))).collect();
        Self { rows: (0..COMPONENTS).map(unit).collect() }
    }

    fn of_the_varied(rows: &Array2<f64>) -> Self {
        let variance = rows.var_axis(Axis(0), 0.0);
        let mut by_variance: Vec<usize> = (0..rows.ncols()).collect();
        by_variance.sort_by(|a, b| variance[*b].total_cmp(&variance[*a]));
        let unit = |at: usize| (0..rows.ncols()).map(|f| f64::from(u8::from(f == at))).collect();
        Self { rows: by_variance.into_iter().take(COMPONENTS).map(unit).collect() }
    }

    /// Components with their larger weights positive, so that more of a feature is more of it.
    fn upright(components: &Array2<f64>) -> Self {
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

    #[test]
    fn few_features_pass_unchanged() {
        let basis = Basis::fit(&Array2::zeros((4, 2)));
        let mut out = [9.0; COMPONENTS];
        basis.project(&[1.0, 2.0], &mut out);
        assert_eq!(out, [1.0, 2.0, 0.0]);
    }
}
