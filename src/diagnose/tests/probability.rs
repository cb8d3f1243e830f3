//! How likely a counterfactual keeps the target.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::linear::Linear;
use super::scene::{TARGET_MS, target};
use super::town::Trouble::Bug;
use super::town::frame;
use crate::data::{Frame, Percentiles, QosTarget};
use crate::diagnose::inquiry::Inquiry;
use crate::diagnose::normal::normal_frame;
use crate::graph::{
    Case, CausalNet, Hypothesis, Latencies, Mechanism, Quality, Query, Restore, Situation, What,
};

/// The normal distribution is known to this accuracy.
const ROUNDING: f64 = 1e-6;

/// Asks about one interval in which front is late by so much.
fn with_inquiry<T>(late_ms: f64, ask: impl Fn(&Inquiry<'_>) -> T) -> T {
    let mechanism = Linear::new();
    let (seen, normal) = (frame(3, &[Bug("db", late_ms)]), frame(1, &[]));
    ask(&Inquiry::new(&mechanism, &[&seen], (&normal, &[&normal]), &target()).unwrap())
}

#[test]
fn a_counterfactual_at_the_target_is_even_odds() {
    for late in [10.0, 50.0, 1000.0] {
        let p = with_inquiry(late, |i| i.sufficiency(TARGET_MS.ln()));
        assert!((p - 0.5).abs() < ROUNDING, "{late}: {p}");
    }
}

#[test]
fn doing_nothing_does_not_help_and_halving_the_target_is_certain() {
    with_inquiry(50.0, |i| {
        assert!(i.sufficiency(i.observed) < 0.01);
        assert!(i.sufficiency((TARGET_MS / 2.0).ln()) > 0.99);
    });
}

/// The further a world is from what was seen, the less is known about it.
#[test]
fn a_long_way_leaves_more_doubt_than_a_short_one() {
    let just_met = (TARGET_MS * 0.95).ln();
    let (near, far) = (
        with_inquiry(12.0, |i| i.sufficiency(just_met)),
        with_inquiry(1000.0, |i| i.sufficiency(just_met)),
    );
    assert!(near > far && far > 0.5, "{near} {far}");
}

/// What no counterfactual can foretell is how one calm interval differs from another.
#[test]
fn the_more_calm_intervals_differ_the_less_is_certain() {
    let mechanism = Linear::new();
    let seen = frame(3, &[Bug("db", 50.0)]);
    let of = |swing: f64| {
        let calm: Vec<Frame> =
            (0..20).map(|n| frame(n, &[Bug("db", swing * (n % 5) as f64)])).collect();
        let calm: Vec<&Frame> = calm.iter().collect();
        let normal = normal_frame(&calm);
        let inquiry = Inquiry::new(&mechanism, &[&seen], (&normal, &calm), &target()).unwrap();
        let db = inquiry.net().service("db").unwrap();
        let nothing = Query { restore: Vec::new(), hypothesis: Hypothesis::Keep, draw: None };
        let restore = vec![Restore { service: db, what: What::All, nets: Vec::new() }];
        let restored = Query { restore, ..nothing.clone() };
        let both = inquiry.probabilities(&[nothing, restored]);
        (both[0], both[1])
    };
    let (steady, swinging) = (of(0.0), of(0.6));
    assert!(steady.0 < 0.01 && steady.1 > 0.99, "{steady:?}");
    assert!(swinging.0 < 0.2 && swinging.1 > 0.5, "{swinging:?}");
    assert!(swinging.1 < steady.1, "{steady:?} {swinging:?}");
}

/// Counts the worlds it is asked about. One in which something is restored is about at the target, the slower
/// the later its draw; any other is far from it.
#[derive(Debug)]
struct Dice {
    linear: Linear,
    answered: AtomicUsize,
}

#[derive(Debug)]
struct Thrown<'a>(&'a Dice);

impl Mechanism for Dice {
    fn net(&self) -> &CausalNet {
        self.linear.net()
    }

    fn abduct<'a>(&'a self, _: &'a Frame, _: &'a Frame) -> Box<dyn Case + 'a> {
        Box::new(Thrown(self))
    }

    fn quality(&self) -> &Quality {
        self.linear.quality()
    }
}

impl Case for Thrown<'_> {
    fn answer(&self, queries: &[Query], rpcs: &[usize]) -> Vec<Latencies> {
        self.0.answered.fetch_add(queries.len(), Ordering::Relaxed);
        let of = |query: &Query| {
            let late = if query.restore.is_empty() { 10.0 } else { 0.98 };
            let draw = query.draw.unwrap_or(0) as f64;
            let ms = TARGET_MS * (late + 0.01 * draw);
            let all = vec![Percentiles::flat(ms as f32); rpcs.len()];
            Latencies { client: all.clone(), server: all }
        };
        queries.iter().map(of).collect()
    }

    fn situation(&self) -> Situation {
        Situation::default()
    }
}

#[test]
fn of_many_worlds_those_in_doubt_are_drawn_as_often_as_ever() {
    let dice = Dice { linear: Linear::new(), answered: AtomicUsize::new(0) };
    let (seen, normal) = (frame(3, &[Bug("db", 50.0)]), frame(1, &[]));
    let inquiry = Inquiry::new(&dice, &[&seen], (&normal, &[&normal]), &target()).unwrap();
    let ask = |worlds: &[Query]| {
        let before = dice.answered.load(Ordering::Relaxed);
        let probabilities = inquiry.probabilities(worlds);
        (probabilities, dice.answered.load(Ordering::Relaxed) - before)
    };
    let far = Query { restore: Vec::new(), hypothesis: Hypothesis::Keep, draw: None };
    let restore = vec![Restore { service: 0, what: What::All, nets: Vec::new() }];
    let open = Query { restore, ..far.clone() };
    let mut worlds = vec![far; 12];
    let (few, drawn) = ask(&worlds);
    assert_eq!(drawn, 12 * 16);
    worlds.push(open.clone());
    let (many, drawn) = ask(&worlds);
    assert_eq!(drawn, 13 * 4 + 12);
    assert!(few.iter().chain(&many[..12]).all(|p| *p < 0.002), "{few:?} {many:?}");
    let (alone, drawn) = ask(&[open]);
    assert_eq!((alone[0], drawn), (many[12], 16));
    assert!((0.05..0.95).contains(&alone[0]), "{alone:?}");
}

#[test]
fn no_inquiry_without_requests_or_without_the_service() {
    let (mechanism, normal) = (Linear::new(), frame(1, &[]));
    let mut silent = frame(3, &[]);
    silent.rpcs.iter_mut().for_each(|r| r.count = 0);
    assert!(Inquiry::new(&mechanism, &[&silent], (&normal, &[&normal]), &target()).is_none());
    let unknown = QosTarget { service: "nobody".into(), ..target() };
    assert!(Inquiry::new(&mechanism, &[&frame(3, &[])], (&normal, &[&normal]), &unknown).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(0x5a6e),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn property_the_faster_the_counterfactual_the_likelier_the_target_is_met(
        late in 9.0f64..2000.0,
        a in 0.0f64..1.0,
        b in 0.0f64..1.0,
    ) {
        let (fast, slow) = (a.min(b), a.max(b));
        let (p, q) = with_inquiry(late, |i| {
            // From a thousandth of a millisecond to what was seen.
            let at = |share: f64| 1e-3f64.ln() + share * (i.observed - 1e-3f64.ln());
            (i.sufficiency(at(fast)), i.sufficiency(at(slow)))
        });
        prop_assert!(p >= q - ROUNDING, "{p} at {fast}, {q} at {slow}");
        prop_assert!((0.0..=1.0).contains(&p) && (0.0..=1.0).contains(&q));
    }
}
