//! Is a service slow by itself?

use crate::model::slowness::{Calm, Excess, Slowest};

/// The excess of an RPC that is these log units above normal, level by level.
fn excess(levels: [f32; 5]) -> Excess {
    Excess::from(&levels)
}

/// An RPC that is usually 0.2 above, give or take 0.1.
fn usual() -> Calm {
    let calm: Vec<Excess> = (-10..=10).map(|n| excess([0.2 + 0.01 * n as f32; 5])).collect();
    Calm::fit(&calm)
}

#[test]
fn what_is_usual_for_an_rpc_is_not_slow() {
    let score = |above: f32| usual().score(excess([above; 5]));
    assert!(score(0.2).abs() < 1e-3, "{}", score(0.2));
    assert!(score(0.3) > 0.5 && score(0.3) < 3.0, "{}", score(0.3));
    assert!(score(1.2) > 8.0, "{}", score(1.2));
    assert!(score(-1.0) < 0.0, "{}", score(-1.0));
}

#[test]
fn a_slow_tail_alone_is_slow() {
    let tail = usual().score(excess([0.2, 0.2, 1.2, 1.2, 1.2]));
    let whole = usual().score(excess([1.2; 5]));
    assert!(tail > 8.0 && (tail - whole).abs() < 1e-3, "{tail} {whole}");
}

#[test]
fn an_rpc_without_a_past_is_never_slow() {
    assert!(Calm::fit(&[]).score(excess([9.0; 5])) < 1e-6);
}

/// An excess that never varied is not infinitely strange when it moves a little.
#[test]
fn a_steady_rpc_may_vary_a_little() {
    let steady = Calm::fit(&[excess([0.0; 5]), excess([0.0; 5]), excess([0.0; 5])]);
    assert!(steady.score(excess([0.02; 5])) < 1.0);
    assert!(steady.score(excess([0.5; 5])) > 5.0);
}

/// Of forty RPCs one is always at two deviations: for their service that is a calm day.
#[test]
fn the_slowest_of_many_is_judged_by_how_slow_the_slowest_usually_is() {
    let of_many = Slowest::fit(&[1.8, 2.0, 2.2, 1.9, 2.1]);
    let of_one = Slowest::fit(&[-0.6, 0.0, 0.6, -0.3, 0.3]);
    assert!(of_many.score(2.0).abs() < 0.1 && of_one.score(2.0) > 1.5);
    // A largest score that hardly varies makes no trifle extraordinary.
    assert!((of_many.score(4.0) - 2.0).abs() < 0.1, "{}", of_many.score(4.0));
}
