//! The graph and the net as JSON and DOT, for people and dashboards.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::learn::RpcGraph;
use super::net::CausalNet;
use super::variable::Variable;

/// Nodes and edges of the RPC graph.
pub fn rpc_graph_json(graph: &RpcGraph, net: &CausalNet) -> Value {
    let edges: Vec<Value> = graph
        .edges()
        .iter()
        .map(|(key, edge)| {
            json!({
                "caller": key.caller, "caller_op": key.caller_op, "callee": key.callee,
                "op": key.op, "kind": edge.kind, "requests": edge.count,
                "last_seen": edge.last_seen,
            })
        })
        .collect();
    json!({"services": net.services, "rpcs": edges})
}

/// Variables and causal edges of the net.
pub fn cbn_json(net: &CausalNet) -> Value {
    let variables = net.variables();
    let nodes: Vec<Value> = variables
        .iter()
        .map(|v| json!({"id": id(*v), "symbol": v.symbol(), "of": subject(net, *v)}))
        .collect();
    let edges: Vec<Value> = variables
        .iter()
        .flat_map(|v| net.causes(*v).into_iter().map(move |c| json!({"from": id(c), "to": id(*v)})))
        .collect();
    let metanodes: Vec<Value> = net
        .rpcs
        .iter()
        .filter_map(|r| r.metanode.map(|m| json!({"metanode": m, "rpc": r.key.to_string()})))
        .collect();
    json!({"nodes": nodes, "edges": edges, "metanodes": metanodes})
}

/// The net for Graphviz: metrics green, latencies blue, latents grey.
pub fn cbn_dot(net: &CausalNet) -> String {
    let mut dot = String::from("digraph cbn {\n  rankdir=LR;\n  node [style=filled];\n");
    let mut line = |text: String| writeln!(dot, "{text}").expect("writing to a String cannot fail");
    for v in net.variables() {
        let colour = match v {
            Variable::ServerMetric(_) | Variable::NetMetric(_) => "palegreen",
            _ if v.is_latent() => "lightgrey",
            _ => "lightblue",
        };
        let label = format!("{}\\n{}", v.symbol(), subject(net, v).replace('\\', "\\\\"));
        // A quote or a backslash would end the label, or keep it from ending.
        let label = label.replace('"', "'").replace('\n', " ");
        line(format!("  {} [label=\"{label}\", fillcolor={colour}];", id(v)));
        for cause in net.causes(v) {
            line(format!("  {} -> {};", id(cause), id(v)));
        }
    }
    line("}".into());
    dot
}

fn id(v: Variable) -> String {
    match v {
        Variable::ServerMetric(j) => format!("xs{j}"),
        Variable::ServerLatent(j) => format!("zs{j}"),
        Variable::NetMetric(i) => format!("xn{i}"),
        Variable::NetLatent(i) => format!("zn{i}"),
        Variable::Request(i) => format!("yreq{i}"),
        Variable::Response(i) => format!("yresp{i}"),
        Variable::Server(i) => format!("ys{i}"),
        Variable::Client(i) => format!("yc{i}"),
    }
}

fn subject(net: &CausalNet, v: Variable) -> String {
    match v {
        Variable::ServerMetric(j) | Variable::ServerLatent(j) => net.services[j].to_string(),
        Variable::NetMetric(i)
        | Variable::NetLatent(i)
        | Variable::Request(i)
        | Variable::Response(i)
        | Variable::Server(i)
        | Variable::Client(i) => net.rpcs[i].key.to_string(),
    }
}
