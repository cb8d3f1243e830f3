//! Normal values.

use std::sync::Arc;

use super::scene::history;
use super::town::Trouble::Short;
use super::town::{EPOCH_MS, INTERVAL_MS, frame, percentiles};
use crate::data::Resource::Cpu;
use crate::data::{EventTime, Frame, Interval, RpcKey};
use crate::diagnose::normal::normal_frames;
use crate::diagnose::normal_frame;

/// Frames `from..to`.
fn range(from: i64, to: i64) -> Interval {
    let start = |n: i64| EventTime(EPOCH_MS + n * INTERVAL_MS);
    Interval { start: start(from), end: start(to) }
}

/// Numbers of the frames that tell what is normal.
fn chosen(
    history: &[Arc<Frame>],
    range: &Interval,
    met: impl Fn(&Frame) -> bool,
    count: usize,
) -> Vec<i64> {
    let number = |f: &Frame| (f.interval.start.0 - EPOCH_MS) / INTERVAL_MS;
    normal_frames(history, range, met, count).into_iter().map(number).collect()
}

#[test]
fn normal_is_the_newest_that_met_qos_and_ended_before_the_range() {
    let history = history(&[(60, &[])]);
    let all = chosen(&history, &range(50, 55), |_| true, 25);
    assert_eq!(all, (25..50).rev().collect::<Vec<_>>());
    let odd = |f: &Frame| (f.interval.start.0 / INTERVAL_MS) % 2 == 1;
    let met = chosen(&history, &range(50, 55), odd, 25);
    assert_eq!(met.len(), 25);
    assert!(met.iter().all(|n| odd(&history[*n as usize]) && *n < 50));
}

#[test]
fn an_interval_that_reaches_into_the_range_is_not_normal() {
    let history = history(&[(60, &[])]);
    let mut inside = range(50, 55);
    inside.start = EventTime(inside.start.0 + 1);
    assert_eq!(chosen(&history, &inside, |_| true, 25)[0], 49);
    inside.start = EventTime(inside.start.0 - 2);
    assert_eq!(chosen(&history, &inside, |_| true, 25)[0], 48);
}

#[test]
fn intervals_after_the_range_help_out_when_there_are_few_before_it() {
    let history = history(&[(60, &[])]);
    assert_eq!(chosen(&history, &range(3, 6), |_| true, 8), [2, 1, 0, 6, 7, 8, 9, 10]);
    let enough = chosen(&history, &range(20, 25), |_| true, 40);
    assert_eq!(enough, (0..20).rev().collect::<Vec<_>>(), "twenty are enough");
}

#[test]
fn an_interval_without_requests_tells_nothing() {
    let mut history = history(&[(30, &[])]);
    for n in [27, 28] {
        let mut empty = (*history[n]).clone();
        empty.rpcs.clear();
        history[n] = empty.into();
    }
    assert_eq!(chosen(&history, &range(30, 31), |_| true, 10)[..2], [29, 26]);
}

#[test]
fn normal_values_are_medians_that_a_minority_does_not_move() {
    let loud = [Short("db", Cpu, 500.0)];
    let frames: Vec<Frame> = (0..5).map(|n| frame(1, if n < 2 { &loud } else { &[] })).collect();
    let normal = normal_frame(&frames.iter().collect::<Vec<_>>());
    let calm = frame(1, &[]);
    let level = |f: &Frame| f.service("db").unwrap().features[0].level();
    assert_eq!(level(&normal), level(&calm));
    let read = RpcKey::new("cart", "list", "db", "read");
    assert_eq!(normal.rpc(&read), calm.rpc(&read));
    let hull = Interval { start: calm.interval.start, end: calm.interval.end };
    assert_eq!(normal.interval, hull);
}

#[test]
fn each_percentile_and_the_count_have_their_own_median() {
    let key = RpcKey::new("user", "", "front", "get");
    let with = |ms: [f32; 5], count: u64| {
        let mut frame = frame(1, &[]);
        let window = frame.rpcs.iter_mut().find(|r| r.key == key).unwrap();
        (window.server.0, window.count) = (ms, count);
        frame
    };
    let frames = [
        with([1.0, 2.0, 3.0, 4.0, 90.0], 10),
        with([9.0, 2.0, 8.0, 5.0, 6.0], 20),
        with([2.0, 9.0, 4.0, 6.0, 7.0], 90),
    ];
    let normal = normal_frame(&frames.iter().collect::<Vec<_>>());
    let window = normal.rpc(&key).unwrap();
    assert_eq!((window.server.0, window.count), ([2.0, 2.0, 4.0, 5.0, 7.0], 20));
}

/// One of five RPCs is seen in every interval: the service serves two requests in each, not ten.
#[test]
fn a_service_of_many_rare_rpcs_serves_what_it_usually_serves() {
    let keys: Vec<RpcKey> =
        (0..5).map(|n| RpcKey::new("cart", &format!("op-{n}"), "db", "read")).collect();
    let frames = (0..10).map(|n| {
        let mut frame = frame(1, &[]);
        let read = frame.rpcs.iter_mut().find(|r| &*r.key.callee == "db").unwrap();
        (read.key, read.count) = (keys[n % 5].clone(), 2);
        frame
    });
    let frames: Vec<Frame> = frames.collect();
    let normal = normal_frame(&frames.iter().collect::<Vec<_>>());
    let counts: Vec<u64> = keys.iter().map(|key| normal.rpc(key).unwrap().count).collect();
    assert_eq!(counts.iter().sum::<u64>(), 2, "{counts:?}");
}

#[test]
fn what_some_frames_lack_is_the_median_of_those_that_have_it() {
    let read = RpcKey::new("cart", "list", "db", "read");
    let mut frames: Vec<Frame> = (0..4).map(|_| frame(1, &[])).collect();
    for frame in &mut frames[..3] {
        frame.rpcs.retain(|r| r.key != read);
        frame.services.retain(|s| &*s.service != "db");
    }
    let window = frames[3].rpcs.iter_mut().find(|r| r.key == read).unwrap();
    window.server = percentiles(77.0);
    let normal = normal_frame(&frames.iter().collect::<Vec<_>>());
    assert_eq!(normal.rpc(&read).unwrap().server, percentiles(77.0));
    assert_eq!(normal.service("db").unwrap().features.len(), 4);
}

#[test]
fn the_normal_of_nothing_is_empty() {
    let normal = normal_frame(&[]);
    assert!(normal.rpcs.is_empty() && normal.services.is_empty());
}
