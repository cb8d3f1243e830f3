//! What came of a run: lines, tables, files.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::Failure;
use super::episode::Episode;
use super::run::Outcome;
use super::settings::Policy;
use crate::lab::plot::{Axis, Figure, Lines, Marks, Moment, Panel};
use crate::lab::study::{Entry, Table};

fn seconds(episode: &Episode, at_ms: Option<i64>) -> Option<f64> {
    at_ms.map(|at| (at - episode.injected_ms) as f64 / 1e3)
}

fn named(episode: &Episode) -> String {
    let named = episode.named.iter().map(|n| match n.resource {
        Some(resource) => format!("{} {resource}", n.service),
        None => format!("{} (code)", n.service),
    });
    let named: Vec<String> = named.collect();
    if named.is_empty() { "nobody".into() } else { named.join(", ") }
}

/// One fault in one line.
pub(super) fn line(episode: &Episode) -> String {
    let at = |what: &str, at_ms: Option<i64>| match seconds(episode, at_ms) {
        Some(s) => format!("{what} after {s:.1} s"),
        None => format!("not {what}"),
    };
    let mut line = format!(
        "{}: {} of {}: {}",
        episode.policy.name(),
        episode.fault.kind.name(),
        episode.fault.service,
        at("violated", episode.violated_ms),
    );
    if episode.policy != Policy::AutoscaleStrict {
        line += &format!(", {}: {}", at("diagnosed", episode.diagnosed_ms), named(episode));
    }
    if episode.policy != Policy::Nobody {
        line += &format!(", {}", at("changed", episode.fixed_ms));
        if !episode.fix.is_empty() {
            line += &format!(" ({})", episode.fix);
        }
    }
    line + &format!(", {}", at("recovered", episode.recovered_ms))
}

/// All faults.
pub fn table(outcome: &Outcome) -> Table {
    let mut table = Table::new(&[
        "policy",
        "fault",
        "service",
        "violated_s",
        "diagnosed_s",
        "named",
        "changed_s",
        "recovered_s",
        "intervals",
        "load_average",
        "verdict",
    ]);
    for episode in &outcome.episodes {
        let time = |at_ms| Entry::maybe(seconds(episode, at_ms), 1);
        let complaints = match episode.policy {
            Policy::Sage => episode.complaints(),
            _ => episode.leftovers.clone(),
        };
        let verdict = if complaints.is_empty() { "ok".to_string() } else { complaints.join("; ") };
        table.row(vec![
            Entry::Text(episode.policy.name().into()),
            Entry::Text(episode.fault.kind.name().into()),
            Entry::Text(episode.fault.service.clone()),
            time(episode.violated_ms),
            time(episode.diagnosed_ms),
            Entry::Text(named(episode)),
            time(episode.fixed_ms),
            time(episode.recovered_ms),
            Entry::maybe(episode.intervals_to_recover().map(|n| n as f64), 0),
            Entry::Number(episode.load_average, 1),
            Entry::Text(verdict),
        ]);
    }
    table
}

/// Latency over time under each policy, from the first fault of each on.
fn latency(outcome: &Outcome) -> Table {
    let mut table = Table::new(&[
        "policy",
        "time_s",
        "requests",
        "failed",
        "median_ms",
        "tail_ms",
        "target_ms",
    ]);
    for (policy, start_ms, end_ms) in passes(outcome) {
        for slot in outcome.slots.iter().filter(|s| (start_ms..end_ms).contains(&s.start_ms)) {
            table.row(vec![
                Entry::Text(policy.name().into()),
                Entry::Number((slot.start_ms - start_ms) as f64 / 1e3, 1),
                slot.requests.into(),
                slot.failed.into(),
                Entry::Number(slot.median_ms, 2),
                Entry::Number(slot.tail_ms, 2),
                Entry::Number(outcome.target.target_ms, 1),
            ]);
        }
    }
    table
}

/// Calm before the first fault of a policy, and after the last, milliseconds.
const AROUND_MS: i64 = 6000;

/// Each policy with its stretch of time.
fn passes(outcome: &Outcome) -> Vec<(Policy, i64, i64)> {
    let mut passes: Vec<(Policy, i64, i64)> = Vec::new();
    for episode in &outcome.episodes {
        let end_ms = episode.ended_ms + AROUND_MS;
        match passes.iter_mut().find(|(policy, ..)| *policy == episode.policy) {
            Some((_, _, end)) => *end = end_ms,
            None => passes.push((episode.policy, episode.injected_ms - AROUND_MS, end_ms)),
        }
    }
    passes
}

/// The figure: tail latency over time, a panel each policy (paper, Fig. 14).
pub(super) fn figure(outcome: &Outcome, app: &str) -> Figure {
    let panels = passes(outcome).into_iter().map(|(policy, start_ms, end_ms)| {
        let seconds = |at_ms: i64| (at_ms - start_ms) as f64 / 1e3;
        let slots = outcome.slots.iter().filter(|s| (start_ms..end_ms).contains(&s.start_ms));
        // Neither a tenth of a millisecond nor the patience of users hides the rest on a logarithmic axis.
        let points = slots.map(|s| (seconds(s.start_ms), s.tail_ms.max(1.0))).collect();
        let target = outcome.target.target_ms;
        let line = vec![(0.0, target), (seconds(end_ms), target)];
        let mut moments = Vec::new();
        for episode in outcome.episodes.iter().filter(|e| e.policy == policy) {
            for (at_ms, text) in [
                (Some(episode.injected_ms), episode.fault.kind.name()),
                (episode.diagnosed_ms.filter(|_| policy == Policy::Sage), "diagnosed"),
                (episode.fixed_ms, "changed"),
                (episode.recovered_ms, "recovered"),
            ] {
                let moment = at_ms.map(|at| Moment { at: seconds(at), text: text.into() });
                moments.extend(moment);
            }
        }
        Panel {
            title: format!("{}: {app}", policy.name()),
            x: Axis::new("seconds"),
            y: Axis::new("p95 latency, ms").log(),
            marks: Marks::Lines(Lines {
                series: vec![("p95".into(), points), ("target".into(), line)],
                moments,
            }),
        }
    });
    let panels = panels.collect();
    Figure { title: format!("Tail latency of {app} under real faults"), across: 1, panels }
}

/// What was said about each fault, whole.
fn diagnoses(outcome: &Outcome) -> Value {
    let one = |e: &Episode| {
        json!({"policy": e.policy.name(), "fault": e.fault.kind.name(), "service": e.fault.service,
            "injected_ms": e.injected_ms, "diagnosis": e.answer})
    };
    outcome.episodes.iter().map(one).collect()
}

/// Writes `live-faults.csv`, `live-latency.csv`, `live-diagnoses.json` and `live.svg`.
///
/// # Errors
/// Those of the file system.
pub fn write(outcome: &Outcome, app: &str, dir: &Path) -> Result<(), Failure> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("live-faults.csv"), table(outcome).to_csv()?)?;
    fs::write(dir.join("live-latency.csv"), latency(outcome).to_csv()?)?;
    fs::write(dir.join("live-diagnoses.json"), serde_json::to_vec_pretty(&diagnoses(outcome))?)?;
    fs::write(dir.join("live.svg"), figure(outcome, app).to_svg())?;
    Ok(())
}

/// The last words: how many of what was asked for came true, and whether all did.
pub fn verdict(outcome: &Outcome) -> (String, bool) {
    let sage = || outcome.episodes.iter().filter(|e| e.policy == Policy::Sage);
    let count = |is_it: &dyn Fn(&Episode) -> bool| sage().filter(|e| is_it(e)).count();
    let fixable = count(&|e| e.fault.kind.is_fixable());
    let mut text = format!(
        "Sage: right service {} of {}, service and resource {}; target met within two intervals of the change {} \
         of {fixable}; everything as before {} of {}.",
        count(&Episode::is_service_right),
        sage().count(),
        count(&Episode::is_right),
        count(&|e| e.fault.kind.is_fixable() && e.is_prompt()),
        outcome.episodes.iter().filter(|e| e.leftovers.is_empty()).count(),
        outcome.episodes.len(),
    );
    for (policy, start_ms, end_ms) in passes(outcome) {
        let slots = outcome.slots.iter().filter(|s| (start_ms..end_ms).contains(&s.start_ms));
        let (all, missed) = slots.fold((0, 0), |(all, missed), s| {
            (all + 1, missed + usize::from(s.tail_ms > outcome.target.target_ms))
        });
        text += &format!(
            "\n{}: {missed} of {all} intervals missed the target ({:.0} %).",
            policy.name(),
            100.0 * f64::from(missed as u32) / f64::from(all.max(1) as u32)
        );
    }
    let is_clean = outcome.episodes.iter().all(|e| e.leftovers.is_empty());
    (text, is_clean && sage().all(|e| e.complaints().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::super::episode::Named;
    use super::super::schedule::{Fault, Kind};
    use super::*;
    use crate::data::{QosTarget, Resource};
    use crate::lab::live::timeline::Slot;

    fn episode(kind: Kind, policy: Policy) -> Episode {
        let fault = Fault { kind, service: "b".into(), strength: 1.0 };
        let mut episode = Episode::new(&fault, policy, 10_000, 0.5);
        episode.violated_ms = Some(12_000);
        episode.ended_ms = 30_000;
        episode
    }

    fn outcome(episodes: Vec<Episode>) -> Outcome {
        let slot = |n: i64| Slot {
            start_ms: n * 2000,
            requests: 10,
            failed: 0,
            median_ms: 2.0,
            tail_ms: if (5..10).contains(&n) { 90.0 } else { 9.0 },
        };
        let target = QosTarget { service: "a".into(), quantile: 0.95, target_ms: 30.0 };
        Outcome { target, episodes, slots: (0..40).map(slot).collect() }
    }

    fn mended() -> Episode {
        let mut episode = episode(Kind::Squeeze, Policy::Sage);
        episode.diagnosed_ms = Some(15_000);
        episode.named = vec![Named { service: "b".into(), resource: Some(Resource::Cpu) }];
        (episode.fixed_ms, episode.recovered_ms) = (Some(15_500), Some(18_000));
        episode
    }

    #[test]
    fn all_is_well_only_if_everything_was_named_mended_and_put_back() {
        let (words, is_well) = verdict(&outcome(vec![mended()]));
        assert!(is_well, "{words}");
        assert!(words.contains("right service 1 of 1"), "{words}");
        assert!(words.contains("everything as before 1 of 1"), "{words}");
        // From 4 to 36 s: 16 intervals, those from 10 to 20 s miss the target.
        assert!(words.contains("Sage: 5 of 16 intervals"), "{words}");
        let mut left = mended();
        left.leftovers.push("Cpu of b was \"1\" and is \"2\"".into());
        let (words, is_well) = verdict(&outcome(vec![left]));
        assert!(!is_well && words.contains("everything as before 0 of 1"), "{words}");
    }

    #[test]
    fn who_is_compared_is_not_judged_and_has_a_panel_of_its_own() {
        let outcome = outcome(vec![mended(), episode(Kind::Squeeze, Policy::Nobody)]);
        assert!(verdict(&outcome).1);
        assert_eq!(figure(&outcome, "app").panels.len(), 2);
        let text = table(&outcome).to_text();
        assert!(text.contains("b cpu") && text.contains("no action"), "{text}");
        let dir = tempfile::tempdir().unwrap();
        write(&outcome, "app", dir.path()).unwrap();
        let latency = fs::read_to_string(dir.path().join("live-latency.csv")).unwrap();
        assert_eq!(latency.lines().count(), 1 + 2 * 16, "{latency}");
    }
}
