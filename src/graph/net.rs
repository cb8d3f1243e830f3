//! The causal Bayesian network that follows from an RPC graph (paper 3.3).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;

use super::learn::RpcGraph;
use super::variable::Variable;
use crate::data::{ANY_OP, Name, RpcKey, RpcKind};

/// One RPC of the net.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcNode {
    /// Which RPC.
    pub key: RpcKey,
    /// How it is observed.
    pub kind: RpcKind,
    /// Service that invokes; `None` when the request comes from outside.
    pub caller: Option<usize>,
    /// Service that serves.
    pub callee: usize,
    /// RPCs the callee invokes while serving this one. Acyclic: members of a cycle share the
    /// children of the whole cycle instead of calling each other.
    pub children: Vec<usize>,
    /// The cycle this RPC belongs to, if any (paper 7.1).
    pub metanode: Option<usize>,
}

/// Services, RPCs and their causal order. Acyclic by construction.
#[derive(Clone, Debug, PartialEq)]
pub struct CausalNet {
    /// Services, sorted by name.
    pub services: Vec<Name>,
    /// RPCs, sorted by key.
    pub rpcs: Vec<RpcNode>,
    /// RPC indices, callees before callers.
    pub order: Vec<usize>,
    /// RPCs into each service, and RPCs it invokes.
    served: Vec<Vec<usize>>,
    invoked: Vec<Vec<usize>>,
}

impl CausalNet {
    /// Builds the net of `graph`.
    pub fn new(graph: &RpcGraph) -> Self {
        let names: BTreeSet<&Name> = graph
            .edges()
            .keys()
            .flat_map(|k| [Some(&k.callee), (!k.is_entry()).then_some(&k.caller)])
            .flatten()
            .collect();
        let services: Vec<Name> = names.into_iter().cloned().collect();
        let index: HashMap<&Name, usize> =
            services.iter().enumerate().map(|(i, s)| (s, i)).collect();
        let called = called(graph);
        let called: Vec<&[usize]> = called.iter().map(Vec::as_slice).collect();
        let (order, children, metanodes) = condense(&called);
        let rpcs: Vec<RpcNode> = graph
            .edges()
            .iter()
            .zip(children)
            .zip(metanodes)
            .map(|(((key, edge), children), metanode)| RpcNode {
                caller: index.get(&key.caller).copied().filter(|_| !key.is_entry()),
                callee: index[&key.callee],
                key: key.clone(),
                kind: edge.kind,
                children,
                metanode,
            })
            .collect();
        let (mut served, mut invoked) =
            (vec![Vec::new(); services.len()], vec![Vec::new(); services.len()]);
        for (i, rpc) in rpcs.iter().enumerate() {
            served[rpc.callee].push(i);
            if let Some(caller) = rpc.caller {
                invoked[caller].push(i);
            }
        }
        Self { services, rpcs, order, served, invoked }
    }

    /// Index of a service.
    pub fn service(&self, name: &str) -> Option<usize> {
        self.services.binary_search_by(|s| (**s).cmp(name)).ok()
    }

    /// Index of an RPC.
    pub fn rpc(&self, key: &RpcKey) -> Option<usize> {
        self.rpcs.binary_search_by(|r| r.key.cmp(key)).ok()
    }

    /// RPCs served by service `j`.
    pub fn served(&self, j: usize) -> impl Iterator<Item = usize> + '_ {
        self.served[j].iter().copied()
    }

    /// RPCs invoked by service `j`.
    pub fn invoked(&self, j: usize) -> impl Iterator<Item = usize> + '_ {
        self.invoked[j].iter().copied()
    }

    /// RPCs by which the outside world reaches service `j`, or all RPCs into it when none does.
    pub fn entries(&self, j: usize) -> Vec<usize> {
        let from_user: Vec<usize> =
            self.served(j).filter(|i| self.rpcs[*i].caller.is_none()).collect();
        if from_user.is_empty() { self.served(j).collect() } else { from_user }
    }

    /// For every RPC, whether each RPC lies below it (or is it).
    pub fn below(&self) -> Vec<Vec<bool>> {
        let n = self.rpcs.len();
        let mut below = vec![vec![false; n]; n];
        for &i in &self.order {
            let mut row = std::mem::take(&mut below[i]);
            row[i] = true;
            for k in &self.rpcs[i].children {
                for (mine, theirs) in row.iter_mut().zip(&below[*k]) {
                    *mine |= theirs;
                }
            }
            below[i] = row;
        }
        below
    }

    /// For every service, whether each service is one of its transitive callers.
    pub fn callers_of(&self) -> Vec<Vec<bool>> {
        let below = self.below();
        let mut above = vec![vec![false; self.services.len()]; self.services.len()];
        for (i, row) in below.iter().enumerate() {
            let Some(caller) = self.rpcs[i].caller else { continue };
            for (k, is_below) in row.iter().enumerate() {
                if *is_below {
                    above[self.rpcs[k].callee][caller] = true;
                }
            }
        }
        above
    }

    /// Whether each service is called while service `j` works, by itself or by those it calls: the services
    /// that have `j` among their [`CausalNet::callers_of`], without looking at all others.
    pub fn callees_of(&self, j: usize) -> Vec<bool> {
        let mut called = vec![false; self.services.len()];
        let mut is_known = vec![false; self.rpcs.len()];
        let mut waiting = self.invoked[j].clone();
        while let Some(i) = waiting.pop() {
            if !std::mem::replace(&mut is_known[i], true) {
                called[self.rpcs[i].callee] = true;
                waiting.extend(&self.rpcs[i].children);
            }
        }
        called
    }

    /// For every RPC the calls that occupy the worker pool its callee serves it with: all calls of
    /// that service except those that have the RPC itself below them. Operations of one service
    /// share its workers, so a slow callee of one holds up the others. Also the order in which RPCs
    /// can be evaluated when these count as causes too, callees first.
    pub fn pools(&self) -> (Vec<Vec<usize>>, Vec<usize>) {
        let below = self.below();
        let mut invoked = vec![Vec::new(); self.services.len()];
        for (k, rpc) in self.rpcs.iter().enumerate() {
            if let Some(j) = rpc.caller.filter(|_| rpc.kind != RpcKind::Messaging) {
                invoked[j].push(k);
            }
        }
        let mut pools: Vec<Vec<usize>> = self
            .rpcs
            .iter()
            .enumerate()
            .map(|(i, rpc)| invoked[rpc.callee].iter().copied().filter(|k| !below[*k][i]).collect())
            .collect();
        let causes: Vec<Vec<usize>> = self
            .rpcs
            .iter()
            .zip(&pools)
            .map(|(rpc, pool)| rpc.children.iter().chain(pool).copied().collect())
            .collect();
        let components = components(&causes.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let mut component_of = vec![0; self.rpcs.len()];
        for (c, members) in components.iter().enumerate() {
            for i in members {
                component_of[*i] = c;
            }
        }
        // Services that call each other would wait for each other's pools: that edge is given up.
        for (i, pool) in pools.iter_mut().enumerate() {
            pool.retain(|k| component_of[*k] != component_of[i]);
        }
        let mut rank = vec![0; self.rpcs.len()];
        for (at, i) in self.order.iter().enumerate() {
            rank[*i] = at;
        }
        let mut order = Vec::with_capacity(self.rpcs.len());
        for mut members in components {
            members.sort_unstable_by_key(|i| rank[*i]);
            order.extend(members);
        }
        (pools, order)
    }

    /// The variables the net has, causes before effects.
    pub fn variables(&self) -> Vec<Variable> {
        let mut all = Vec::new();
        for j in 0..self.services.len() {
            all.extend([Variable::ServerMetric(j), Variable::ServerLatent(j)]);
        }
        for &i in &self.order {
            all.extend(self.latencies(i));
        }
        all
    }

    /// The network and latency variables of RPC `i`, causes before effects.
    fn latencies(&self, i: usize) -> Vec<Variable> {
        use Variable::{Client, NetLatent, NetMetric, Request, Response, Server};
        match self.rpcs[i].kind {
            RpcKind::Paired => {
                vec![NetMetric(i), NetLatent(i), Request(i), Response(i), Server(i), Client(i)]
            }
            RpcKind::ServerOnly => vec![Server(i)],
            // The callee is dark: its server latency and both delays are inside the client's.
            RpcKind::ClientOnly => vec![NetMetric(i), Client(i)],
            RpcKind::Messaging => vec![Client(i), Server(i)],
        }
    }

    /// Direct causes of a variable: deDeps of Eq. 2 for latencies, and X -> Z.
    pub fn causes(&self, variable: Variable) -> Vec<Variable> {
        use Variable::{
            Client, NetLatent, NetMetric, Request, Response, Server, ServerLatent, ServerMetric,
        };
        let tier = |j: usize| [ServerMetric(j), ServerLatent(j)];
        match variable {
            ServerMetric(_) | NetMetric(_) => vec![],
            ServerLatent(j) => vec![ServerMetric(j)],
            NetLatent(i) => vec![NetMetric(i)],
            Request(i) | Response(i) => vec![NetMetric(i), NetLatent(i)],
            Server(i) => {
                let mut causes: Vec<_> = self.waits_for(i).into_iter().map(Client).collect();
                causes.extend(tier(self.rpcs[i].callee));
                causes
            }
            Client(i) => {
                let rpc = &self.rpcs[i];
                let mut causes = match rpc.kind {
                    RpcKind::Paired => vec![Request(i), Response(i), Server(i)],
                    RpcKind::ClientOnly => {
                        let [x, z] = tier(rpc.callee);
                        vec![NetMetric(i), x, z]
                    }
                    RpcKind::ServerOnly | RpcKind::Messaging => vec![],
                };
                causes.extend(rpc.caller.into_iter().flat_map(tier));
                causes
            }
        }
    }

    /// Children of `i` whose client latency is a variable of the net: those RPCs with a caller half.
    fn waits_for(&self, i: usize) -> Vec<usize> {
        let has_client = |k: &usize| self.rpcs[*k].kind != RpcKind::ServerOnly;
        self.rpcs[i].children.iter().copied().filter(has_client).collect()
    }

    /// Inputs of the encoder of a latent variable: enDeps of Eq. 5, V-structures included.
    pub fn evidence(&self, latent: Variable) -> Vec<Variable> {
        let effects: Vec<Variable> = self
            .variables()
            .into_iter()
            .filter(|v| v.is_latency() && self.causes(*v).contains(&latent))
            .collect();
        let mut evidence: BTreeSet<Variable> = self.causes(latent).into_iter().collect();
        evidence.extend(&effects);
        for effect in &effects {
            evidence.extend(self.causes(*effect).into_iter().filter(Variable::is_latency));
        }
        evidence.into_iter().collect()
    }
}

/// For every RPC those that its callee invokes while it serves it.
fn called(graph: &RpcGraph) -> Vec<Vec<usize>> {
    // RPCs by the service that invokes them, and by its operation.
    let mut invoked: BTreeMap<&Name, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
    for (i, key) in graph.edges().keys().enumerate().filter(|(_, key)| !key.is_entry()) {
        invoked.entry(&key.caller).or_default().entry(&key.caller_op).or_default().push(i);
    }
    let called_by = |key: &RpcKey| -> Vec<usize> {
        let Some(by_op) = invoked.get(&key.callee) else { return Vec::new() };
        let is_meant = |op: &str| [&*key.op, ANY_OP].contains(&op) || &*key.op == ANY_OP;
        let mut all: Vec<usize> =
            by_op.iter().filter(|(op, _)| is_meant(op)).flat_map(|(_, is)| is).copied().collect();
        all.sort_unstable();
        all
    };
    graph.edges().keys().map(called_by).collect()
}

type Condensed = (Vec<usize>, Vec<Vec<usize>>, Vec<Option<usize>>);

/// Turns "RPC i directly invokes `called[i]`" into an acyclic relation: (order with callees first,
/// children, cycle number).
fn condense(called: &[&[usize]]) -> Condensed {
    let n = called.len();
    let (mut order, mut children, mut metanodes) = (Vec::new(), vec![vec![]; n], vec![None; n]);
    let mut cycles = 0;
    // The members of each cycle: whoever calls one of them waits for all of them (paper 7.1: a metanode
    // shares the incoming and the outgoing edges of its members).
    let mut cycle_of: Vec<Vec<usize>> = (0..n).map(|i| vec![i]).collect();
    for members in components(called) {
        let is_cycle = members.len() > 1 || called[members[0]].contains(&members[0]);
        let shared: BTreeSet<usize> = members
            .iter()
            .flat_map(|i| called[*i].iter())
            .filter(|k| !members.contains(k))
            .flat_map(|k| cycle_of[*k].iter().copied())
            .collect();
        for i in &members {
            cycle_of[*i].clone_from(&members);
        }
        for i in &members {
            children[*i] = shared.iter().copied().collect();
            metanodes[*i] = is_cycle.then_some(cycles);
        }
        cycles += usize::from(is_cycle);
        order.extend(members);
    }
    (order, children, metanodes)
}

/// Strongly connected components of "i depends on `on[i]`", those depended on first, each sorted.
fn components(on: &[&[usize]]) -> Vec<Vec<usize>> {
    let n = on.len();
    let mut graph = DiGraph::<(), ()>::with_capacity(n, n);
    let nodes: Vec<_> = (0..n).map(|_| graph.add_node(())).collect();
    for (i, others) in on.iter().enumerate() {
        for k in *others {
            graph.add_edge(nodes[i], nodes[*k], ());
        }
    }
    let sorted = |component: Vec<petgraph::graph::NodeIndex>| {
        let mut members: Vec<usize> = component.iter().map(|node| node.index()).collect();
        members.sort_unstable();
        members
    };
    tarjan_scc(&graph).into_iter().map(sorted).collect()
}
