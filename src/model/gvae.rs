//! The networks and what they compute: priors, encoders and decoders of every node of the net
//! (paper 3.5, Eq. 1 to 5). One decoder per RPC variable, one encoder and prior per service and
//! network; every decoder reads exactly the causes its variable has in the causal net.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, activation::softplus};
use rand::RngExt;

use super::dataset::Tensors;
use super::features::{NET_INPUTS, SERVER_INPUTS};
use super::index::{Index, at, constant};
use super::layout::{Kind, LEVEL_COUNT, Layout};
use super::stack::Stack;
use super::start::starts;
use crate::data::RpcKind;

/// Latent dimensions of a service and of a network.
pub(super) const LATENTS: usize = 4;
/// ln sigma of a latent stays in this range.
pub(super) const LOG_SIGMA: (f32, f32) = (-5.0, 2.0);
/// Edge weights stay in this range: a parent waits for its callee, so it cannot be much faster.
pub(super) const EDGE_WEIGHT: (f32, f32) = (-0.1, 4.0);
/// Largest exponent of the soft maximum over children.
pub(super) const SHARPNESS_MAX: f32 = 12.0;
/// Share of a client latency that the client itself adds to request, server and response, to begin with.
pub(super) const CLIENT_SHARE_START: f32 = 0.03;

/// Inputs of each kind of network.
pub(super) const SERVER_DECODER_IN: usize =
    LEVEL_COUNT + 1 + SERVER_INPUTS + NET_INPUTS + 1 + LATENTS + SERVER_INPUTS + NET_INPUTS;
pub(super) const CLIENT_DECODER_IN: usize = LEVEL_COUNT + SERVER_INPUTS + 1 + LATENTS;
/// Network metrics of both ends, and the callee's load.
pub(super) const NET_IN: usize = 2 * NET_INPUTS + 1;
pub(super) const NET_DECODER_IN: usize = NET_IN + LATENTS;
pub(super) const SERVER_ENCODER_IN: usize = SERVER_INPUTS + 1 + 3 * LEVEL_COUNT;
pub(super) const NET_ENCODER_IN: usize = NET_IN + 2 * LEVEL_COUNT;

/// All parameters.
#[derive(Module, Debug)]
pub struct Gvae {
    /// P(Z^s | X^s)
    pub prior_server: Stack,
    /// P(Z^net | X^net)
    pub prior_net: Stack,
    /// Q(Z^s | enDeps)
    pub encoder_server: Stack,
    /// Q(Z^net | enDeps)
    pub encoder_net: Stack,
    /// P(Y^s | deDeps)
    pub decoder_server: Stack,
    /// P(Y^c | deDeps)
    pub decoder_client: Stack,
    /// P(Y^req, Y^resp | deDeps)
    pub decoder_net: Stack,
    /// Log latency of the server's own work: `[rpc, level, 1]`
    pub own_server: Param<Tensor<3>>,
    /// Log latency the client adds: `[client, level, 1]`
    pub own_client: Param<Tensor<3>>,
    /// Log weight of each child: `[edge, level, 1]`
    pub weight_edge: Param<Tensor<3>>,
    /// Log weight of request, response, server: `[client, 3 * level, 1]`
    pub weight_part: Param<Tensor<3>>,
    /// Sharpness of the soft maximum over children: `[rpc, level, 1]`. By level, because the median of
    /// the slowest of many is far above each one's median, but its tail is hardly above theirs.
    pub sharp_server: Param<Tensor<3>>,
    /// The same over the parts of a client latency: `[client, level, 1]`
    pub sharp_client: Param<Tensor<3>>,
    /// Normal delays: `[paired, 2 * level, 1]`
    pub bias_net: Param<Tensor<3>>,
}

/// Means and log deviations of all latents: `[service, LATENTS, batch]`, `[paired, LATENTS, batch]`.
#[derive(Clone, Debug)]
pub struct Gaussians {
    /// Of services: (mean, ln sigma)
    pub server: (Tensor<3>, Tensor<3>),
    /// Of networks: (mean, ln sigma)
    pub net: (Tensor<3>, Tensor<3>),
}

/// Values of all latents.
#[derive(Clone, Debug)]
pub struct Latents {
    /// `[service, LATENTS, batch]`
    pub server: Tensor<3>,
    /// `[paired, LATENTS, batch]`
    pub net: Tensor<3>,
}

/// Predicted log latencies.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// `[rpc, level, batch]`
    pub server: Tensor<3>,
    /// `[client, level, batch]`
    pub client: Tensor<3>,
    /// `[paired, 2 * level, batch]`
    pub delays: Tensor<3>,
}

impl Gvae {
    /// Fresh networks shared by all nodes, structural parameters at what counting says.
    pub fn new(layout: &Layout, rng: &mut impl RngExt, device: &Device) -> Self {
        let mut stack = |inputs, outputs| Stack::shared(inputs, outputs, rng, device);
        let (prior_server, prior_net) =
            (stack(SERVER_INPUTS + 1, 2 * LATENTS), stack(NET_IN, 2 * LATENTS));
        let (encoder_server, encoder_net) =
            (stack(SERVER_ENCODER_IN, 2 * LATENTS), stack(NET_ENCODER_IN, 2 * LATENTS));
        let (decoder_server, decoder_client, decoder_net) = (
            stack(SERVER_DECODER_IN, LEVEL_COUNT),
            stack(CLIENT_DECODER_IN, LEVEL_COUNT),
            stack(NET_DECODER_IN, 2 * LEVEL_COUNT),
        );
        let normal = |k: Kind, i: usize, q: usize| layout.normal[k as usize][i][q];
        let param = |nodes: usize, width, value: &dyn Fn(usize, usize) -> f32| {
            Param::from_tensor(constant(nodes, width, device, value))
        };
        let start = starts(layout);
        Self {
            prior_server,
            prior_net,
            encoder_server,
            encoder_net,
            decoder_server,
            decoder_client,
            decoder_net,
            own_server: param(layout.callee.len(), LEVEL_COUNT, &|i, q| start[i].own[q]),
            own_client: param(layout.clients.len(), LEVEL_COUNT, &|c, q| {
                let i = layout.clients[c];
                let share =
                    if layout.kind[i] == RpcKind::Messaging { 1.0 } else { CLIENT_SHARE_START };
                normal(Kind::Client, i, q) + share.ln()
            }),
            weight_edge: param(layout.edges.len(), LEVEL_COUNT, &|e, _| {
                layout.edges[e].weight_start().min(EDGE_WEIGHT.1)
            }),
            weight_part: param(layout.clients.len(), 3 * LEVEL_COUNT, &|_, _| 0.0),
            sharp_server: param(layout.callee.len(), LEVEL_COUNT, &|i, q| start[i].sharp[q]),
            sharp_client: param(layout.clients.len(), LEVEL_COUNT, &|_, _| 0.0),
            bias_net: param(layout.paired.len(), 2 * LEVEL_COUNT, &|p, q| {
                let kind = if q < LEVEL_COUNT { Kind::Request } else { Kind::Response };
                normal(kind, layout.paired[p], q % LEVEL_COUNT)
            }),
        }
    }

    /// One network per node, as the paper has it, starting from the shared ones.
    pub fn untied(self, layout: &Layout) -> Self {
        let (services, rpcs) = (layout.services, layout.callee.len());
        let (clients, paired) = (layout.clients.len(), layout.paired.len());
        Self {
            prior_server: self.prior_server.untied(services),
            prior_net: self.prior_net.untied(paired),
            encoder_server: self.encoder_server.untied(services),
            encoder_net: self.encoder_net.untied(paired),
            decoder_server: self.decoder_server.untied(rpcs),
            decoder_client: self.decoder_client.untied(clients),
            decoder_net: self.decoder_net.untied(paired),
            ..self
        }
    }

    /// The prior of every latent given the metrics (Eq. 3).
    pub fn prior(&self, index: &Index, d: &Tensors) -> Gaussians {
        let server = Tensor::cat(vec![d.server.clone(), d.load.clone()], 1);
        let net = Tensor::cat(index.net_inputs(d), 1);
        Gaussians {
            server: gaussian(self.prior_server.forward(server)),
            net: gaussian(self.prior_net.forward(net)),
        }
    }

    /// The posterior of every latent given metrics and latencies (Eq. 4, 5), as a correction of the
    /// prior. `residual` is what the prior's prediction leaves unexplained: latencies enter through
    /// it, and so do the V-structure's other causes.
    pub fn posterior(
        &self,
        index: &Index,
        d: &Tensors,
        prior: &Gaussians,
        residual: &Predicted,
    ) -> Gaussians {
        let (mean, most) = index.served(residual.server.clone());
        let invoked = index.invoked(residual.client.clone());
        let server = Tensor::cat(vec![d.server.clone(), d.load.clone(), mean, most, invoked], 1);
        let net = Tensor::cat([index.net_inputs(d), vec![residual.delays.clone()]].concat(), 1);
        let corrected = |(mean, log_sigma): (Tensor<3>, Tensor<3>), prior: &(Tensor<3>, _)| {
            (mean + prior.0.clone(), log_sigma)
        };
        Gaussians {
            server: corrected(gaussian(self.encoder_server.forward(server)), &prior.server),
            net: corrected(gaussian(self.encoder_net.forward(net)), &prior.net),
        }
    }

    /// Decodes every latency given observed causes and `z` (Eq. 1, 2).
    pub fn decode(&self, index: &Index, d: &Tensors, z: &Latents) -> Predicted {
        Predicted {
            server: self.decode_server(index, d, &z.server),
            client: self.decode_client(index, d, &z.server),
            delays: self.decode_net(index, d, &z.net),
        }
    }

    /// L^s = ln(e^children + e^own): what it waits for and what it does itself.
    fn decode_server(&self, index: &Index, d: &Tensors, z: &Tensor<3>) -> Tensor<3> {
        let (children, own) = self.server_terms(index, d, z);
        log_add_exp(children, own).clamp_max(index.ceiling)
    }

    /// The two terms of a server latency: (children, own), each `[rpc, level, batch]`.
    pub(super) fn server_terms(
        &self,
        index: &Index,
        d: &Tensors,
        z: &Tensor<3>,
    ) -> (Tensor<3>, Tensor<3>) {
        let children = self.softmax_children(index, d.children.clone(), d.slowest.clone());
        let normal = self.softmax_children(
            index,
            index.normal_children.clone(),
            index.normal_slowest.clone(),
        );
        let excess = (children.clone() - normal) * index.waits.clone();
        let caller = at(&d.server, &index.caller) * index.dark.clone();
        let caller_net = at(&d.net, &index.caller) * index.dark.clone();
        let network = at(&d.net, &index.callee) * index.dark.clone();
        let inputs = Tensor::cat(
            vec![
                excess,
                d.occupancy.clone(),
                at(&d.server, &index.callee),
                network,
                at(&d.load, &index.callee),
                at(z, &index.callee),
                caller,
                caller_net,
            ],
            1,
        );
        let own = self.own_server.val() + self.decoder_server.forward(inputs);
        (children, own)
    }

    /// Soft maximum over the children of each RPC: between their sum and their largest.
    ///
    /// # Shapes
    /// `[edge, level, batch]`, `[rpc, level, batch]` -> `[rpc, level, batch]`
    fn softmax_children(
        &self,
        index: &Index,
        children: Tensor<3>,
        slowest: Tensor<3>,
    ) -> Tensor<3> {
        let [edges, levels, batch] = children.dims();
        let rpcs = slowest.dims()[0];
        let sharp = sharpness(self.sharp_server.val());
        let weight = self.weight_edge.val().clamp(EDGE_WEIGHT.0, EDGE_WEIGHT.1);
        let sharp_edge = sharp.clone().select(0, index.edge_parent.clone());
        let terms = ((children + weight) * sharp_edge).exp().reshape([1, edges, levels * batch]);
        let sums = index.parents.clone().matmul(terms).reshape([rpcs, levels, batch]);
        // The tiny term keeps the logarithm finite for RPCs that wait for nobody.
        (sums + 1e-30).log() / sharp + slowest
    }

    fn decode_client(&self, index: &Index, d: &Tensors, z: &Tensor<3>) -> Tensor<3> {
        let (parts, own) = self.client_terms(index, d, z);
        log_add_exp(parts, own).clamp_max(index.ceiling)
    }

    /// The two terms of a client latency: (its parts, own), each `[client, level, batch]`.
    pub(super) fn client_terms(
        &self,
        index: &Index,
        d: &Tensors,
        z: &Tensor<3>,
    ) -> (Tensor<3>, Tensor<3>) {
        let parts = self.softmax_parts(d.parts.clone());
        let excess = parts.clone() - self.softmax_parts(index.normal_parts.clone());
        let inputs = Tensor::cat(
            vec![
                excess,
                at(&d.server, &index.client_caller),
                at(&d.load, &index.client_caller),
                at(z, &index.client_caller),
            ],
            1,
        );
        let own = self.own_client.val() + self.decoder_client.forward(inputs);
        (parts, own)
    }

    /// # Shapes
    /// `[client, 3 * level, batch]` -> `[client, level, batch]`
    fn softmax_parts(&self, parts: Tensor<3>) -> Tensor<3> {
        let [clients, _, batch] = parts.dims();
        let sharp = sharpness(self.sharp_client.val());
        let weighted = parts + self.weight_part.val().clamp(EDGE_WEIGHT.0, EDGE_WEIGHT.1);
        let weighted = weighted.reshape([clients, 3, LEVEL_COUNT, batch])
            * sharp.clone().reshape([clients, 1, LEVEL_COUNT, 1]);
        let most = weighted.clone().max_dim(1);
        let sums = (weighted - most.clone()).exp().sum_dim(1).log() + most;
        sums.reshape([clients, LEVEL_COUNT, batch]) / sharp
    }

    fn decode_net(&self, index: &Index, d: &Tensors, z: &Tensor<3>) -> Tensor<3> {
        let inputs = Tensor::cat([index.net_inputs(d), vec![z.clone()]].concat(), 1);
        (self.bias_net.val() + self.decoder_net.forward(inputs)).clamp_max(index.ceiling)
    }
}

/// Exponent of a soft maximum: at least one, where it is a sum.
fn sharpness(raw: Tensor<3>) -> Tensor<3> {
    (softplus(raw, 1.0) + 1.0).clamp_max(SHARPNESS_MAX)
}

/// ln(e^a + e^b)
fn log_add_exp(a: Tensor<3>, b: Tensor<3>) -> Tensor<3> {
    let d = a - b.clone();
    let positive = d.clone().clamp_min(0.0);
    b + positive + (d.abs().neg()).exp().log1p()
}

fn gaussian(both: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
    let mean = both.clone().narrow(1, 0, LATENTS);
    let log_sigma = both.narrow(1, LATENTS, LATENTS).clamp(LOG_SIGMA.0, LOG_SIGMA.1);
    (mean, log_sigma)
}
