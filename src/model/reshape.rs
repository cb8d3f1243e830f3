//! Incremental initialisation and reshaping (paper 4.4): the networks of an old model, put in the order
//! of a new net. Nodes that stay keep their parameters, found by service and by RPC; new ones start from
//! what is nearest to them in kind; those that are gone go.

use super::gvae::{CLIENT_SHARE_START, EDGE_WEIGHT};
use super::index::waits;
use super::layout::{Kind, LEVEL_COUNT, Layout};
use super::network::{Network, PlainStack, gather, scatter};
use super::part::Part;
use super::start::starts;
use crate::data::RpcKind;
use crate::graph::CausalNet;

/// Where each node of a new net was in an old one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matching {
    /// By service.
    pub services: Vec<Option<usize>>,
    /// By RPC.
    pub rpcs: Vec<Option<usize>>,
}

impl Matching {
    /// Matches services by name and RPCs by key.
    pub(super) fn new(old: &CausalNet, new: &CausalNet) -> Self {
        Self {
            services: new.services.iter().map(|name| old.service(name)).collect(),
            rpcs: new.rpcs.iter().map(|rpc| old.rpc(&rpc.key)).collect(),
        }
    }
}

/// For every node of the new net the old nodes its network is the mean of.
struct Sources {
    services: Vec<Vec<usize>>,
    rpcs: Vec<Vec<usize>>,
    clients: Vec<Vec<usize>>,
    paired: Vec<Vec<usize>>,
    edges: Vec<Vec<usize>>,
}

/// The old networks in the shape of `new`.
pub(super) fn reshaped(
    network: &Network,
    (old, old_net): (&Layout, &CausalNet),
    (new, new_net): (&Layout, &CausalNet),
    matching: &Matching,
) -> Network {
    let sources = Sources::new((old, old_net), (new, new_net), matching);
    let mut network = sources.gather(network);
    start_structure(&mut network, new, matching, &sources);
    network
}

impl Sources {
    fn new(
        (old, old_net): (&Layout, &CausalNet),
        (new, new_net): (&Layout, &CausalNet),
        matching: &Matching,
    ) -> Self {
        let every = |count: usize| (0..count).collect::<Vec<_>>();
        let services = matching
            .services
            .iter()
            .map(|at| at.map_or_else(|| every(old.services), |j| vec![j]))
            .collect();
        let rpcs: Vec<Vec<usize>> = (0..new.callee.len())
            .map(|i| match matching.rpcs[i] {
                Some(at) => vec![at],
                None => nearest((old, old_net), (new, new_net), i),
            })
            .collect();
        let places = |old_list: &[usize], new_list: &[usize]| -> Vec<Vec<usize>> {
            let of = |i: usize| -> Vec<usize> {
                let near = &rpcs[i];
                let at = |k: &usize| old_list.binary_search(k).ok();
                let found: Vec<usize> = near.iter().filter_map(at).collect();
                if found.is_empty() { every(old_list.len()) } else { found }
            };
            new_list.iter().map(|i| of(*i)).collect()
        };
        let clients = places(&old.clients, &new.clients);
        let paired = places(&old.paired, &new.paired);
        let edges = new
            .edges
            .iter()
            .map(|edge| {
                let (parent, child) = (matching.rpcs[edge.parent], matching.rpcs[edge.child]);
                let same =
                    |e: &super::layout::Edge| Some(e.parent) == parent && Some(e.child) == child;
                old.edges.iter().position(same).into_iter().collect()
            })
            .collect();
        Self { services, rpcs, clients, paired, edges }
    }

    fn gather(&self, from: &Network) -> Network {
        Network {
            prior_server: from.prior_server.gather(&self.services),
            prior_net: from.prior_net.gather(&self.paired),
            encoder_server: from.encoder_server.gather(&self.services),
            encoder_net: from.encoder_net.gather(&self.paired),
            decoder_server: from.decoder_server.gather(&self.rpcs),
            decoder_client: from.decoder_client.gather(&self.clients),
            decoder_net: from.decoder_net.gather(&self.paired),
            own_server: gather(&from.own_server, &self.rpcs),
            own_client: gather(&from.own_client, &self.clients),
            weight_edge: gather(&from.weight_edge, &self.edges),
            weight_part: gather(&from.weight_part, &self.clients),
            sharp_server: gather(&from.sharp_server, &self.rpcs),
            sharp_client: gather(&from.sharp_client, &self.clients),
            bias_net: gather(&from.bias_net, &self.paired),
        }
    }
}

/// Old RPCs that are nearest in kind to new RPC `i`: the same operation called by somebody else, else
/// the same service, else whatever is observed alike and also waits, or also does not wait, for others.
fn nearest(
    (old, old_net): (&Layout, &CausalNet),
    (new, new_net): (&Layout, &CausalNet),
    i: usize,
) -> Vec<usize> {
    let key = &new_net.rpcs[i].key;
    let (old_waits, new_waits) = (waits(old), waits(new));
    let alike = |k: usize| old.kind[k] == new.kind[i] && old_waits[k] == new_waits[i];
    let key_of = |k: usize| &old_net.rpcs[k].key;
    let choices: [&dyn Fn(usize) -> bool; 4] = [
        &|k| key_of(k).callee == key.callee && key_of(k).op == key.op && alike(k),
        &|k| key_of(k).callee == key.callee && alike(k),
        &alike,
        &|_| true,
    ];
    let all = |choice: &&dyn Fn(usize) -> bool| -> Vec<usize> {
        (0..old.callee.len()).filter(|k| choice(*k)).collect()
    };
    choices.iter().map(all).find(|found| !found.is_empty()).unwrap_or_default()
}

/// Structural parameters of new nodes start at what counting says, as in a training from scratch.
fn start_structure(network: &mut Network, new: &Layout, matching: &Matching, sources: &Sources) {
    let is_new = |i: usize| matching.rpcs[i].is_none();
    let start = starts(new);
    let normal = |k: Kind, i: usize, q: usize| new.normal[k as usize][i][q];
    for i in (0..new.callee.len()).filter(|i| is_new(*i)) {
        for q in 0..LEVEL_COUNT {
            network.own_server[[i, q]] = start[i].own[q];
            network.sharp_server[[i, q]] = start[i].sharp[q];
        }
    }
    for (c, &i) in new.clients.iter().enumerate().filter(|(_, i)| is_new(**i)) {
        let share = if new.kind[i] == RpcKind::Messaging { 1.0 } else { CLIENT_SHARE_START };
        for q in 0..LEVEL_COUNT {
            network.own_client[[c, q]] = normal(Kind::Client, i, q) + share.ln();
        }
    }
    for (p, &i) in new.paired.iter().enumerate().filter(|(_, i)| is_new(**i)) {
        for q in 0..LEVEL_COUNT {
            network.bias_net[[p, q]] = normal(Kind::Request, i, q);
            network.bias_net[[p, LEVEL_COUNT + q]] = normal(Kind::Response, i, q);
        }
    }
    for (e, edge) in new.edges.iter().enumerate().filter(|(e, _)| sources.edges[*e].is_empty()) {
        network.weight_edge.row_mut(e).fill(edge.weight_start().min(EDGE_WEIGHT.1));
    }
}

/// The networks of the nodes of a part.
pub(super) fn extract(network: &Network, part: &Part) -> Network {
    let one = |list: &[usize]| list.iter().map(|i| vec![*i]).collect();
    Sources {
        services: one(&part.services),
        rpcs: one(&part.rpcs),
        clients: one(&part.clients),
        paired: one(&part.paired),
        edges: one(&part.edges),
    }
    .gather(network)
}

/// Where to, from where, and which rows: as [`PlainStack::scatter`] has them.
type Move<'a> = (&'a mut PlainStack, &'a PlainStack, &'a [(usize, usize)]);

/// Puts the trained networks of a part back into the whole. Services that were there for their metrics
/// only keep what they had.
pub(super) fn put_back(whole: &mut Network, trained: &Network, part: &Part) {
    let each = |list: &[usize]| list.iter().copied().enumerate().collect::<Vec<_>>();
    let is_trained = |(_, j): &(usize, usize)| part.trained.contains(j);
    let services: Vec<_> = each(&part.services).into_iter().filter(is_trained).collect();
    let (rpcs, clients) = (each(&part.rpcs), each(&part.clients));
    let (paired, edges) = (each(&part.paired), each(&part.edges));
    let stacks: [Move<'_>; 7] = [
        (&mut whole.prior_server, &trained.prior_server, &services),
        (&mut whole.encoder_server, &trained.encoder_server, &services),
        (&mut whole.prior_net, &trained.prior_net, &paired),
        (&mut whole.encoder_net, &trained.encoder_net, &paired),
        (&mut whole.decoder_server, &trained.decoder_server, &rpcs),
        (&mut whole.decoder_client, &trained.decoder_client, &clients),
        (&mut whole.decoder_net, &trained.decoder_net, &paired),
    ];
    for (into, from, rows) in stacks {
        into.scatter(from, rows);
    }
    scatter(&mut whole.own_server, &trained.own_server, &rpcs);
    scatter(&mut whole.own_client, &trained.own_client, &clients);
    scatter(&mut whole.weight_edge, &trained.weight_edge, &edges);
    scatter(&mut whole.weight_part, &trained.weight_part, &clients);
    scatter(&mut whole.sharp_server, &trained.sharp_server, &rpcs);
    scatter(&mut whole.sharp_client, &trained.sharp_client, &clients);
    scatter(&mut whole.bias_net, &trained.bias_net, &paired);
}
