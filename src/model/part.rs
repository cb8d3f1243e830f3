//! A part of the net that is trained by itself.
//!
//! Training is teacher-forced: every decoder reads observed causes. Whatever has no node in the part
//! enters as data, so a part needs no other node's networks, and gradients are computed for it alone
//! (selective partial retraining, paper 4.4).

use std::collections::BTreeSet;

use super::layout::Layout;
use crate::data::RpcKind;

/// Nodes that are trained together, as indices and positions of a [`Layout`].
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Services: the trained ones, and those whose metrics they need.
    pub services: Vec<usize>,
    /// RPCs with a server decoder in the part.
    pub rpcs: Vec<usize>,
    /// Positions in [`Layout::clients`].
    pub clients: Vec<usize>,
    /// Positions in [`Layout::paired`].
    pub paired: Vec<usize>,
    /// Positions in [`Layout::edges`]: those out of `rpcs`.
    pub edges: Vec<usize>,
    /// Services that are trained. The others are there for their metrics only.
    pub trained: Vec<usize>,
}

impl Part {
    /// All there is.
    pub fn whole(layout: &Layout) -> Self {
        let all = |count: usize| (0..count).collect::<Vec<_>>();
        Self {
            services: all(layout.services),
            rpcs: all(layout.callee.len()),
            clients: all(layout.clients.len()),
            paired: all(layout.paired.len()),
            edges: all(layout.edges.len()),
            trained: all(layout.services),
        }
    }

    /// The nodes of the services that are `trained`: what they serve, what they wait for as clients,
    /// and the networks of the RPCs in `nets`.
    pub fn of(layout: &Layout, trained: &[bool], nets: &[bool]) -> Self {
        let is_trained = |j: Option<usize>| j.is_some_and(|j| trained[j]);
        let rpcs: Vec<usize> =
            (0..layout.callee.len()).filter(|i| trained[layout.callee[*i]]).collect();
        let places = |list: &[usize], chosen: &dyn Fn(usize) -> bool| {
            (0..list.len()).filter(|p| chosen(list[*p])).collect::<Vec<_>>()
        };
        let clients = places(&layout.clients, &|i| is_trained(layout.caller[i]));
        let paired = places(&layout.paired, &|i| nets[i]);
        let mut services: BTreeSet<usize> = (0..layout.services).filter(|j| trained[*j]).collect();
        let trained = services.iter().copied().collect();
        // A dark callee's decoder reads its caller's metrics, a network those of both ends.
        let dark = rpcs.iter().copied().filter(|i| layout.kind[*i] == RpcKind::ClientOnly);
        services.extend(dark.filter_map(|i| layout.caller[i]));
        for i in paired.iter().map(|p| layout.paired[*p]) {
            services.extend([Some(layout.callee[i]), layout.caller[i]].into_iter().flatten());
        }
        let is_parent = |e: &usize| rpcs.binary_search(&layout.edges[*e].parent).is_ok();
        Self {
            edges: (0..layout.edges.len()).filter(is_parent).collect(),
            services: services.into_iter().collect(),
            rpcs,
            clients,
            paired,
            trained,
        }
    }

    /// Position of service `j` in the part; services outside count as the first, and whoever asks
    /// makes sure that it does not matter.
    pub fn service_place(&self, j: Option<usize>) -> usize {
        j.and_then(|j| self.services.binary_search(&j).ok()).unwrap_or(0)
    }

    /// RPCs behind [`Part::clients`].
    pub fn client_rpcs(&self, layout: &Layout) -> Vec<usize> {
        self.clients.iter().map(|c| layout.clients[*c]).collect()
    }

    /// RPCs behind [`Part::paired`].
    pub fn paired_rpcs(&self, layout: &Layout) -> Vec<usize> {
        self.paired.iter().map(|p| layout.paired[*p]).collect()
    }
}
