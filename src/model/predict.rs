//! The trained model as a [`Mechanism`]: abduction, action, prediction.

use super::abduct::Abducted;
use super::features::{FeatureModel, Inputs};
use super::infer::{Evaluator, Levels};
use super::layout::delay_level;
use super::slowness::{Calm, Excess};
use super::world::Case;
use crate::data::{EventTime, Frame, Resource};
use crate::graph::{CausalNet, Latencies, Mechanism, Quality, Query, Situation};

/// A trained model.
#[derive(Clone, Debug)]
pub struct Model {
    /// Identity.
    pub id: String,
    /// End of the newest interval it was trained on.
    pub trained_at: EventTime,
    /// Intervals it was trained on.
    pub intervals: usize,
    /// The net it is a model of.
    pub net: CausalNet,
    /// Metrics.
    pub features: FeatureModel,
    /// Networks and layout.
    pub evaluator: Evaluator,
    /// How slow each service is by itself while QoS is met.
    pub calm: Vec<Calm>,
    /// Goodness of fit.
    pub quality: Quality,
}

impl Model {
    /// Latents and inputs of a frame.
    pub(super) fn abduct(&self, frame: &Frame) -> (Abducted, Inputs) {
        let inputs = self.features.inputs(frame, &self.net);
        let observed = self.evaluator.layout.observe(frame, &self.net);
        (self.evaluator.abduct(observed, &inputs), inputs)
    }

    fn case(&self, frame: &Frame, normal: &Frame) -> Case<'_> {
        let (seen, _) = self.abduct(frame);
        Case::new(&self.evaluator, seen, &self.features.inputs(normal, &self.net))
    }

    /// How slow each service is by itself.
    fn excess(&self, case: &Case<'_>) -> Vec<Option<Excess>> {
        let by_rpc: Vec<Option<Levels>> = case.excess();
        let of = |j: usize| Excess::of(self.net.served(j).filter_map(|i| by_rpc[i]));
        (0..self.net.services.len()).map(of).collect()
    }

    /// Learns what [`Model::excess`] is while QoS is met.
    pub(super) fn learn_calm(&mut self, calm: &[&Frame]) {
        let mut by_service = vec![Vec::new(); self.net.services.len()];
        for frame in calm {
            let (seen, inputs) = self.abduct(frame);
            let case = Case::new(&self.evaluator, seen, &inputs.at_normal());
            for (list, excess) in by_service.iter_mut().zip(self.excess(&case)) {
                list.extend(excess);
            }
        }
        self.calm = by_service.iter().map(|list| Calm::fit(list)).collect();
    }

    fn delay_scores(&self, frame: &Frame, normal: &Frame) -> Vec<f64> {
        let score = |i: usize| -> Option<f64> {
            let key = &self.net.rpcs[i].key;
            let level = |f: &Frame| f.rpc(key).filter(|w| w.count > 0).map(delay_level);
            let sigma = f64::from(self.evaluator.layout.delay_sigma[i]);
            Some((level(frame)? - level(normal)?) / sigma)
        };
        let of = |i: usize| if self.evaluator.has_net(i) { score(i).unwrap_or(0.0) } else { 0.0 };
        (0..self.net.rpcs.len()).map(of).collect()
    }
}

impl Mechanism for Model {
    fn net(&self) -> &CausalNet {
        &self.net
    }

    fn answer(&self, frame: &Frame, normal: &Frame, queries: &[Query]) -> Vec<Latencies> {
        self.case(frame, normal).answer(queries)
    }

    fn situation(&self, frame: &Frame, normal: &Frame) -> Situation {
        let scores = self.features.scores(frame, normal, &self.net);
        let mut resources = Vec::new();
        let mut features = Vec::new();
        for row in &scores {
            let (mut z, mut amplitude, mut named) = ([0.0f64; 4], [0.0f64; 4], Vec::new());
            for score in row {
                let feature = &self.features.features[score.feature];
                let r = feature.resource.index();
                z[r] = z[r].max(score.z);
                amplitude[r] = amplitude[r].max(score.amplitude);
                named.push((feature.name.as_str().into(), feature.resource, score.z));
            }
            resources.push((z, amplitude));
            features.push(named);
        }
        let case = self.case(frame, normal);
        let slowness = self
            .excess(&case)
            .into_iter()
            .zip(&self.calm)
            .map(|(excess, calm)| excess.map_or(0.0, |e| calm.score(e)))
            .collect();
        Situation {
            resources: resources.iter().map(|(z, _)| *z).collect(),
            amplitudes: resources.iter().map(|(_, a)| *a).collect(),
            has_network_metrics: (0..self.net.services.len())
                .map(|j| self.features.has(j, Resource::Network))
                .collect(),
            features,
            slowness,
            latents: case.seen.server.iter().map(super::abduct::Latent::shift).collect(),
            delays: self.delay_scores(frame, normal),
        }
    }

    fn quality(&self) -> &Quality {
        &self.quality
    }
}
