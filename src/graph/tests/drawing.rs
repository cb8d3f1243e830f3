//! The graph and the net as people and dashboards get them.

use serde_json::json;

use super::support::net_of;
use crate::data::{RpcKey, RpcKind};
use crate::graph::{CausalNet, RpcGraph, cbn_dot, cbn_json, rpc_graph_json};

/// One RPC with names as they occur in the wild: routes with quotes, other alphabets.
fn odd() -> RpcGraph {
    let key = RpcKey::new("user", "", "café", "GET \"/küche/{id}\" 🍰");
    RpcGraph::from_edges([(key, RpcKind::ServerOnly)])
}

#[test]
fn the_net_as_json_names_nodes_edges_and_metanodes() {
    let net = CausalNet::new(&odd());
    let rpc = "user -> café GET \"/küche/{id}\" 🍰";
    let expected = json!({
        "nodes": [
            {"id": "xs0", "symbol": "X^s", "of": "café"},
            {"id": "zs0", "symbol": "Z^s", "of": "café"},
            {"id": "ys0", "symbol": "Y^s", "of": rpc},
        ],
        "edges": [
            {"from": "xs0", "to": "zs0"},
            {"from": "xs0", "to": "ys0"},
            {"from": "zs0", "to": "ys0"},
        ],
        "metanodes": [],
    });
    assert_eq!(cbn_json(&net), expected);
}

#[test]
fn the_rpc_graph_as_json_says_how_each_edge_was_seen() {
    let graph = odd();
    let expected = json!({
        "services": ["café"],
        "rpcs": [{
            "caller": "user", "caller_op": "", "callee": "café", "op": "GET \"/küche/{id}\" 🍰",
            "kind": "server_only", "requests": 1, "last_seen": "1970-01-01T00:00:00.000Z",
        }],
    });
    assert_eq!(rpc_graph_json(&graph, &CausalNet::new(&graph)), expected);
}

#[test]
fn both_sides_of_a_stream_are_listed_under_their_metanode() {
    let net = net_of(&[("a.f>b.g", RpcKind::Paired), ("b.g>a.f", RpcKind::Paired)]);
    let expected = json!([
        {"metanode": 0, "rpc": "a (f) -> b g"},
        {"metanode": 0, "rpc": "b (g) -> a f"},
    ]);
    assert_eq!(cbn_json(&net)["metanodes"], expected);
}

#[test]
fn every_edge_of_the_json_joins_two_of_its_nodes() {
    let net = net_of(&[
        ("user>a.f", RpcKind::ServerOnly),
        ("a.f>b.g", RpcKind::Paired),
        ("b.g>c.h", RpcKind::ClientOnly),
        ("b.g>d.i", RpcKind::Messaging),
    ]);
    let json = cbn_json(&net);
    let nodes: Vec<&str> =
        json["nodes"].as_array().unwrap().iter().map(|n| n["id"].as_str().unwrap()).collect();
    assert_eq!(nodes.len(), net.variables().len());
    for edge in json["edges"].as_array().unwrap() {
        for end in ["from", "to"] {
            assert!(nodes.contains(&edge[end].as_str().unwrap()), "{edge}");
        }
    }
}

#[test]
fn the_net_as_dot_is_this_text() {
    let expected = "\
digraph cbn {
  rankdir=LR;
  node [style=filled];
  xs0 [label=\"X^s\\ncafé\", fillcolor=palegreen];
  zs0 [label=\"Z^s\\ncafé\", fillcolor=lightgrey];
  xs0 -> zs0;
  ys0 [label=\"Y^s\\nuser -> café GET '/küche/{id}' 🍰\", fillcolor=lightblue];
  xs0 -> ys0;
  zs0 -> ys0;
}
";
    assert_eq!(cbn_dot(&CausalNet::new(&odd())), expected);
}

/// In DOT a backslash before the closing quote would take it into the label, and the rest of the
/// file with it.
#[test]
fn no_name_can_break_out_of_its_dot_label() {
    for op in ["ends with \\", "\\\"", "a\"; evil [label=\"x", "two\nlines"] {
        let key = RpcKey::new("user", "", "a", op);
        let net = CausalNet::new(&RpcGraph::from_edges([(key, RpcKind::ServerOnly)]));
        let dot = cbn_dot(&net);
        let labels = labels(&dot);
        assert_eq!(labels.len(), net.variables().len(), "{op:?} in\n{dot}");
        let rest = dot.split("fillcolor=").skip(1).collect::<Vec<_>>();
        assert_eq!(rest.len(), net.variables().len(), "{op:?} in\n{dot}");
        assert!(labels.iter().all(|l| !l.contains("fillcolor")), "{op:?} in\n{dot}");
    }
}

/// Quoted strings as Graphviz reads them: `\"` does not end one.
fn labels(dot: &str) -> Vec<String> {
    let (mut labels, mut open, mut escaped) = (Vec::new(), None::<String>, false);
    for c in dot.chars() {
        match &mut open {
            None if c == '"' => open = Some(String::new()),
            None => {}
            Some(_) if c == '"' && !escaped => labels.extend(open.take()),
            Some(label) => label.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    labels
}
