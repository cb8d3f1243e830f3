//! Node by node evaluation of the trained networks for a batch of hypothetical worlds.

use ndarray::{Array1, Array2};

use super::dataset::NO_CHILD;
use super::features::{Inputs, NET_INPUTS, SERVER_INPUTS};
use super::gvae::{EDGE_WEIGHT, LATENTS, SERVER_DECODER_IN, SHARPNESS_MAX};
use super::layout::{Kind, LEVEL_COUNT, Layout};
use super::network::Network;
use crate::data::RpcKind;

/// Log latency by level.
pub(super) type Levels = [f32; LEVEL_COUNT];

/// Metric inputs of one service in one world.
#[derive(Clone, Debug)]
pub struct Tier {
    /// X^s
    pub server: Array1<f32>,
    /// X^net
    pub net: Array1<f32>,
    /// Load.
    pub load: f32,
    /// Z^s
    pub latent: Array1<f32>,
}

/// Mean and log deviation of one latent.
#[derive(Clone, Debug)]
pub struct Gaussian {
    /// Mean.
    pub mean: Array1<f32>,
    /// ln sigma.
    pub log_sigma: Array1<f32>,
}

/// Trained networks beside the layout they belong to.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluator {
    /// Networks.
    pub network: Network,
    /// Layout.
    pub layout: Layout,
    /// Edges of each parent.
    children: Vec<Vec<usize>>,
    /// Position of an RPC among the client decoders and the paired RPCs.
    client_at: Vec<Option<usize>>,
    paired_at: Vec<Option<usize>>,
    /// Soft maximum of the children at normal.
    normal_children: Vec<Levels>,
    normal_parts: Vec<Levels>,
}

impl Evaluator {
    /// Puts networks and layout together.
    pub fn new(network: Network, layout: Layout) -> Self {
        let rpcs = layout.callee.len();
        let mut children = vec![Vec::new(); rpcs];
        for (e, edge) in layout.edges.iter().enumerate() {
            children[edge.parent].push(e);
        }
        let position = |list: &[usize]| {
            let mut at = vec![None; rpcs];
            for (place, i) in list.iter().enumerate() {
                at[*i] = Some(place);
            }
            at
        };
        let (client_at, paired_at) = (position(&layout.clients), position(&layout.paired));
        let mut this = Self {
            network,
            children,
            client_at,
            paired_at,
            normal_children: Vec::new(),
            normal_parts: Vec::new(),
            layout,
        };
        let normal = |kind: Kind, i: usize| this.layout.normal[kind as usize][i];
        this.normal_children =
            (0..rpcs).map(|i| this.softmax_children(i, |k| normal(Kind::Client, k))).collect();
        this.normal_parts = (0..rpcs)
            .map(|i| {
                let kinds = [Kind::Request, Kind::Response, Kind::Server];
                this.softmax_parts(i, &kinds.map(|k| normal(k, i)))
            })
            .collect();
        this
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
    pub fn prior_server(&self, j: usize, server: &Array1<f32>, load: f32) -> Gaussian {
        let x = concat(&[server.as_slice(), Some(&[load])]);
        let (mean, log_sigma) = self.network.prior_server.gaussian(j, &x);
        Gaussian { mean, log_sigma }
    }

    /// X^net of RPC `i`: what both ends say about their network, and the callee's load.
    pub fn net_inputs(&self, i: usize, tiers: &[Tier]) -> Array1<f32> {
        let callee = &tiers[self.layout.callee[i]];
        let nothing = [0.0; NET_INPUTS];
        let caller = match self.layout.caller[i] {
            Some(a) => tiers[a].net.as_slice(),
            None => Some(&nothing[..]),
        };
        concat(&[callee.net.as_slice(), caller, Some(&[callee.load][..])])
    }

    /// P(Z^net | X^net) of RPC `i`, which must be paired; `x` as of [`Evaluator::net_inputs`].
    pub fn prior_net(&self, i: usize, x: &Array1<f32>) -> Gaussian {
        let (mean, log_sigma) = self.network.prior_net.gaussian(self.paired_place(i), x);
        Gaussian { mean, log_sigma }
    }

    /// Soft maximum over what RPC `i` waits for.
    fn softmax_children(&self, i: usize, client: impl Fn(usize) -> Levels) -> Levels {
        let edges = &self.children[i];
        if edges.is_empty() {
            return [NO_CHILD; LEVEL_COUNT];
        }
        let sharp = sharpness(self.network.sharp_server[[i, 0]]);
        let thinned: Vec<Levels> = edges
            .iter()
            .map(|e| self.layout.edges[*e].thinned(&client(self.layout.edges[*e].child)))
            .collect();
        std::array::from_fn(|q| {
            let most = thinned.iter().map(|t| t[q]).fold(NO_CHILD, f32::max);
            let sum: f32 = edges
                .iter()
                .zip(&thinned)
                .map(|(e, t)| {
                    let weight =
                        self.network.weight_edge[[*e, q]].clamp(EDGE_WEIGHT.0, EDGE_WEIGHT.1);
                    ((t[q] - most + weight) * sharp).exp()
                })
                .sum();
            (sum + 1e-30).ln() / sharp + most
        })
    }

    fn softmax_parts(&self, i: usize, parts: &[Levels; 3]) -> Levels {
        let Some(c) = self.client_at[i].filter(|_| self.layout.kind[i] != RpcKind::Messaging)
        else {
            return [NO_CHILD; LEVEL_COUNT];
        };
        let sharp = sharpness(self.network.sharp_client[[c, 0]]);
        std::array::from_fn(|q| {
            let weighted: [f32; 3] = std::array::from_fn(|k| {
                let w = self.network.weight_part[[c, k * LEVEL_COUNT + q]];
                (parts[k][q] + w.clamp(EDGE_WEIGHT.0, EDGE_WEIGHT.1)) * sharp
            });
            let most = weighted.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            (weighted.iter().map(|w| (w - most).exp()).sum::<f32>().ln() + most) / sharp
        })
    }

    /// Inputs of the server decoder of RPC `i`, and the soft maximum of its children.
    pub fn server_inputs(
        &self,
        i: usize,
        callee: &Tier,
        caller: Option<&Tier>,
        client: impl Fn(usize) -> Levels,
    ) -> (Array1<f32>, Levels) {
        let children = self.softmax_children(i, &client);
        let waits = !self.children[i].is_empty();
        let excess: Levels =
            std::array::from_fn(
                |q| {
                    if waits { children[q] - self.normal_children[i][q] } else { 0.0 }
                },
            );
        let occupancy = [self.layout.occupancy(i, &client)];
        let is_dark = self.layout.kind[i] == RpcKind::ClientOnly;
        let nothing = Some(&[0.0; SERVER_INPUTS][..]);
        let no_net = Some(&[0.0; NET_INPUTS][..]);
        let net = if is_dark { callee.net.as_slice() } else { no_net };
        let (from, from_net) = match caller.filter(|_| is_dark) {
            Some(caller) => (caller.server.as_slice(), caller.net.as_slice()),
            None => (nothing, no_net),
        };
        let x = concat(&[
            Some(&excess[..]),
            Some(&occupancy[..]),
            callee.server.as_slice(),
            net,
            Some(&[callee.load][..]),
            callee.latent.as_slice(),
            from,
            from_net,
        ]);
        debug_assert_eq!(x.len(), SERVER_DECODER_IN);
        (x, children)
    }

    /// Log server latencies for a batch of inputs.
    pub fn decode_server(&self, i: usize, batch: &[(Array1<f32>, Levels)]) -> Vec<Levels> {
        let out =
            self.network.decoder_server.forward(i, columns(batch.iter().map(|b| &b.0)).view());
        let add = |b: usize, q: usize| {
            let own = self.network.own_server[[i, q]] + out[[q, b]];
            log_add_exp(batch[b].1[q], own).min(self.layout.ceiling)
        };
        (0..batch.len()).map(|b| std::array::from_fn(|q| add(b, q))).collect()
    }

    /// Inputs of the client decoder of RPC `i`: `parts` are request, response, server.
    pub fn client_inputs(
        &self,
        i: usize,
        caller: &Tier,
        parts: &[Levels; 3],
    ) -> (Array1<f32>, Levels) {
        let all = self.softmax_parts(i, parts);
        let excess: Levels = std::array::from_fn(|q| all[q] - self.normal_parts[i][q]);
        let x = concat(&[
            Some(&excess[..]),
            caller.server.as_slice(),
            Some(&[caller.load][..]),
            caller.latent.as_slice(),
        ]);
        (x, all)
    }

    /// Log client latencies for a batch of inputs.
    pub fn decode_client(&self, i: usize, batch: &[(Array1<f32>, Levels)]) -> Vec<Levels> {
        let c = self.client_at[i].unwrap_or(0);
        let out =
            self.network.decoder_client.forward(c, columns(batch.iter().map(|b| &b.0)).view());
        let add = |b: usize, q: usize| {
            let own = self.network.own_client[[c, q]] + out[[q, b]];
            log_add_exp(batch[b].1[q], own).min(self.layout.ceiling)
        };
        (0..batch.len()).map(|b| std::array::from_fn(|q| add(b, q))).collect()
    }

    /// Log request and response delay of RPC `i`, which must be paired.
    pub fn decode_net(&self, i: usize, x: &Array1<f32>, z: &Array1<f32>) -> [Levels; 2] {
        let p = self.paired_place(i);
        let x = concat(&[x.as_slice(), z.as_slice()]);
        let x = x.insert_axis(ndarray::Axis(1));
        let out = self.network.decoder_net.forward(p, x.view());
        let at = |q: usize| (self.network.bias_net[[p, q]] + out[[q, 0]]).min(self.layout.ceiling);
        [std::array::from_fn(at), std::array::from_fn(|q| at(LEVEL_COUNT + q))]
    }

    /// Tiers of an observed world, latents at zero.
    pub fn tiers(&self, inputs: &Inputs) -> Vec<Tier> {
        (0..self.layout.services)
            .map(|j| Tier {
                server: inputs.server.row(j).to_owned(),
                net: inputs.net.row(j).to_owned(),
                load: inputs.load[j],
                latent: Array1::zeros(LATENTS),
            })
            .collect()
    }
}

fn concat(parts: &[Option<&[f32]>]) -> Array1<f32> {
    // Every part is a row of a standard-layout array, hence contiguous.
    parts.iter().flat_map(|p| p.expect("contiguous").iter().copied()).collect()
}

/// # Shapes
/// Columns of `[in]` -> `[in, batch]`
fn columns<'a>(batch: impl ExactSizeIterator<Item = &'a Array1<f32>>) -> Array2<f32> {
    let count = batch.len();
    let mut all: Option<Array2<f32>> = None;
    for (b, column) in batch.enumerate() {
        let all = all.get_or_insert_with(|| Array2::zeros((column.len(), count)));
        all.column_mut(b).assign(column);
    }
    all.unwrap_or_else(|| Array2::zeros((0, 0)))
}

fn log_add_exp(a: f32, b: f32) -> f32 {
    a.max(b) + (-(a - b).abs()).exp().ln_1p()
}

fn sharpness(raw: f32) -> f32 {
    (raw.max(0.0) + (-raw.abs()).exp().ln_1p() + 1.0).min(SHARPNESS_MAX)
}
