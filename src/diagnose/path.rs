//! How the trouble travelled: RPCs from the entry to the first culprit.

use super::inquiry::Inquiry;
use crate::data::{Frame, PathStep, Percentiles, QosTarget};
use crate::graph::{CausalNet, Query};

/// The path along which latency grew most, with what each hop took, usually takes, and would have
/// taken.
pub(super) fn path_to(
    inquiry: &Inquiry<'_>,
    culprit: usize,
    query: &Query,
    target: &QosTarget,
) -> Vec<PathStep> {
    let net = inquiry.net();
    let Some(frame) = inquiry.newest() else { return Vec::new() };
    let Some(entry) = net.service(&target.service) else { return Vec::new() };
    let at = |frame: &Frame, i: usize| {
        frame.rpc(&net.rpcs[i].key).map_or(0.0, |w| w.client.at(target.quantile))
    };
    let growth = |i: usize| at(frame, i) - at(inquiry.normal(), i);
    let leads = leads_to(net, culprit);
    let largest = |candidates: &mut dyn Iterator<Item = usize>| {
        candidates.filter(|i| leads[*i]).max_by(|a, b| growth(*a).total_cmp(&growth(*b)))
    };
    let mut path = Vec::new();
    let mut next = largest(&mut net.entries(entry).into_iter());
    while let Some(i) = next {
        path.push(i);
        if net.rpcs[i].callee == culprit {
            break;
        }
        // Children are acyclic, so this ends.
        next = largest(&mut net.rpcs[i].children.iter().copied());
    }
    let Some(restored) = inquiry.ask_newest(query, &path) else { return Vec::new() };
    let step = |(i, client): (usize, Percentiles)| PathStep {
        rpc: net.rpcs[i].key.to_string(),
        observed_ms: at(frame, i),
        normal_ms: at(inquiry.normal(), i),
        counterfactual_ms: client.at(target.quantile),
    };
    path.into_iter().zip(restored.client).map(step).collect()
}

/// Whether each RPC has an RPC into `culprit` at or below it.
fn leads_to(net: &CausalNet, culprit: usize) -> Vec<bool> {
    let mut leads = vec![false; net.rpcs.len()];
    for &i in &net.order {
        let rpc = &net.rpcs[i];
        leads[i] = rpc.callee == culprit || rpc.children.iter().any(|k| leads[*k]);
    }
    leads
}
