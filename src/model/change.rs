//! Has the application changed, where, and since when? (Paper 4.4: new, updated and removed services.)
//!
//! In: a model, and the intervals since. Out: [`Changes`]. Two kinds of evidence. The RPC graph: an RPC
//! the model does not know, or one that its caller no longer makes. And distributions: a service that
//! was, in at least all but one of the newest calm intervals, further from its normal than its own
//! calm past explains. Only intervals that met QoS count: a service that is slow enough to violate it
//! is a fault to be found, not a new normal to be learnt.

use std::collections::{BTreeMap, BTreeSet};

use super::loss::SIGMA;
use super::predict::Model;
use super::usual::{Look, View, WINDOW};
use crate::data::{EventTime, Frame, Name, OVERFLOW, RpcKey, RpcKind};
use crate::stats::{median, normal_cdf};

/// Chance of taking calm for a change, over everything that is tested in one interval.
const ALPHA: f64 = 0.001;
/// Intervals in which an unknown RPC must have been seen.
const SEEN_MIN: usize = 2;
/// Newest intervals in which a known RPC must be absent.
const ABSENT_MIN: usize = 2;
/// A service must be this much slower or faster by itself, log units: less is within the deviation the
/// model grants every prediction.
const SLOWNESS_MIN: f64 = SIGMA as f64;
/// Network delays must double or halve.
const DELAY_MIN: f64 = std::f64::consts::LN_2;
/// A metric of use must move by this many robust deviations: noise of as many has amplitude one for the
/// networks.
const METRIC_MIN: f64 = 6.0;

/// What has changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Services that behave differently, with the reasons.
    pub services: BTreeMap<Name, BTreeSet<String>>,
    /// RPCs the model does not know.
    pub new_rpcs: BTreeMap<RpcKey, RpcKind>,
    /// RPCs that are no longer made, and those below them.
    pub gone_rpcs: BTreeSet<RpcKey>,
    /// Begin of the first interval after the change.
    pub since: EventTime,
}

impl Changes {
    /// Whether anything has.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.new_rpcs.is_empty() && self.gone_rpcs.is_empty()
    }

    /// One line for people.
    pub fn reason(&self) -> String {
        let one = |(service, why): (&Name, &BTreeSet<String>)| {
            format!("{service} {}", why.iter().cloned().collect::<Vec<_>>().join(", "))
        };
        self.services.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    /// Adds what was found later about the same application.
    pub(super) fn merge(&mut self, later: Self) {
        for (service, why) in later.services {
            self.services.entry(service).or_default().extend(why);
        }
        self.gone_rpcs.retain(|key| !later.new_rpcs.contains_key(key));
        self.new_rpcs.retain(|key, _| !later.gone_rpcs.contains(key));
        self.new_rpcs.extend(later.new_rpcs);
        self.gone_rpcs.extend(later.gone_rpcs);
    }

    fn blame(&mut self, service: &Name, why: String) {
        self.services.entry(service.clone()).or_default().insert(why);
    }
}

/// What has changed between the training of `model` and the newest of `frames`, which are in order;
/// `met[t]`: QoS was met in frame `t`.
pub fn detect(model: &Model, frames: &[&Frame], met: &[bool]) -> Changes {
    let mut changes = Changes::default();
    let mut since = Vec::new();
    since.extend(find_new(model, frames, &mut changes));
    since.extend(find_gone(model, frames, &mut changes));
    since.extend(find_shifted(model, frames, met, &mut changes));
    changes.since = since.into_iter().min().unwrap_or_default();
    changes
}

/// RPCs the model does not know; the begin of the first interval with one.
fn find_new(model: &Model, frames: &[&Frame], changes: &mut Changes) -> Option<EventTime> {
    let mut seen: BTreeMap<&RpcKey, (usize, RpcKind, EventTime)> = BTreeMap::new();
    for frame in frames {
        for rpc in frame.rpcs.iter().filter(|r| r.count > 0 && model.net.rpc(&r.key).is_none()) {
            if [&rpc.key.caller, &rpc.key.callee].iter().any(|s| &***s == OVERFLOW) {
                continue;
            }
            let entry = seen.entry(&rpc.key).or_insert((0, rpc.kind, frame.interval.start));
            entry.0 += 1;
            if rpc.kind == RpcKind::Paired {
                entry.1 = RpcKind::Paired;
            }
        }
    }
    let newest = &frames[frames.len().saturating_sub(ABSENT_MIN)..];
    // One that was removed again meanwhile is not new.
    let is_made = |key: &RpcKey| newest.iter().any(|f| f.rpc(key).is_some_and(|w| w.count > 0));
    let is_new =
        |(key, s): &(&RpcKey, (usize, RpcKind, EventTime))| s.0 >= SEEN_MIN && is_made(key);
    let mut since = None;
    for (key, (_, kind, first)) in seen.into_iter().filter(is_new) {
        changes.new_rpcs.insert(key.clone(), kind);
        if model.net.service(&key.callee).is_none() {
            changes.blame(&key.callee, "is new".into());
        }
        if !key.is_entry() {
            changes.blame(&key.caller, format!("calls {} {}", key.callee, key.op));
        } else if model.net.service(&key.callee).is_some() {
            changes.blame(&key.callee, format!("serves {}", key.op));
        }
        since = Some(since.map_or(first, |s: EventTime| s.min(first)));
    }
    since
}

/// RPCs that are not made although whoever makes them is called: by chance, with as many requests, that
/// would be next to impossible. Returns the end of the last interval with one.
fn find_gone(model: &Model, frames: &[&Frame], changes: &mut Changes) -> Option<EventTime> {
    let newest = &frames[frames.len().saturating_sub(ABSENT_MIN)..];
    if newest.len() < ABSENT_MIN {
        return None;
    }
    let net = &model.net;
    let made = |i: usize| -> f64 {
        let of = |f: &&Frame| f.rpc(&net.rpcs[i].key).map_or(0.0, |w| w.count as f64);
        newest.iter().map(of).sum()
    };
    let made: Vec<f64> = (0..net.rpcs.len()).map(made).collect();
    let mut expected = vec![0.0; net.rpcs.len()];
    for edge in &model.evaluator.layout.edges {
        expected[edge.child] += f64::from(edge.calls) * made[edge.parent];
    }
    // That a Poisson count is zero has chance e^-expected.
    let limit = (net.rpcs.len() as f64 / ALPHA).ln();
    let mut is_gone: Vec<bool> =
        (0..net.rpcs.len()).map(|i| made[i] == 0.0 && expected[i] > limit).collect();
    let mut since = None;
    for i in (0..net.rpcs.len()).filter(|i| is_gone[*i]) {
        let key = &net.rpcs[i].key;
        changes.blame(&key.caller, format!("no longer calls {} {}", key.callee, key.op));
        let last = frames.iter().rev().find(|f| f.rpc(key).is_some_and(|w| w.count > 0));
        let from = last.map_or(frames[0].interval.start, |f| f.interval.end);
        since = Some(since.map_or(from, |s: EventTime| s.min(from)));
    }
    // Whatever only RPCs that are gone lead to is gone, too.
    let mut parents = vec![Vec::new(); net.rpcs.len()];
    for (i, rpc) in net.rpcs.iter().enumerate() {
        rpc.children.iter().for_each(|k| parents[*k].push(i));
    }
    for &i in net.order.iter().rev() {
        let orphaned = !parents[i].is_empty() && parents[i].iter().all(|p| is_gone[*p]);
        is_gone[i] |= orphaned && made[i] == 0.0;
    }
    changes
        .gone_rpcs
        .extend((0..net.rpcs.len()).filter(|i| is_gone[*i]).map(|i| net.rpcs[i].key.clone()));
    since
}

/// One view of one service that is not what it was.
struct Shifted {
    service: usize,
    view: View,
    centre: f64,
    by: f64,
}

/// Services whose newest calm intervals differ from what is usual for them; the begin of the first calm
/// interval that does.
fn find_shifted(
    model: &Model,
    frames: &[&Frame],
    met: &[bool],
    changes: &mut Changes,
) -> Option<EventTime> {
    let calm: Vec<&Frame> = frames.iter().zip(met).filter(|(_, m)| **m).map(|(f, _)| *f).collect();
    let from = calm.len().checked_sub(WINDOW)?;
    let looks: Vec<Look> = calm[from..].iter().map(|f| Look::at(model, f)).collect();
    let tests: usize = model.usual.iter().map(|u| u.known().count()).sum();
    let limit = quantile_of_chance(ALPHA / tests.max(1) as f64);
    let mut shifted = Vec::new();
    for (j, usual) in model.usual.iter().enumerate() {
        if !looks.iter().all(|l| usual.knows(l.load[j])) {
            continue;
        }
        for (view, usual) in usual.known() {
            let values: Vec<f64> = looks.iter().map(|l| l.of(j, view)).collect();
            if let Some(by) = shift(&values, usual, least(view), limit) {
                shifted.push(Shifted { service: j, view, centre: usual.0, by });
            }
        }
    }
    for Shifted { service, view, by, .. } in &shifted {
        let direction = if *by > 0.0 { "up" } else { "down" };
        let what = match view {
            View::Slowness => "own latency",
            View::Delay => "network delay",
            View::Metric(f) => &model.features.features[*f].name,
        };
        changes.blame(&model.net.services[*service], format!("{what} {direction}"));
    }
    if shifted.is_empty() {
        return None;
    }
    // The shift began before the window if the calm intervals before it show any of it.
    let shows = |f: &&Frame| {
        let look = Look::at(model, f);
        shifted
            .iter()
            .any(|s| (look.of(s.service, s.view) - s.centre) * s.by.signum() > least(s.view))
    };
    let first = (0..from).rev().take_while(|t| shows(&calm[*t])).last().unwrap_or(from);
    Some(calm[first].interval.start)
}

/// What a view must move by to matter.
fn least(view: View) -> f64 {
    match view {
        View::Slowness => SLOWNESS_MIN,
        View::Delay => DELAY_MIN,
        View::Metric(_) => METRIC_MIN,
    }
}

/// How far `values` are from `usual`, if further than `least`, if chance does not explain it, and if all
/// but one of them say so.
fn shift(values: &[f64], (centre, spread): (f64, f64), least: f64, limit: f64) -> Option<f64> {
    if values.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let by = median(values.iter().copied())? - centre;
    let is_far = |v: f64| (v - centre) * by.signum() > least;
    let agree = values.iter().filter(|v| is_far(**v)).count();
    (agree + 1 >= values.len() && by.abs() > least && by.abs() > limit * spread).then_some(by)
}

/// The z-score that chance exceeds, either way, in this share of cases.
fn quantile_of_chance(share: f64) -> f64 {
    let (mut low, mut high) = (0.0, 8.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if 2.0 * normal_cdf(-middle) > share {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_must_be_large_unlikely_and_seen_again_and_again() {
        let usual = (0.1, 0.05);
        assert!(shift(&[0.9, 1.0, 1.1, 0.1], usual, 0.2, 4.0).is_some());
        assert!(shift(&[-0.9, -1.0, -1.1, -0.8], usual, 0.2, 4.0).unwrap() < 0.0);
        // A fault of two intervals.
        assert_eq!(shift(&[0.9, 1.0, 0.1, 0.1], usual, 0.2, 4.0), None);
        // Small, or within what is usual, or not seen.
        assert_eq!(shift(&[0.25, 0.25, 0.25, 0.25], usual, 0.2, 4.0), None);
        assert_eq!(shift(&[0.9, 1.0, 1.1, 1.0], (0.1, 0.4), 0.2, 4.0), None);
        assert_eq!(shift(&[0.9, f64::NAN, 1.1, 1.0], usual, 0.2, 4.0), None);
    }

    #[test]
    fn the_more_is_tested_the_further_from_normal_it_must_be() {
        let one = quantile_of_chance(0.05);
        assert!((one - 1.96).abs() < 0.01, "{one}");
        assert!(quantile_of_chance(0.05 / 100.0) > 3.4);
    }
}
