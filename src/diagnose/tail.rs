//! End-to-end latency, observed and counterfactual, in log space.

use crate::data::{Frame, Percentiles, QosTarget, mixture_quantile};
use crate::graph::{CausalNet, Latencies};

/// The RPCs that make up the latency a target is about, and their weights in one frame.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    roots: Vec<(usize, f64)>,
    quantile: f64,
}

impl Tail {
    /// The tail of `target` in `frame`; `None` when the net does not know the service or nothing
    /// was served.
    pub(super) fn new(net: &CausalNet, frame: &Frame, target: &QosTarget) -> Option<Self> {
        let service = net.service(&target.service)?;
        let count = |i: &usize| frame.rpc(&net.rpcs[*i].key).map_or(0.0, |w| w.count as f64);
        let roots: Vec<(usize, f64)> = net
            .entries(service)
            .into_iter()
            .map(|i| (i, count(&i)))
            .filter(|(_, count)| *count > 0.0)
            .collect();
        (!roots.is_empty()).then_some(Self { roots, quantile: target.quantile })
    }

    /// The RPCs it is made of.
    pub(super) fn rpcs(&self) -> Vec<usize> {
        self.roots.iter().map(|(i, _)| *i).collect()
    }

    /// ln of the latency, milliseconds; `latencies` are those of [`Tail::rpcs`].
    pub(super) fn log_ms(&self, latencies: &Latencies) -> f64 {
        self.of(latencies.client.iter().copied())
    }

    /// The same for a frame.
    pub(super) fn log_ms_of(&self, net: &CausalNet, frame: &Frame) -> f64 {
        let client = |i: usize| frame.rpc(&net.rpcs[i].key).map(|w| w.client).unwrap_or_default();
        self.of(self.roots.iter().map(|(i, _)| client(*i)))
    }

    fn of(&self, clients: impl Iterator<Item = Percentiles>) -> f64 {
        let parts: Vec<(f64, Percentiles)> =
            self.roots.iter().map(|(_, weight)| *weight).zip(clients).collect();
        mixture_quantile(&parts, self.quantile).unwrap_or(0.0).max(1e-3).ln()
    }

    /// Mean log latency of the roots over all levels: tells candidates apart whose tails saturate
    /// alike.
    pub(super) fn mean_log_ms(&self, latencies: &Latencies) -> f64 {
        let total: f64 = self.roots.iter().map(|(_, w)| w).sum();
        let mean = |p: &Percentiles| -> f64 {
            p.0.iter().map(|ms| f64::from(ms.max(1e-3)).ln()).sum::<f64>() / p.0.len() as f64
        };
        let roots = self.roots.iter().zip(&latencies.client);
        roots.map(|((_, w), client)| w * mean(client)).sum::<f64>() / total
    }
}
