//! Robust scaling of metric features, in linfa's `Fit` and `Transformer` manner.
//!
//! A feature enters the model as its deviation from the service's own normal, in log space, divided
//! by a scale that is pooled over all services. The pooled scale matters: noise stays small enough
//! not to be memorised, and what one tier's fault looks like teaches the others.

use linfa::traits::{Fit, Transformer};
use linfa::{Dataset, DatasetBase};
use ndarray::{Array1, Array2, ArrayView1, Axis};
use serde::{Deserialize, Serialize};

use crate::stats::{MAD_TO_SIGMA, median_mad, quantile};

/// Scaled deviations are clipped to this range.
const CLIP: (f64, f64) = (-4.0, 6.0);
/// Noise of this many robust deviations has amplitude one.
const NOISE_FACTOR: f64 = 6.0;
/// Smallest scale, in log units.
const SCALE_MIN: f64 = 0.05;

/// A feature cannot be scaled.
#[derive(Debug, thiserror::Error)]
pub enum ScaleError {
    /// No rows.
    #[error("no interval has a value of any feature")]
    Empty,
    /// linfa's own complaint.
    #[error(transparent)]
    Linfa(#[from] linfa::Error),
}

/// Hyper-parameters of a [`RobustScaler`].
#[derive(Clone, Debug, Default)]
pub(super) struct RobustScalerParams;

/// Fitted scale of every feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RobustScaler {
    scale: Vec<f64>,
}

/// Fits on log deviations.
///
/// # Shapes
/// Records: `[services * intervals, features]`, NaN where missing. Targets: `[services * intervals]`,
/// the index of the row's service.
impl Fit<Array2<f64>, Array1<usize>, ScaleError> for RobustScalerParams {
    type Object = RobustScaler;

    fn fit(&self, data: &Dataset<f64, usize, ndarray::Ix1>) -> Result<RobustScaler, ScaleError> {
        let DatasetBase { records, targets, .. } = data;
        if records.nrows() == 0 {
            return Err(ScaleError::Empty);
        }
        let scale = records.axis_iter(Axis(1)).map(|column| scale_of(column, targets)).collect();
        Ok(RobustScaler { scale })
    }
}

/// Half the 99th percentile of what was ever seen, but never so small that noise looks large.
fn scale_of(column: ArrayView1<f64>, services: &Array1<usize>) -> f64 {
    let swing = quantile(column.iter().map(|v| v.abs()), 0.99).unwrap_or(0.0) / 2.0;
    let count = services.iter().max().map_or(0, |s| s + 1);
    let mut by_service = vec![Vec::new(); count];
    for (value, service) in column.iter().zip(services) {
        by_service[*service].push(*value);
    }
    let noise = by_service.iter().filter_map(|v| Some(median_mad(v)?.1 * MAD_TO_SIGMA));
    let noise = quantile(noise, 0.5).unwrap_or(0.0) * NOISE_FACTOR;
    swing.max(noise).max(SCALE_MIN)
}

impl RobustScaler {
    /// Scales deviations of one service; missing ones count as normal.
    pub(super) fn scale(&self, feature: usize, deviation: f64) -> f64 {
        if deviation.is_finite() {
            (deviation / self.scale[feature]).clamp(CLIP.0, CLIP.1)
        } else {
            0.0
        }
    }
}

/// # Shapes
/// `[rows, features]` to the same.
impl Transformer<Array2<f64>, Array2<f64>> for RobustScaler {
    fn transform(&self, mut deviations: Array2<f64>) -> Array2<f64> {
        for ((_, feature), value) in deviations.indexed_iter_mut() {
            *value = self.scale(feature, *value);
        }
        deviations
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array, array};

    #[test]
    fn noise_is_scaled_small_and_a_fault_anywhere_sets_the_scale_for_all() {
        // Service 0: noise of +-0.1 only. Service 1: the same, and a swing of 3 in 2 % of rows.
        let rows = 1000;
        let noise = |i: usize| if i.is_multiple_of(2) { 0.1 } else { -0.1 };
        let records = Array::from_shape_fn((2 * rows, 1), |(i, _)| {
            if i >= rows && i.is_multiple_of(25) { 3.0 } else { noise(i) }
        });
        let services = Array1::from_shape_fn(2 * rows, |i| i / rows);
        let scaler = RobustScalerParams.fit(&Dataset::new(records, services)).unwrap();
        assert!((scaler.scale(0, 0.1) - 0.0667).abs() < 1e-3, "{}", scaler.scale(0, 0.1));
        assert_eq!(scaler.transform(array![[3.0], [f64::NAN], [1e9]]), array![[2.0], [0.0], [6.0]]);
    }
}
