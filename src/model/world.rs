//! Action and prediction: worlds in which some services were normal.

use ndarray::{Array1, s};

use super::abduct::Abducted;
use super::basis::COMPONENTS;
use super::dataset::levels;
use super::features::Inputs;
use super::infer::{Evaluator, Levels, Tier};
use super::layout::{Kind, LEVEL_COUNT, to_ms};
use crate::data::{Percentiles, Resource, RpcKind};
use crate::graph::{Hypothesis, Latencies, Query, Restore, What};

/// What a prediction of the observed world misses is kept in a hypothetical one, fading over this
/// distance, in log units: the further latency moves, the less today's error says about it.
const FADE: f32 = 0.3;

/// Everything that can be asked about one frame.
#[derive(Debug)]
pub(super) struct Case<'a> {
    evaluator: &'a Evaluator,
    /// What was seen, with its latents.
    pub seen: Abducted,
    /// Tiers at their normal values: normal metrics, prior latents, the load as it is.
    normal: Vec<Tier>,
    /// Tiers as seen, with prior latents.
    pressed: Vec<Tier>,
    /// Prediction of the observed world from posterior latents, and from prior ones.
    start: [Start; 2],
}

/// Predictions of every RPC with its causes as observed.
#[derive(Debug)]
struct Start {
    server: Vec<Levels>,
    client: Vec<Option<Levels>>,
}

/// One hypothetical world while it is being computed.
struct World<'a> {
    query: &'a Query,
    tiers: Vec<Tier>,
    /// Services whose server side, and whose network, was touched.
    server_touched: Vec<bool>,
    net_touched: Vec<bool>,
    /// RPCs whose network is restored.
    nets: Vec<bool>,
    server: Vec<Levels>,
    client: Vec<Levels>,
    changed: Vec<bool>,
}

impl<'a> Case<'a> {
    /// Prepares the questions about a frame: `seen` is abducted, `normal` holds normal metrics.
    pub(super) fn new(evaluator: &'a Evaluator, seen: Abducted, normal: &Inputs) -> Self {
        let mut tiers = evaluator.tiers(normal);
        for (j, (tier, observed)) in tiers.iter_mut().zip(&seen.tiers).enumerate() {
            tier.load = observed.load;
            tier.latent = evaluator.prior_server(j, &tier.server, tier.load).mean;
        }
        let pressed = seen.prior_tiers();
        let start = [&seen.tiers, &pressed].map(|tiers| Start::new(evaluator, &seen, tiers));
        Self { evaluator, seen, normal: tiers, pressed, start }
    }

    /// Answers every query.
    pub(super) fn answer(&self, queries: &[Query]) -> Vec<Latencies> {
        let mut worlds: Vec<World> = queries.iter().map(|q| self.world(q)).collect();
        for &i in &self.evaluator.layout.order {
            self.visit_server(i, &mut worlds);
            self.visit_client(i, &mut worlds);
        }
        worlds.into_iter().map(World::latencies).collect()
    }

    /// How much slower each RPC is at its server than its normal self would be with the same
    /// callees, in log units by level; `None` when it was not seen.
    pub(super) fn excess(&self) -> Vec<Option<Levels>> {
        let of = |i: usize| {
            let e = self.evaluator;
            let callee = e.layout.callee[i];
            let caller = e.layout.caller[i].map(|a| {
                let tiers = if a == callee { &self.normal } else { &self.seen.tiers };
                &tiers[a]
            });
            let normal = e.predict_server_of(i, &self.seen.observed, &self.normal[callee], caller);
            let observed = levels(&self.seen.observed, Kind::Server, i);
            self.seen.observed.seen[i].then(|| std::array::from_fn(|q| observed[q] - normal[q]))
        };
        (0..self.evaluator.layout.callee.len()).map(of).collect()
    }

    /// Action: sets what the query restores; nothing is recomputed yet.
    fn world<'q>(&self, query: &'q Query) -> World<'q> {
        let rpcs = self.evaluator.layout.callee.len();
        let all = |kind: Kind| (0..rpcs).map(|i| levels(&self.seen.observed, kind, i)).collect();
        let mut world = World {
            query,
            tiers: self.seen.tiers.clone(),
            server_touched: vec![false; self.seen.tiers.len()],
            net_touched: vec![false; self.seen.tiers.len()],
            nets: vec![false; rpcs],
            server: all(Kind::Server),
            client: all(Kind::Client),
            changed: vec![false; rpcs],
        };
        for restore in &query.restore {
            self.act(restore, &mut world);
        }
        world
    }

    fn act(&self, restore: &Restore, world: &mut World<'_>) {
        let j = restore.service;
        let (normal, tier) = (&self.normal[j], &mut world.tiers[j]);
        if matches!(restore.what, What::All | What::Server) {
            tier.server.assign(&normal.server);
            tier.latent.assign(&normal.latent);
            world.server_touched[j] = true;
        }
        let network = What::Resource(Resource::Network);
        if restore.what == What::All || restore.what == What::Network || restore.what == network {
            tier.net.assign(&normal.net);
            world.net_touched[j] = true;
        }
        if let What::Resource(resource) = restore.what
            && resource != Resource::Network
        {
            let from = resource.index() * COMPONENTS;
            let place = s![from..from + COMPONENTS];
            tier.server.slice_mut(place).assign(&normal.server.slice(place));
            // The latents keep what is unexplained and follow what the metrics explain.
            let prior = self.evaluator.prior_server(j, &tier.server, tier.load).mean;
            tier.latent = &tier.latent + &prior - &self.seen.server[j].prior.mean;
            world.server_touched[j] = true;
        }
        for i in &restore.nets {
            world.nets[*i] = true;
        }
    }

    /// The tier to predict with, and what that predicts for the observed world: under
    /// [`Hypothesis::BackPressure`] the unexplained part of untouched services goes away with its
    /// cause.
    fn tier<'w>(&'w self, world: &'w World<'_>, j: usize) -> (&'w Tier, &'w Start) {
        let is_pressed =
            world.query.hypothesis == Hypothesis::BackPressure && !world.server_touched[j];
        if is_pressed {
            (&self.pressed[j], &self.start[1])
        } else {
            (&world.tiers[j], &self.start[0])
        }
    }

    /// Predicts the server latency of RPC `i` in every world in which a cause of it changed.
    fn visit_server(&self, i: usize, worlds: &mut [World<'_>]) {
        let e = self.evaluator;
        let (callee, caller) = (e.layout.callee[i], e.layout.caller[i]);
        let mut batch = Vec::new();
        for (n, world) in worlds.iter().enumerate() {
            if world.server_depends(e, i) {
                let from = caller.map(|a| &world.tiers[a]);
                let (tier, _) = self.tier(world, callee);
                // The network of a dark callee was restored in the world, not in the pressed tier.
                let tier = Tier { net: world.tiers[callee].net.clone(), ..tier.clone() };
                batch.push((n, e.server_inputs(i, &tier, from, |k| world.client[k])));
            }
        }
        if batch.is_empty() {
            return;
        }
        let observed = levels(&self.seen.observed, Kind::Server, i);
        let (places, inputs): (Vec<usize>, Vec<_>) = batch.into_iter().unzip();
        for (n, predicted) in places.into_iter().zip(e.decode_server(i, &inputs)) {
            let world = &worlds[n];
            let new = if world.server_touched[callee] {
                predicted
            } else {
                let (_, start) = self.tier(world, callee);
                keep_residual(&predicted, &start.server[i], &observed)
            };
            worlds[n].server[i] = no_worse(new, &observed);
            worlds[n].changed[i] = true;
        }
    }

    /// The client latency of RPC `i` wherever its server, its network or its caller changed.
    fn visit_client(&self, i: usize, worlds: &mut [World<'_>]) {
        let e = self.evaluator;
        let caller = e.layout.caller[i].filter(|_| e.has_client(i));
        let mut batch = Vec::new();
        for (n, world) in worlds.iter_mut().enumerate() {
            if !world.client_depends(e, i) {
                continue;
            }
            match caller {
                Some(caller) => {
                    let [request, response] = self.delays(i, world);
                    let parts = [request, response, world.server[i]];
                    let (tier, _) = self.tier(world, caller);
                    batch.push((n, e.client_inputs(i, tier, &parts)));
                }
                // Seen from one side only: the same latency.
                None if e.layout.kind[i] != RpcKind::Messaging => world.client[i] = world.server[i],
                None => {}
            }
        }
        let Some(caller) = caller.filter(|_| !batch.is_empty()) else { return };
        let observed = levels(&self.seen.observed, Kind::Client, i);
        let (places, inputs): (Vec<usize>, Vec<_>) = batch.into_iter().unzip();
        for (n, predicted) in places.into_iter().zip(e.decode_client(i, &inputs)) {
            let world = &worlds[n];
            let (_, start) = self.tier(world, caller);
            let new = match &start.client[i] {
                Some(start) if !world.server_touched[caller] => {
                    keep_residual(&predicted, start, &observed)
                }
                _ => predicted,
            };
            worlds[n].client[i] = no_worse(new, &observed);
            worlds[n].changed[i] = true;
        }
    }

    /// Request and response delay of RPC `i` in a world.
    fn delays(&self, i: usize, world: &World<'_>) -> [Levels; 2] {
        let e = self.evaluator;
        let observed = [Kind::Request, Kind::Response].map(|k| levels(&self.seen.observed, k, i));
        let Some(latent) = self.seen.net[i].as_ref().filter(|_| world.net_depends(e, i)) else {
            return observed;
        };
        let x = e.net_inputs(i, &world.tiers);
        let prior = e.prior_net(i, &x).mean;
        let predicted = if world.nets[i] {
            e.decode_net(i, &x, &prior)
        } else {
            let z: Array1<f32> = &latent.posterior.mean + &prior - &latent.prior.mean;
            let before =
                e.decode_net(i, &e.net_inputs(i, &self.seen.tiers), &latent.posterior.mean);
            let after = e.decode_net(i, &x, &z);
            std::array::from_fn(|k| keep_residual(&after[k], &before[k], &observed[k]))
        };
        std::array::from_fn(|k| no_worse(predicted[k], &observed[k]))
    }
}

impl Start {
    fn new(e: &Evaluator, seen: &Abducted, tiers: &[Tier]) -> Self {
        let rpcs = 0..e.layout.callee.len();
        Self {
            server: rpcs.clone().map(|i| e.predict_server(i, &seen.observed, tiers)).collect(),
            client: rpcs.map(|i| e.predict_client(i, &seen.observed, tiers)).collect(),
        }
    }
}

impl World<'_> {
    fn server_depends(&self, e: &Evaluator, i: usize) -> bool {
        let (callee, caller) = (e.layout.callee[i], e.layout.caller[i]);
        self.server_touched[callee]
            || e.children(i).any(|k| self.changed[k])
            || e.layout.pool[i].iter().any(|(k, _)| self.changed[*k])
            || e.layout.kind[i] == RpcKind::ClientOnly
                && (self.net_touched[callee]
                    || caller.is_some_and(|a| self.server_touched[a] || self.net_touched[a]))
    }

    fn net_depends(&self, e: &Evaluator, i: usize) -> bool {
        self.nets[i]
            || self.net_touched[e.layout.callee[i]]
            || e.layout.caller[i].is_some_and(|a| self.net_touched[a])
    }

    fn client_depends(&self, e: &Evaluator, i: usize) -> bool {
        self.changed[i]
            || e.has_net(i) && self.net_depends(e, i)
            || e.layout.caller[i].is_some_and(|a| self.server_touched[a])
    }

    fn latencies(self) -> Latencies {
        let ms = |all: Vec<Levels>| all.into_iter().map(|l| Percentiles(l.map(to_ms))).collect();
        Latencies { client: ms(self.client), server: ms(self.server) }
    }
}

/// `after`, corrected by what `before` misses of the observed.
fn keep_residual(after: &Levels, before: &Levels, observed: &Levels) -> Levels {
    std::array::from_fn(|q| {
        let fade = (-(after[q] - before[q]).abs() / FADE).exp();
        after[q] + (observed[q] - before[q]) * fade
    })
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
