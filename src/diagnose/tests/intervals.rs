//! Several violating intervals of one alert.

use super::scene::{CALM, Scene, alert, assert_ms, history, named};
use super::town::Trouble::{self, Short};
use super::town::{CALM_MS, EPOCH_MS, INTERVAL_MS};
use crate::data::Resource::{Cpu, Disk};
use crate::data::{EventTime, Interval};

const LASTING: [Trouble; 1] = [Short("db", Cpu, 30.0)];
/// The same with something else on top.
const ODD: [Trouble; 2] = [Short("db", Cpu, 30.0), Short("cache", Disk, 60.0)];

#[test]
fn what_holds_in_one_interval_of_many_is_outvoted() {
    let alone = Scene::after_calm(&ODD).verdict();
    assert_eq!(named(&alone), [("cache", Some(Disk)), ("db", Some(Cpu))]);
    let five = history(&[(CALM, &[]), (2, &LASTING), (1, &ODD), (2, &LASTING)]);
    let verdict = Scene::new(five, alert(CALM + 2)).verdict();
    assert_eq!(named(&verdict), [("db", Some(Cpu))]);
    assert_ms(verdict.qos.unwrap().observed_ms, CALM_MS + 30.0);
    let start = EventTime(EPOCH_MS + CALM as i64 * INTERVAL_MS);
    let end = EventTime(start.0 + 5 * INTERVAL_MS);
    assert_eq!(verdict.interval, Some(Interval { start, end }));
}

#[test]
fn of_many_violating_intervals_the_newest_are_asked() {
    let mut scene = Scene::new(
        history(&[(CALM, &[]), (5, &[Short("ads", Disk, 30.0)]), (3, &LASTING)]),
        alert(CALM + 7),
    );
    scene.config.intervals_max = 3;
    assert_eq!(named(&scene.verdict()), [("db", Some(Cpu))]);
    // All eight: the majority, and with it the median, has the other one.
    scene.config.intervals_max = 8;
    assert_eq!(scene.verdict().root_causes[0].service, "ads");
}

#[test]
fn the_same_questions_give_the_same_answers() {
    let scene = Scene::new(
        history(&[(CALM, &[]), (2, &LASTING), (1, &ODD), (2, &LASTING)]),
        alert(CALM + 2),
    );
    let (first, second) = (scene.verdict(), scene.verdict());
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
}
