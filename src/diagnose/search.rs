//! Level 1: which services, had they been normal, would have kept the target (paper 4.2)?
//!
//! The fewest that suffice are preferred: one service, then two, then one that almost suffices, then as many as
//! it takes. Among those that suffice, services with metric evidence are preferred to those that only their
//! latents accuse.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::evidence::Evidence;
use super::inquiry::{Answer, Inquiry};
use crate::graph::{Hypothesis, Query, Restore, What};

/// Log units that an explanation without any metric evidence must be better by.
const NO_EVIDENCE: f64 = 0.3;
/// Log units that evidence is worth when it is e times as strong: between services whose counterfactuals
/// differ by less than those are sure, the louder one is the likelier.
const LOUDNESS_WEIGHT: f64 = 0.05;
/// Weight of the mean latency against the tail when both are compared.
const MEAN_WEIGHT: f64 = 0.1;
/// z-score from which a service is slower than usual at all; enough with a metric for a witness.
pub(super) const SLOW_AT_ALL: f64 = 2.0;
/// Share of the threshold that is almost enough.
const ALMOST: f64 = 0.32;
/// Candidates for a joint cause, beside those with evidence: by latents, and by effect.
const CANDIDATES: (usize, usize) = (4, 3);
/// Candidates for a joint cause at most; each round of the search asks about every one.
const CANDIDATES_MAX: usize = 12;
/// A set without metric evidence leaves this much less room for the others.
const BONUS: f64 = 0.09;
/// When even everything restored misses the target, a smaller set may be this much worse.
const JOINT_SLACK: f64 = 0.05;
/// Share of the violation that must go away before a set is called its cause.
const RELIEF_MIN: f64 = 0.5;

/// What the latency would have been, had one service been normal, by service.
type Answers = BTreeMap<usize, Answer>;

/// The answer of level 1.
#[derive(Clone, Debug)]
pub(super) struct Suspects {
    /// Culprits, most effective first; empty when nothing explains the violation.
    pub culprits: Vec<usize>,
    /// The counterfactual of each abnormal service alone, under [`Hypothesis::Keep`].
    pub alone: Answers,
    /// What the culprits' worlds were computed under.
    pub hypothesis: Hypothesis,
    /// All culprits restored together.
    pub together: Option<Answer>,
}

/// The search itself.
pub(super) struct Search<'a> {
    inquiry: &'a Inquiry<'a>,
    evidence: &'a Evidence,
    gate: f64,
    threshold: f64,
    /// Whom each service (transitively) calls; found out when it is asked for.
    callees: Vec<OnceCell<Vec<bool>>>,
}

impl<'a> Search<'a> {
    /// `gate`: z-score of evidence. `threshold`: what a service must explain to suffice.
    pub(super) fn new(
        inquiry: &'a Inquiry<'a>,
        evidence: &'a Evidence,
        gate: f64,
        threshold: f64,
    ) -> Self {
        let callees = vec![OnceCell::new(); inquiry.net().services.len()];
        Self { inquiry, evidence, gate, threshold, callees }
    }

    /// Runs it.
    pub(super) fn run(&self) -> Suspects {
        let count = self.inquiry.net().services.len();
        let abnormal: Vec<usize> = (0..count).filter(|j| self.is_abnormal(*j)).collect();
        let alone = |h| abnormal.iter().map(move |j| self.query(&[*j], h));
        let queries: Vec<Query> =
            alone(Hypothesis::Keep).chain(alone(Hypothesis::BackPressure)).collect();
        let mut answers = self.inquiry.ask(&queries);
        let press = answers.split_off(abnormal.len());
        let keep: Answers = abnormal.iter().copied().zip(answers).collect();
        let press: Answers = abnormal.into_iter().zip(press).collect();
        let (culprits, hypothesis) = self.decide(&keep, &press);
        let together = (!culprits.is_empty())
            .then(|| self.inquiry.ask(&[self.query(&culprits, hypothesis)]).pop())
            .flatten();
        Suspects { culprits, alone: keep, hypothesis, together }
    }

    /// All of `services` restored.
    pub(super) fn query(&self, services: &[usize], hypothesis: Hypothesis) -> Query {
        let restore = services
            .iter()
            .map(|j| Restore { service: *j, what: What::All, nets: self.evidence.nets[*j].clone() })
            .collect();
        Query { restore, hypothesis, draw: None }
    }

    /// `keep` and `press`: answers under either hypothesis, for the abnormal services.
    fn decide(&self, keep: &Answers, press: &Answers) -> (Vec<usize>, Hypothesis) {
        let suffices = |a: &Answer| self.inquiry.sufficiency(a.log_ms) >= self.threshold;
        let almost = |a: &Answer| self.inquiry.sufficiency(a.log_ms) >= ALMOST * self.threshold;
        let eased = |j: &usize| press.get(j).filter(|p| p.log_ms < keep[j].log_ms);
        let either: Answers = keep.iter().map(|(j, k)| (*j, *eased(j).unwrap_or(k))).collect();
        let of = |j: usize| match eased(&j) {
            Some(_) => Hypothesis::BackPressure,
            None => Hypothesis::Keep,
        };
        let one = |good: &dyn Fn(&Answer) -> bool| {
            let best = |answers| self.best(answers, good);
            let kept = best(keep).map(|j| (vec![j], Hypothesis::Keep));
            kept.or_else(|| best(&either).map(|j| (vec![j], of(j))))
        };
        let two = || self.pair(keep).map(|pair| (pair, Hypothesis::Keep));
        one(&suffices)
            .or_else(two)
            .or_else(|| one(&almost))
            .unwrap_or_else(|| (self.joint(keep), Hypothesis::Keep))
    }

    /// The best two services that suffice together, the worse one first.
    fn pair(&self, keep: &Answers) -> Option<Vec<usize>> {
        let all = self.candidates(keep);
        let second = |n: usize| all[n + 1..].iter().map(move |k| (n, *k));
        let pairs = (0..all.len()).flat_map(second).map(|(n, k)| vec![all[n], k]);
        // Of two of whom one is but pressure from the other, that one is not needed.
        let pairs: Vec<Vec<usize>> = pairs.filter(|pair| self.pruned(pair).len() == 2).collect();
        let queries: Vec<Query> = pairs.iter().map(|p| self.query(p, Hypothesis::Keep)).collect();
        let answers = self.inquiry.ask(&queries);
        let score = |(pair, answer): &(Vec<usize>, Answer)| {
            let without = pair.iter().filter(|j| !self.has_evidence(**j)).count();
            answer.log_ms + NO_EVIDENCE * without as f64 + MEAN_WEIGHT * answer.mean
        };
        let suffices =
            |(_, a): &(Vec<usize>, Answer)| self.inquiry.sufficiency(a.log_ms) >= self.threshold;
        let found = pairs.into_iter().zip(answers).filter(suffices);
        let (best, _) = found.min_by(|a, b| score(a).total_cmp(&score(b)))?;
        Some(self.by_effect(best))
    }

    /// The latency, in logarithms of milliseconds, with each of `sets` restored.
    fn restored(&self, sets: &[Vec<usize>]) -> Vec<f64> {
        let queries: Vec<Query> = sets.iter().map(|s| self.query(s, Hypothesis::Keep)).collect();
        self.inquiry.ask(&queries).into_iter().map(|a| a.log_ms).collect()
    }

    /// The best single service among those whose answer is good.
    fn best(&self, answers: &Answers, good: &dyn Fn(&Answer) -> bool) -> Option<usize> {
        let score = |j: usize| {
            let penalty = match self.has_evidence(j) {
                false => NO_EVIDENCE,
                true => -LOUDNESS_WEIGHT * (self.evidence.strongest(j) / self.gate).ln(),
            };
            answers[&j].log_ms + penalty + MEAN_WEIGHT * answers[&j].mean
        };
        let good = answers.iter().filter(|(_, answer)| good(answer)).map(|(j, _)| *j);
        good.min_by(|a, b| score(*a).total_cmp(&score(*b)))
    }

    fn has_evidence(&self, j: usize) -> bool {
        self.evidence.strongest(j) >= self.gate
    }

    /// A service that is as fast as always, given its callees, and whose links are as fast as always,
    /// is no culprit, whatever its metrics say and whatever restoring it would do.
    pub(super) fn is_abnormal(&self, j: usize) -> bool {
        let slow = self.slowness(j);
        slow >= self.gate || slow >= SLOW_AT_ALL && self.has_evidence(j)
    }

    /// z-score of what is slow about a service itself, be it the service or its links.
    fn slowness(&self, j: usize) -> f64 {
        self.evidence.slowness[j].max(self.evidence.delays[j])
    }

    /// Several services at once: restore every candidate, then take back whoever is not needed.
    /// Backwards, because when two tiers saturate every single one alone changes nothing.
    fn joint(&self, keep: &Answers) -> Vec<usize> {
        let mut members = self.candidates(keep);
        if members.is_empty() {
            return members;
        }
        let all = self.restored(&[members.clone()])[0];
        let relief =
            (self.inquiry.observed - all) / (self.inquiry.observed - self.inquiry.target).max(1e-6);
        if relief < RELIEF_MIN {
            return Vec::new();
        }
        let reachable = self.inquiry.target + self.inquiry.slack(all);
        let limit = reachable.max(all + JOINT_SLACK);
        while members.len() > 1 {
            let sets: Vec<Vec<usize>> = members.iter().map(|j| without(&members, *j)).collect();
            let scores = self.restored(&sets);
            let cost =
                |n: usize| scores[n] - if self.has_evidence(members[n]) { 0.0 } else { BONUS };
            let Some(least) = (0..members.len()).min_by(|a, b| cost(*a).total_cmp(&cost(*b)))
            else {
                break;
            };
            if scores[least] > limit {
                break;
            }
            members.remove(least);
        }
        self.by_effect(self.pruned(&members))
    }

    fn candidates(&self, keep: &Answers) -> Vec<usize> {
        let mut chosen: Vec<usize> =
            keep.keys().copied().filter(|j| self.has_evidence(*j)).collect();
        chosen.sort_by(|a, b| self.evidence.strongest(*b).total_cmp(&self.evidence.strongest(*a)));
        let mut by_effect: Vec<usize> = keep.keys().copied().collect();
        let mut by_latents = by_effect.clone();
        by_latents.sort_by(|a, b| self.evidence.latents[*b].total_cmp(&self.evidence.latents[*a]));
        by_effect.sort_by(|a, b| keep[a].log_ms.total_cmp(&keep[b].log_ms));
        let (latents, effects) = CANDIDATES;
        let more: Vec<usize> = by_effect
            .into_iter()
            .take(effects)
            .chain(by_latents.into_iter().take(latents))
            .collect();
        chosen.truncate(CANDIDATES_MAX - latents - effects);
        for j in more {
            if !chosen.contains(&j) {
                chosen.push(j);
            }
        }
        chosen
    }

    /// Leaves out members without metric evidence that (transitively) call another member: what is
    /// strange about them is pressure from below.
    fn pruned(&self, members: &[usize]) -> Vec<usize> {
        if members.len() < 2 {
            return members.to_vec();
        }
        let net = self.inquiry.net();
        let calls = |j: usize, k: usize| self.callees[j].get_or_init(|| net.callees_of(j))[k];
        let stays = |j: &usize| {
            let is_above = |k: &usize| k != j && calls(*j, *k) && !calls(*k, *j);
            self.has_evidence(*j) || !members.iter().any(is_above)
        };
        members.iter().copied().filter(stays).collect()
    }

    /// Members by what happens when each alone is left as it was: worst first.
    fn by_effect(&self, mut members: Vec<usize>) -> Vec<usize> {
        if members.len() < 2 {
            return members;
        }
        let sets: Vec<Vec<usize>> = members.iter().map(|j| without(&members, *j)).collect();
        let cost: Vec<(usize, f64)> = members.iter().copied().zip(self.restored(&sets)).collect();
        let of = |j: usize| cost.iter().find(|(k, _)| *k == j).map_or(0.0, |(_, c)| *c);
        members.sort_by(|a, b| of(*b).total_cmp(&of(*a)));
        members
    }
}

fn without(members: &[usize], j: usize) -> Vec<usize> {
    members.iter().copied().filter(|k| *k != j).collect()
}
