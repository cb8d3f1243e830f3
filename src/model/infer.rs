//! Node by node evaluation of the trained networks for a batch of hypothetical worlds.

use ndarray::Array2;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution, StandardNormal};

use super::dataset::NO_CHILD;
use super::dense::{exp, ln_1p};
use super::features::{Inputs, NET_INPUTS, SERVER_INPUTS};
use super::gvae::{
    CLIENT_DECODER_IN, EDGE_WEIGHT, LATENTS, LOG_SIGMA, NET_DECODER_IN, NET_IN, SERVER_DECODER_IN,
};
use super::layout::{Kind, LEVEL_COUNT, Layout, Thinning, mean_ms};
use super::network::{Network, PlainStack};
use super::start::sharpness;
use crate::data::RpcKind;

/// An odd number with bits everywhere: seeds of neighbouring nodes have nothing in common.
const NODE_STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Log latency by level.
pub(super) type Levels = [f32; LEVEL_COUNT];
/// X^net of one RPC.
pub(super) type NetInputs = [f32; NET_IN];
/// Inputs of a server decoder, and the soft maximum of what the server waits for.
pub(super) type ServerInputs = ([f32; SERVER_DECODER_IN], Levels);
/// Inputs of a client decoder, and the soft maximum of the parts of the latency.
pub(super) type ClientInputs = ([f32; CLIENT_DECODER_IN], Levels);

/// Where the latent stands among the inputs of a server decoder.
pub(super) const SERVER_LATENT: usize = LEVEL_COUNT + 1 + SERVER_INPUTS + NET_INPUTS + 1;
/// The same for a client decoder.
pub(super) const CLIENT_LATENT: usize = LEVEL_COUNT + SERVER_INPUTS + 1;

/// Metric inputs of one service in one world.
#[derive(Clone, Copy, Debug)]
pub struct Tier {
    /// X^s
    pub server: [f32; SERVER_INPUTS],
    /// X^net
    pub net: [f32; NET_INPUTS],
    /// Load.
    pub load: f32,
    /// Z^s
    pub latent: [f32; LATENTS],
}

/// Mean and log deviation of one latent.
#[derive(Clone, Copy, Debug)]
pub struct Gaussian {
    /// Mean.
    pub mean: [f32; LATENTS],
    /// ln sigma.
    pub log_sigma: [f32; LATENTS],
}

impl Gaussian {
    /// A draw's distance from the mean. `seed` and `node` tell draws apart.
    pub(super) fn spread(&self, seed: u64, node: u64) -> [f32; LATENTS] {
        let mut rng = SmallRng::seed_from_u64(seed ^ node.wrapping_mul(NODE_STRIDE));
        std::array::from_fn(|n| {
            let noise: f32 = StandardNormal.sample(&mut rng);
            self.log_sigma[n].exp() * noise
        })
    }

    /// A draw, or the mean without a seed.
    pub(super) fn drawn(&self, seed: Option<u64>, node: u64) -> [f32; LATENTS] {
        let Some(seed) = seed else { return self.mean };
        let spread = self.spread(seed, node);
        std::array::from_fn(|n| self.mean[n] + spread[n])
    }
}

/// Trained networks beside the layout they belong to.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluator {
    /// Networks.
    pub network: Network,
    /// Layout.
    pub layout: Layout,
    /// RPCs into each service, and RPCs it invokes.
    pub(super) served: Vec<Vec<usize>>,
    pub(super) invoked: Vec<Vec<usize>>,
    /// RPCs whose server latency each RPC's client latency acts on: those that wait for it, and those
    /// whose worker pool it occupies.
    pub(super) dependents: Vec<Vec<usize>>,
    /// Edges of each parent.
    children: Vec<Vec<usize>>,
    /// What of the child each edge's parent sees.
    thinning: Vec<Thinning>,
    /// How sharp the soft maximum of each RPC is, and the weight of each edge in it, as far as weights go.
    sharp_server: Vec<Levels>,
    weight_edge: Vec<Levels>,
    /// The same of each client, and the weights of request, response and server.
    sharp_client: Vec<Levels>,
    weight_part: Vec<[Levels; 3]>,
    /// Position of an RPC among the client decoders and the paired RPCs.
    client_at: Vec<Option<usize>>,
    paired_at: Vec<Option<usize>>,
    /// Soft maximum of the children, and of the parts of the client latency, at normal.
    normal_children: Vec<Levels>,
    normal_parts: Vec<Levels>,
    /// Time the worker pool of each RPC is held at normal.
    normal_pool: Vec<f32>,
}

impl Evaluator {
    /// Puts networks and layout together.
    pub fn new(network: Network, layout: Layout) -> Self {
        let rpcs = layout.callee.len();
        let position = |list: &[usize]| {
            let mut at = vec![None; rpcs];
            for (place, i) in list.iter().enumerate() {
                at[*i] = Some(place);
            }
            at
        };
        let waiting = layout.edges.iter().map(|e| (e.child, e.parent));
        let pooled = layout.pool.iter().enumerate();
        let pooled = pooled.flat_map(|(i, pool)| pool.iter().map(move |(k, _)| (*k, i)));
        let sharp = |of: &Array2<f32>, i| std::array::from_fn(|q| sharpness(of[[i, q]]));
        let weight = |of: &Array2<f32>, i, from: usize| -> Levels {
            std::array::from_fn(|q| of[[i, from + q]].clamp(EDGE_WEIGHT.0, EDGE_WEIGHT.1))
        };
        let parts = |c| [0, 1, 2].map(|part| weight(&network.weight_part, c, part * LEVEL_COUNT));
        let edges = 0..layout.edges.len();
        let this = Self {
            sharp_server: (0..rpcs).map(|i| sharp(&network.sharp_server, i)).collect(),
            weight_edge: edges.map(|e| weight(&network.weight_edge, e, 0)).collect(),
            sharp_client: (0..layout.clients.len())
                .map(|c| sharp(&network.sharp_client, c))
                .collect(),
            weight_part: (0..layout.clients.len()).map(parts).collect(),
            served: lists(layout.services, layout.callee.iter().copied().zip(0..)),
            invoked: lists(layout.services, (0..rpcs).filter_map(|i| Some((layout.caller[i]?, i)))),
            dependents: lists(rpcs, waiting.chain(pooled)),
            children: lists(rpcs, layout.edges.iter().map(|e| e.parent).zip(0..)),
            thinning: layout.edges.iter().map(super::layout::Edge::thinning).collect(),
            client_at: position(&layout.clients),
            paired_at: position(&layout.paired),
            normal_children: Vec::new(),
            normal_parts: Vec::new(),
            normal_pool: Vec::new(),
            network,
            layout,
        };
        let normal = |kind: Kind, i: usize| this.layout.normal[kind as usize][i];
        let client = |k: usize| normal(Kind::Client, k);
        let parts = |i| [Kind::Request, Kind::Response, Kind::Server].map(|k| normal(k, i));
        let children = |i| this.children(i).map(client).collect::<Vec<Levels>>();
        let normal_children = (0..rpcs).map(|i| this.softmax_children(i, &children(i))).collect();
        let normal_parts = (0..rpcs).map(|i| this.softmax_parts(i, &parts(i))).collect();
        let normal_pool =
            (0..rpcs).map(|i| this.layout.pool_ms(i, |k| mean_ms(&client(k)))).collect();
        Self { normal_children, normal_parts, normal_pool, ..this }
    }

    /// Whether RPC `i` has a client latency of its own.
    pub fn has_client(&self, i: usize) -> bool {
        self.client_at[i].is_some()
    }

    /// Whether RPC `i` has a network of its own.
    pub fn has_net(&self, i: usize) -> bool {
        self.paired_at[i].is_some()
    }

    /// Position of RPC `i` among the paired ones.
    pub fn paired_place(&self, i: usize) -> usize {
        self.paired_at[i].unwrap_or(0)
    }

    /// RPCs that `i` waits for.
    pub fn children(&self, i: usize) -> impl Iterator<Item = usize> + '_ {
        self.children[i].iter().map(|e| self.layout.edges[*e].child)
    }

    /// P(Z^s | X^s) of service `j`.
    pub fn prior_server(&self, j: usize, tier: &Tier) -> Gaussian {
        let x: [f32; SERVER_INPUTS + 1] = concat(&[&tier.server, &[tier.load]]);
        self.network.prior_server.gaussian(j, &x)
    }

    /// X^net of RPC `i`: what both ends say about their network, and the callee's load.
    pub fn net_inputs(&self, i: usize, tier: impl Fn(usize) -> Tier) -> NetInputs {
        let callee = tier(self.layout.callee[i]);
        let caller = self.layout.caller[i].map_or([0.0; NET_INPUTS], |a| tier(a).net);
        concat(&[&callee.net, &caller, &[callee.load]])
    }

    /// P(Z^net | X^net) of RPC `i`, which must be paired; `x` as of [`Evaluator::net_inputs`].
    pub fn prior_net(&self, i: usize, x: &NetInputs) -> Gaussian {
        self.network.prior_net.gaussian(self.paired_place(i), x)
    }

    /// Soft maximum over what RPC `i` waits for: `clients` are the log latencies of
    /// [`Evaluator::children`].
    fn softmax_children(&self, i: usize, clients: &[Levels]) -> Levels {
        let edges = &self.children[i];
        if edges.is_empty() {
            return [NO_CHILD; LEVEL_COUNT];
        }
        let sharp = &self.sharp_server[i];
        let thinned = || edges.iter().zip(clients).map(|(e, c)| (e, self.thinning[*e].of(c)));
        let mut most = [NO_CHILD; LEVEL_COUNT];
        for (_, child) in thinned() {
            most = std::array::from_fn(|q| most[q].max(child[q]));
        }
        let mut sum = [1e-30; LEVEL_COUNT];
        for (e, child) in thinned() {
            let weight = &self.weight_edge[*e];
            for q in 0..LEVEL_COUNT {
                sum[q] += exp((child[q] - most[q] + weight[q]) * sharp[q]);
            }
        }
        std::array::from_fn(|q| sum[q].ln() / sharp[q] + most[q])
    }

    fn softmax_parts(&self, i: usize, parts: &[Levels; 3]) -> Levels {
        let Some(c) = self.client_at[i].filter(|_| self.layout.kind[i] != RpcKind::Messaging)
        else {
            return [NO_CHILD; LEVEL_COUNT];
        };
        let (sharp, weights) = (&self.sharp_client[c], &self.weight_part[c]);
        std::array::from_fn(|q| {
            let weighted = [0, 1, 2].map(|k| (parts[k][q] + weights[k][q]) * sharp[q]);
            let most = weighted.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            (weighted.iter().map(|w| exp(w - most)).sum::<f32>().ln() + most) / sharp[q]
        })
    }

    /// Inputs of the server decoder of RPC `i`. `clients`: log client latencies of
    /// [`Evaluator::children`]; `pool_ms`: how long its worker pool is held, as
    /// [`Layout::pool_ms`] has it.
    pub fn server_inputs(
        &self,
        i: usize,
        callee: &Tier,
        caller: Option<&Tier>,
        clients: &[Levels],
        pool_ms: f32,
    ) -> ServerInputs {
        let children = self.softmax_children(i, clients);
        let excess = match clients.is_empty() {
            true => Levels::default(),
            false => std::array::from_fn(|q| children[q] - self.normal_children[i][q]),
        };
        let occupancy = self.layout.occupancy(i, pool_ms, self.normal_pool[i]);
        let is_dark = self.layout.kind[i] == RpcKind::ClientOnly;
        let no_net = [0.0; NET_INPUTS];
        let net = if is_dark { callee.net } else { no_net };
        let (from, from_net) = match caller.filter(|_| is_dark) {
            Some(caller) => (caller.server, caller.net),
            None => ([0.0; SERVER_INPUTS], no_net),
        };
        let x = concat(&[
            &excess,
            &[occupancy],
            &callee.server,
            &net,
            &[callee.load],
            &callee.latent,
            &from,
            &from_net,
        ]);
        (x, children)
    }

    /// Log server latencies for a batch of inputs, none above `ceiling`.
    pub fn decode_server(&self, i: usize, batch: &[ServerInputs], ceiling: f32) -> Vec<Levels> {
        bounded(self.decode_server_free(i, batch), ceiling)
    }

    /// The same without bound.
    pub(super) fn decode_server_free(&self, i: usize, batch: &[ServerInputs]) -> Vec<Levels> {
        let own = self.network.own_server.row(i);
        let out = self.network.decoder_server.forward(i, batch.iter().map(|(x, _)| &x[..]));
        let add = |((_, waits), out): (&ServerInputs, &[f32])| {
            std::array::from_fn(|q| log_add_exp(waits[q], own[q] + out[q]))
        };
        batch.iter().zip(out.chunks_exact(LEVEL_COUNT)).map(add).collect()
    }

    /// Inputs of the client decoder of RPC `i`: `parts` are request, response, server.
    pub fn client_inputs(&self, i: usize, caller: &Tier, parts: &[Levels; 3]) -> ClientInputs {
        let all = self.softmax_parts(i, parts);
        let excess: Levels = std::array::from_fn(|q| all[q] - self.normal_parts[i][q]);
        (concat(&[&excess, &caller.server, &[caller.load], &caller.latent]), all)
    }

    /// Log client latencies for a batch of inputs, none above `ceiling`.
    pub fn decode_client(&self, i: usize, batch: &[ClientInputs], ceiling: f32) -> Vec<Levels> {
        bounded(self.decode_client_free(i, batch), ceiling)
    }

    /// The same without bound.
    pub(super) fn decode_client_free(&self, i: usize, batch: &[ClientInputs]) -> Vec<Levels> {
        let c = self.client_at[i].unwrap_or(0);
        let own = self.network.own_client.row(c);
        let out = self.network.decoder_client.forward(c, batch.iter().map(|(x, _)| &x[..]));
        let add = |((_, parts), out): (&ClientInputs, &[f32])| {
            std::array::from_fn(|q| log_add_exp(parts[q], own[q] + out[q]))
        };
        batch.iter().zip(out.chunks_exact(LEVEL_COUNT)).map(add).collect()
    }

    /// Log request and response delay of RPC `i`, which must be paired, not above `ceiling`.
    pub fn decode_net(
        &self,
        i: usize,
        x: &NetInputs,
        z: &[f32; LATENTS],
        ceiling: f32,
    ) -> [Levels; 2] {
        let p = self.paired_place(i);
        let x: [f32; NET_DECODER_IN] = concat(&[x, z]);
        let out = self.network.decoder_net.forward(p, std::iter::once(&x[..]));
        let at = |q: usize| (self.network.bias_net[[p, q]] + out[q]).min(ceiling);
        [std::array::from_fn(at), std::array::from_fn(|q| at(LEVEL_COUNT + q))]
    }

    /// Tiers of an observed world, latents at zero.
    pub fn tiers(&self, inputs: &Inputs) -> Vec<Tier> {
        (0..self.layout.services)
            .map(|j| Tier {
                server: std::array::from_fn(|n| inputs.server[[j, n]]),
                net: std::array::from_fn(|n| inputs.net[[j, n]]),
                load: inputs.load[j],
                latent: [0.0; LATENTS],
            })
            .collect()
    }
}

impl PlainStack {
    /// Mean and log deviation of the latents of one node.
    pub(super) fn gaussian(&self, node: usize, x: &[f32]) -> Gaussian {
        let y = self.forward(node, std::iter::once(x));
        Gaussian {
            mean: std::array::from_fn(|n| y[n]),
            log_sigma: std::array::from_fn(|n| y[LATENTS + n].clamp(LOG_SIGMA.0, LOG_SIGMA.1)),
        }
    }
}

fn bounded(mut all: Vec<Levels>, ceiling: f32) -> Vec<Levels> {
    all.iter_mut().flatten().for_each(|level| *level = level.min(ceiling));
    all
}

/// For each of `count` keys its values, without repetition.
fn lists(count: usize, pairs: impl Iterator<Item = (usize, usize)>) -> Vec<Vec<usize>> {
    let mut lists = vec![Vec::new(); count];
    for (key, value) in pairs {
        lists[key].push(value);
    }
    for list in &mut lists {
        list.sort_unstable();
        list.dedup();
    }
    lists
}

/// `parts` in a row; they must be as long as `N` says.
pub(super) fn concat<const N: usize>(parts: &[&[f32]]) -> [f32; N] {
    let mut all = [0.0; N];
    let mut rest = &mut all[..];
    for part in parts {
        let (here, after) = rest.split_at_mut(part.len());
        here.copy_from_slice(part);
        rest = after;
    }
    debug_assert!(rest.is_empty(), "{} inputs are missing", rest.len());
    all
}

fn log_add_exp(a: f32, b: f32) -> f32 {
    a.max(b) + ln_1p(exp(-(a - b).abs()))
}
