//! The trained model as a [`Mechanism`]: abduction, action, prediction.

use std::sync::Arc;

use super::abduct::{Abducted, Latent};
use super::features::{FeatureModel, Inputs};
use super::infer::Evaluator;
use super::layout::delay_levels;
use super::queue::{Queues, is_constant};
use super::readings::Readings;
use super::refresh::Affected;
use super::reshape::Matching;
use super::slowness::{Calm, Excess, Slowest};
use super::usual::{Look, Usual};
use super::world::Scene;
use crate::data::{EventTime, Frame, Resource, RpcKind, RpcWindow, Scope, Signal};
use crate::graph::{
    Case, CausalNet, Delay, Deviations, Latencies, Mechanism, Quality, Query, Situation,
};
use crate::parallel;

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
    /// How slow each RPC is by itself while QoS is met.
    pub calm: Vec<Calm>,
    /// How slow the slowest RPC of each service is then.
    pub slowest: Vec<Slowest>,
    /// How each service looks while QoS is met.
    pub usual: Vec<Usual>,
    /// Where requests wait outside of spans.
    pub queues: Queues,
    /// Begin of the first interval in which each service was what it is; the epoch when it always was.
    pub changed_at: Vec<EventTime>,
    /// Services that the newest training was about: all of them, or those a change affected.
    pub trained_services: usize,
    /// Goodness of fit.
    pub quality: Quality,
}

/// One frame as a model sees it.
#[derive(Debug)]
struct Seen<'a> {
    model: &'a Model,
    frame: &'a Frame,
    normal: Arc<Normal<'a>>,
    readings: Readings,
    scene: Scene<'a>,
}

/// What is normal, as a model sees it.
#[derive(Debug)]
struct Normal<'a> {
    frame: &'a Frame,
    readings: Readings,
    inputs: Inputs,
}

impl Model {
    /// Latents and inputs of a frame.
    pub(super) fn look_at(&self, frame: &Frame) -> (Abducted, Inputs) {
        let inputs = self.features.inputs(frame, &self.net);
        let observed = self.evaluator.layout.observe(frame, &self.net);
        (self.evaluator.abduct(observed, &inputs), inputs)
    }

    fn normal<'a>(&self, frame: &'a Frame) -> Normal<'a> {
        let readings = self.features.read(frame, &self.net);
        let inputs = self.features.normal_inputs(&readings);
        Normal { frame, readings, inputs }
    }

    fn case<'a>(&'a self, frame: &'a Frame, normal: Arc<Normal<'a>>) -> Seen<'a> {
        let readings = self.features.read(frame, &self.net);
        let observed = self.evaluator.layout.observe(frame, &self.net);
        let seen = self.evaluator.abduct(observed, &self.features.inputs_of(&readings));
        let mut scene = Scene::new(&self.evaluator, seen, &normal.inputs);
        scene.queued = self.queues.by_rpc(&self.evaluator, &readings.in_flight);
        Seen { model: self, frame, normal, readings, scene }
    }

    /// Learns how slow everything is by itself, and how it looks, while QoS is met.
    pub(super) fn learn_calm(&mut self, calm: &[&Frame]) {
        let excess = self.excess(calm);
        self.calm = self.by_rpc(&excess).iter().map(|list| Calm::fit(list)).collect();
        self.slowest = self.largest(&excess).iter().map(|list| Slowest::fit(list)).collect();
        let looks: Vec<Look> = calm.iter().map(|f| Look::at(self, f)).collect();
        self.usual = Usual::learn(&looks, self.net.services.len());
    }

    /// Takes over what `base` knows about calm, and learns about trained services from the `calm` frames
    /// since the change.
    pub(super) fn inherit_calm(
        &mut self,
        base: &Self,
        matching: &Matching,
        affected: &Affected,
        calm: &[&Frame],
    ) {
        let excess = self.excess(calm);
        let typical = Calm::typical(&base.calm);
        let of_rpc = |(i, seen): (usize, Vec<Excess>)| match matching.rpcs[i] {
            Some(was) if !affected.trained[self.net.rpcs[i].callee] => base.calm[was],
            Some(was) => base.calm[was].moved(&seen),
            None => typical.moved(&seen),
        };
        self.calm = self.by_rpc(&excess).into_iter().enumerate().map(of_rpc).collect();
        let typical = Slowest::typical(&base.slowest);
        let of_service = |(j, seen): (usize, Vec<f64>)| match matching.services[j] {
            Some(was) if !affected.trained[j] => base.slowest[was],
            Some(was) => base.slowest[was].moved(&seen),
            None => typical.moved(&seen),
        };
        self.slowest = self.largest(&excess).into_iter().enumerate().map(of_service).collect();
        let looks: Vec<Look> = calm.iter().map(|f| Look::at(self, f)).collect();
        let mut usual = Usual::learn(&looks, self.net.services.len());
        for (j, mine) in usual.iter_mut().enumerate().filter(|(j, _)| !affected.trained[*j]) {
            let was = matching.services[j].and_then(|was| base.usual.get(was));
            *mine = was.cloned().unwrap_or_default();
        }
        self.usual = usual;
    }

    /// How much slower than its normal self each RPC is: by frame, then by RPC.
    fn excess(&self, frames: &[&Frame]) -> Vec<Vec<Option<Excess>>> {
        let of = |frame: &&Frame| {
            let (seen, inputs) = self.look_at(frame);
            let excess = Scene::new(&self.evaluator, seen, &inputs.at_normal()).excess();
            excess.iter().map(|e| e.as_ref().map(Excess::from)).collect()
        };
        frames.iter().map(of).collect()
    }

    /// Everything that was seen of each RPC.
    fn by_rpc(&self, frames: &[Vec<Option<Excess>>]) -> Vec<Vec<Excess>> {
        let of = |i: usize| frames.iter().filter_map(|excess| excess[i]).collect();
        (0..self.net.rpcs.len()).map(of).collect()
    }

    /// The largest score among the RPCs of each service in every frame in which one was seen.
    fn largest(&self, frames: &[Vec<Option<Excess>>]) -> Vec<Vec<f64>> {
        let scores: Vec<Vec<Option<f64>>> = frames.iter().map(|e| self.rpc_slowness(e)).collect();
        let of = |served: &Vec<usize>| scores.iter().filter_map(|s| largest(served, s)).collect();
        self.evaluator.served.iter().map(of).collect()
    }

    /// Begin of the first interval from which on service `j` has been what it is.
    pub fn changed_since(&self, j: usize) -> EventTime {
        self.changed_at.get(j).copied().unwrap_or_default()
    }

    /// Begin of the first interval after the newest change it knows of.
    pub fn newest_change(&self) -> Option<EventTime> {
        self.changed_at.iter().copied().max().filter(|t| *t > EventTime::default())
    }

    /// How slow each RPC is by itself; `None` when it was not seen.
    fn rpc_slowness(&self, excess: &[Option<Excess>]) -> Vec<Option<f64>> {
        excess.iter().zip(&self.calm).map(|(e, calm)| e.map(|e| calm.score(e))).collect()
    }

    /// How slow each service is by itself, from the scores of its RPCs.
    fn slowness(&self, rpcs: &[Option<f64>]) -> Vec<f64> {
        let of = |(served, usual): (&Vec<usize>, &Slowest)| {
            largest(served, rpcs).map_or(0.0, |z| usual.score(z))
        };
        self.evaluator.served.iter().zip(&self.slowest).map(of).collect()
    }

    /// How late each RPC is between the spans, and as far as its link may be why; where only its caller sends spans,
    /// link and callee together.
    fn delay_scores(
        &self,
        (frame, normal): (&Frame, &Frame),
        queued: &[bool],
        slow: &[Option<f64>],
    ) -> Vec<Option<Delay>> {
        let score = |i: usize| -> Option<Delay> {
            let key = &self.net.rpcs[i].key;
            let now = frame.rpc(key).filter(|w| w.count > 0)?;
            let then = normal.rpc(key)?;
            let sigma = self.evaluator.layout.delay_sigma[i].map(f64::from);
            let z = |now: &RpcWindow| {
                let (now, then) = (delay_levels(now), delay_levels(then));
                let [body, tail] = [0, 1].map(|k| (now[k] - then[k]) / sigma[k]);
                body.max(tail)
            };
            let answered = z(&RpcWindow { request: then.request, ..now.clone() });
            let is_link = is_constant(&now.request, &then.request);
            Some(match queued[i] {
                true => Delay { all: answered, link: answered },
                false => Delay { all: z(now), link: if is_link { z(now) } else { answered } },
            })
        };
        let of = |i: usize| match self.net.rpcs[i].kind {
            RpcKind::ClientOnly => slow[i].map(|z| Delay { all: z, link: z }),
            _ => score(i).filter(|_| self.evaluator.has_net(i)),
        };
        (0..self.net.rpcs.len()).map(of).collect()
    }
}

impl Mechanism for Model {
    fn net(&self) -> &CausalNet {
        &self.net
    }

    fn abduct<'a>(&'a self, frame: &'a Frame, normal: &'a Frame) -> Box<dyn Case + 'a> {
        Box::new(self.case(frame, Arc::new(self.normal(normal))))
    }

    fn abduct_all<'a>(
        &'a self,
        frames: &[&'a Frame],
        normal: &'a Frame,
    ) -> Vec<Box<dyn Case + 'a>> {
        let normal = Arc::new(self.normal(normal));
        parallel::map(frames, parallel::processors(), |frame: &&'a Frame| -> Box<dyn Case + 'a> {
            Box::new(self.case(frame, Arc::clone(&normal)))
        })
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
        let scores = model.features.scores_of(&self.readings, &self.normal.readings);
        let mut own = vec![Deviations::default(); scores.len()];
        let mut hosts = own.clone();
        let mut used = vec![[0.0_f64; 4]; scores.len()];
        let mut features = vec![Vec::new(); scores.len()];
        let mut busy = model.features.busy(&self.readings);
        for (j, row) in scores.iter().enumerate() {
            let mut is_measured = [false; 4];
            for score in row {
                let feature = &model.features.features[score.feature];
                let whose = if feature.scope == Scope::Node { &mut hosts } else { &mut own };
                whose[j].add(feature.resource, score.z, score.amplitude, score.share);
                match feature.signal {
                    Signal::Stall => whose[j].add_stall(feature.resource, score.z),
                    Signal::Limit => whose[j].add_limit(feature.resource, score.z),
                    Signal::Usage | Signal::Saturation => {}
                }
                if feature.scope != Scope::Node {
                    let r = feature.resource.index();
                    match feature.signal {
                        Signal::Usage => used[j][r] = used[j][r].max(score.z),
                        Signal::Saturation | Signal::Stall | Signal::Limit => {
                            is_measured[r] |= !feature.is_share_of_limit();
                        }
                    }
                }
                features[j].push((feature.name.as_str().into(), feature.resource, score.z));
            }
            busy[j] = busy[j].filter(|_| !is_measured[Resource::Cpu.index()]);
            used[j] = std::array::from_fn(|r| if is_measured[r] { 0.0 } else { used[j][r] });
        }
        let excess: Vec<Option<Excess>> =
            self.scene.excess().iter().map(|e| e.as_ref().map(Excess::from)).collect();
        let slow = model.rpc_slowness(&excess);
        Situation {
            own,
            hosts,
            used,
            busy,
            has_network_metrics: (0..model.net.services.len())
                .map(|j| model.features.has(j, Resource::Network))
                .collect(),
            features,
            slowness: model.slowness(&slow),
            latents: self.scene.seen.server.iter().map(Latent::shift).collect(),
            delays: model.delay_scores((self.frame, self.normal.frame), &self.scene.queued, &slow),
        }
    }
}

/// The largest score among the RPCs `served`; `None` when none was seen.
fn largest(served: &[usize], scores: &[Option<f64>]) -> Option<f64> {
    served.iter().filter_map(|i| scores[*i]).reduce(f64::max)
}
