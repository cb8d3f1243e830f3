//! Calls in a circle become one metanode, and the net stays acyclic (paper 7.1).

use proptest::prelude::*;

use super::support::{Calls, any_calls, at, closure, fixed, paired, service};
use crate::data::RpcKind;
use crate::graph::{CausalNet, Variable};

fn children(net: &CausalNet, rpc: &str) -> Vec<String> {
    let children = net.rpcs[at(net, rpc)].children.iter();
    children.map(|k| net.rpcs[*k].key.op.to_string()).collect()
}

fn metanode(net: &CausalNet, rpc: &str) -> Option<usize> {
    net.rpcs[at(net, rpc)].metanode
}

/// Both directions of a bidirectional stream: each side sends to the other within one request.
#[test]
fn both_sides_of_a_stream_share_one_metanode_and_the_children_of_both() {
    let net = paired(&[
        "user>a.talk",
        "a.talk>b.listen",
        "b.listen>a.talk",
        "a.talk>c.left",
        "b.listen>d.right",
    ]);
    let (there, back) = ("a.talk>b.listen", "b.listen>a.talk");
    assert_eq!((metanode(&net, there), metanode(&net, back)), (Some(0), Some(0)));
    assert_eq!(children(&net, there), ["left", "right"]);
    assert_eq!(children(&net, back), ["left", "right"]);
    // Whoever calls into the stream waits for both of its directions, and is not part of it.
    assert_eq!(metanode(&net, "user>a.talk"), None);
    assert_eq!(children(&net, "user>a.talk"), ["listen", "left", "talk"]);
}

#[test]
fn a_service_that_calls_itself_does_not_wait_for_itself() {
    let net = paired(&["user>a.walk", "a.walk>a.walk", "a.walk>b.get"]);
    assert_eq!(metanode(&net, "a.walk>a.walk"), Some(0));
    assert_eq!(children(&net, "a.walk>a.walk"), ["get"]);
    assert_eq!(children(&net, "user>a.walk"), ["walk", "get"]);
    let step = at(&net, "a.walk>a.walk");
    assert!(!net.causes(Variable::Server(step)).contains(&Variable::Client(step)));
}

#[test]
fn calling_another_operation_of_oneself_is_no_cycle() {
    let net = paired(&["user>a.page", "a.page>a.part", "a.part>b.get"]);
    assert!(net.rpcs.iter().all(|r| r.metanode.is_none()));
    assert_eq!(children(&net, "a.page>a.part"), ["get"]);
}

#[test]
fn two_streams_that_do_not_meet_are_two_metanodes() {
    let net = paired(&["a.f>b.g", "b.g>a.f", "c.f>d.g", "d.g>c.f"]);
    let first = metanode(&net, "a.f>b.g");
    assert_eq!(first, metanode(&net, "b.g>a.f"));
    assert_eq!(metanode(&net, "c.f>d.g"), metanode(&net, "d.g>c.f"));
    assert!(first.is_some() && metanode(&net, "c.f>d.g").is_some());
    assert_ne!(first, metanode(&net, "c.f>d.g"));
}

#[test]
fn what_the_two_sides_of_a_stream_suffer_from_reaches_the_user() {
    let net = paired(&["user>a.talk", "a.talk>b.listen", "b.listen>a.talk", "b.listen>d.right"]);
    let reaching = ancestors(&net, Variable::Server(at(&net, "user>a.talk")));
    for service in ["a", "b", "d"] {
        let metric = Variable::ServerMetric(net.service(service).unwrap());
        assert!(reaching.contains(&metric), "{service}");
    }
}

#[test]
fn what_three_services_in_a_circle_suffer_from_reaches_the_user() {
    let net = paired(&["user>a.f", "a.f>b.g", "b.g>c.h", "c.h>a.f"]);
    let reaching = ancestors(&net, Variable::Server(at(&net, "user>a.f")));
    for service in ["a", "b", "c"] {
        let metric = Variable::ServerMetric(net.service(service).unwrap());
        assert!(reaching.contains(&metric), "{service}");
    }
}

/// All variables that act on `effect`, directly or not.
fn ancestors(net: &CausalNet, effect: Variable) -> Vec<Variable> {
    let mut all = net.causes(effect);
    let mut next = 0;
    while let Some(v) = all.get(next).copied() {
        next += 1;
        let more: Vec<_> = net.causes(v).into_iter().filter(|c| !all.contains(c)).collect();
        all.extend(more);
    }
    all
}

proptest! {
    #![proptest_config(fixed())]

    /// RPCs share a metanode exactly when each leads back to the other.
    #[test]
    fn property_metanodes_are_the_circles_of_calls(calls in any_calls()) {
        let (net, reach) = (calls.net(), closure(&calls.invoked()));
        for i in 0..net.rpcs.len() {
            prop_assert_eq!(net.rpcs[i].metanode.is_some(), reach[i].contains(&i), "{}", i);
            for k in (0..net.rpcs.len()).filter(|k| *k != i) {
                let is_shared =
                    net.rpcs[i].metanode.is_some() && net.rpcs[i].metanode == net.rpcs[k].metanode;
                let is_circle = reach[i].contains(&k) && reach[k].contains(&i);
                prop_assert_eq!(is_shared, is_circle, "{} and {}", i, k);
            }
        }
    }

    /// No call is lost: it is a child, or its two ends are one metanode. And none is invented: a child
    /// is called by the RPC itself, or each of the two stands for its whole metanode.
    #[test]
    fn property_every_call_is_kept_or_inside_a_metanode(calls in any_calls()) {
        let (net, invoked) = (calls.net(), calls.invoked());
        let all = 0..net.rpcs.len();
        let same = |i: usize, k: usize| {
            i == k || net.rpcs[i].metanode.is_some() && net.rpcs[i].metanode == net.rpcs[k].metanode
        };
        let calls = |i: usize, k: usize| {
            all.clone().any(|m| same(i, m) && invoked[m].iter().any(|called| same(k, *called)))
        };
        for i in all.clone() {
            for k in all.clone() {
                let is_child = net.rpcs[i].children.contains(&k);
                prop_assert_eq!(is_child, calls(i, k) && !same(i, k), "{} and {}", i, k);
            }
        }
    }

    /// Condensing a circle must not make a service in it harmless: a metanode "shares the incoming
    /// and outgoing edges" of its members. Whatever a call leads to, at any depth, can slow it down.
    #[test]
    fn property_every_service_at_any_depth_can_slow_its_callers(calls in any_calls()) {
        let calls = Calls { kinds: vec![RpcKind::Paired], ..calls };
        let (net, reach) = (calls.net(), closure(&calls.invoked()));
        let edges = calls.edges();
        for (i, below) in reach.iter().enumerate() {
            let acting = ancestors(&net, Variable::Server(i));
            let metanode = net.rpcs[i].metanode;
            // Within a metanode nobody waits for anybody.
            let outside = |k: &&usize| metanode.is_none() || net.rpcs[**k].metanode != metanode;
            for k in below.iter().filter(outside) {
                let callee = net.service(&service(edges[*k].1)).unwrap();
                prop_assert!(
                    acting.contains(&Variable::ServerMetric(callee)),
                    "{} leads to {}, whose callee does not act on it",
                    net.rpcs[i].key, net.rpcs[*k].key
                );
            }
        }
    }
}
