//! Everything the histograms of one interval say -> windows of RPCs.

use std::collections::{BTreeMap, BTreeSet};

use super::cells::Read;
use super::convention::{Binding, Convention, Edge, Link, Role};
use super::sides::{Side, Sides};
use super::state::Grown;
use crate::data::{ANY_OP, Name, OVERFLOW, Percentiles, RpcKey, RpcKind, RpcWindow, USER};

/// Fewer requests than this are none.
const REQUESTS_MIN: f64 = 0.5;

/// Caller, `None` for the outside world, and callee.
pub(super) type Ends = (Option<Name>, Name);

/// All growth of one interval.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    edges: BTreeMap<Ends, BTreeMap<Convention, Sides>>,
    /// By service, convention and operation, whoever calls.
    served: BTreeMap<Name, BTreeMap<Convention, BTreeMap<Name, Side>>>,
}

/// The RPC windows of one interval, and how good they are.
#[derive(Debug, Default)]
pub(in crate::window) struct Assembled {
    /// Sorted by nothing.
    pub(in crate::window) rpcs: Vec<RpcWindow>,
    /// RPCs by the convention that showed them.
    pub(in crate::window) by_convention: Vec<&'static str>,
    /// RPCs with their median and 99th percentile in one bucket.
    pub(in crate::window) in_one_bucket: u64,
    /// RPCs with their 99th percentile beyond the highest bound.
    pub(in crate::window) beyond_bounds: u64,
}

/// An edge and who showed it.
struct Chosen {
    ends: Ends,
    convention: Convention,
    sides: Sides,
}

impl Gathered {
    /// Adds what one histogram grew by, `weight` times.
    pub(super) fn add(&mut self, binding: &Binding, grown: &Grown, weight: f64) {
        match &binding.role {
            Role::Client(edge) | Role::Server(edge) | Role::Failed(edge) => {
                let Edge { caller, callee, link } = edge.clone();
                let by = self.edges.entry((caller, callee)).or_default();
                let sides = by.entry(binding.convention).or_insert_with(|| Sides::new(link));
                sides.link = sides.link.max(link);
                sides.add(binding, grown, weight);
            }
            Role::Served { service, op } => {
                let by = self.served.entry(service.clone()).or_default();
                let ops = by.entry(binding.convention).or_default();
                ops.entry(op.clone()).or_default().add(binding, grown, weight);
            }
        }
    }

    /// The callees of all edges.
    pub(super) fn callees(&self) -> impl Iterator<Item = &Name> {
        self.edges.keys().map(|(_, callee)| callee)
    }

    /// The windows. Edges that spans show, which `is_shown` says, are left to them. What a service serves
    /// comes from outside unless it `is_called` by somebody who is known.
    pub(super) fn assemble(
        mut self,
        is_shown: impl Fn(&Ends) -> bool,
        is_called: impl Fn(&Name) -> bool,
        ops_max: usize,
    ) -> Assembled {
        let mut out = Assembled::default();
        let mut chosen = self.choose(is_shown);
        if is_mixed_up(&chosen) {
            let of_graph = |c: &&mut Chosen| c.convention == Convention::ServiceGraph;
            for edge in chosen.iter_mut().filter(of_graph) {
                std::mem::swap(&mut edge.sides.client, &mut edge.sides.server);
            }
        }
        let callers: BTreeSet<Name> = chosen.iter().filter_map(|c| c.ends.0.clone()).collect();
        for edge in &chosen {
            out.add_edge(edge, callers.contains(&edge.ends.1));
        }
        for (service, by) in self.served {
            let Some((convention, ops)) = by.iter().next() else { continue };
            if !is_called(&service) {
                out.add_entries(&service, *convention, ops, ops_max);
            }
        }
        out
    }

    /// For each edge the best convention that has requests.
    fn choose(&mut self, is_shown: impl Fn(&Ends) -> bool) -> Vec<Chosen> {
        let mut chosen = Vec::new();
        for (ends, by) in std::mem::take(&mut self.edges) {
            if is_shown(&ends) {
                continue;
            }
            let best = by.into_iter().find(|(_, sides)| sides.total() >= REQUESTS_MIN);
            let Some((convention, mut sides)) = best else { continue };
            // Where the callee does not tell its callers apart, all of them wait alike.
            if sides.server.total() <= 0.0 && sides.link == Link::Plain {
                let ops = self.served.get(&ends.1).and_then(|by| by.get(&convention));
                ops.into_iter().flat_map(BTreeMap::values).for_each(|op| sides.server.merge(op));
            }
            chosen.push(Chosen { ends, convention, sides });
        }
        chosen
    }
}

/// Whether the names of client and server metrics are exchanged, as some releases of the collector's
/// service graph connector have them: callers cannot be faster than what they wait for, and if most are,
/// they are not the callers.
fn is_mixed_up(chosen: &[Chosen]) -> bool {
    let (mut mixed_up, mut right) = (0, 0);
    for c in chosen {
        let is_two_sided = c.ends.0.is_some() && c.sides.link == Link::Plain;
        if c.convention != Convention::ServiceGraph || !is_two_sided {
            continue;
        }
        let (Some(client), Some(server)) = (c.sides.client.read(), c.sides.server.read()) else {
            continue;
        };
        let (client, server) = (client.percentiles.0[0], server.percentiles.0[0]);
        mixed_up += usize::from(server > client);
        right += usize::from(client > server);
    }
    mixed_up > right
}

impl Assembled {
    fn add_edge(&mut self, edge: &Chosen, calls_others: bool) {
        let Chosen { ends: (caller, callee), convention, sides } = edge;
        let (client, server) = (sides.client.read(), sides.server.read());
        let (kind, client, server) = match (caller, sides.link) {
            (None, _) => (RpcKind::ServerOnly, sides.larger(), None),
            (Some(_), Link::Messaging) => (RpcKind::Messaging, client, server),
            // A callee that calls others is not dark, whatever it measures itself.
            (Some(_), Link::Dark) if !calls_others => (RpcKind::ClientOnly, sides.larger(), None),
            (Some(_), Link::Plain) if server.is_none() && !calls_others => {
                (RpcKind::ClientOnly, client, None)
            }
            (Some(_), Link::Dark) => (RpcKind::Paired, sides.larger(), None),
            (Some(_), Link::Plain) => (RpcKind::Paired, client, server),
        };
        let ends = match caller {
            None => RpcKey::new(USER, "", callee, ANY_OP),
            Some(caller) => RpcKey::new(caller, ANY_OP, callee, ANY_OP),
        };
        let counts = (sides.total(), sides.failed());
        self.add(ends, kind, counts, (client, server), *convention);
    }

    /// What comes from outside, operation by operation.
    fn add_entries(
        &mut self,
        service: &Name,
        convention: Convention,
        ops: &BTreeMap<Name, Side>,
        ops_max: usize,
    ) {
        let mut rest = Side::default();
        let mut add = |op: &str, side: &Side| {
            let key = RpcKey::new(USER, "", service, op);
            let counts = (side.total(), side.failed());
            self.add(key, RpcKind::ServerOnly, counts, (None, side.read()), convention);
        };
        for (i, (op, side)) in ops.iter().enumerate() {
            if i < ops_max {
                add(op, side);
            } else {
                rest.merge(side);
            }
        }
        add(OVERFLOW, &rest);
    }

    fn add(
        &mut self,
        key: RpcKey,
        kind: RpcKind,
        (count, failed): (f64, f64),
        (client, server): (Option<Read>, Option<Read>),
        convention: Convention,
    ) {
        let Some(full) = client.or(server) else { return };
        if count < REQUESTS_MIN {
            return;
        }
        let reads = || [client, server].into_iter().flatten();
        self.in_one_bucket += u64::from(reads().any(|r| r.is_in_one_bucket));
        self.beyond_bounds += u64::from(reads().any(|r| r.is_beyond_bounds));
        self.by_convention.push(convention.name());
        let client = full.percentiles;
        let server = server.map_or(client, |s| s.percentiles);
        let server = if kind == RpcKind::Paired { within(server, client) } else { server };
        let delay = if kind == RpcKind::Paired {
            half_of_gap(client, server)
        } else {
            Percentiles::default()
        };
        self.rpcs.push(RpcWindow {
            key,
            kind,
            count: count.round() as u64,
            failed: failed.min(count).round() as u64,
            seen_ratio: 1.0,
            client,
            server,
            request: delay,
            response: delay,
        });
    }
}

/// A callee is not slower than its callers say; what the two add to that is of bounds and of sampling.
fn within(server: Percentiles, client: Percentiles) -> Percentiles {
    let mut out = server;
    out.0.iter_mut().zip(client.0).for_each(|(s, c)| *s = s.min(c));
    out
}

/// Nobody says which requests were slow on both sides. Slow ones are taken to be the same on both, and
/// either way of the network to take half of what is between.
fn half_of_gap(client: Percentiles, server: Percentiles) -> Percentiles {
    let mut out = Percentiles::default();
    let mut longest = 0.0_f32;
    for ((gap, c), s) in out.0.iter_mut().zip(client.0).zip(server.0) {
        longest = longest.max((c - s) / 2.0);
        *gap = longest;
    }
    out
}
