//! RPCs of which one side, or both but not together, is seen.

use super::support::{at, name, names, net_of};
use crate::data::RpcKind::{ClientOnly, Messaging, Paired, ServerOnly};
use crate::graph::{CausalNet, Variable};

fn causes(net: &CausalNet, v: Variable) -> Vec<String> {
    names(net, net.causes(v)).into_iter().collect()
}

fn variables_of(net: &CausalNet, op: &str) -> Vec<String> {
    let suffix = format!("({op})");
    net.variables().into_iter().map(|v| name(net, v)).filter(|n| n.ends_with(&suffix)).collect()
}

#[test]
fn a_request_from_outside_has_a_server_latency_and_nothing_else() {
    let net = net_of(&[("user>front.page", ServerOnly), ("front.page>back.list", Paired)]);
    assert_eq!(&*net.services, ["back".into(), "front".into()], "users are no service");
    assert_eq!(variables_of(&net, "page"), ["Y^s(page)"]);
    let page = at(&net, "user>front.page");
    assert_eq!(causes(&net, Variable::Server(page)), ["X^s(front)", "Y^c(list)", "Z^s(front)"]);
    assert_eq!(net.rpcs[page].caller, None);
}

#[test]
fn a_request_from_outside_that_is_seen_from_both_sides_has_no_caller_to_blame() {
    let net = net_of(&[("user>front.page", Paired)]);
    let page = at(&net, "user>front.page");
    let expected = ["Y^req(page)", "Y^resp(page)", "Y^s(page)"];
    assert_eq!(causes(&net, Variable::Client(page)), expected);
}

#[test]
fn a_service_that_is_called_like_the_outside_world_is_a_service() {
    let net = net_of(&[("front.page>user.find", Paired), ("user.find>store.get", Paired)]);
    assert_eq!(&*net.services, ["front".into(), "store".into(), "user".into()]);
    let get = at(&net, "user.find>store.get");
    assert_eq!(net.rpcs[get].caller, net.service("user"));
}

/// A database that sends no spans: its latency and both delays are inside its client's.
#[test]
fn a_dark_callee_acts_on_its_caller_directly() {
    let net = net_of(&[("user>front.page", ServerOnly), ("front.page>mongo.find", ClientOnly)]);
    assert_eq!(variables_of(&net, "find"), ["X^net(find)", "Y^c(find)"]);
    let find = Variable::Client(at(&net, "front.page>mongo.find"));
    let expected = ["X^net(find)", "X^s(front)", "X^s(mongo)", "Z^s(front)", "Z^s(mongo)"];
    assert_eq!(causes(&net, find), expected);
    let mongo = Variable::ServerLatent(net.service("mongo").unwrap());
    let evidence = names(&net, net.evidence(mongo));
    assert_eq!(evidence, ["X^s(mongo)", "Y^c(find)"].map(String::from).into());
}

#[test]
fn a_producer_does_not_wait_for_its_consumer() {
    let net = net_of(&[("user>shop.buy", ServerOnly), ("shop.buy>mail.send", Messaging)]);
    let send = at(&net, "shop.buy>mail.send");
    assert_eq!(causes(&net, Variable::Client(send)), ["X^s(shop)", "Z^s(shop)"]);
    assert_eq!(causes(&net, Variable::Server(send)), ["X^s(mail)", "Z^s(mail)"]);
    let buy = Variable::Server(at(&net, "user>shop.buy"));
    assert_eq!(causes(&net, buy), ["X^s(shop)", "Y^c(send)", "Z^s(shop)"]);
}

/// A caller that sends no client spans: how long it waited is not known, so nothing stands for it.
#[test]
fn nobody_waits_for_a_child_whose_client_half_was_never_seen() {
    let net = net_of(&[("user>front.page", ServerOnly), ("front.page>back.list", ServerOnly)]);
    let page = Variable::Server(at(&net, "user>front.page"));
    assert_eq!(causes(&net, page), ["X^s(front)", "Z^s(front)"]);
}

/// Latency travels along operations: a slow `list` says nothing about `buy`.
#[test]
fn only_the_operation_that_calls_waits() {
    let net = net_of(&[
        ("user>front.page", ServerOnly),
        ("user>front.pay", ServerOnly),
        ("front.page>back.list", Paired),
        ("front.pay>back.buy", Paired),
    ]);
    let of = |rpc: &str| causes(&net, Variable::Server(at(&net, rpc)));
    assert_eq!(of("user>front.page"), ["X^s(front)", "Y^c(list)", "Z^s(front)"]);
    assert_eq!(of("user>front.pay"), ["X^s(front)", "Y^c(buy)", "Z^s(front)"]);
}

#[test]
fn entries_are_the_rpcs_of_users_and_without_users_all_of_them() {
    let net = net_of(&[
        ("user>a.x", ServerOnly),
        ("cron>a.y", Paired),
        ("a.x>b.z", Paired),
        ("cron>b.w", Paired),
    ]);
    let of = |service: &str| -> Vec<String> {
        let entries = net.entries(net.service(service).unwrap());
        entries.into_iter().map(|i| net.rpcs[i].key.op.to_string()).collect()
    };
    assert_eq!(of("a"), ["x"]);
    assert_eq!(of("b"), ["z", "w"]);
}

/// A source that does not tell operations apart: what it says holds for all of them.
#[test]
fn what_a_service_calls_by_any_operation_is_called_by_each() {
    let edges = [
        ("user>front.page", ServerOnly),
        ("user>front.help", ServerOnly),
        ("front.*>cart.*", Paired),
        ("front.page>ads.pick", Paired),
        ("cart.get>store.read", Paired),
        ("cart.*>cache.*", Paired),
    ];
    let net = net_of(&edges);
    let children = |rpc: &str| -> Vec<String> {
        let node = &net.rpcs[at(&net, rpc)];
        node.children.iter().map(|k| net.rpcs[*k].key.callee.to_string()).collect()
    };
    assert_eq!(children("user>front.page"), ["cart", "ads"]);
    assert_eq!(children("user>front.help"), ["cart"]);
    // Whatever operation it serves may be what it is asked for.
    assert_eq!(children("front.*>cart.*"), ["cache", "store"]);
}
