//! The net can be evaluated in one pass: whatever acts on something comes before it.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::support::{Calls, any_calls, at, closure, fixed, net_of, paired};
use crate::data::RpcKind;
use crate::graph::{CausalNet, Variable};

/// Position of each RPC in an order that holds each once.
fn positions(net: &CausalNet, order: &[usize]) -> Vec<usize> {
    let mut at = vec![usize::MAX; net.rpcs.len()];
    for (place, i) in order.iter().enumerate() {
        assert_eq!(at[*i], usize::MAX, "RPC {i} is in the order twice");
        at[*i] = place;
    }
    assert!(at.iter().all(|p| *p < net.rpcs.len()), "an RPC is missing from the order");
    at
}

fn children(net: &CausalNet) -> Vec<BTreeSet<usize>> {
    net.rpcs.iter().map(|r| r.children.iter().copied().collect()).collect()
}

#[test]
fn the_callees_of_figure_3_come_before_their_callers() {
    let net = paired(&["a>b.rpc0", "b.rpc0>c.rpc1", "c.rpc1>d.rpc2", "c.rpc1>e.rpc3"]);
    let at = positions(&net, &net.order);
    assert!(at[2] < at[1] && at[3] < at[1] && at[1] < at[0], "{at:?}");
}

#[test]
fn callers_of_a_service_are_all_above_it_and_nobody_else() {
    let net = paired(&["user>a.x", "a.x>b.y", "b.y>c.z", "a.x>d.w"]);
    let above = net.callers_of();
    let of = |service: &str| -> Vec<&str> {
        let row = &above[net.service(service).unwrap()];
        row.iter().zip(&net.services).filter(|(is, _)| **is).map(|(_, s)| &**s).collect()
    };
    assert_eq!(of("c"), ["a", "b"]);
    assert_eq!(of("d"), ["a"]);
    assert_eq!(of("a"), [] as [&str; 0]);
}

/// Operations of a service share its workers: what one waits for holds up the others, but nothing
/// holds up what it is itself part of.
#[test]
fn a_pool_holds_the_calls_of_a_service_save_those_above_the_rpc() {
    let net = net_of(&[
        ("user>a.one", RpcKind::ServerOnly),
        ("user>a.two", RpcKind::ServerOnly),
        ("a.one>b.get", RpcKind::Paired),
        ("a.two>c.put", RpcKind::Paired),
        ("a.two>d.tell", RpcKind::Messaging),
    ]);
    let (pools, _) = net.pools();
    let get = at(&net, "a.one>b.get");
    let put = at(&net, "a.two>c.put");
    for entry in ["user>a.one", "user>a.two"] {
        assert_eq!(pools[at(&net, entry)], [get, put], "{entry}");
    }
    assert_eq!(pools[get], [] as [usize; 0], "b calls nobody");
}

proptest! {
    #![proptest_config(fixed())]

    #[test]
    fn property_callees_come_before_callers(calls in any_calls()) {
        let net = calls.net();
        let at = positions(&net, &net.order);
        for (i, rpc) in net.rpcs.iter().enumerate() {
            for k in &rpc.children {
                prop_assert!(at[*k] < at[i], "child {} of {}", k, i);
            }
        }
        // Acyclic: nothing is below itself.
        for (i, below) in closure(&children(&net)).iter().enumerate() {
            prop_assert!(!below.contains(&i), "{} is below itself", i);
        }
    }

    #[test]
    fn property_variables_come_after_all_their_causes(calls in any_calls()) {
        let net = calls.net();
        let mut known: BTreeSet<Variable> = BTreeSet::new();
        for v in net.variables() {
            for cause in net.causes(v) {
                prop_assert!(known.contains(&cause), "{:?} acts on {:?}", cause, v);
            }
            prop_assert!(known.insert(v), "{:?} is listed twice", v);
        }
    }

    #[test]
    fn property_below_is_what_calls_lead_to(calls in any_calls()) {
        let net = calls.net();
        let reach = closure(&children(&net));
        for (i, row) in net.below().iter().enumerate() {
            for (k, is_below) in row.iter().enumerate() {
                prop_assert_eq!(*is_below, k == i || reach[i].contains(&k), "{} below {}", k, i);
            }
        }
    }

    #[test]
    fn property_whom_a_service_calls_has_it_among_its_callers(calls in any_calls()) {
        let net = calls.net();
        let above = net.callers_of();
        for (k, callers) in above.iter().enumerate() {
            for (j, is_caller) in callers.iter().enumerate() {
                prop_assert_eq!(net.callees_of(j)[k], *is_caller, "{} calls {}", j, k);
            }
        }
    }

    #[test]
    fn property_pools_leave_the_net_acyclic_and_come_first_too(calls in any_calls()) {
        let net = calls.net();
        let (pools, order) = net.pools();
        let at = positions(&net, &order);
        let below = net.below();
        for (i, pool) in pools.iter().enumerate() {
            for k in pool.iter().chain(&net.rpcs[i].children) {
                prop_assert!(at[*k] < at[i], "{} waits for {}", i, k);
            }
            for k in pool {
                prop_assert_eq!(net.rpcs[*k].caller, Some(net.rpcs[i].callee));
                prop_assert!(!below[*k][i], "{} is part of {}", i, k);
                prop_assert!(net.rpcs[*k].kind != RpcKind::Messaging, "a producer does not wait");
            }
        }
    }

    /// A call is left out of a pool only where it would close a circle.
    #[test]
    fn property_pools_give_up_no_more_than_they_must(calls in any_calls()) {
        let net = calls.net();
        let below = net.below();
        let whole = |i: usize| -> BTreeSet<usize> {
            let calls = net.invoked(net.rpcs[i].callee);
            calls.filter(|k| net.rpcs[*k].kind != RpcKind::Messaging && !below[*k][i]).collect()
        };
        let wholes: Vec<BTreeSet<usize>> = (0..net.rpcs.len()).map(whole).collect();
        let waits: Vec<BTreeSet<usize>> =
            children(&net).iter().zip(&wholes).map(|(c, pool)| c | pool).collect();
        let reach = closure(&waits);
        for (i, pool) in net.pools().0.iter().enumerate() {
            let pool: BTreeSet<usize> = pool.iter().copied().collect();
            for k in wholes[i].difference(&pool) {
                prop_assert!(reach[*k].contains(&i), "{} left out of the pool of {}", k, i);
            }
        }
    }

    /// The same calls in any order give the same net.
    #[test]
    fn property_the_net_does_not_depend_on_the_order_of_calls(calls in any_calls()) {
        let calls = Calls { kinds: vec![RpcKind::Paired], ..calls };
        let mut turned = calls.clone();
        turned.between.reverse();
        turned.entries.reverse();
        prop_assert_eq!(calls.net(), turned.net());
    }
}
