//! Requests are neither lost nor made up, and nothing depends on anything but the arguments.

use std::time::Duration;

use super::support::{INTERVAL, crowd, fault, p99, settled, toy, untraced};
use crate::lab::sim::{CallSpec, FaultKind, SimConfig, Simulator, Step, chain, social_network};

#[test]
fn every_request_is_answered_or_dropped_or_still_under_way() {
    let app = chain();
    let mut sim = Simulator::new(&app, untraced(), 3, 0).unwrap();
    let slow = [fault(&app, "chain-3", FaultKind::Cpu, 3.0)];
    let (mut arrived, mut answered, mut dropped) = (0, 0, 0);
    for faults in [&[][..], &slow, &slow, &crowd(&app, 0, 3.0), &[]] {
        let truth = sim.run(INTERVAL, 1.0, faults).truth;
        arrived += truth.arrived;
        answered += truth.latencies_ms.len() as u64;
        dropped += truth.dropped;
        assert_eq!(arrived, answered + dropped + truth.in_flight);
    }
    assert!(dropped > 0 && dropped < arrived / 2, "{dropped} of {arrived}");
    let rest = sim.run(INTERVAL, 0.0, &[]).truth;
    assert_eq!((rest.arrived, rest.in_flight), (0, 0));
}

#[test]
fn latency_of_an_application_that_cannot_keep_up_levels_off_at_the_users_patience() {
    let app = social_network();
    let mut sim = settled(&app, untraced());
    let slow = [fault(&app, "post-storage-service", FaultKind::Cpu, 5.0)];
    sim.run(INTERVAL, 1.0, &slow);
    for _ in 0..2 {
        let truth = sim.run(INTERVAL, 1.0, &slow).truth;
        let (median, tail) = (truth.quantile_ms(0.5).unwrap(), truth.quantile_ms(0.99).unwrap());
        assert!((2500.0..5000.0).contains(&median) && tail < 10_000.0, "{median} {tail}");
    }
    sim.run(INTERVAL, 1.0, &[]);
    assert!(p99(&sim.run(INTERVAL, 1.0, &[])) < 100.0);
}

#[test]
fn requests_come_at_the_rate_and_load_asked_for_and_in_the_order_of_chance() {
    let mut sim = Simulator::new(&toy(true), untraced(), 5, 0).unwrap();
    let interval = Duration::from_secs(100);
    let low = sim.run(interval, 0.5, &[]).truth.arrived as f64;
    let high = sim.run(interval, 1.2, &[]).truth.arrived as f64;
    // Five standard deviations of a Poisson count.
    assert!((low - 3000.0).abs() < 5.0 * 3000f64.sqrt(), "{low}");
    assert!((high - 7200.0).abs() < 5.0 * 7200f64.sqrt(), "{high}");
}

#[test]
fn requests_queue_for_the_only_thread_and_the_thread_waits_for_the_store() {
    let mut sim = Simulator::new(&toy(true), untraced(), 5, 0).unwrap();
    let truth = sim.run(Duration::from_secs(500), 1.0, &[]).truth;
    // 11 ms and two messages without waiting; M/D/1 at 67 % busy waits as long again on average.
    let least = truth.quantile_ms(0.0).unwrap();
    assert!((11.05..11.3).contains(&least), "{least}");
    let mean = truth.latencies_ms.iter().map(|ms| f64::from(*ms)).sum::<f64>()
        / truth.latencies_ms.len() as f64;
    assert!((21.0..25.0).contains(&mean), "{mean}");
}

#[test]
fn the_same_arguments_give_the_same_observation_and_another_seed_another_one() {
    let run = |seed| {
        let config = SimConfig { clock_skew_ms_max: 5.0, ..SimConfig::default() };
        let mut sim = Simulator::new(&social_network(), config, seed, 1_000_000).unwrap();
        let seen = sim.run(Duration::from_secs(4), 1.0, &[]);
        format!("{seen:?}")
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn two_short_intervals_are_one_long_one() {
    let mut halves = Simulator::new(&chain(), untraced(), 8, 0).unwrap();
    let mut whole = halves.clone();
    let half = Duration::from_secs(5);
    let mut parts = halves.run(half, 1.0, &[]).truth.latencies_ms;
    parts.extend(halves.run(half, 1.0, &[]).truth.latencies_ms);
    assert_eq!(parts, whole.run(2 * half, 1.0, &[]).truth.latencies_ms);
}

#[test]
fn odd_but_legal_applications_run() {
    let call = CallSpec { service: 1, op: 0, probability: 1.0, times: 1 };
    let endless = Step::Disk { mean_us: 1e9, cv: 100.0, probability: 1.0 };
    let idle = Step::Call(CallSpec { times: 0, ..call });
    let never = Step::Parallel(vec![CallSpec { probability: 0.0, times: u32::MAX, ..call }]);
    for steps in [vec![], vec![endless], vec![idle, never, Step::Parallel(vec![])]] {
        let mut app = toy(false);
        app.services[0].ops[0].steps = steps;
        app.network_us = 0.0;
        let config = SimConfig { scrape_every: Duration::ZERO, ..SimConfig::default() };
        let mut sim = Simulator::new(&app, config, 1, i64::MIN).unwrap();
        let all = FaultKind::ALL.map(|kind| fault(&app, "front", kind, 1e300));
        for load in [f64::NAN, -1.0, 1e300] {
            sim.run(Duration::from_secs(1), load, &all);
        }
        assert!(sim.run(Duration::ZERO, 1.0, &[]).truth.arrived == 0);
    }
}

#[test]
fn messages_beyond_the_bound_are_lost_and_counted() {
    let mut app = toy(true);
    let flood = CallSpec { service: 1, op: 0, probability: 1.0, times: 15_000 };
    app.services[0].ops[0].steps = vec![Step::Publish(flood)];
    let mut sim = Simulator::new(&app, untraced(), 1, 0).unwrap();
    let truth = sim.run(Duration::from_secs(2), 1.0, &[]).truth;
    let answered = truth.latencies_ms.len() as u64;
    let waiting_max = 15_000 * answered - truth.messages_lost;
    assert!(truth.messages_lost > 0 && waiting_max < 1_100_000, "{truth:?}");
}
