//! Deviations over time, as columns: what the causal learners learn from.

use std::collections::BTreeMap;

use super::usual::Usual;
use crate::data::{Frame, Name, Resource};

/// Deviations frame by frame, in spreads. Where nothing was measured, all is as usual.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// By service.
    pub(super) latencies: BTreeMap<Name, Vec<f64>>,
    /// By service and metric, with the resource it tells about.
    pub(super) metrics: BTreeMap<Name, BTreeMap<Name, (Resource, Vec<f64>)>>,
}

impl Series {
    /// Of `frames`, oldest first.
    pub(super) fn of(frames: &[&Frame], usual: &Usual) -> Self {
        let (rows, mut series) = (frames.len(), Self::default());
        for (row, frame) in frames.iter().enumerate() {
            for (service, deviation) in usual.of_latencies(frame) {
                series.latencies.entry(service).or_insert_with(|| vec![0.0; rows])[row] = deviation;
            }
            for (service, name, resource, deviation) in usual.of_metrics(frame) {
                let of_service = series.metrics.entry(service.clone()).or_default();
                let column =
                    of_service.entry(name.clone()).or_insert_with(|| (resource, vec![0.0; rows]));
                column.1[row] = deviation;
            }
        }
        series
    }
}
