//! What the networks read is what the causal net says: checked by moving one thing at a time.

use std::collections::BTreeSet;

use super::networks::Shaken;
use super::town::mixed;
use crate::data::RpcKind;
use crate::graph::{CausalNet, Variable};
use crate::model::abduct::Abducted;
use crate::model::infer::{Evaluator, Levels};
use crate::model::layout::{Kind, Layout};

use Variable::{
    Client, NetLatent, NetMetric, Request, Response, Server, ServerLatent, ServerMetric,
};

fn shaken() -> Shaken {
    Shaken::new(mixed(12, 21), 21)
}

/// The causes of the chosen variables of an RPC that are of its own net.
fn causes(net: &CausalNet, v: Variable) -> BTreeSet<Variable> {
    net.causes(v).into_iter().collect()
}

fn add(values: &mut [f32]) {
    values.iter_mut().for_each(|v| *v += 0.37);
}

/// Changes one variable of a frame. Network metrics belong to services here: those of the callee.
fn moved(seen: &Abducted, layout: &Layout, v: Variable) -> Abducted {
    let mut seen = seen.clone();
    // Seen from one side only, both are the same latency.
    let is_one = |i: usize| matches!(layout.kind[i], RpcKind::ClientOnly | RpcKind::ServerOnly);
    let mut shift = |kinds: &[Kind], i: usize| {
        let one = [Kind::Server, Kind::Client];
        for kind in if is_one(i) { &one } else { kinds } {
            let mut row = seen.observed.latency.slice_mut(ndarray::s![*kind as usize, i, ..]);
            row += 0.37;
        }
    };
    match v {
        Server(i) => shift(&[Kind::Server], i),
        Client(i) => shift(&[Kind::Client], i),
        Request(i) => shift(&[Kind::Request], i),
        Response(i) => shift(&[Kind::Response], i),
        ServerMetric(j) => add(&mut seen.tiers[j].server),
        ServerLatent(j) => add(&mut seen.tiers[j].latent),
        NetMetric(i) => add(&mut seen.tiers[layout.callee[i]].net),
        NetLatent(i) => add(&mut seen.net[i].as_mut().unwrap().posterior.mean),
    }
    seen
}

/// The variables that move `predict`.
fn influences(
    s: &Shaken,
    seen: &Abducted,
    candidates: &[Variable],
    predict: impl Fn(&Abducted) -> Vec<Levels>,
) -> BTreeSet<Variable> {
    let before = predict(seen);
    let moves = |v: &&Variable| predict(&moved(seen, &s.layout, **v)) != before;
    candidates.iter().filter(moves).copied().collect()
}

/// Latencies, metrics and latents; one RPC stands for the network of each callee.
fn candidates(net: &CausalNet, without: impl Fn(&Variable) -> bool) -> Vec<Variable> {
    net.variables().into_iter().filter(|v| !without(v)).collect()
}

fn setup() -> (Shaken, Evaluator, Abducted) {
    let s = shaken();
    let evaluator = s.evaluator();
    let seen = s.encode(&evaluator, 0);
    assert!(seen.observed.seen.iter().all(|seen| *seen), "everything occurs in the first frame");
    (s, evaluator, seen)
}

#[test]
fn the_layout_waits_for_exactly_the_clients_that_act_on_a_server() {
    let s = shaken();
    let net = &s.town.net;
    let layout: BTreeSet<(usize, usize)> =
        s.layout.edges.iter().map(|e| (e.parent, e.child)).collect();
    let mut expected = BTreeSet::new();
    for i in 0..net.rpcs.len() {
        let is_child = |v: Variable| match v {
            // A dark callee's server and client latency are one: the RPC does not wait for itself.
            Client(k) if k != i => Some((i, k)),
            _ => None,
        };
        expected.extend(net.causes(Server(i)).into_iter().filter_map(is_child));
    }
    assert_eq!(layout, expected);
    assert_eq!(layout.len(), s.layout.edges.len(), "an edge is listed twice");
}

#[test]
fn the_layout_has_a_decoder_for_every_variable_of_the_net_that_needs_one() {
    let s = shaken();
    let variables: BTreeSet<Variable> = s.town.net.variables().into_iter().collect();
    let paired: BTreeSet<usize> = s.layout.paired.iter().copied().collect();
    let clients: BTreeSet<usize> = s.layout.clients.iter().copied().collect();
    for (i, rpc) in s.town.net.rpcs.iter().enumerate() {
        assert_eq!(paired.contains(&i), variables.contains(&NetLatent(i)), "{}", rpc.key);
        // Seen from one side only, or from no caller: one latency, one decoder.
        let has_two = variables.contains(&Client(i)) && variables.contains(&Server(i));
        assert_eq!(clients.contains(&i), has_two && rpc.caller.is_some(), "{}", rpc.key);
    }
}

#[test]
fn the_layout_evaluates_causes_first() {
    let s = shaken();
    let mut known = BTreeSet::new();
    for i in &s.layout.order {
        let children = s.layout.edges.iter().filter(|e| e.parent == *i).map(|e| e.child);
        for k in children.chain(s.layout.pool[*i].iter().map(|(k, _)| *k)) {
            assert!(known.contains(&k), "{i} before {k}");
        }
        known.insert(*i);
    }
    assert_eq!(known.len(), s.town.net.rpcs.len());
}

/// Eq. 2, and the worker pool: operations of a service share it.
#[test]
fn a_server_decoder_reads_the_causes_of_its_variable_and_the_pool() {
    let (s, evaluator, seen) = setup();
    let net = &s.town.net;
    let all = candidates(net, |_| false);
    for (i, rpc) in net.rpcs.iter().enumerate() {
        if rpc.kind == RpcKind::ClientOnly {
            continue;
        }
        let mut expected = causes(net, Server(i));
        expected.extend(s.layout.pool[i].iter().map(|(k, _)| Client(*k)));
        let predict =
            |seen: &Abducted| vec![evaluator.predict_server(i, &seen.observed, &seen.tiers)];
        assert_eq!(influences(&s, &seen, &all, predict), expected, "{}", rpc.key);
    }
}

/// Where the callee is dark its latency is all there is: it stands for Y^c.
#[test]
fn the_decoder_of_a_dark_callee_reads_the_metrics_of_both_ends() {
    let (s, evaluator, seen) = setup();
    let net = &s.town.net;
    for (i, rpc) in net.rpcs.iter().enumerate() {
        if rpc.kind != RpcKind::ClientOnly {
            continue;
        }
        // The caller's latent is left to its own server and client latencies.
        let caller = ServerLatent(rpc.caller.unwrap());
        let expected: BTreeSet<Variable> =
            causes(net, Client(i)).into_iter().filter(|v| *v != caller).collect();
        // Networks belong to services here, so RPCs into one callee stand for the same.
        let of_others = |v: &Variable| {
            matches!(v, NetMetric(k) if *k != i) || matches!(v, Client(_) | Server(_))
        };
        let all = candidates(net, of_others);
        let predict =
            |seen: &Abducted| vec![evaluator.predict_server(i, &seen.observed, &seen.tiers)];
        assert_eq!(influences(&s, &seen, &all, predict), expected, "{}", rpc.key);
    }
}

#[test]
fn a_client_decoder_reads_the_causes_of_its_variable() {
    let (s, evaluator, seen) = setup();
    let net = &s.town.net;
    let all = candidates(net, |_| false);
    for i in &s.layout.clients {
        let predict = |seen: &Abducted| {
            vec![evaluator.predict_client(*i, &seen.observed, &seen.tiers).unwrap()]
        };
        let found = influences(&s, &seen, &all, predict);
        assert_eq!(found, causes(net, Client(*i)), "{}", net.rpcs[*i].key);
    }
}

/// Networks belong to services here, so both ends of an RPC speak for its network.
#[test]
fn a_network_decoder_reads_the_network_of_both_ends_and_nothing_else() {
    let (s, evaluator, seen) = setup();
    let net = &s.town.net;
    let all = candidates(net, |_| false);
    for i in s.layout.paired.iter().copied() {
        let ends = [Some(s.layout.callee[i]), s.layout.caller[i]];
        let mut expected = BTreeSet::from([NetLatent(i)]);
        expected
            .extend(all.iter().filter(
                |v| matches!(v, NetMetric(k) if ends.contains(&Some(s.layout.callee[*k]))),
            ));
        assert!(causes(net, Request(i)).is_subset(&expected));
        let predict = |seen: &Abducted| {
            let x = evaluator.net_inputs(i, |j| seen.tiers[j]);
            let z = &seen.net[i].as_ref().unwrap().posterior.mean;
            evaluator.decode_net(i, &x, z, seen.observed.ceiling).to_vec()
        };
        assert_eq!(influences(&s, &seen, &all, predict), expected, "{}", net.rpcs[i].key);
    }
}

/// Eq. 5: an encoder reads its latent's effects and what else acts on those.
#[test]
fn an_encoder_reads_the_evidence_of_its_latent() {
    let (s, evaluator, seen) = setup();
    let net = &s.town.net;
    let latencies: Vec<Variable> =
        net.variables().into_iter().filter(Variable::is_latency).collect();
    let frame = &s.town.frames[0];
    let inputs = s.features.inputs(frame, net);
    let encode = |seen: &Abducted, j: usize| {
        evaluator.abduct(seen.observed.clone(), &inputs).server[j].posterior.mean.to_vec()
    };
    for j in 0..net.services.len() {
        let before = encode(&seen, j);
        let moves = |v: &&Variable| encode(&moved(&seen, &s.layout, **v), j) != before;
        let found: BTreeSet<Variable> = latencies.iter().filter(moves).copied().collect();
        let mut expected: BTreeSet<Variable> =
            net.evidence(ServerLatent(j)).into_iter().filter(Variable::is_latency).collect();
        // The worker pool acts on what the service serves, too.
        for i in net.served(j) {
            expected.extend(s.layout.pool[i].iter().map(|(k, _)| Client(*k)));
        }
        assert_eq!(found, expected, "{}", net.services[j]);
    }
}

#[test]
fn an_encoder_of_a_network_reads_the_delays_of_its_rpc() {
    let (s, evaluator, seen) = setup();
    let net = &s.town.net;
    let latencies: Vec<Variable> =
        net.variables().into_iter().filter(Variable::is_latency).collect();
    let inputs = s.features.inputs(&s.town.frames[0], net);
    let encode = |seen: &Abducted, i: usize| {
        let again = evaluator.abduct(seen.observed.clone(), &inputs);
        again.net[i].as_ref().unwrap().posterior.mean.to_vec()
    };
    for i in s.layout.paired.iter().copied() {
        let before = encode(&seen, i);
        let moves = |v: &&Variable| encode(&moved(&seen, &s.layout, **v), i) != before;
        let found: BTreeSet<Variable> = latencies.iter().filter(moves).copied().collect();
        assert_eq!(found, BTreeSet::from([Request(i), Response(i)]), "{}", net.rpcs[i].key);
    }
}
