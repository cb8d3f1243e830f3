//! The four rules of paper 3.3.1, and equations 2 and 5, over random applications.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::support::{acyclic_calls, any_calls, fixed};
use crate::graph::Variable::{
    Client, NetLatent, NetMetric, Request, Response, Server, ServerLatent, ServerMetric,
};
use crate::graph::{CausalNet, Variable};

fn causes(net: &CausalNet, v: Variable) -> BTreeSet<Variable> {
    let list = net.causes(v);
    let set: BTreeSet<Variable> = list.iter().copied().collect();
    assert_eq!(set.len(), list.len(), "a cause of {v:?} is listed twice: {list:?}");
    set
}

proptest! {
    #![proptest_config(fixed())]

    #[test]
    fn property_rule_1_metrics_have_no_causes_and_shape_their_latent(calls in any_calls()) {
        let net = calls.net();
        for j in 0..net.services.len() {
            prop_assert!(causes(&net, ServerMetric(j)).is_empty());
            prop_assert_eq!(causes(&net, ServerLatent(j)), BTreeSet::from([ServerMetric(j)]));
        }
        for i in 0..net.rpcs.len() {
            prop_assert!(causes(&net, NetMetric(i)).is_empty());
            prop_assert_eq!(causes(&net, NetLatent(i)), BTreeSet::from([NetMetric(i)]));
        }
    }

    #[test]
    fn property_rule_2_a_server_waits_for_its_child_rpcs_and_is_itself(calls in acyclic_calls()) {
        let (net, invoked) = (calls.net(), calls.invoked());
        for (i, calls) in invoked.iter().enumerate() {
            let j = net.service(&net.rpcs[i].key.callee).unwrap();
            let mut expected: BTreeSet<Variable> = calls.iter().map(|k| Client(*k)).collect();
            expected.extend([ServerMetric(j), ServerLatent(j)]);
            prop_assert_eq!(causes(&net, Server(i)), expected);
        }
    }

    #[test]
    fn property_rule_3_a_client_waits_for_server_and_delays_and_is_itself(
        calls in acyclic_calls()
    ) {
        let net = calls.net();
        for (i, rpc) in net.rpcs.iter().enumerate() {
            let mut expected = BTreeSet::from([Request(i), Response(i), Server(i)]);
            if !rpc.key.is_entry() {
                let j = net.service(&rpc.key.caller).unwrap();
                expected.extend([ServerMetric(j), ServerLatent(j)]);
            }
            prop_assert_eq!(causes(&net, Client(i)), expected);
        }
    }

    #[test]
    fn property_rule_4_delays_come_from_the_network_of_their_rpc(calls in acyclic_calls()) {
        let net = calls.net();
        for i in 0..net.rpcs.len() {
            let expected = BTreeSet::from([NetMetric(i), NetLatent(i)]);
            prop_assert_eq!(causes(&net, Request(i)), expected.clone());
            prop_assert_eq!(causes(&net, Response(i)), expected);
        }
    }

    /// Equation 5, set by set: own metrics, served, invoked, and what else acts on those.
    #[test]
    fn property_the_evidence_of_a_service_is_equation_5(calls in acyclic_calls()) {
        let (net, invoked) = (calls.net(), calls.invoked());
        for j in 0..net.services.len() {
            let mut expected = BTreeSet::from([ServerMetric(j)]);
            for (i, rpc) in net.rpcs.iter().enumerate() {
                if rpc.key.callee == net.services[j] {
                    expected.insert(Server(i));
                    expected.extend(invoked[i].iter().map(|k| Client(*k)));
                }
                if rpc.key.caller == net.services[j] && !rpc.key.is_entry() {
                    expected.extend([Client(i), Request(i), Response(i), Server(i)]);
                }
            }
            let evidence: BTreeSet<Variable> =
                net.evidence(ServerLatent(j)).into_iter().collect();
            prop_assert_eq!(evidence, expected);
        }
        for i in 0..net.rpcs.len() {
            let evidence: BTreeSet<Variable> = net.evidence(NetLatent(i)).into_iter().collect();
            prop_assert_eq!(evidence, BTreeSet::from([NetMetric(i), Request(i), Response(i)]));
        }
    }

    /// Whatever the kinds of RPCs: an encoder sees all that its latent acts on, and no latent.
    #[test]
    fn property_evidence_holds_every_effect_and_no_latent(calls in any_calls()) {
        let net = calls.net();
        for z in net.variables().into_iter().filter(Variable::is_latent) {
            let evidence = net.evidence(z);
            prop_assert!(evidence.iter().all(|v| !v.is_latent()), "{:?}", evidence);
            for v in net.variables() {
                if net.causes(v).contains(&z) {
                    prop_assert!(evidence.contains(&v), "{:?} acts on {:?} unseen", z, v);
                }
            }
        }
    }
}
