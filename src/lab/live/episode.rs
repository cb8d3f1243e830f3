//! One fault from injection to the end: what was seen and done, and when.

use serde_json::Value;

use super::schedule::Fault;
use super::settings::{INTERVAL_S, Policy};
use super::timeline::Slot;
use crate::data::{EventTime, Resource};

/// What a diagnosis named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Service.
    pub(super) service: String,
    /// Resource.
    pub(super) resource: Option<Resource>,
}

/// One fault, and what became of it. Times are milliseconds since the epoch.
#[derive(Clone, Debug)]
pub(super) struct Episode {
    /// What was injected.
    pub(super) fault: Fault,
    /// Who was to do something about it.
    pub(super) policy: Policy,
    /// When it was injected, and when it was taken away.
    pub(super) injected_ms: i64,
    /// See `injected_ms`.
    pub(super) ended_ms: i64,
    /// When the first interval that misses the target had ended.
    pub(super) violated_ms: Option<i64>,
    /// When the diagnosis was there.
    pub(super) diagnosed_ms: Option<i64>,
    /// Whom it names, best first.
    pub(super) named: Vec<Named>,
    /// The diagnosis it is from, as the API gave it.
    pub(super) answer: Value,
    /// When something was changed.
    pub(super) fixed_ms: Option<i64>,
    /// What, or why nothing.
    pub(super) fix: String,
    /// When the first interval had ended from which on the target was met.
    pub(super) recovered_ms: Option<i64>,
    /// What is not as it was before.
    pub(super) leftovers: Vec<String>,
    /// Whether the target was missed or an alert fired before the fault already: then nobody asks about it.
    pub(super) is_restless: bool,
    /// Load average of the machine when it was injected.
    pub(super) load_average: f64,
}

/// Intervals in a row that must meet the target for a recovery.
const STEADY: usize = 2;
/// Whole intervals within which latency must be back after a fix.
const PROMPT: i64 = 2;

impl Episode {
    /// Nothing is known yet.
    pub(super) fn new(fault: &Fault, policy: Policy, injected_ms: i64, load_average: f64) -> Self {
        Self {
            fault: fault.clone(),
            policy,
            injected_ms,
            ended_ms: 0,
            violated_ms: None,
            diagnosed_ms: None,
            named: Vec::new(),
            answer: Value::Null,
            fixed_ms: None,
            fix: String::new(),
            recovered_ms: None,
            leftovers: Vec::new(),
            is_restless: false,
            load_average,
        }
    }

    /// Looks at whole intervals since the injection, oldest first.
    pub(super) fn look(&mut self, slots: &[Slot], target_ms: f64) {
        let end = |slot: &Slot| slot.start_ms + INTERVAL_S as i64 * 1000;
        let is_missed = |slot: &&Slot| slot.tail_ms > target_ms;
        if self.violated_ms.is_none() {
            self.violated_ms = slots.iter().find(is_missed).map(end);
        }
        let Some(violated_ms) = self.violated_ms else { return };
        // What was good before a change is not its work.
        let from_ms = self.fixed_ms.unwrap_or(violated_ms).max(violated_ms);
        let after = slots.iter().filter(|slot| end(slot) > from_ms);
        let after: Vec<&Slot> = after.collect();
        let is_steady = |w: &[&Slot]| w.iter().all(|slot| !is_missed(slot));
        let begin = after.windows(STEADY).find(|w| is_steady(w)).and_then(|w| w.first());
        self.recovered_ms = begin.map(|slot| end(slot));
    }

    /// Takes in what the sidecar says of the alert that came of it.
    pub(super) fn diagnosis(&mut self, diagnosis: &Value, now_ms: i64) {
        let causes = diagnosis["root_causes"].as_array().cloned().unwrap_or_default();
        if self.fixed_ms.is_none() {
            self.answer = diagnosis.clone();
        }
        if diagnosis["state"] != "done" || causes.is_empty() || self.fixed_ms.is_some() {
            return;
        }
        self.diagnosed_ms = self.diagnosed_ms.or(Some(now_ms));
        let named = causes.iter().map(|cause| Named {
            service: cause["service"].as_str().unwrap_or_default().into(),
            resource: serde_json::from_value(cause["resource"].clone()).ok().flatten(),
        });
        self.named = named.collect();
    }

    /// Takes in what the sidecar says of a fix.
    pub(super) fn fix(&mut self, fix: &Value) {
        let steps = fix["steps"].as_array().cloned().unwrap_or_default();
        let at = |step: &Value| {
            let at: Option<EventTime> = serde_json::from_value(step["at"].clone()).ok();
            at.map(|at| at.0)
        };
        let in_force = steps.iter().find(|step| step["state"] == "watching");
        if let Some(step) = in_force {
            let first = self.fixed_ms.into_iter().chain(at(step)).min();
            self.fixed_ms = first;
            let rung = &fix["rungs"][fix["rung"].as_u64().unwrap_or(0) as usize];
            self.fix = rung["what"].as_str().unwrap_or_default().into();
        } else if self.fixed_ms.is_none() {
            self.fix = fix["reason"].as_str().unwrap_or_default().into();
        }
    }

    /// Takes in whom an autoscaler has given more, and when.
    pub(super) fn autoscaled(&mut self, scaled: &[(String, i64)]) {
        self.fixed_ms = scaled.first().map(|(_, at)| *at);
        let names: Vec<&str> = scaled.iter().map(|(name, _)| name.as_str()).collect();
        self.fix = match names.is_empty() {
            true => "nobody uses more than half of its quota".into(),
            false => format!("cpu_quota of {}", names.join(", ")),
        };
    }

    /// Whether the first that is named is the service.
    pub(super) fn is_service_right(&self) -> bool {
        self.named.first().is_some_and(|n| n.service == self.fault.service)
    }

    /// Whether service and resource are right.
    pub(super) fn is_right(&self) -> bool {
        let resource = self.named.first().and_then(|n| n.resource);
        self.is_service_right() && resource == self.fault.kind.resource()
    }

    /// Whole intervals from the fix to the first that meets the target; the one in which it came does not count.
    pub(super) fn intervals_to_recover(&self) -> Option<i64> {
        let interval_ms = INTERVAL_S as i64 * 1000;
        let (fixed, recovered) = (self.fixed_ms?, self.recovered_ms?);
        Some(((recovered - 1).div_euclid(interval_ms) - fixed.div_euclid(interval_ms)).max(0))
    }

    /// Whether latency was back soon enough after the fix.
    pub(super) fn is_prompt(&self) -> bool {
        self.intervals_to_recover().is_some_and(|n| n <= PROMPT)
    }

    /// What is not as it should be with Sage; empty if all is well.
    pub(super) fn complaints(&self) -> Vec<String> {
        let mut complaints: Vec<String> = self.leftovers.clone();
        if self.is_restless && self.named.is_empty() {
            complaints.push("the machine was not at rest, so nobody was asked".into());
            return complaints;
        }
        let mut must = |holds: bool, text: &str| {
            if !holds {
                complaints.push(text.to_string());
            }
        };
        must(self.violated_ms.is_some(), "the fault was not felt");
        if self.violated_ms.is_some() {
            must(self.is_service_right(), "the wrong service is named");
            must(!self.is_service_right() || self.is_right(), "the wrong resource is named");
            if self.fault.kind.is_fixable() {
                must(self.fixed_ms.is_some(), "nothing was changed");
                must(self.fixed_ms.is_none() || self.is_prompt(), "the fix did not help in time");
            }
        }
        complaints
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lab::live::schedule::Kind;

    fn episode() -> Episode {
        let fault = Fault { kind: Kind::Squeeze, service: "b".into(), strength: 1.0 };
        Episode::new(&fault, Policy::Sage, 1000, 0.0)
    }

    fn slots(tails: &[f64]) -> Vec<Slot> {
        let slot = |(n, tail_ms): (usize, &f64)| Slot {
            start_ms: n as i64 * 2000,
            requests: 10,
            failed: 0,
            median_ms: 1.0,
            tail_ms: *tail_ms,
        };
        tails.iter().enumerate().map(slot).collect()
    }

    #[test]
    fn a_recovery_must_last() {
        let mut episode = episode();
        episode.look(&slots(&[5.0, 50.0, 60.0, 5.0]), 20.0);
        assert_eq!((episode.violated_ms, episode.recovered_ms), (Some(4000), None));
        episode.look(&slots(&[5.0, 50.0, 60.0, 5.0, 50.0, 5.0, 6.0]), 20.0);
        assert_eq!(episode.recovered_ms, Some(12_000));
        episode.fixed_ms = Some(7500);
        // The fix came in the interval from 6 to 8; those to 10 and to 12 are counted.
        assert_eq!(episode.intervals_to_recover(), Some(2));
        assert!(episode.is_prompt());
        episode.fixed_ms = Some(5999);
        assert!(!episode.is_prompt());
    }

    #[test]
    fn what_was_good_before_the_change_is_not_its_work() {
        let mut episode = episode();
        let tails = [90.0, 5.0, 5.0, 90.0, 90.0, 90.0];
        episode.look(&slots(&tails), 20.0);
        assert_eq!(episode.recovered_ms, Some(4000));
        episode.fixed_ms = Some(9000);
        episode.look(&slots(&tails), 20.0);
        assert_eq!((episode.recovered_ms, episode.is_prompt()), (None, false));
    }

    #[test]
    fn who_is_named_after_the_fix_does_not_count() {
        let mut episode = episode();
        let named = |service: &str| json!({"state": "done", "root_causes": [{"service": service, "resource": "cpu"}]});
        episode.diagnosis(&json!({"state": "running", "root_causes": []}), 5000);
        assert_eq!(episode.diagnosed_ms, None);
        episode.diagnosis(&named("b"), 6000);
        episode.fix(&json!({"reason": "in force", "rung": 0, "rungs": [{"what": "more"}],
            "steps": [{"at": "1970-01-01T00:00:07Z", "state": "watching", "what": ""}]}));
        episode.diagnosis(&named("c"), 8000);
        assert_eq!((episode.diagnosed_ms, episode.fixed_ms), (Some(6000), Some(7000)));
        assert!(episode.is_right());
        assert_eq!(episode.fix, "more");
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(episode().complaints(), ["the fault was not felt"]);
        let restless = Episode { is_restless: true, ..episode() };
        assert_eq!(restless.complaints().len(), 1);
        assert!(restless.complaints()[0].starts_with("the machine was not at rest"));
        let mut episode = episode();
        episode.violated_ms = Some(4000);
        assert_eq!(episode.complaints(), ["the wrong service is named", "nothing was changed"]);
        episode.named = vec![Named { service: "b".into(), resource: None }];
        assert_eq!(episode.complaints(), ["the wrong resource is named", "nothing was changed"]);
    }
}
