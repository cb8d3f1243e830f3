//! Action: worlds in which some services were normal, told by what differs from what was seen.

use std::sync::OnceLock;

use super::abduct::Abducted;
use super::basis::COMPONENTS;
use super::dataset::levels;
use super::features::Inputs;
use super::gvae::LATENTS;
use super::infer::{Evaluator, Gaussian, Levels, Tier};
use super::layout::Kind;
use super::spread::Client;
use crate::data::Resource;
use crate::graph::{Hypothesis, Query, Restore, What};

/// One frame with its latents, ready to be asked about.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub evaluator: &'a Evaluator,
    /// What was seen, with its latents.
    pub seen: Abducted,
    /// Tiers at their normal values: normal metrics, prior latents, the load as it is.
    pub normal: Vec<Tier>,
    /// Whether requests of each RPC wait for workers of the callee before its span begins.
    pub queued: Vec<bool>,
    /// Client latencies as seen, and what is predicted of the observed world: the same for every question, and
    /// found out when one needs it.
    clients: OnceLock<Vec<Client>>,
    before: Vec<Before>,
}

/// Server and client latency of one RPC in the observed world, predicted from latents as
/// [`Hypothesis::Keep`] and as [`Hypothesis::BackPressure`] have them.
#[derive(Clone, Debug, Default)]
struct Before {
    server: [OnceLock<Levels>; 2],
    client: [OnceLock<Levels>; 2],
}

/// One hypothetical world.
#[derive(Debug)]
pub(super) struct World<'a> {
    query: &'a Query,
    /// Services that are restored, each once.
    pub restored: Vec<Restored>,
}

/// A service of a world that is not as it was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Restored {
    pub service: usize,
    pub tier: Tier,
    /// Whether its server side, and whether its network was touched.
    pub server: bool,
    pub net: bool,
}

impl<'a> Scene<'a> {
    /// Prepares the questions about a frame: `seen` is abducted, `normal` holds normal metrics.
    pub(super) fn new(evaluator: &'a Evaluator, seen: Abducted, normal: &Inputs) -> Self {
        let mut tiers = evaluator.tiers(normal);
        for (j, (tier, observed)) in tiers.iter_mut().zip(&seen.tiers).enumerate() {
            tier.load = observed.load;
            tier.latent = evaluator.prior_server(j, tier).mean;
        }
        let queued = vec![false; evaluator.layout.callee.len()];
        let before = vec![Before::default(); seen.observed.seen.len()];
        Self { evaluator, seen, normal: tiers, queued, clients: OnceLock::new(), before }
    }

    /// The client latency of every RPC as it was seen.
    pub(super) fn clients(&self) -> &[Client] {
        let seen = |i| Client::new(levels(&self.seen.observed, Kind::Client, i));
        self.clients.get_or_init(|| (0..self.before.len()).map(seen).collect())
    }

    /// A service in the observed world.
    fn tier_before(&self, j: usize, hypothesis: Hypothesis) -> Tier {
        match hypothesis {
            Hypothesis::Keep => self.seen.tiers[j],
            Hypothesis::BackPressure => self.seen.prior_tier(j),
        }
    }

    /// What is predicted of the server latency of RPC `i` in the observed world.
    pub(super) fn server_before(&self, i: usize, hypothesis: Hypothesis) -> Levels {
        *self.before[i].server[hypothesis as usize].get_or_init(|| {
            let layout = &self.evaluator.layout;
            let callee = self.tier_before(layout.callee[i], hypothesis);
            let caller = layout.caller[i].map(|a| self.tier_before(a, hypothesis));
            self.evaluator.predict_server_of(i, &self.seen.observed, &callee, caller.as_ref())
        })
    }

    /// The same of its client latency; `caller` invokes it.
    pub(super) fn client_before(&self, i: usize, caller: usize, hypothesis: Hypothesis) -> Levels {
        *self.before[i].client[hypothesis as usize].get_or_init(|| {
            let parts = [Kind::Request, Kind::Response, Kind::Server]
                .map(|k| levels(&self.seen.observed, k, i));
            let tier = self.tier_before(caller, hypothesis);
            let inputs = self.evaluator.client_inputs(i, &tier, &parts);
            self.evaluator.decode_client(i, &[inputs], self.seen.observed.ceiling)[0]
        })
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
            std::array::from_fn(|q| observed[q] - normal[q])
        };
        let seen = self.seen.observed.seen.iter().enumerate();
        seen.map(|(i, is_seen)| is_seen.then(|| of(i))).collect()
    }

    /// Sets what the query restores; nothing is recomputed yet.
    pub(super) fn act<'q>(&self, query: &'q Query) -> World<'q> {
        let mut world = World { query, restored: Vec::with_capacity(query.restore.len()) };
        for restore in &query.restore {
            let at = world.restored.iter().position(|r| r.service == restore.service);
            let at = at.unwrap_or_else(|| {
                let (service, tier) = (restore.service, self.seen.tiers[restore.service]);
                world.restored.push(Restored { service, tier, server: false, net: false });
                world.restored.len() - 1
            });
            self.restore(restore, &mut world.restored[at]);
        }
        if let Some(seed) = query.draw {
            for restored in world.restored.iter_mut().filter(|r| r.server) {
                let prior = self.evaluator.prior_server(restored.service, &restored.tier);
                let spread = prior.spread(seed, restored.service as u64);
                restored.tier.latent = std::array::from_fn(|n| restored.tier.latent[n] + spread[n]);
            }
        }
        world
    }

    fn restore(&self, restore: &Restore, restored: &mut Restored) {
        let (j, what) = (restore.service, restore.what);
        let (normal, tier) = (&self.normal[j], &mut restored.tier);
        if matches!(what, What::All | What::Server) {
            (tier.server, tier.latent) = (normal.server, normal.latent);
            restored.server = true;
        }
        if matches!(what, What::All | What::Network | What::Resource(Resource::Network)) {
            tier.net = normal.net;
            restored.net = true;
        }
        if let What::Resource(resource) = what
            && resource != Resource::Network
        {
            let from = resource.index() * COMPONENTS;
            let place = from..from + COMPONENTS;
            tier.server[place.clone()].copy_from_slice(&normal.server[place]);
            let prior = self.evaluator.prior_server(j, tier);
            // A service that is normal as a whole stays so.
            if tier.latent != normal.latent {
                let seen = &self.seen.server[j];
                tier.latent = moved(&seen.posterior.mean, &seen.prior, &prior);
            }
            restored.server = true;
        }
    }

    /// A service in a world: restored, or as seen. Under [`Hypothesis::BackPressure`] the unexplained
    /// part of services that are not restored goes away with its cause.
    pub(super) fn tier(&self, world: &World<'_>, j: usize) -> Tier {
        let restored = world.of(j);
        let tier = restored.map_or(self.seen.tiers[j], |r| r.tier);
        match world.hypothesis() {
            Hypothesis::BackPressure if !restored.is_some_and(|r| r.server) => {
                Tier { latent: self.seen.server[j].prior.mean, ..tier }
            }
            _ => tier,
        }
    }
}

impl World<'_> {
    fn of(&self, j: usize) -> Option<&Restored> {
        self.restored.iter().find(|r| r.service == j)
    }

    /// What services that are not restored do.
    pub(super) fn hypothesis(&self) -> Hypothesis {
        self.query.hypothesis
    }

    /// Whether anything of the server side of service `j` is restored.
    pub(super) fn has_server(&self, j: usize) -> bool {
        self.of(j).is_some_and(|r| r.server)
    }

    /// Whether metrics of the network of service `j` are restored.
    pub(super) fn has_net(&self, j: usize) -> bool {
        self.of(j).is_some_and(|r| r.net)
    }

    /// What is drawn at random about this world.
    pub(super) fn draw(&self) -> Option<u64> {
        self.query.draw
    }

    /// RPCs whose network is restored.
    pub(super) fn nets(&self) -> impl Iterator<Item = usize> + '_ {
        self.query.restore.iter().flat_map(|r| &r.nets).copied()
    }
}

/// A latent that keeps what is unexplained and follows what the metrics explain, from `before` to
/// `after`.
pub(super) fn moved(
    latent: &[f32; LATENTS],
    before: &Gaussian,
    after: &Gaussian,
) -> [f32; LATENTS] {
    std::array::from_fn(|n| latent[n] + after.mean[n] - before.mean[n])
}
