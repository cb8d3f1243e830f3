//! Normal values: the median of everything measured while QoS was met (paper 4.2).

use std::sync::Arc;

use super::columns::{self, Column};
use crate::data::{FeatureWindow, Frame, Interval, Percentiles, RpcWindow, ServiceWindow};
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

/// A frame that holds the median of everything in `frames`. Counts are medians as well, over the
/// frames in which the RPC occurs.
pub fn normal_frame(frames: &[&Frame]) -> Frame {
    let interval = Interval {
        start: frames.iter().map(|f| f.interval.start).min().unwrap_or_default(),
        end: frames.iter().map(|f| f.interval.end).max().unwrap_or_default(),
    };
    Frame { interval, rpcs: rpcs(frames), services: services(frames), completeness: 1.0 }
}

fn rpcs(frames: &[&Frame]) -> Vec<RpcWindow> {
    let of = |column: Column<'_, RpcWindow>| {
        let middle = |pick: fn(&RpcWindow) -> &Percentiles| {
            Percentiles(std::array::from_fn(|q| {
                median(column.iter().map(|(_, w)| f64::from(pick(w).0[q]))).unwrap_or(0.0) as f32
            }))
        };
        let server = middle(|w| &w.server);
        // Seen from one side only, both are the same.
        let is_one = column.iter().all(|(_, w)| w.client == w.server);
        let (_, newest) = column[column.len() - 1];
        let count = median(column.iter().map(|(_, w)| w.count as f64)).unwrap_or(0.0);
        RpcWindow {
            key: newest.key.clone(),
            kind: newest.kind,
            count: count.round() as u64,
            failed: 0,
            seen_ratio: 1.0,
            client: if is_one { server } else { middle(|w| &w.client) },
            server,
            request: middle(|w| &w.request),
            response: middle(|w| &w.response),
        }
    };
    columns::rpcs(frames).into_iter().map(of).collect()
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
