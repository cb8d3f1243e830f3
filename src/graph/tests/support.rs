//! Nets to test, and words for their variables.
//!
//! An RPC is written `caller.operation>callee.operation`, as in `b.rpc0>c.rpc1`; a caller without
//! operation serves nothing when it invokes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::data::{RpcKey, RpcKind};
use crate::graph::{CausalNet, RpcGraph, Variable};

/// Names of variables by the name of a variable.
pub(super) type Table = BTreeMap<String, BTreeSet<String>>;

/// The same cases in every run.
pub(super) fn fixed() -> ProptestConfig {
    ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(0x5a6e),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

pub(super) fn key(rpc: &str) -> RpcKey {
    let (from, to) = rpc.split_once('>').unwrap();
    let (caller, caller_op) = from.split_once('.').unwrap_or((from, ""));
    let (callee, op) = to.split_once('.').unwrap();
    RpcKey::new(caller, caller_op, callee, op)
}

pub(super) fn net_of(rpcs: &[(&str, RpcKind)]) -> CausalNet {
    CausalNet::new(&RpcGraph::from_edges(rpcs.iter().map(|(rpc, kind)| (key(rpc), *kind))))
}

/// Every RPC seen from both sides, as the paper has it.
pub(super) fn paired(rpcs: &[&str]) -> CausalNet {
    net_of(&rpcs.iter().map(|rpc| (*rpc, RpcKind::Paired)).collect::<Vec<_>>())
}

/// Index of an RPC.
pub(super) fn at(net: &CausalNet, rpc: &str) -> usize {
    net.rpc(&key(rpc)).unwrap()
}

/// `Y^s(rpc1)`, `X^s(c)`: RPCs by their operation, services by their name.
pub(super) fn name(net: &CausalNet, v: Variable) -> String {
    let of = match v {
        Variable::ServerMetric(j) | Variable::ServerLatent(j) => &net.services[j],
        Variable::NetMetric(i)
        | Variable::NetLatent(i)
        | Variable::Request(i)
        | Variable::Response(i)
        | Variable::Server(i)
        | Variable::Client(i) => &net.rpcs[i].key.op,
    };
    format!("{}({of})", v.symbol())
}

pub(super) fn names(net: &CausalNet, all: Vec<Variable>) -> BTreeSet<String> {
    let count = all.len();
    let names: BTreeSet<String> = all.into_iter().map(|v| name(net, v)).collect();
    assert_eq!(names.len(), count, "a variable is listed twice: {names:?}");
    names
}

/// `list` of every variable that `wanted` picks.
pub(super) fn tabulate(
    net: &CausalNet,
    wanted: impl Fn(&Variable) -> bool,
    list: impl Fn(Variable) -> Vec<Variable>,
) -> Table {
    let variables = net.variables().into_iter().filter(wanted);
    variables.map(|v| (name(net, v), names(net, list(v)))).collect()
}

/// Reads a table: a variable, a colon and a list on each line.
pub(super) fn table(text: &str) -> Table {
    let line = |line: &str| {
        let (variable, list) = line.split_once(':').unwrap();
        (variable.trim().to_string(), list.split_whitespace().map(Into::into).collect())
    };
    text.lines().filter(|l| !l.trim().is_empty()).map(line).collect()
}

/// Calls between the operations of an application: who calls whom, and which operations users call.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    pub(super) between: Vec<(usize, usize)>,
    pub(super) entries: Vec<usize>,
    pub(super) kinds: Vec<RpcKind>,
}

/// Operations are dealt out to this many services.
const SERVICES: usize = 4;
const OPERATIONS: usize = 9;

/// The service of an operation.
pub(super) fn service(op: usize) -> String {
    format!("s{}", op % SERVICES)
}

impl Calls {
    /// The calls as edges: (calling operation, called operation, edge); users call as `None`.
    pub(super) fn edges(&self) -> Vec<(Option<usize>, usize, RpcKey, RpcKind)> {
        let inside = self.between.iter().map(|(from, to)| (Some(*from), *to));
        let outside = self.entries.iter().map(|to| (None, *to));
        let mut kinds = self.kinds.iter().copied().cycle();
        let mut edge = |(from, to): (Option<usize>, usize)| {
            let (caller, caller_op) = match from {
                Some(op) => (service(op), format!("o{op}")),
                None => ("user".into(), String::new()),
            };
            let key = RpcKey::new(&caller, &caller_op, &service(to), &format!("o{to}"));
            (from, to, key, kinds.next().unwrap())
        };
        let mut edges: Vec<_> = inside.chain(outside).map(&mut edge).collect();
        edges.sort_by(|a, b| a.2.cmp(&b.2));
        edges.dedup_by(|a, b| a.2 == b.2);
        edges
    }

    pub(super) fn net(&self) -> CausalNet {
        let edges = self.edges().into_iter().map(|(.., key, kind)| (key, kind));
        CausalNet::new(&RpcGraph::from_edges(edges))
    }

    /// For every RPC, in the order of the net, the RPCs it directly invokes.
    pub(super) fn invoked(&self) -> Vec<BTreeSet<usize>> {
        let edges = self.edges();
        let by = |op: usize| {
            let calls = edges.iter().enumerate().filter(|(_, e)| e.0 == Some(op));
            calls.map(|(k, _)| k).collect()
        };
        edges.iter().map(|(_, to, ..)| by(*to)).collect()
    }
}

/// Any calls at all, cycles and self-calls among them.
pub(super) fn any_calls() -> impl Strategy<Value = Calls> {
    let op = || 0..OPERATIONS;
    let kinds = prop::sample::select(vec![
        RpcKind::Paired,
        RpcKind::ServerOnly,
        RpcKind::ClientOnly,
        RpcKind::Messaging,
    ]);
    let between = prop::collection::vec((op(), op()), 0..14);
    let entries = prop::collection::vec(op(), 1..3);
    (between, entries, prop::collection::vec(kinds, 7))
        .prop_map(|(between, entries, kinds)| Calls { between, entries, kinds })
}

/// Calls seen from both sides that only go from lower to higher operations.
pub(super) fn acyclic_calls() -> impl Strategy<Value = Calls> {
    any_calls().prop_map(|calls| Calls {
        between: calls
            .between
            .into_iter()
            .filter(|(from, to)| from != to)
            .map(|(from, to)| (from.min(to), from.max(to)))
            .collect(),
        kinds: vec![RpcKind::Paired],
        ..calls
    })
}

/// Transitive closure of a relation, by walking it.
pub(super) fn closure(direct: &[BTreeSet<usize>]) -> Vec<BTreeSet<usize>> {
    let from = |start: usize| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(i) = next.pop() {
            next.extend(direct[i].iter().copied().filter(|k| seen.insert(*k)));
        }
        seen
    };
    (0..direct.len()).map(from).collect()
}
