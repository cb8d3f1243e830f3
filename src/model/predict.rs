//! The trained model as a [`Mechanism`]: abduction, action, prediction.

use ndarray::{Array1, s};

use super::abduct::Abducted;
use super::basis::COMPONENTS;
use super::dataset::levels;
use super::features::{FeatureModel, Inputs};
use super::infer::{Evaluator, Gaussian, Levels, Tier};
use super::layout::{Kind, LEVEL_COUNT, delay_level, to_ms};
use crate::data::{EventTime, Frame, Percentiles, Resource, RpcKind};
use crate::graph::{
    CausalNet, Hypothesis, Latencies, Mechanism, Quality, Query, Restore, Situation, What,
};

/// A residual kept under [`Hypothesis::BackPressure`] fades over this distance, in log units: the
/// further the counterfactual is from what was observed, the less the observed error says about it.
const FADE: f32 = 0.3;

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
    /// Goodness of fit.
    pub quality: Quality,
}

/// Everything that can be asked about one frame.
struct Case<'a> {
    model: &'a Model,
    seen: Abducted,
    /// Tiers at their normal values: normal metrics, prior latents, the load as it is.
    normal: Vec<Tier>,
    /// Networks at their normal values.
    normal_net: Vec<Option<Gaussian>>,
    /// Prediction of each server latency from prior latents and observed parents; what
    /// [`Hypothesis::BackPressure`] starts from.
    from_prior: Vec<Levels>,
}

/// One hypothetical world while it is being computed.
struct World<'a> {
    query: &'a Query,
    tiers: Vec<Tier>,
    /// Services whose server side was touched.
    touched: Vec<bool>,
    server: Vec<Levels>,
    client: Vec<Levels>,
    changed: Vec<bool>,
}

impl Model {
    fn case(&self, frame: &Frame, normal: &Frame) -> Case<'_> {
        let e = &self.evaluator;
        let inputs = self.features.inputs(frame, &self.net);
        let seen = e.abduct(e.layout.observe(frame, &self.net), &inputs);
        let restored =
            Inputs { load: inputs.load.clone(), ..self.features.inputs(normal, &self.net) };
        let mut tiers = e.tiers(&restored);
        for (j, tier) in tiers.iter_mut().enumerate() {
            tier.latent = e.prior_server(j, &tier.server, tier.load).mean;
        }
        let normal_net = (0..self.net.rpcs.len())
            .map(|i| {
                let callee = &tiers[e.layout.callee[i]];
                e.has_net(i).then(|| e.prior_net(i, &callee.net, callee.load))
            })
            .collect();
        let mut priors = seen.tiers.clone();
        for (tier, latent) in priors.iter_mut().zip(&seen.server) {
            tier.latent = latent.prior.mean.clone();
        }
        let from_prior = (0..self.net.rpcs.len())
            .map(|i| e.predict_server(i, &seen.observed, &priors))
            .collect();
        Case { model: self, seen, normal: tiers, normal_net, from_prior }
    }
}

impl Mechanism for Model {
    fn net(&self) -> &CausalNet {
        &self.net
    }

    fn answer(&self, frame: &Frame, normal: &Frame, queries: &[Query]) -> Vec<Latencies> {
        let case = self.case(frame, normal);
        let mut worlds: Vec<World> = queries.iter().map(|q| case.world(q)).collect();
        for &i in &self.evaluator.layout.order {
            case.visit_server(i, &mut worlds);
            case.visit_client(i, &mut worlds);
        }
        worlds.into_iter().map(World::latencies).collect()
    }

    fn situation(&self, frame: &Frame, normal: &Frame) -> Situation {
        let scores = self.features.scores(frame, normal, &self.net);
        let named = |(f, z): &(usize, f64)| {
            let feature = &self.features.features[*f];
            (feature.name.as_str().into(), feature.resource, *z)
        };
        let features: Vec<Vec<_>> =
            scores.iter().map(|row| row.iter().map(named).collect::<Vec<_>>()).collect();
        let most = |row: &Vec<(_, Resource, f64)>| {
            let mut best = [0.0f64; 4];
            for (_, resource, z) in row {
                best[resource.index()] = best[resource.index()].max(*z);
            }
            best
        };
        let e = &self.evaluator;
        let inputs = self.features.inputs(frame, &self.net);
        let seen = e.abduct(e.layout.observe(frame, &self.net), &inputs);
        Situation {
            resources: features.iter().map(most).collect(),
            has_network_metrics: (0..self.net.services.len())
                .map(|j| self.features.has(j, Resource::Network))
                .collect(),
            features,
            latents: seen.server.iter().map(super::abduct::Latent::shift).collect(),
            delays: self.delay_scores(frame, normal),
        }
    }

    fn quality(&self) -> &Quality {
        &self.quality
    }
}

impl Model {
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

impl<'a> Case<'a> {
    /// Action: sets what the query restores; nothing is recomputed yet.
    fn world(&self, query: &'a Query) -> World<'a> {
        let all = |kind: Kind| {
            (0..self.model.net.rpcs.len()).map(|i| levels(&self.seen.observed, kind, i)).collect()
        };
        let mut world = World {
            query,
            tiers: self.seen.tiers.clone(),
            touched: vec![false; self.seen.tiers.len()],
            server: all(Kind::Server),
            client: all(Kind::Client),
            changed: vec![false; self.model.net.rpcs.len()],
        };
        for restore in &query.restore {
            self.act(restore, &mut world);
        }
        world
    }

    fn act(&self, restore: &Restore, world: &mut World<'_>) {
        let j = restore.service;
        let normal = &self.normal[j];
        let tier = &mut world.tiers[j];
        match restore.what {
            What::Network => {
                // The network of a dark callee is part of what its callers call its latency.
                tier.net.assign(&normal.net);
            }
            What::All | What::Server => {
                *tier = Tier {
                    net: if restore.what == What::All {
                        normal.net.clone()
                    } else {
                        tier.net.clone()
                    },
                    ..normal.clone()
                };
                world.touched[j] = true;
            }
            What::Resource(Resource::Network) => tier.net.assign(&normal.net),
            What::Resource(resource) => {
                let from = resource.index() * COMPONENTS;
                let place = s![from..from + COMPONENTS];
                tier.server.slice_mut(place).assign(&normal.server.slice(place));
                // The latents keep what is unexplained and follow what the metrics explain.
                let prior = self.model.evaluator.prior_server(j, &tier.server, tier.load).mean;
                tier.latent = &tier.latent + &prior - &self.seen.server[j].prior.mean;
                world.touched[j] = true;
            }
        }
    }

    /// Prediction of the server latency of RPC `i` in every world in which a cause changed.
    fn visit_server(&self, i: usize, worlds: &mut [World<'_>]) {
        let e = &self.model.evaluator;
        let (callee, caller) = (e.layout.callee[i], e.layout.caller[i]);
        let is_dark = e.layout.kind[i] == RpcKind::ClientOnly;
        let mut due = Vec::new();
        let mut batch = Vec::new();
        for (n, world) in worlds.iter_mut().enumerate() {
            let below = e.children(i).any(|k| world.changed[k])
                || e.layout.pool[i].iter().any(|(k, _)| world.changed[*k]);
            let dark = is_dark
                && (caller.is_some_and(|a| world.touched[a])
                    || world.query.restore.iter().any(|r| r.service == callee));
            if !(world.touched[callee] || below || dark) {
                continue;
            }
            let mut tier = world.tiers[callee].clone();
            if self.is_pressed(world, callee) {
                tier.latent = self.seen.server[callee].prior.mean.clone();
            }
            let from = caller.map(|a| &world.tiers[a]);
            batch.push(e.server_inputs(i, &tier, from, |k| world.client[k]));
            due.push(n);
        }
        if due.is_empty() {
            return;
        }
        let observed = levels(&self.seen.observed, Kind::Server, i);
        for (n, predicted) in due.into_iter().zip(e.decode_server(i, &batch)) {
            let world = &mut worlds[n];
            let predicted = if self.is_pressed(world, callee) {
                self.with_residual(i, &predicted, &observed)
            } else {
                predicted
            };
            world.server[i] = no_worse(predicted, &observed);
            world.changed[i] = true;
        }
    }

    /// Whether the latents of service `j` are taken for pressure from below in this world.
    fn is_pressed(&self, world: &World<'_>, j: usize) -> bool {
        world.query.hypothesis == Hypothesis::BackPressure && !world.touched[j]
    }

    fn with_residual(&self, i: usize, predicted: &Levels, observed: &Levels) -> Levels {
        let start = &self.from_prior[i];
        std::array::from_fn(|q| {
            let fade = (-(predicted[q] - start[q]).abs() / FADE).exp();
            predicted[q] + (observed[q] - start[q]) * fade
        })
    }

    /// The client latency of RPC `i` wherever its server, its network or its caller changed.
    fn visit_client(&self, i: usize, worlds: &mut [World<'_>]) {
        let e = &self.model.evaluator;
        let caller = e.layout.caller[i];
        let (mut due, mut batch) = (Vec::new(), Vec::new());
        for (n, world) in worlds.iter_mut().enumerate() {
            let restored = world.query.restore.iter().find(|r| r.nets.contains(&i));
            let touched = caller.is_some_and(|a| world.touched[a]);
            if !(world.changed[i] || restored.is_some() || touched) {
                continue;
            }
            let Some(caller) = caller.filter(|_| e.has_client(i)) else {
                // Seen from one side only: the same latency.
                if e.layout.kind[i] != RpcKind::Messaging {
                    world.client[i] = world.server[i];
                }
                continue;
            };
            let [request, response] = self.delays(i, restored.is_some());
            let parts = [request, response, world.server[i]];
            let mut tier = world.tiers[caller].clone();
            if self.is_pressed(world, caller) {
                tier.latent = self.seen.server[caller].prior.mean.clone();
            }
            batch.push(e.client_inputs(i, &tier, &parts));
            due.push(n);
        }
        if due.is_empty() {
            return;
        }
        let observed = levels(&self.seen.observed, Kind::Client, i);
        for (n, predicted) in due.into_iter().zip(e.decode_client(i, &batch)) {
            worlds[n].client[i] = no_worse(predicted, &observed);
            worlds[n].changed[i] = true;
        }
    }

    /// Request and response delay of RPC `i`, as observed or had its network been normal.
    fn delays(&self, i: usize, is_restored: bool) -> [Levels; 2] {
        let e = &self.model.evaluator;
        let observed = [Kind::Request, Kind::Response].map(|k| levels(&self.seen.observed, k, i));
        let Some(z) = self.normal_net[i].as_ref().filter(|_| is_restored) else { return observed };
        let callee = &self.normal[e.layout.callee[i]];
        let [request, response] = e.decode_net(i, &callee.net, callee.load, &z.mean);
        [no_worse(request, &observed[0]), no_worse(response, &observed[1])]
    }
}

/// A restored world is never slower than the observed one, and percentiles ascend.
fn no_worse(predicted: Levels, observed: &Levels) -> Levels {
    let mut out = [0.0; LEVEL_COUNT];
    let mut low = f32::NEG_INFINITY;
    for q in 0..LEVEL_COUNT {
        low = low.max(predicted[q].min(observed[q]));
        out[q] = low;
    }
    out
}

impl World<'_> {
    fn latencies(self) -> Latencies {
        let ms = |all: Vec<Levels>| all.into_iter().map(|l| Percentiles(l.map(to_ms))).collect();
        Latencies { client: ms(self.client), server: ms(self.server) }
    }
}

/// The prior's and the posterior's prediction of every server latency of one frame.
pub(super) fn reconstruct(model: &Model, frame: &Frame) -> (Vec<Levels>, Vec<Levels>, Abducted) {
    let e = &model.evaluator;
    let inputs = model.features.inputs(frame, &model.net);
    let seen = e.abduct(e.layout.observe(frame, &model.net), &inputs);
    let mut priors = seen.tiers.clone();
    for (tier, latent) in priors.iter_mut().zip(&seen.server) {
        tier.latent = Array1::clone(&latent.prior.mean);
    }
    let predict = |tiers: &[Tier]| -> Vec<Levels> {
        (0..model.net.rpcs.len()).map(|i| e.predict_server(i, &seen.observed, tiers)).collect()
    };
    (predict(&seen.tiers), predict(&priors), seen)
}
