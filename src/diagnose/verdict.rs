//! One alert, answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::baseline::baseline;
use super::config::Config;
use super::evidence::Evidence;
use super::inquiry::Inquiry;
use super::normal::{ENOUGH, normal_frame, normal_frames};
use super::path::path_to;
use super::range::{Episode, episode, range_of};
use super::replicas::outstanding;
use super::resources::resource_of;
use super::search::{Search, Suspects};
use super::target::{ASSUMED, assumed_target, find_target, may_miss, met, mostly_below};
use crate::data::{
    Alert, BaselineScore, EventTime, FeatureWindow, Frame, Interval, MetricEvidence, Name, Outcome,
    PathStep, QosObservation, QosTarget, Resource, RootCause, Scope, ServiceScore, Signal,
};
use crate::graph::{CausalNet, Hypothesis, Mechanism, Query};
use crate::parallel;
use crate::stats::median;

/// Baseline scores and metrics shown per diagnosis or culprit.
const SHOWN: usize = 10;

/// Times the usual requests from which the load is worth a word.
const BUSY: f64 = 1.5;

/// Everything a diagnosis depends on.
#[derive(Debug)]
pub struct Question<'a> {
    /// The alert.
    pub alert: &'a Alert,
    /// When the last alert with the same labels ended.
    pub last_ended: Option<EventTime>,
    /// Closed frames, oldest first.
    pub history: &'a [Arc<Frame>],
    /// How far event time has come.
    pub watermark: Option<EventTime>,
    /// Configured targets.
    pub targets: &'a [QosTarget],
    /// The model, if there is one.
    pub mechanism: Option<&'a dyn Mechanism>,
    /// Limits and thresholds.
    pub config: &'a Config,
}

impl<'a> Question<'a> {
    fn episode(
        &self,
        range: &Interval,
        is_violated: impl Fn(&Frame) -> Option<bool>,
    ) -> Episode<'a> {
        let when = (self.alert.key.starts_at, self.last_ended);
        episode(self.history, range, when, is_violated, self.config.intervals_max)
    }
}

/// The answer.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What came out.
    pub outcome: Option<Outcome>,
    /// Hull of the intervals looked at.
    pub interval: Option<Interval>,
    /// Target and observation.
    pub qos: Option<QosObservation>,
    /// Culprits.
    pub root_causes: Vec<RootCause>,
    /// Every service's own counterfactual, best first.
    pub services: Vec<ServiceScore>,
    /// From the entry to the first culprit.
    pub path: Vec<PathStep>,
    /// Robust baseline.
    pub robust_baseline: Vec<BaselineScore>,
    /// Share of RPC halves placed.
    pub graph_completeness: f64,
    /// Remarks.
    pub notes: BTreeMap<String, String>,
}

/// Answers `question`.
pub fn diagnose(question: &Question<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let config = question.config;
    let Some((target, source)) =
        find_target(question.alert, question.targets, question.history, config)
    else {
        verdict.outcome = Some(Outcome::NotEnoughData);
        verdict.note("target", "neither the alert nor the configuration names a service with data");
        return verdict;
    };
    verdict.note("target", source);
    let range = range_of(question.alert, question.last_ended, question.watermark, config);
    let found = question.episode(&range, |f| target.is_violated(f));
    if found.seen == 0 {
        verdict.describe(&newest_in(question.history, &range, &target), &target);
        verdict.outcome = Some(Outcome::NotEnoughData);
        verdict.note(
            "range",
            &format!(
                "no closed interval with requests to {} in {} .. {}",
                target.service, range.start, range.end
            ),
        );
        return verdict;
    }
    let mut goals = question.targets.to_vec();
    goals.push(target.clone());
    let calm = calm_frames(question, &range, &goals, &target);
    let missed = match found.violating.is_empty() {
        false => Some((found.violating, target.clone())),
        true if source == ASSUMED => None,
        true => near_miss(question, &range, &target, &calm),
    };
    let Some((frames, missed)) = missed else {
        verdict.describe(&newest_in(question.history, &range, &target), &target);
        verdict.outcome = Some(Outcome::QosMet);
        return verdict;
    };
    if missed != target {
        let why = "the traced requests meet the target by so little that all of them may have missed it; explained \
                   is what is more than usual";
        verdict.note("target", &format!("{source}; {why}"));
    }
    verdict.describe(&frames, &target);
    let (normal, robust) = parallel::join(|| normal_frame(&calm), || baseline(&frames, &calm));
    verdict.robust_baseline = robust;
    verdict.robust_baseline.truncate(SHOWN);
    let inquiry = question
        .mechanism
        .filter(|_| !calm.is_empty())
        .and_then(|m| Inquiry::new(m, &frames, (&normal, &calm), &missed));
    match inquiry {
        None if question.mechanism.is_some() => {
            verdict.outcome = Some(Outcome::NotEnoughData);
            let why = "the model does not know this service, or nothing tells what is normal";
            verdict.note("model", why);
        }
        None => verdict.outcome = Some(Outcome::NoModel),
        Some(inquiry) => {
            verdict.note_surroundings(inquiry.net(), (&frames, &calm), &missed.service);
            if inquiry.is_violated() {
                verdict.accuse(&inquiry, &frames, &missed, config);
            } else {
                verdict.outcome = Some(Outcome::Unexplained);
                let why = "requests that the model knows met the target; it has yet to learn the slow \
                           ones";
                verdict.note("model", why);
            }
        }
    }
    verdict
}

/// Frames that tell what is normal: those that met every target, or, when another target is hardly ever
/// met, those that met this one.
fn calm_frames<'a>(
    question: &Question<'a>,
    range: &Interval,
    goals: &[QosTarget],
    target: &QosTarget,
) -> Vec<&'a Frame> {
    let count = question.config.normal_intervals;
    let all = normal_frames(question.history, range, |f| met(f, goals), count);
    if all.len() >= ENOUGH {
        return all;
    }
    normal_frames(question.history, range, |f| met(f, std::slice::from_ref(target)), count)
}

/// Whoever raised the alert saw the target missed. Intervals that are slower than usual, and whose requests are too few
/// to tell that it was not, are what the alert is about; the target is then what the service usually stays below.
fn near_miss<'a>(
    question: &Question<'a>,
    range: &Interval,
    target: &QosTarget,
    calm: &[&Frame],
) -> Option<(Vec<&'a Frame>, QosTarget)> {
    let usual = [assumed_target, mostly_below];
    let usual = usual.into_iter().filter_map(|of| of(&target.service, target.quantile, calm));
    let slower_than = |usual: QosTarget| {
        let is_near = |f: &Frame| Some(usual.is_violated(f)? && may_miss(f, target)?);
        let found = question.episode(range, is_near).violating;
        (!found.is_empty()).then_some((found, usual))
    };
    usual.into_iter().find_map(slower_than)
}

/// What a verdict without violation shows: the newest interval of the range.
fn newest_in<'a>(
    history: &'a [Arc<Frame>],
    range: &Interval,
    target: &QosTarget,
) -> Vec<&'a Frame> {
    let with_data = |f: &&Arc<Frame>| f.interval.overlaps(range) && target.observed_ms(f).is_some();
    history.iter().rev().find(with_data).map(|f| vec![&**f]).unwrap_or_default()
}

impl Verdict {
    fn note(&mut self, key: &str, text: &str) {
        self.notes.insert(key.into(), text.into());
    }

    /// Notes what a reader should know besides.
    fn note_surroundings(
        &mut self,
        net: &CausalNet,
        (frames, calm): (&[&Frame], &[&Frame]),
        service: &str,
    ) {
        self.note_strangers(net, frames);
        self.note_load(frames, calm, service);
    }

    /// Notes RPCs that the model was not trained on: their share of the latency stays unexplained.
    fn note_strangers(&mut self, net: &CausalNet, frames: &[&Frame]) {
        let strange = frames.iter().flat_map(|f| &f.rpcs).filter(|r| net.rpc(&r.key).is_none());
        let names: BTreeSet<String> = strange.map(|r| r.key.to_string()).collect();
        if !names.is_empty() {
            let shown: Vec<&str> = names.iter().map(String::as_str).take(SHOWN).collect();
            let text =
                format!("{} that the model does not know: {}", names.len(), shown.join(", "));
            self.note("rpcs", &text);
        }
    }

    /// Notes a load far above what is usual: what is short then is short because of it.
    fn note_load(&mut self, frames: &[&Frame], calm: &[&Frame], service: &str) {
        let requests =
            |f: &&Frame| f.entry_rpcs(service).iter().map(|r| f.requests(r)).sum::<f64>();
        let times = median(frames.iter().map(requests))
            .zip(median(calm.iter().map(requests)))
            .map_or(1.0, |(now, usual)| now / usual.max(1.0));
        if times >= BUSY {
            self.note(
                "load",
                &format!("{service} gets {times:.1} times as many requests as usual"),
            );
        }
    }

    /// Notes culprits of which no metric would show that they are short of anything.
    fn note_blind(&mut self, newest: &Frame) {
        let is_blind = |cause: &&RootCause| {
            let window = newest.service(&cause.service);
            let features = || window.iter().flat_map(|w| &w.features);
            let tells = |f: &FeatureWindow| f.signal != Signal::Usage && f.scope == Scope::Service;
            cause.resource.is_none() && !features().any(tells)
        };
        let blind: Vec<&str> =
            self.root_causes.iter().filter(is_blind).map(|c| c.service.as_str()).collect();
        if !blind.is_empty() {
            let text = format!(
                "no metric that is sent would show throttling, waiting or loss of {}",
                blind.join(", ")
            );
            self.note("metrics", &text);
        }
    }

    fn describe(&mut self, frames: &[&Frame], target: &QosTarget) {
        let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return };
        self.interval = Some(Interval { start: first.interval.start, end: last.interval.end });
        let observed = frames.iter().filter_map(|f| target.observed_ms(f));
        self.qos = Some(QosObservation {
            service: target.service.clone(),
            quantile: target.quantile,
            target_ms: target.target_ms,
            observed_ms: median(observed).unwrap_or(0.0),
        });
        self.graph_completeness = median(frames.iter().map(|f| f.completeness)).unwrap_or(0.0);
    }

    /// Asks the counterfactuals.
    fn accuse(
        &mut self,
        inquiry: &Inquiry<'_>,
        frames: &[&Frame],
        target: &QosTarget,
        config: &Config,
    ) {
        let evidence = Evidence::collect(inquiry, config.evidence);
        let search = Search::new(inquiry, &evidence, config.evidence, config.threshold);
        let suspects = search.run();
        self.services = scores(inquiry, &search, &evidence, &suspects);
        let hypothesis = suspects.hypothesis;
        let explained = search.query(&suspects.culprits, hypothesis);
        let probability = inquiry.probabilities(std::slice::from_ref(&explained))[0];
        for j in &suspects.culprits {
            let others: Vec<usize> = suspects.culprits.iter().copied().filter(|k| k != j).collect();
            let resource =
                resource_of(inquiry, &search, &evidence, *j, &others, hypothesis, config.evidence);
            let together = suspects.together.map_or(inquiry.observed, |a| a.log_ms);
            let alone = suspects.alone[j].log_ms;
            let log_ms = if others.is_empty() { together } else { alone };
            let loudest = loudest_of(&evidence, *j, resource);
            let (replicas, nodes) = outstanding(frames, &inquiry.net().services[*j], loudest);
            self.root_causes.push(RootCause {
                service: inquiry.net().services[*j].to_string(),
                resource,
                probability,
                counterfactual_ms: log_ms.exp(),
                metrics: metrics(inquiry, &evidence, *j, config.evidence),
                replicas,
                nodes,
            });
        }
        if let Some(newest) = frames.last() {
            self.note_blind(newest);
        }
        self.outcome = Some(Outcome::Unexplained);
        if let Some(first) = suspects.culprits.first() {
            self.outcome = Some(Outcome::RootCause);
            self.path = path_to(inquiry, *first, &explained, target);
        }
    }
}

/// Every service's own counterfactual, best first. A service that is as fast as always has no part in a
/// violation: it would be what it was in any world, and the latency, too.
fn scores(
    inquiry: &Inquiry<'_>,
    search: &Search<'_>,
    evidence: &Evidence,
    suspects: &Suspects,
) -> Vec<ServiceScore> {
    let worlds: Vec<Query> =
        suspects.alone.keys().map(|j| search.query(&[*j], Hypothesis::Keep)).collect();
    let probability: BTreeMap<usize, f64> =
        suspects.alone.keys().copied().zip(inquiry.probabilities(&worlds)).collect();
    let score = |(j, service): (usize, &Name)| ServiceScore {
        service: service.to_string(),
        counterfactual_ms: suspects.alone.get(&j).map_or(inquiry.observed, |a| a.log_ms).exp(),
        probability: probability.get(&j).copied().unwrap_or(0.0),
        abnormality: evidence.strongest(j),
    };
    let mut scores: Vec<ServiceScore> =
        inquiry.net().services.iter().enumerate().map(score).collect();
    scores.sort_by(|a, b| a.counterfactual_ms.total_cmp(&b.counterfactual_ms));
    scores
}

/// Abnormal metrics of a culprit beside their normal values, strongest first.
fn metrics(inquiry: &Inquiry<'_>, evidence: &Evidence, j: usize, gate: f64) -> Vec<MetricEvidence> {
    let service = &inquiry.net().services[j];
    let level = |frame: &Frame, name: &str| {
        let window = frame.service(service)?;
        window.features.iter().find(|f| &*f.name == name).map(FeatureWindow::level)
    };
    evidence.features[j]
        .iter()
        .filter(|(_, _, z)| *z > gate)
        .take(SHOWN)
        .filter_map(|(name, _, _)| {
            Some(MetricEvidence {
                name: name.to_string(),
                observed: median(inquiry.frames().filter_map(|f| level(f, name)))?,
                normal: level(inquiry.normal(), name)?,
            })
        })
        .collect()
}

/// The most abnormal metric of the accused resource: another resource may be louder, on other replicas.
fn loudest_of(evidence: &Evidence, j: usize, resource: Option<Resource>) -> Option<&Name> {
    let of = |r: Resource| evidence.features[j].iter().find(|(_, other, _)| *other == r);
    resource.and_then(of).map(|(name, _, _)| name)
}
