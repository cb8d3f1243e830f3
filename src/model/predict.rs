//! The trained model as a [`Mechanism`]: abduction, action, prediction.

use super::abduct::{Abducted, Latent};
use super::features::{FeatureModel, Inputs};
use super::infer::{Evaluator, Levels};
use super::layout::delay_level;
use super::slowness::{Calm, Excess};
use super::world::Scene;
use crate::data::{EventTime, Frame, Resource};
use crate::graph::{Case, CausalNet, Latencies, Mechanism, Quality, Query, Situation};

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

/// One frame as a model sees it.
#[derive(Debug)]
struct Seen<'a> {
    model: &'a Model,
    frame: &'a Frame,
    normal: &'a Frame,
    scene: Scene<'a>,
}

impl Model {
    /// Latents and inputs of a frame.
    pub(super) fn look_at(&self, frame: &Frame) -> (Abducted, Inputs) {
        let inputs = self.features.inputs(frame, &self.net);
        let observed = self.evaluator.layout.observe(frame, &self.net);
        (self.evaluator.abduct(observed, &inputs), inputs)
    }

    /// How slow each service is by itself.
    fn excess(&self, scene: &Scene<'_>) -> Vec<Option<Excess>> {
        let by_rpc: Vec<Option<Levels>> = scene.excess();
        let of = |served: &Vec<usize>| Excess::of(served.iter().filter_map(|i| by_rpc[*i]));
        self.evaluator.served.iter().map(of).collect()
    }

    /// Learns what [`Model::excess`] is while QoS is met.
    pub(super) fn learn_calm(&mut self, calm: &[&Frame]) {
        let mut by_service = vec![Vec::new(); self.net.services.len()];
        for frame in calm {
            let (seen, inputs) = self.look_at(frame);
            let scene = Scene::new(&self.evaluator, seen, &inputs.at_normal());
            for (list, excess) in by_service.iter_mut().zip(self.excess(&scene)) {
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

    fn abduct<'a>(&'a self, frame: &'a Frame, normal: &'a Frame) -> Box<dyn Case + 'a> {
        let (seen, _) = self.look_at(frame);
        let scene = Scene::new(&self.evaluator, seen, &self.features.inputs(normal, &self.net));
        Box::new(Seen { model: self, frame, normal, scene })
    }

    fn quality(&self) -> &Quality {
        &self.quality
    }
}

impl Case for Seen<'_> {
    fn answer(&self, queries: &[Query], rpcs: &[usize]) -> Vec<Latencies> {
        self.scene.answer(queries, rpcs)
    }

    fn situation(&self) -> Situation {
        let model = self.model;
        let scores = model.features.scores(self.frame, self.normal, &model.net);
        let mut resources = Vec::new();
        let mut features = Vec::new();
        for row in &scores {
            let (mut z, mut amplitude, mut named) = ([0.0f64; 4], [0.0f64; 4], Vec::new());
            for score in row {
                let feature = &model.features.features[score.feature];
                let r = feature.resource.index();
                z[r] = z[r].max(score.z);
                amplitude[r] = amplitude[r].max(score.amplitude);
                named.push((feature.name.as_str().into(), feature.resource, score.z));
            }
            resources.push((z, amplitude));
            features.push(named);
        }
        let slowness = model
            .excess(&self.scene)
            .into_iter()
            .zip(&model.calm)
            .map(|(excess, calm)| excess.map_or(0.0, |e| calm.score(e)))
            .collect();
        Situation {
            resources: resources.iter().map(|(z, _)| *z).collect(),
            amplitudes: resources.iter().map(|(_, a)| *a).collect(),
            has_network_metrics: (0..model.net.services.len())
                .map(|j| model.features.has(j, Resource::Network))
                .collect(),
            features,
            slowness,
            latents: self.scene.seen.server.iter().map(Latent::shift).collect(),
            delays: model.delay_scores(self.frame, self.normal),
        }
    }
}
