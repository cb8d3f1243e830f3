//! Normal values: the median of everything measured while QoS was met (paper 4.2).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::columns::{self, Column};
use crate::data::{FeatureWindow, Frame, Interval, Name, Percentiles, RpcWindow, ServiceWindow};
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
    Frame {
        interval,
        rpcs: rpcs(frames),
        services: services(frames),
        completeness: 1.0,
        replicas: vec![],
    }
}

fn rpcs(frames: &[&Frame]) -> Vec<RpcWindow> {
    let columns = columns::rpcs(frames);
    let counts = counts(&columns, frames.len());
    let of = |(column, count): (Column<'_, RpcWindow>, u64)| {
        let middle = |pick: fn(&RpcWindow) -> &Percentiles| {
            Percentiles(std::array::from_fn(|q| {
                median(column.iter().map(|(_, w)| f64::from(pick(w).0[q]))).unwrap_or(0.0) as f32
            }))
        };
        let server = middle(|w| &w.server);
        // Seen from one side only, both are the same.
        let is_one = column.iter().all(|(_, w)| w.client == w.server);
        let (_, newest) = column[column.len() - 1];
        RpcWindow {
            key: newest.key.clone(),
            kind: newest.kind,
            count,
            failed: 0,
            seen_ratio: 1.0,
            client: if is_one { server } else { middle(|w| &w.client) },
            server,
            request: middle(|w| &w.request),
            response: middle(|w| &w.response),
        }
    };
    columns.into_iter().zip(counts).map(of).collect()
}

/// Requests of every RPC in a normal frame made of so many `frames`; zero where a service is seen in fewer than half
/// of them.
fn counts(columns: &[Column<'_, RpcWindow>], frames: usize) -> Vec<u64> {
    let mut by_callee: BTreeMap<&Name, Vec<usize>> = BTreeMap::new();
    for (n, column) in columns.iter().enumerate() {
        by_callee.entry(&column[0].1.key.callee).or_default().push(n);
    }
    let mut counts = vec![0; columns.len()];
    for members in by_callee.into_values() {
        let mut totals = vec![0.0; frames];
        for (t, window) in members.iter().flat_map(|n| &columns[*n]) {
            totals[*t] += window.count as f64;
        }
        let wanted = median(totals.iter().copied()).unwrap_or(0.0);
        let share = wanted / totals.iter().sum::<f64>().max(1.0);
        let of = |n: &usize| columns[*n].iter().map(|(_, w)| w.count as f64).sum::<f64>() * share;
        for (n, count) in shared_out(members.iter().map(|n| (*n, of(n))).collect()) {
            counts[n] = count;
        }
    }
    counts
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
    let feature = |column: Column<'_, FeatureWindow>| {
        let middle = |p: usize| median(column.iter().map(|(_, w)| w.percentiles[p])).unwrap_or(0.0);
        let first = middle(0);
        // One replica is all percentiles.
        let is_one = |p: usize| column.iter().all(|(_, w)| w.percentiles[p] == w.percentiles[0]);
        FeatureWindow {
            percentiles: std::array::from_fn(|p| if is_one(p) { first } else { middle(p) }),
            by_replica: Vec::new(),
            ..column[0].1.clone()
        }
    };
    let of = |column: Column<'_, ServiceWindow>| ServiceWindow {
        service: column[0].1.service.clone(),
        replicas: Vec::new(),
        features: columns::features(&column).into_iter().map(feature).collect(),
    };
    columns::services(frames).into_iter().map(of).collect()
}
