//! How likely a counterfactual keeps the target.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::linear::Linear;
use super::scene::{TARGET_MS, target};
use super::town::Trouble::Bug;
use super::town::frame;
use crate::data::QosTarget;
use crate::diagnose::inquiry::Inquiry;

/// The normal distribution is known to this accuracy.
const ROUNDING: f64 = 1e-6;

/// Asks about one interval in which front is late by so much.
fn with_inquiry<T>(late_ms: f64, ask: impl Fn(&Inquiry<'_>) -> T) -> T {
    let mechanism = Linear::new();
    let (seen, normal) = (frame(3, &[Bug("db", late_ms)]), frame(1, &[]));
    ask(&Inquiry::new(&mechanism, &[&seen], &normal, &target()).unwrap())
}

#[test]
fn a_counterfactual_at_the_target_is_even_odds() {
    for late in [10.0, 50.0, 1000.0] {
        let p = with_inquiry(late, |i| i.probability(TARGET_MS.ln()));
        assert!((p - 0.5).abs() < ROUNDING, "{late}: {p}");
    }
}

#[test]
fn doing_nothing_does_not_help_and_halving_the_target_is_certain() {
    with_inquiry(50.0, |i| {
        assert!(i.probability(i.observed) < 0.01);
        assert!(i.probability((TARGET_MS / 2.0).ln()) > 0.99);
    });
}

/// The further a world is from what was seen, the less is known about it.
#[test]
fn a_long_way_leaves_more_doubt_than_a_short_one() {
    let just_met = (TARGET_MS * 0.95).ln();
    let (near, far) = (
        with_inquiry(12.0, |i| i.probability(just_met)),
        with_inquiry(1000.0, |i| i.probability(just_met)),
    );
    assert!(near > far && far > 0.5, "{near} {far}");
}

#[test]
fn no_inquiry_without_requests_or_without_the_service() {
    let (mechanism, normal) = (Linear::new(), frame(1, &[]));
    let mut silent = frame(3, &[]);
    silent.rpcs.iter_mut().for_each(|r| r.count = 0);
    assert!(Inquiry::new(&mechanism, &[&silent], &normal, &target()).is_none());
    let unknown = QosTarget { service: "nobody".into(), ..target() };
    assert!(Inquiry::new(&mechanism, &[&frame(3, &[])], &normal, &unknown).is_none());
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
            (i.probability(at(fast)), i.probability(at(slow)))
        });
        prop_assert!(p >= q - ROUNDING, "{p} at {fast}, {q} at {slow}");
        prop_assert!((0.0..=1.0).contains(&p) && (0.0..=1.0).contains(&q));
    }
}
