//! Alerts that come early, late, or about long ago.

use super::scene::{CALM, Scene, alert, assert_ms, history, named};
use super::town::Trouble::{Bug, Short};
use super::town::{CALM_MS, EPOCH_MS, INTERVAL_MS, LEVEL, frame};
use crate::data::Resource::Cpu;
use crate::data::{AlertStatus, EventTime, Interval, Outcome};
use crate::diagnose::Config;
use crate::diagnose::range::range_of;

/// When frame `n` ends.
fn end(n: i64) -> EventTime {
    EventTime(EPOCH_MS + (n + 1) * INTERVAL_MS)
}

#[test]
fn an_alert_before_any_data_is_not_answered_yet() {
    let verdict = Scene::new(Vec::new(), alert(0)).verdict();
    assert_eq!(verdict.outcome, Some(Outcome::NotEnoughData));
    assert!(verdict.notes["range"].contains("no closed interval"), "{:?}", verdict.notes);
    assert!(verdict.interval.is_none() && verdict.qos.is_none());
}

#[test]
fn an_alert_older_than_the_history_is_not_answered_from_what_came_later() {
    let mut scene = Scene::after_calm(&[Bug("db", 30.0)]);
    scene.alert.key.starts_at = EventTime(EPOCH_MS - 86_400_000);
    let verdict = scene.verdict();
    assert_eq!(verdict.outcome, Some(Outcome::NotEnoughData));
    assert!(verdict.root_causes.is_empty());
}

#[test]
fn an_alert_about_a_service_without_requests_is_not_answered() {
    let mut scene = Scene::after_calm(&[]);
    for frame in &mut scene.history {
        let mut silent = (**frame).clone();
        silent.rpcs.retain(|r| &*r.key.callee != "front");
        *frame = silent.into();
    }
    assert_eq!(scene.verdict().outcome, Some(Outcome::NotEnoughData));
}

#[test]
fn an_alert_without_a_violation_in_its_range_finds_qos_met() {
    let verdict = Scene::new(history(&[(CALM, &[])]), alert(CALM - 1)).verdict();
    assert_eq!(verdict.outcome, Some(Outcome::QosMet));
    assert_ms(verdict.qos.unwrap().observed_ms, CALM_MS);
    let newest = Interval { start: end(CALM as i64 - 2), end: end(CALM as i64 - 1) };
    assert_eq!(verdict.interval, Some(newest));
}

/// One calm hour, then intervals with so many requests each in which db takes so much longer; the target is 40 ms.
fn near_miss(requests: u64, longer: &[f64]) -> Scene {
    let mut all = history(&[(CALM, &[])]);
    for (n, ms) in (CALM as i64..).zip(longer) {
        let mut frame = frame(n, &[Short("db", Cpu, *ms)]);
        frame.rpcs.iter_mut().for_each(|r| r.count = requests);
        all.push(frame.into());
    }
    let mut scene = Scene::new(all, alert(CALM + longer.len() - 1));
    scene.targets[0].target_ms = 40.0;
    scene
}

/// Its sender saw every request; traced were few.
#[test]
fn an_alert_is_believed_where_requests_are_too_few_to_tell() {
    let verdict = near_miss(1000, &[15.0]).verdict();
    assert_eq!(named(&verdict), [("db", Some(Cpu))]);
    assert!(verdict.notes["target"].contains("may have missed"), "{:?}", verdict.notes);
    let qos = verdict.qos.unwrap();
    assert!(qos.observed_ms < qos.target_ms && qos.target_ms == 40.0, "{qos:?}");
    assert!(verdict.root_causes[0].probability > 0.9);
}

/// A little more than nearly always is enough to look for why.
#[test]
fn an_alert_that_may_be_right_is_about_what_is_more_than_in_19_of_20_calm_intervals() {
    for (longer, outcome) in [(4.0, Outcome::RootCause), (0.1, Outcome::QosMet)] {
        let mut scene = near_miss(50, &[longer]);
        scene.targets[0].target_ms = CALM_MS + 5.0;
        assert_eq!(scene.verdict().outcome, Some(outcome), "{longer}");
    }
}

#[test]
fn an_alert_is_not_believed_against_enough_requests_or_what_is_usual() {
    for (requests, longer) in [(100_000, 15.0), (1000, 12.0)] {
        assert_eq!(near_miss(requests, &[longer]).verdict().outcome, Some(Outcome::QosMet));
    }
    let mut scene = near_miss(1000, &[0.0]);
    scene.targets[0].target_ms = CALM_MS + 0.5;
    assert_eq!(scene.verdict().outcome, Some(Outcome::QosMet));
    // Nobody set this target, so nobody saw it missed.
    let mut scene = near_miss(10, &[5.0]);
    scene.targets.clear();
    assert_eq!(scene.verdict().outcome, Some(Outcome::QosMet));
}

#[test]
fn a_violation_goes_before_what_may_be_one() {
    let verdict = near_miss(1000, &[15.0, 30.0, 15.0]).verdict();
    let n = CALM as i64 + 1;
    assert_eq!(verdict.interval, Some(Interval { start: end(n - 1), end: end(n) }));
    assert_eq!(verdict.notes["target"], "configuration");
}

/// The trouble has gone on for twice as long as all that is known of peace when the alert comes. What
/// is normal is still what was normal before the trouble.
#[test]
fn trouble_before_a_late_alert_does_not_pass_for_normal() {
    let trouble = [Short("db", Cpu, 30.0)];
    let scene = Scene::new(history(&[(40, &[]), (80, &trouble)]), alert(40 + 75));
    let verdict = scene.verdict();
    assert_eq!(named(&verdict), [("db", Some(Cpu))]);
    let metric = &verdict.root_causes[0].metrics[0];
    assert_eq!((metric.name.as_str(), metric.normal), ("cpu_throttled", LEVEL));
    assert!((metric.observed - LEVEL - 30.0).abs() < 1e-9);
    assert_ms(verdict.path[0].normal_ms, CALM_MS);
}

/// Calm frames of the range itself may hold the beginning of the trouble: they do not count.
#[test]
fn what_is_normal_comes_from_before_the_range_of_the_alert() {
    // For five minutes the metric creeps up while the latency still meets the target.
    let creeping = [Short("db", Cpu, 4.0)];
    let trouble = [Short("db", Cpu, 30.0)];
    let scene = Scene::new(history(&[(60, &[]), (9, &creeping), (1, &trouble)]), alert(69));
    let verdict = scene.verdict();
    assert_eq!(verdict.root_causes[0].metrics[0].normal, LEVEL);
    assert_ms(verdict.path[0].normal_ms, CALM_MS);
}

#[test]
fn an_alert_about_last_week_is_answered_from_last_week() {
    let week = 7 * 24 * 120;
    let mut all = history(&[(CALM, &[]), (3, &[Short("db", Cpu, 30.0)]), (20, &[])]);
    // Since then cart got twice as slow for good, and fails today.
    let today =
        |n: i64| frame(week + n, if n < 60 { &[Bug("cart", 4.0)] } else { &[Bug("cart", 60.0)] });
    all.extend((0..63).map(today).map(std::sync::Arc::new));
    let verdict = Scene::new(all.clone(), alert(CALM + 1)).verdict();
    assert_eq!(named(&verdict), [("db", Some(Cpu))]);
    let (first, last) = (CALM as i64 - 1, CALM as i64 + 2);
    assert_eq!(verdict.interval, Some(Interval { start: end(first), end: end(last) }));
    assert_ms(verdict.path[0].normal_ms, CALM_MS);
    let today = Scene::new(all, alert(usize::try_from(week).unwrap() + 62)).verdict();
    assert_eq!(named(&today), [("cart", None)]);
}

#[test]
fn what_happened_minutes_before_is_another_story() {
    let (before, now) = ([Bug("cart", 30.0)], [Short("db", Cpu, 30.0)]);
    let scene =
        Scene::new(history(&[(CALM, &[]), (2, &before), (4, &[]), (2, &now)]), alert(CALM + 7));
    assert_eq!(named(&scene.verdict()), [("db", Some(Cpu))]);
}

#[test]
fn what_happens_after_an_alert_has_ended_is_another_story() {
    let (now, later) = ([Short("db", Cpu, 30.0)], [Bug("cart", 60.0)]);
    let mut scene = Scene::new(history(&[(CALM, &[]), (2, &now), (2, &later)]), alert(CALM + 1));
    scene.alert.status = AlertStatus::Resolved;
    scene.alert.ends_at = Some(end(CALM as i64 + 1));
    assert_eq!(named(&scene.verdict()), [("db", Some(Cpu))]);
}

#[test]
fn the_range_ends_at_the_first_of_watermark_end_and_lookahead() {
    let config = Config::default();
    let mut alert = alert(100);
    let at = |seconds: i64| EventTime(alert.key.starts_at.0 + seconds * 1000);
    let start = at(-300);
    let until = |end: EventTime| Interval { start, end };
    let cases = [
        (None, None, at(600)),
        (Some(at(30)), None, at(30)),
        (Some(at(9000)), None, at(600)),
        (Some(at(9000)), Some(at(60)), at(60)),
        (Some(at(30)), Some(at(60)), at(30)),
        (None, Some(at(6000)), at(600)),
    ];
    for (watermark, ends_at, expected) in cases {
        alert.ends_at = ends_at;
        assert_eq!(range_of(&alert, None, watermark, &config), until(expected));
    }
}

/// An alert about the future, or one that ended long before it began, still has a range to look in.
#[test]
fn a_range_is_never_empty() {
    let mut alert = alert(100);
    let config = Config::default();
    for watermark in [EventTime(0), EventTime(i64::MIN), alert.key.starts_at.minus(config.pending)]
    {
        let range = range_of(&alert, None, Some(watermark), &config);
        assert!(range.start < range.end, "{range:?}");
    }
    alert.ends_at = Some(EventTime(i64::MIN));
    let range = range_of(&alert, None, None, &config);
    assert!(range.start < range.end, "{range:?}");
}
