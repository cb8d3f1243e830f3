//! What is recorded, and how systems are judged on it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use crate::data::Frame;
use crate::lab::sim::{SimConfig, chain};
use crate::lab::{Drift, Record, Trial, Weather, examine, examine_late, learn, record};

/// A short trial of the chain with much going on.
fn trial() -> Trial {
    let weather = Weather { episode: 0.5, strength: (1.5, 3.0), ..Weather::default() };
    Trial { weather, interval: Duration::from_secs(10), ..Trial::new(chain(), 60, 40, 3) }
}

fn made(trial: &Trial) -> Record {
    record(trial, &|_| {}).unwrap()
}

#[test]
fn progress_rises_to_the_end() {
    let last = Cell::new(0.0);
    record(&trial(), &|share| {
        assert!(share > last.get());
        last.set(share);
    })
    .unwrap();
    assert!((last.get() - 1.0_f64).abs() < 1e-9);
}

#[test]
fn violations_are_those_of_the_test_that_frames_show_and_labels_come_only_if_asked_for() {
    let plain = made(&trial());
    assert!(plain.violations.len() > 5, "{}", plain.violations.len());
    assert!(plain.labels.is_empty());
    for v in &plain.violations {
        assert!(v.frame >= plain.train - 1 && v.without.is_none());
        assert_eq!(plain.target.is_violated(&plain.frames[v.frame]), Some(true));
        assert!(v.blame.faults.iter().all(|f| v.minute.faults.contains(f)));
    }
    let more = made(&Trial { labelled: true, counterfactual: true, ..trial() });
    // What is asked for beside changes nothing.
    assert_eq!(more.frames, plain.frames);
    let known: Vec<_> = plain.frames[..plain.train].iter().map(|f| f.interval.start).collect();
    assert!(more.labels.len() > 5 && more.labels.keys().all(|start| known.contains(start)));
    for v in &more.violations {
        let without = v.without.as_ref().unwrap();
        assert_eq!(without.interval, more.frames[v.frame].interval);
        let (bad, good) = (&more.frames[v.frame], more.target.observed_ms(without).unwrap());
        assert!(good < more.target.observed_ms(bad).unwrap());
    }
}

#[test]
fn alerts_from_elsewhere_are_about_violations_that_few_traces_do_not_show_too() {
    let observed = |trace_ratio, all_alerts| {
        let observe = SimConfig { trace_ratio, ..trial().observe };
        made(&Trial { observe, all_alerts, ..trial() })
    };
    let (few, all) = (observed(0.004, true), observed(1.0, true));
    assert_eq!(few.target, all.target, "it is that of all requests");
    let starts = |r: &Record| -> Vec<_> {
        r.violations.iter().map(|v| r.frames[v.frame].interval.start).collect()
    };
    assert_eq!(starts(&few), starts(&all));
    let is_shown =
        |v: &crate::lab::Violation| few.target.is_violated(&few.frames[v.frame]) == Some(true);
    assert!(!few.violations.iter().all(is_shown), "{}", few.violations.len());
    assert_ne!(observed(0.004, false).target, few.target);
}

#[test]
fn a_shorter_past_keeps_the_newest_frames_and_the_same_violations() {
    let all = made(&trial());
    let short = all.newest(30);
    assert_eq!((short.train, short.met.len()), (30, 30));
    assert_eq!(short.frames.last(), all.frames.last());
    let frames = |r: &Record| -> Vec<_> {
        r.violations.iter().map(|v| r.frames[v.frame].interval).collect()
    };
    assert_eq!(frames(&short), frames(&all));
    assert_eq!(all.newest(1000).frames.len(), all.frames.len());
}

#[test]
fn how_it_is_observed_changes_nothing_that_happens() {
    let (plain, skewed) = (made(&trial()), {
        let observe = SimConfig { clock_skew_ms_max: 50.0, ..trial().observe };
        made(&Trial { observe, ..trial() })
    });
    assert_eq!(format!("{:?}", plain.minutes), format!("{:?}", skewed.minutes));
    assert_ne!(plain.frames, skewed.frames);
}

#[test]
fn a_drift_sets_in_after_the_training() {
    let plain = made(&trial());
    let mut more = chain();
    more.services.iter_mut().for_each(|s| s.replicas += 1);
    let drift = Drift { spec: Some(more), load: Some(1.5), weather: None };
    let drifted = made(&Trial { drift, ..trial() });
    let before = plain.train - 1;
    assert_eq!(drifted.frames[..before], plain.frames[..before]);
    let load = |r: &Record| r.minutes.values().map(|m| m.load).sum::<f64>();
    assert!((load(&drifted) / load(&plain) - 1.5).abs() < 1e-9);
    let replicas = |r: &Record| {
        let frame = &r.frames[r.frames.len() - 2];
        frame.services.iter().map(|s| s.replicas.len()).sum::<usize>()
    };
    assert_eq!(replicas(&drifted), replicas(&plain) + chain().services.len());
}

#[test]
fn a_late_alert_is_asked_once_an_episode_and_answers_about_the_same_ones() {
    let weather =
        Weather { length: (6, 6), episode: 0.5, strength: (2.0, 3.0), ..Weather::default() };
    let drift = Drift { weather: Some(weather), ..Drift::default() };
    let record = made(&Trial { drift, test: 60, ..trial() });
    let model = learn(&record, 3, Some([20, 10]), &|_| {}).unwrap();
    let every = examine(&record, &model, &|| 0.0);
    let holds = Duration::from_secs(40);
    let at = |late| examine_late(&record, &model, (Duration::from_secs(late), holds), &|| 0.0);
    let (soon, late) = (at(0), at(40));
    assert_eq!(every.score.cases, record.violations.len());
    assert!(soon.score.cases > 1 && soon.score.cases * 2 < every.score.cases);
    let frames =
        |o: &crate::lab::Outcome| -> Vec<_> { o.cases.iter().map(|c| c.violation.frame).collect() };
    assert_eq!(frames(&soon), frames(&late));
    for (early, case) in soon.cases.iter().zip(&late.cases) {
        let (a, b) = (early.verdict.interval.unwrap(), case.verdict.interval.unwrap());
        assert!(b.end > a.end, "more of the episode is known later");
    }
}

/// As on a system that was healthy since Sage was installed: nothing it has learnt from was as slow as what comes.
#[test]
fn who_has_learnt_in_peace_finds_the_first_trouble() {
    let trouble = trial().weather;
    let peace = Weather { episode: 0.0, ..trouble };
    let drift = Drift { weather: Some(trouble), ..Drift::default() };
    let record = made(&Trial { weather: peace, drift, train: 100, ..trial() });
    let slowest = |frames: &[Arc<Frame>]| {
        frames.iter().filter_map(|f| record.target.observed_ms(f)).fold(0.0, f64::max)
    };
    let (learnt, asked) = record.frames.split_at(record.train);
    assert!(slowest(asked) > 2.0 * slowest(learnt), "{} {}", slowest(asked), slowest(learnt));
    let model = learn(&record, 3, Some([100, 50]), &|_| {}).unwrap();
    let score = examine(&record, &model, &|| 0.0).score;
    assert!(score.cases > 10 && 10 * score.service >= 9 * score.cases, "{score:?}");
}
