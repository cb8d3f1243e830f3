//! What one frame shows of every service, read once: whatever is made of its metrics begins with these.

use ndarray::Array3;

use super::features::{FeatureModel, log_levels};
use crate::data::Frame;
use crate::graph::CausalNet;

/// One frame as a [`FeatureModel`] sees it.
#[derive(Clone, Debug)]
pub(super) struct Readings {
    /// Log levels: `[service, feature, 1]`, NaN where missing.
    pub levels: Array3<f64>,
    /// ln of the load relative to normal, by service.
    pub loads: Vec<f64>,
    /// ln of the work in flight relative to normal, by service.
    pub in_flight: Vec<f64>,
}

impl FeatureModel {
    /// Reads a frame.
    pub(super) fn read(&self, frame: &Frame, net: &CausalNet) -> Readings {
        Readings {
            levels: log_levels(&[frame], net, &self.features),
            loads: self.loads_of(frame, net),
            in_flight: self.in_flight.of(frame, net),
        }
    }
}
