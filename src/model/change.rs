//! Has the application changed, where, and since when? (Paper 4.4: new, updated and removed services.)
//!
//! In: a model, and the intervals since. Out: [`Changes`]. Two kinds of evidence. The RPC graph: an RPC
//! the model does not know, or one that its caller no longer makes. And distributions: a service that
//! has been further from its normal than its own calm past explains, for twice as long as
//! anything as severe has ever lasted anywhere: noisy neighbours and batch jobs come and go, a change
//! stays. Only intervals that met QoS count: a service that is slow enough to violate it
//! is a fault to be found, not a new normal to be learnt, and who falls back on another way, or no longer calls
//! whom it has given up on, goes back to the old ways.

use std::collections::{BTreeMap, BTreeSet};

use super::loss::SIGMA;
use super::predict::Model;
use super::usual::{Look, View, WINDOW};
use crate::data::{EventTime, Frame, Name, OVERFLOW, RpcKey, RpcKind};
use crate::stats::{median, normal_cdf};

/// Chance of taking calm for a change, over everything that is tested in one interval.
const ALPHA: f64 = 0.001;
/// Calm intervals in which an unknown RPC must have been seen.
const SEEN_MIN: usize = 2;
/// Newest calm intervals in which a known RPC must be absent.
const ABSENT_MIN: usize = 2;
/// A change in distributions that comes with so many missed intervals at least, and more than one of so many, is trouble.
const MISSED_MIN: usize = 3;
const MISSED_OF: usize = 3;
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
    since.extend(find_new(model, frames, met, &mut changes));
    since.extend(find_gone(model, frames, met, &mut changes));
    since.extend(find_shifted(model, frames, met, &mut changes));
    changes.since = since.into_iter().min().unwrap_or_default();
    changes
}

/// Whether `changes`, found against `base`, were a disturbance that has passed: in the newest calm intervals everything
/// about the services it named is nearer to what it was before than to anything that would matter.
pub(super) fn has_passed(base: &Model, changes: &Changes, frames: &[&Frame], met: &[bool]) -> bool {
    if !changes.new_rpcs.is_empty() || !changes.gone_rpcs.is_empty() {
        return false;
    }
    let looks: Vec<Look> =
        calm(frames, met).rev().take(WINDOW).map(|frame| Look::at(base, frame)).collect();
    let is_back = |service: &Name| {
        let Some(j) = base.net.service(service) else { return false };
        base.usual[j].known().all(|(view, (centre, _))| {
            let by =
                looks.iter().map(|l| (l.of(j, view) - centre).abs()).filter(|by| by.is_finite());
            median(by).is_none_or(|by| by < least(view) / 2.0)
        })
    };
    looks.len() == WINDOW && changes.services.keys().all(is_back)
}

/// Whether `changes` of distributions alone are trouble rather than an update: since they began the target has been
/// missed far more often than the everyday faults of an application that has been updated would have it.
pub(super) fn is_trouble(changes: &Changes, frames: &[&Frame], met: &[bool]) -> bool {
    if !changes.new_rpcs.is_empty() || !changes.gone_rpcs.is_empty() {
        return false;
    }
    let since = &met[frames.partition_point(|f| f.interval.start < changes.since)..];
    let missed = since.iter().filter(|met| !**met).count();
    missed >= MISSED_MIN && missed > since.len() / MISSED_OF
}

/// Frames in which QoS was met.
fn calm<'a>(frames: &[&'a Frame], met: &[bool]) -> impl DoubleEndedIterator<Item = &'a Frame> {
    frames.iter().zip(met).filter(|(_, met)| **met).map(|(frame, _)| *frame)
}

/// RPCs the model does not know; the begin of the first calm interval with one. While the target is missed, callers give
/// up, fall back on others, and what a service then does for nobody looks like a request from outside.
fn find_new(
    model: &Model,
    frames: &[&Frame],
    met: &[bool],
    changes: &mut Changes,
) -> Option<EventTime> {
    let mut seen: BTreeMap<&RpcKey, (usize, RpcKind, EventTime)> = BTreeMap::new();
    let is_known = |service: &Name| model.net.service(service).is_some();
    for frame in calm(frames, met) {
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
        if !is_known(&key.callee) {
            changes.blame(&key.callee, "is new".into());
        }
        if !key.is_entry() {
            changes.blame(&key.caller, format!("calls {} {}", key.callee, key.op));
        } else if is_known(&key.callee) {
            changes.blame(&key.callee, format!("serves {}", key.op));
        }
        since = Some(since.map_or(first, |s: EventTime| s.min(first)));
    }
    since
}

/// RPCs that are not made although whoever makes them is called: by chance, with as many requests, that
/// would be next to impossible. Returns the end of the last interval with one.
fn find_gone(
    model: &Model,
    frames: &[&Frame],
    met: &[bool],
    changes: &mut Changes,
) -> Option<EventTime> {
    let newest: Vec<&Frame> = calm(frames, met).rev().take(ABSENT_MIN).collect();
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

/// One view of one service that is not what it was, and for how many calm intervals it has been so.
struct Shifted {
    service: usize,
    view: View,
    by: f64,
    run: usize,
}

/// Services whose newest calm intervals differ from what is usual for them; the begin of the first calm
/// interval that does.
fn find_shifted(
    model: &Model,
    frames: &[&Frame],
    met: &[bool],
    changes: &mut Changes,
) -> Option<EventTime> {
    let calm: Vec<&Frame> = calm(frames, met).collect();
    let mut past = Past { model, calm: &calm, looks: Vec::new() };
    let tests: usize = model.usual.iter().map(|u| u.known().count()).sum();
    let limit = quantile_of_chance(ALPHA / tests.max(1) as f64);
    let mut shifted = Vec::new();
    for (service, usual) in model.usual.iter().enumerate() {
        for (view, known) in usual.known() {
            let run = past.run((service, view), known.0, least(view));
            // Whoever is disturbed, a disturbance is a disturbance.
            let lasted = |count: usize| {
                model.usual.iter().map(|u| u.lasted(view, count)).fold(0.0, f64::max)
            };
            if let Some(by) = shift(&run, known.1, limit, lasted) {
                shifted.push(Shifted { service, view, by, run: run.len() });
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
    let longest = shifted.iter().map(|s| s.run).max()?;
    Some(calm[calm.len() - longest].interval.start)
}

/// Calm intervals in order, looked at from the newest back, as far as somebody asks.
struct Past<'a> {
    model: &'a Model,
    calm: &'a [&'a Frame],
    /// The newest first.
    looks: Vec<Look>,
}

impl Past<'_> {
    /// How far a view was from `centre` in the newest intervals, as long as that was more than `least` to one
    /// side under a load that is known; the newest first.
    fn run(&mut self, (j, view): (usize, View), centre: f64, least: f64) -> Vec<f64> {
        let mut run: Vec<f64> = Vec::new();
        for n in 0..self.calm.len() {
            if n == self.looks.len() {
                let frame = self.calm[self.calm.len() - 1 - n];
                self.looks.push(Look::at(self.model, frame));
            }
            let by = self.looks[n].of(j, view) - centre;
            let is_known = self.model.usual[j].knows(self.looks[n].load[j]);
            let is_same_side = run.first().is_none_or(|first| first * by > 0.0);
            // Not so either when it was not seen.
            let is_far = by.abs() > least && is_same_side;
            if !is_known || !is_far {
                break;
            }
            run.push(by);
        }
        run
    }
}

/// What a view must move by to matter.
fn least(view: View) -> f64 {
    match view {
        View::Slowness => SLOWNESS_MIN,
        View::Delay => DELAY_MIN,
        View::Metric(_) => METRIC_MIN,
    }
}

/// How far a view has shifted that was as far from normal as `run` says, the newest first: if chance does not
/// explain it, and if nothing as severe has `lasted` half as long.
fn shift(run: &[f64], spread: f64, limit: f64, lasted: impl Fn(usize) -> f64) -> Option<f64> {
    let is_new = |length: usize| {
        let run = &run[..length];
        let mildest = run.iter().fold(f64::INFINITY, |m, v| m.min(v.abs()));
        let by = median(run.iter().copied())?;
        let is_real = by.abs() > limit * spread && mildest > lasted(length.div_ceil(2));
        is_real.then_some(by)
    };
    (WINDOW..=run.len()).find_map(is_new)
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
    fn a_shift_must_be_unlikely_and_outlast_what_passes_by_itself() {
        let nothing = |_: usize| 0.0;
        assert_eq!(shift(&[1.0; 4], 0.05, 4.0, nothing), Some(1.0));
        assert_eq!(shift(&[-0.9, -1.0, -1.1, -0.8], 0.05, 4.0, nothing), Some(-0.95));
        assert_eq!(shift(&[1.0; 3], 0.05, 4.0, nothing), None);
        // Within what is usual.
        assert_eq!(shift(&[1.0; 4], 0.4, 4.0, nothing), None);
        // As far, others have been for two intervals: it takes more than twice as long, or twice as far.
        let two = |count: usize| if count <= 2 { 1.5 } else { 0.3 };
        assert_eq!(shift(&[1.0; 4], 0.05, 4.0, two), None);
        assert_eq!(shift(&[1.0; 5], 0.05, 4.0, two), Some(1.0));
        assert_eq!(shift(&[2.0; 4], 0.05, 4.0, two), Some(2.0));
    }

    #[test]
    fn the_more_is_tested_the_further_from_normal_it_must_be() {
        let one = quantile_of_chance(0.05);
        assert!((one - 1.96).abs() < 0.01, "{one}");
        assert!(quantile_of_chance(0.05 / 100.0) > 3.4);
    }
}
