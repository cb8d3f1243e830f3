//! What the compared systems read off one frame.

use std::collections::{BTreeMap, HashMap};

use crate::data::{
    FeatureWindow, Frame, Name, OVERFLOW, Percentiles, Resource, Role, mixture_quantile,
};

/// Latency of every service, milliseconds: the `quantile` of the requests to it. It is taken where
/// it is called, because only there the time in its queue is part of it in every application.
pub(super) fn latencies(frame: &Frame, quantile: f64) -> BTreeMap<Name, f64> {
    let mut parts: BTreeMap<&Name, Vec<(f64, Percentiles)>> = BTreeMap::new();
    for rpc in frame.rpcs.iter().filter(|r| r.count > 0 && &*r.key.callee != OVERFLOW) {
        parts.entry(&rpc.key.callee).or_default().push((rpc.count as f64, rpc.client));
    }
    parts
        .into_iter()
        .filter_map(|(service, parts)| Some((service.clone(), mixture_quantile(&parts, quantile)?)))
        .collect()
}

/// Median time a request spends in each service itself, milliseconds: the server's latency less
/// what the operation waits for its callees.
pub(super) fn own_times(frame: &Frame) -> BTreeMap<Name, f64> {
    let mut waits: HashMap<(&str, &str), f64> = HashMap::new();
    let mut served: HashMap<(&str, &str), f64> = HashMap::new();
    for rpc in &frame.rpcs {
        let (key, count) = (&rpc.key, rpc.count as f64);
        *waits.entry((&key.caller, &key.caller_op)).or_default() += median(&rpc.client) * count;
        *served.entry((&key.callee, &key.op)).or_default() += count;
    }
    let mut own: BTreeMap<Name, (f64, f64)> = BTreeMap::new();
    for rpc in frame.rpcs.iter().filter(|r| r.count > 0) {
        let operation = (&*rpc.key.callee, &*rpc.key.op);
        let waits = waits.get(&operation).copied().unwrap_or(0.0) / served[&operation];
        let (sum, count) = own.entry(rpc.key.callee.clone()).or_default();
        *sum += (median(&rpc.server) - waits).max(0.0) * rpc.count as f64;
        *count += rpc.count as f64;
    }
    own.into_iter().map(|(service, (sum, count))| (service, sum / count)).collect()
}

fn median(latency: &Percentiles) -> f64 {
    f64::from(latency.0[0])
}

/// The metrics of every service that tell about a resource, which leaves out load.
pub(super) fn metrics(frame: &Frame) -> impl Iterator<Item = (&Name, &FeatureWindow, Resource)> {
    frame.services.iter().flat_map(|service| {
        let of = |f: &'_ FeatureWindow| f.role != Role::Load;
        service
            .features
            .iter()
            .filter(move |f| of(f))
            .filter_map(|f| Some((&service.service, f, f.role.resource()?)))
    })
}
