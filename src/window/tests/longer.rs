//! Intervals that go on until enough requests have come.

use std::time::Duration;

use super::scene::{BEGIN_MS, call, in_trace, push};
use crate::data::{Frame, Sample, Series, Span};
use crate::window::{Config, Metrics, Windower};

/// Requests a half minute, and what is wanted in an interval.
const COME: u64 = 10;
const WANTED: usize = 18;

fn windower() -> Windower {
    let interval_max = Duration::from_secs(120);
    let config = Config { interval_max, requests: WANTED, ..Config::default() };
    Windower::new(&config, Metrics::default())
}

/// One request and what it leads to, so long after the beginning.
fn request(n: u64, at_ms: u64) -> [Span; 3] {
    call(1, "get").map(|mut span| {
        span.start_ns += at_ms * 1_000_000;
        span.end_ns += at_ms * 1_000_000;
        in_trace(u128::from(n) + 1, span)
    })
}

/// `COME` requests every half minute of these, and what a counter that grows by 2 a second says every 15 s.
fn run(windower: &mut Windower, half_minutes: std::ops::Range<u64>) -> Vec<Frame> {
    let labels = [("__name__", "container_cpu_usage_seconds_total"), ("service", "back")];
    let mut frames = Vec::new();
    for n in half_minutes.start * COME..half_minutes.end * COME {
        let at_ms = n * 30_000 / COME;
        let time_ms = (BEGIN_MS + at_ms) as i64;
        let value = 2.0 * (time_ms - BEGIN_MS as i64) as f64 / 1000.0;
        let series = Series {
            labels: labels.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            samples: [Sample { time_ms, value }].into_iter().collect(),
            ..Series::default()
        };
        windower.push_series(&[series], Duration::ZERO);
        frames.extend(push(windower, &request(n, at_ms)));
    }
    frames
}

fn seconds(frames: &[Frame]) -> Vec<f64> {
    frames.iter().map(|f| f.interval.seconds()).collect()
}

#[test]
fn few_requests_make_intervals_longer_and_every_one_counts_once() {
    let mut windower = windower();
    let frames = run(&mut windower, 0..41);
    // Nothing is known before the first has closed.
    assert_eq!((seconds(&frames)[0], frames.len()), (30.0, 20));
    assert!(seconds(&frames)[1..].iter().all(|s| *s == 60.0), "{:?}", seconds(&frames));
    assert!(frames.windows(2).all(|pair| pair[0].interval.end == pair[1].interval.start));
    for frame in &frames {
        let expected = COME * (frame.interval.seconds() / 30.0) as u64;
        for callee in ["front", "back"] {
            let rpc = frame.rpcs.iter().find(|r| &*r.key.callee == callee).unwrap();
            assert_eq!(rpc.count, expected, "{callee} at {}", frame.interval.start);
            assert!((frame.requests(rpc) - COME as f64).abs() < 1e-9);
        }
    }
    let cpu: Vec<f64> = frames.iter().map(|f| f.services[0].features[0].level()).collect();
    assert!(cpu.iter().all(|rate| (rate - 2.0).abs() < 1e-9), "{cpu:?}");
}

#[test]
fn after_a_restart_intervals_are_as_long_as_before() {
    let mut first = windower();
    let frames = run(&mut first, 0..13);
    let mut second = windower().resume_after(&frames);
    assert_eq!(second.progress().interval_ms, 60_000);
    let mut uninterrupted = windower();
    let all = run(&mut uninterrupted, 0..40);
    let rest = run(&mut second, frames.len() as u64..40);
    assert_eq!(seconds(&all)[frames.len()..], seconds(&rest));
}
