//! Normal values: the median of everything measured while QoS was met (paper 4.2).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::data::{
    FeatureWindow, Frame, Interval, Name, Percentiles, RpcKey, RpcWindow, ServiceWindow,
};
use crate::stats::median;

/// Fewer intervals than this before the range make intervals after it count, too.
pub(super) const ENOUGH: usize = 20;

/// The frames that tell what is normal for `range`: the newest `count` that met QoS and end before
/// it. When too few do, as for an alert about the very first minutes in history, those after the range
/// help out, and in the end those inside it: they met QoS, after all.
pub(super) fn normal_frames<'a>(
    history: &'a [Arc<Frame>],
    range: &Interval,
    met: impl Fn(&Frame) -> bool,
    count: usize,
) -> Vec<&'a Frame> {
    let usable = |f: &&Arc<Frame>| !f.rpcs.is_empty() && met(f);
    let before = history.iter().rev().filter(|f| f.interval.end <= range.start).filter(usable);
    let mut frames: Vec<&Frame> = before.take(count).map(|f| &**f).collect();
    if frames.len() < ENOUGH {
        let after = history.iter().filter(|f| f.interval.start >= range.end).filter(usable);
        frames.extend(after.take(count - frames.len()).map(|f| &**f));
    }
    let missing = ENOUGH.min(count).saturating_sub(frames.len());
    let inside = history.iter().filter(|f| f.interval.overlaps(range)).filter(usable);
    frames.extend(inside.take(missing).map(|f| &**f));
    frames
}

/// A frame that holds the median of everything in `frames`, of what only some have over those. Requests to a
/// service are the median over all frames, shared out to its RPCs: added up from medians of its own, a service of
/// many RPCs that each are seen now and then would seem to serve many times its load.
pub fn normal_frame(frames: &[&Frame]) -> Frame {
    let interval = Interval {
        start: frames.iter().map(|f| f.interval.start).min().unwrap_or_default(),
        end: frames.iter().map(|f| f.interval.end).max().unwrap_or_default(),
    };
    Frame { interval, rpcs: rpcs(frames), services: services(frames), completeness: 1.0 }
}

fn rpcs(frames: &[&Frame]) -> Vec<RpcWindow> {
    let counts = counts(frames);
    let mut by_key: BTreeMap<&RpcKey, Vec<&RpcWindow>> = BTreeMap::new();
    for window in frames.iter().flat_map(|f| &f.rpcs) {
        by_key.entry(&window.key).or_default().push(window);
    }
    by_key
        .into_iter()
        .map(|(key, windows)| {
            let middle = |pick: &dyn Fn(&RpcWindow) -> &Percentiles| {
                Percentiles(std::array::from_fn(|q| {
                    let values = windows.iter().map(|w| f64::from(pick(w).0[q]));
                    median(values).unwrap_or(0.0) as f32
                }))
            };
            RpcWindow {
                key: key.clone(),
                kind: windows[windows.len() - 1].kind,
                count: counts.get(key).copied().unwrap_or(0),
                failed: 0,
                seen_ratio: 1.0,
                client: middle(&|w| &w.client),
                server: middle(&|w| &w.server),
                request: middle(&|w| &w.request),
                response: middle(&|w| &w.response),
            }
        })
        .collect()
}

/// Requests of every RPC in a normal frame; zero where a service is seen in fewer than half of `frames`.
fn counts<'a>(frames: &[&'a Frame]) -> BTreeMap<&'a RpcKey, u64> {
    let mut by_callee: BTreeMap<&Name, (Vec<f64>, BTreeMap<&RpcKey, f64>)> = BTreeMap::new();
    for (t, window) in
        frames.iter().enumerate().flat_map(|(t, f)| f.rpcs.iter().map(move |w| (t, w)))
    {
        let (totals, shares) = by_callee.entry(&window.key.callee).or_default();
        totals.resize(frames.len(), 0.0);
        totals[t] += window.count as f64;
        *shares.entry(&window.key).or_default() += window.count as f64;
    }
    let of = |(totals, shares): (Vec<f64>, BTreeMap<&'a RpcKey, f64>)| {
        let wanted = median(totals).unwrap_or(0.0) / shares.values().sum::<f64>().max(1.0);
        shared_out(shares.into_iter().map(|(key, share)| (key, share * wanted)).collect())
    };
    by_callee.into_values().flat_map(of).collect()
}

/// Whole numbers that add up to what `parts` do: what rounding down leaves goes to the largest remainders.
fn shared_out<K>(mut parts: Vec<(K, f64)>) -> Vec<(K, u64)> {
    let total = parts.iter().map(|(_, part)| part).sum::<f64>().round() as u64;
    let missing = total - parts.iter().map(|(_, part)| part.floor() as u64).sum::<u64>().min(total);
    parts.sort_by(|(_, a), (_, b)| b.fract().total_cmp(&a.fract()));
    let count = |(n, (key, part)): (usize, (K, f64))| {
        (key, part.floor() as u64 + u64::from((n as u64) < missing))
    };
    parts.into_iter().enumerate().map(count).collect()
}

fn services(frames: &[&Frame]) -> Vec<ServiceWindow> {
    let mut by_name: BTreeMap<&Name, BTreeMap<&Name, Vec<&FeatureWindow>>> = BTreeMap::new();
    for service in frames.iter().flat_map(|f| &f.services) {
        let features = by_name.entry(&service.service).or_default();
        for feature in &service.features {
            features.entry(&feature.name).or_default().push(feature);
        }
    }
    let feature = |windows: Vec<&FeatureWindow>| {
        let percentiles = std::array::from_fn(|p| {
            median(windows.iter().map(|w| w.percentiles[p])).unwrap_or(0.0)
        });
        FeatureWindow { percentiles, by_replica: Vec::new(), ..windows[0].clone() }
    };
    by_name
        .into_iter()
        .map(|(service, features)| ServiceWindow {
            service: service.clone(),
            replicas: Vec::new(),
            features: features.into_values().map(feature).collect(),
        })
        .collect()
}
