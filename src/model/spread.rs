//! Prediction: what follows from what was restored, RPC by RPC, callees first, in all worlds at once.
//!
//! Only what changes is computed. An RPC is visited in the worlds in which one of its causes moved; if
//! it moves there itself, those that depend on it will be.

use super::dataset::levels;
use super::gvae::LATENTS;
use super::infer::{ClientInputs, Levels, NetInputs, ServerInputs};
use super::layout::{Kind, LEVEL_COUNT, mean_ms, to_ms};
use super::queue;
use super::world::{Scene, World, moved};
use crate::data::{Percentiles, RpcKind};
use crate::graph::{Hypothesis, Latencies, Query};

/// What a prediction of the observed world misses is kept in a hypothetical one, fading over this
/// distance, in log units: the further latency moves, the less today's error says about it.
const FADE: f32 = 0.3;
/// A latency that moves by less, in log units, has not moved: such steps are rounding.
const STEP_MIN: f32 = 1e-6;
/// Keeps draws of networks apart from those of services.
const NETWORKS: u64 = 1 << 32;

/// Client latency of an RPC in one world.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    levels: Levels,
    mean_ms: f32,
}

/// An RPC in a world in which it is not as it was seen.
#[derive(Clone, Copy, Debug)]
struct Change {
    world: usize,
    server: Levels,
    client: Client,
}

/// Server latencies of an RPC by world, where they move.
type Servers = Vec<(usize, Levels)>;
/// By world, how much less the workers that serve an RPC are held, in log units; worlds ascending.
type Eased = Vec<(usize, f32)>;

/// Worlds while they are being computed.
struct Spread<'a> {
    scene: &'a Scene<'a>,
    worlds: Vec<World<'a>>,
    /// Whether what is asked depends on each RPC.
    matters: Vec<bool>,
    /// By RPC, the worlds in which a cause of its server latency moved, and of its client latency.
    server_due: Vec<Vec<usize>>,
    client_due: Vec<Vec<usize>>,
    /// Client latencies as seen.
    seen: &'a [Client],
    /// What became of each RPC, worlds ascending.
    changes: Vec<Vec<Change>>,
}

impl Scene<'_> {
    /// Answers every query: the latencies of `rpcs`.
    pub(super) fn answer(&self, queries: &[Query], rpcs: &[usize]) -> Vec<Latencies> {
        let mut spread = Spread::new(self, queries, rpcs);
        spread.touch();
        for &i in &self.evaluator.layout.order {
            spread.visit(i);
        }
        spread.latencies(rpcs)
    }
}

impl<'a> Spread<'a> {
    fn new(scene: &'a Scene<'a>, queries: &'a [Query], rpcs: &[usize]) -> Self {
        let layout = &scene.evaluator.layout;
        let count = layout.callee.len();
        let mut matters = vec![false; count];
        for i in rpcs {
            matters[*i] = true;
        }
        for &i in layout.order.iter().rev() {
            if matters[i] {
                let pool = layout.pool[i].iter().map(|(k, _)| *k);
                scene.evaluator.children(i).chain(pool).for_each(|k| matters[k] = true);
            }
        }
        Self {
            scene,
            worlds: queries.iter().map(|q| scene.act(q)).collect(),
            matters,
            server_due: vec![Vec::new(); count],
            client_due: vec![Vec::new(); count],
            seen: scene.clients(),
            changes: vec![Vec::new(); count],
        }
    }

    /// Makes due whatever a restored service acts on itself.
    fn touch(&mut self) {
        let e = self.scene.evaluator;
        for (n, world) in self.worlds.iter().enumerate() {
            for restored in &world.restored {
                let (j, server, net) = (restored.service, restored.server, restored.net);
                for &i in &e.served[j] {
                    let is_dark = e.layout.kind[i] == RpcKind::ClientOnly;
                    if server || net && is_dark {
                        self.server_due[i].push(n);
                    }
                    if net && e.has_net(i) {
                        self.client_due[i].push(n);
                    }
                }
                for &i in &e.invoked[j] {
                    if e.layout.kind[i] == RpcKind::ClientOnly {
                        self.server_due[i].push(n);
                    }
                    if server || net && e.has_net(i) {
                        self.client_due[i].push(n);
                    }
                }
            }
            for i in world.nets() {
                // Of a link that only its caller sees, latency is all that is known.
                if e.has_net(i) {
                    self.client_due[i].push(n);
                } else {
                    self.server_due[i].push(n);
                }
            }
        }
    }

    fn visit(&mut self, i: usize) {
        if !self.matters[i] {
            return;
        }
        let (servers, eased) = self.servers(i);
        self.changes[i] = self.clients(i, &servers, &eased);
        let moved: Vec<usize> = self.moved(i).map(|c| c.world).collect();
        for above in &self.scene.evaluator.dependents[i] {
            self.server_due[*above].extend(&moved);
        }
    }

    /// Changes of RPC `i` that those above it feel.
    fn moved(&self, i: usize) -> impl Iterator<Item = &Change> {
        let seen = &self.seen[i].levels;
        self.changes[i].iter().filter(move |c| c.client.levels != *seen)
    }

    /// The server latency of RPC `i` wherever it moves, worlds ascending, and where its queue is shorter.
    fn servers(&mut self, i: usize) -> (Servers, Eased) {
        let due = ascending(std::mem::take(&mut self.server_due[i]));
        if due.is_empty() {
            return Default::default();
        }
        let (scene, e) = (self.scene, self.scene.evaluator);
        let width = e.children(i).count();
        let mut clients = vec![Levels::default(); due.len() * width];
        for (at, k) in e.children(i).enumerate() {
            for (row, client) in self.rows(k, &due).enumerate() {
                clients[row * width + at] = client.levels;
            }
        }
        let mut pool_ms = vec![0.0; due.len()];
        for (k, share) in &e.layout.pool[i] {
            for (sum, client) in pool_ms.iter_mut().zip(self.rows(*k, &due)) {
                *sum += share * client.mean_ms;
            }
        }
        let callee = e.layout.callee[i];
        let is_dark = e.layout.kind[i] == RpcKind::ClientOnly;
        let is_freed = |w: &World<'_>| is_dark && w.nets().any(|k| k == i);
        let input = |(row, n): (usize, &usize)| {
            let world = &self.worlds[*n];
            let tier = |j| match j == callee && is_freed(world) {
                true => scene.normal[j],
                false => scene.tier(world, j),
            };
            let caller = e.layout.caller[i].map(tier);
            let clients = &clients[row * width..(row + 1) * width];
            e.server_inputs(i, &tier(callee), caller.as_ref(), clients, pool_ms[row])
        };
        let inputs: Vec<ServerInputs> = due.iter().enumerate().map(input).collect();
        let observed = levels(&scene.seen.observed, Kind::Server, i);
        let mut servers = self.settle(
            (&due, &e.decode_server(i, &inputs, scene.seen.observed.ceiling)),
            &observed,
            |hypothesis| scene.server_before(i, hypothesis),
            |w| w.has_server(callee) || is_freed(w),
        );
        let pool_seen = e.layout.pool_ms(i, |k| self.seen[k].mean_ms);
        let eased = match scene.queued[i] {
            true => eased(&servers, &observed, (pool_seen, &pool_ms)),
            false => Vec::new(),
        };
        servers.retain(|(_, server)| *server != observed);
        (servers, eased)
    }

    /// Both latencies of RPC `i` wherever one of them moves: `servers` as [`Spread::servers`] has them.
    fn clients(&mut self, i: usize, servers: &[(usize, Levels)], eased: &Eased) -> Vec<Change> {
        let mut due = std::mem::take(&mut self.client_due[i]);
        due.extend(servers.iter().map(|(n, _)| *n).chain(eased.iter().map(|(n, _)| *n)));
        let due = ascending(due);
        if due.is_empty() {
            return Vec::new();
        }
        let (e, seen) = (self.scene.evaluator, &self.scene.seen);
        let observed = levels(&seen.observed, Kind::Server, i);
        let mut rest = servers.iter().peekable();
        let of = |n: usize| rest.next_if(|(m, _)| *m == n).map_or(observed, |(_, server)| *server);
        let servers: Vec<Levels> = due.iter().copied().map(of).collect();
        let clients: Vec<Levels> = match e.layout.caller[i].filter(|_| e.has_client(i)) {
            Some(caller) => self.decode_clients(i, caller, (&due, &servers), eased),
            // Seen from one side only: the same latency.
            None if e.layout.kind[i] != RpcKind::Messaging => servers.clone(),
            None => vec![self.seen[i].levels; due.len()],
        };
        due.into_iter()
            .zip(servers.into_iter().zip(clients))
            .map(|(world, (server, client))| Change { world, server, client: Client::new(client) })
            .filter(|c| c.server != observed || c.client.levels != self.seen[i].levels)
            .collect()
    }

    fn decode_clients(
        &self,
        i: usize,
        caller: usize,
        (due, servers): (&[usize], &[Levels]),
        eased: &Eased,
    ) -> Vec<Levels> {
        let (scene, e) = (self.scene, self.scene.evaluator);
        let input = |(n, server): (&usize, &Levels)| {
            let world = &self.worlds[*n];
            let [mut request, response] = scene.delays(i, world);
            if let Ok(at) = eased.binary_search_by_key(n, |(m, _)| *m) {
                let normal = &e.layout.normal[Kind::Request as usize][i];
                request = queue::eased(&request, normal, eased[at].1);
            }
            e.client_inputs(i, &scene.tier(world, caller), &[request, response, *server])
        };
        let inputs: Vec<ClientInputs> = due.iter().zip(servers).map(input).collect();
        let settled = self.settle(
            (due, &e.decode_client(i, &inputs, scene.seen.observed.ceiling)),
            &self.seen[i].levels,
            |hypothesis| scene.client_before(i, caller, hypothesis),
            |w| w.has_server(caller),
        );
        settled.into_iter().map(|(_, client)| client).collect()
    }

    /// The client latency of RPC `k` in each of the worlds `due`, among which are all in which it moved.
    fn rows(&self, k: usize, due: &[usize]) -> impl Iterator<Item = &Client> {
        let seen = &self.seen[k];
        let mut changes = self.moved(k).peekable();
        let of = move |n: &usize| changes.next_if(|c| c.world == *n).map_or(seen, |c| &c.client);
        due.iter().map(of)
    }

    /// What is made of predictions: in worlds in which their cause is not restored, what the prediction of
    /// the observed world misses is kept.
    fn settle(
        &self,
        (due, predicted): (&[usize], &[Levels]),
        observed: &Levels,
        before: impl Fn(Hypothesis) -> Levels,
        is_restored: impl Fn(&World<'_>) -> bool,
    ) -> Vec<(usize, Levels)> {
        let of = |(n, new): (&usize, &Levels)| {
            let world = &self.worlds[*n];
            let new = match is_restored(world) {
                true => *new,
                false => keep_residual(new, &before(world.hypothesis()), observed),
            };
            (*n, no_worse(&new, observed))
        };
        due.iter().zip(predicted).map(of).collect()
    }

    fn latencies(&self, rpcs: &[usize]) -> Vec<Latencies> {
        let ms = |levels: &Levels| Percentiles(levels.map(to_ms));
        let server = |i: &usize| ms(&levels(&self.scene.seen.observed, Kind::Server, *i));
        let seen = Latencies {
            client: rpcs.iter().map(|i| ms(&self.seen[*i].levels)).collect(),
            server: rpcs.iter().map(server).collect(),
        };
        let mut all = vec![seen; self.worlds.len()];
        for (place, i) in rpcs.iter().enumerate() {
            for change in &self.changes[*i] {
                let world = &mut all[change.world];
                world.client[place] = ms(&change.client.levels);
                world.server[place] = ms(&change.server);
            }
        }
        all
    }
}

impl Scene<'_> {
    /// Request and response delay of RPC `i` in a world.
    fn delays(&self, i: usize, world: &World<'_>) -> [Levels; 2] {
        let e = self.evaluator;
        let observed = [Kind::Request, Kind::Response].map(|k| levels(&self.seen.observed, k, i));
        let is_restored = world.nets().any(|k| k == i);
        let ends = [Some(e.layout.callee[i]), e.layout.caller[i]];
        let is_touched = is_restored || ends.iter().flatten().any(|j| world.has_net(*j));
        let Some(latent) = self.seen.net[i].as_ref().filter(|_| is_touched) else {
            return observed;
        };
        let ceiling = self.seen.observed.ceiling;
        let decode = |x: &NetInputs, z: &[f32; LATENTS]| e.decode_net(i, x, z, ceiling);
        let x = e.net_inputs(i, |j| self.tier(world, j));
        let prior = e.prior_net(i, &x);
        let predicted = if is_restored {
            decode(&x, &prior.drawn(world.draw(), NETWORKS + i as u64))
        } else {
            let z = &latent.posterior.mean;
            let before = decode(&e.net_inputs(i, |j| self.seen.tiers[j]), z);
            let after = decode(&x, &moved(z, &latent.prior, &prior));
            std::array::from_fn(|k| keep_residual(&after[k], &before[k], &observed[k]))
        };
        std::array::from_fn(|k| no_worse(&predicted[k], &observed[k]))
    }
}

/// How much less workers are held than was seen: the RPC's own requests take less time, or the calls that any of them
/// wait for do, which take `pool_ms`.
fn eased(
    servers: &[(usize, Levels)],
    observed: &Levels,
    (pool_seen, pool_ms): (f32, &[f32]),
) -> Eased {
    let fall = |before: f32, after: f32| {
        if before > 0.0 && after > 0.0 { (before / after).ln().max(0.0) } else { 0.0 }
    };
    let rows = servers.iter().zip(pool_ms);
    rows.map(|((n, server), pool)| {
        let own = fall(mean_ms(observed), mean_ms(server));
        (*n, own.max(fall(pool_seen, *pool)))
    })
    .filter(|(_, eased)| *eased > STEP_MIN)
    .collect()
}

impl Client {
    pub(super) fn new(levels: Levels) -> Self {
        Self { levels, mean_ms: mean_ms(&levels) }
    }
}

fn ascending(mut worlds: Vec<usize>) -> Vec<usize> {
    worlds.sort_unstable();
    worlds.dedup();
    worlds
}

/// `after`, corrected by what `before` misses of the observed.
fn keep_residual(after: &Levels, before: &Levels, observed: &Levels) -> Levels {
    std::array::from_fn(|q| {
        let fade = (-(after[q] - before[q]).abs() / FADE).exp();
        after[q] + (observed[q] - before[q]) * fade
    })
}

/// A restored world is never slower than the observed one, and percentiles ascend. What hardly moved
/// is as observed.
fn no_worse(predicted: &Levels, observed: &Levels) -> Levels {
    let mut out = [0.0; LEVEL_COUNT];
    let mut low = f32::NEG_INFINITY;
    for q in 0..LEVEL_COUNT {
        low = low.max(predicted[q].min(observed[q]));
        out[q] = low;
    }
    let has_moved = out.iter().zip(observed).any(|(new, old)| (new - old).abs() > STEP_MIN);
    if has_moved { out } else { *observed }
}
