//! Is a service slow by itself?

use crate::model::slowness::{Calm, Excess};

/// The excess of a service whose RPCs are these log units above normal, level by level.
fn excess(rpcs: &[[f32; 5]]) -> Excess {
    Excess::of(rpcs.iter().copied()).unwrap()
}

/// A service that is usually 0.2 above, give or take 0.1.
fn usual() -> Calm {
    let calm: Vec<Excess> = (-10..=10).map(|n| excess(&[[0.2 + 0.01 * n as f32; 5]])).collect();
    Calm::fit(&calm)
}

#[test]
fn what_is_usual_for_a_service_is_not_slow() {
    let score = |above: f32| usual().score(excess(&[[above; 5]]));
    assert!(score(0.2).abs() < 1e-3, "{}", score(0.2));
    assert!(score(0.3) > 0.5 && score(0.3) < 3.0, "{}", score(0.3));
    assert!(score(1.2) > 8.0, "{}", score(1.2));
    assert!(score(-1.0) < 0.0, "{}", score(-1.0));
}

#[test]
fn a_slow_tail_alone_is_slow() {
    let tail = usual().score(excess(&[[0.2, 0.2, 1.2, 1.2, 1.2]]));
    let whole = usual().score(excess(&[[1.2; 5]]));
    assert!(tail > 8.0 && (tail - whole).abs() < 1e-3, "{tail} {whole}");
}

#[test]
fn of_several_rpcs_the_slowest_speaks_for_the_service() {
    let (calm, slow) = ([0.2; 5], [1.2; 5]);
    assert_eq!(usual().score(excess(&[calm, slow, calm])), usual().score(excess(&[slow])));
}

#[test]
fn a_service_that_was_not_seen_has_no_excess_and_one_without_a_past_is_never_slow() {
    assert_eq!(Excess::of(std::iter::empty()), None);
    assert!(Calm::fit(&[]).score(excess(&[[9.0; 5]])) < 1e-6);
}

/// An excess that never varied is not infinitely strange when it moves a little.
#[test]
fn a_steady_service_may_vary_a_little() {
    let steady = Calm::fit(&[excess(&[[0.0; 5]]), excess(&[[0.0; 5]]), excess(&[[0.0; 5]])]);
    assert!(steady.score(excess(&[[0.02; 5]])) < 1.0);
    assert!(steady.score(excess(&[[0.5; 5]])) > 5.0);
}
