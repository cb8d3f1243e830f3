//! Growth between scrapes, and percentiles of it.

use proptest::prelude::*;

use super::scene::{CART, CLIENT, Scene, Scrapes, cart, shown};
use crate::data::{Histogram, LEVELS, ResetHint, STALE_NAN_BITS};

#[test]
fn percentiles_are_interpolated_inside_their_bucket_as_prometheus_does() {
    // 100 requests: 50 up to 10 ms, 40 up to 20 ms, 10 up to 120 ms.
    let rpcs = cart(&[50.0, 90.0, 100.0, 100.0], &[100.0; 4], &[0.01, 0.02, 0.12]);
    assert_eq!(shown(&rpcs), ["front (*) -> cart * Paired x100"]);
    for (got, want) in rpcs[0].client.0.iter().zip([10.0, 16.25, 20.0, 70.0, 110.0]) {
        assert!((got - want).abs() < 1e-3, "{:?}", rpcs[0].client);
    }
    for (got, q) in rpcs[0].server.0.iter().zip(LEVELS) {
        assert!((f64::from(*got) - 10.0 * q).abs() < 1e-3, "{:?}", rpcs[0].server);
    }
    // Half of what is between client and server, each way.
    assert!((rpcs[0].request.0[4] - (110.0 - 9.9) / 2.0).abs() < 1e-3, "{:?}", rpcs[0].request);
    assert_eq!(rpcs[0].request, rpcs[0].response);
}

#[test]
fn what_lies_beyond_the_highest_bound_counts_as_that() {
    let rpcs = cart(&[0.0, 80.0, 100.0], &[0.0, 100.0, 100.0], &[0.01, 0.02]);
    assert_eq!(rpcs[0].client.0[2..], [20.0; 3]);
}

#[test]
fn growth_is_spread_over_event_time_and_what_no_scrapes_enclose_is_extrapolated() {
    let mut scene = Scene::new();
    // 10 a second up to 45 s; nothing after 45 s is known when the second interval closes.
    scene.classic(
        CLIENT,
        CART,
        &[0.01],
        &[(-15, &[0.0, 0.0]), (15, &[300.0, 300.0]), (45, &[600.0, 600.0])],
    );
    let frames = scene.pass(60);
    let counts: Vec<u64> = frames.iter().map(|f| f.rpcs[0].count).collect();
    // The interval before the beginning is covered by half.
    assert_eq!(counts, [300, 300, 300]);
}

#[test]
fn after_a_reset_everything_counts_from_zero() {
    let mut scene = Scene::new();
    // The second bucket has caught up already; the others tell that the process began anew.
    let scrapes: Scrapes = &[(0, &[4.0, 5.0, 50.0]), (30, &[2.0, 6.0, 10.0])];
    scene.classic(CLIENT, CART, &[0.01, 0.02], scrapes);
    let rpcs = scene.first();
    assert_eq!(rpcs[0].count, 10);
    assert!((rpcs[0].client.0[0] - 17.5).abs() < 1e-3, "{:?}", rpcs[0].client);
}

#[test]
fn a_stale_marker_ends_a_histogram_and_what_comes_back_begins_anew() {
    let end = f64::from_bits(STALE_NAN_BITS);
    let mut scene = Scene::new();
    scene.classic(
        CLIENT,
        CART,
        &[0.01],
        &[
            (0, &[0.0, 0.0]),
            (10, &[7.0, 7.0]),
            (20, &[end, end]),
            (25, &[100.0, 100.0]),
            (30, &[105.0, 105.0]),
        ],
    );
    // 7 in 10 s and 5 in 5 s, the other half of the interval extrapolated.
    assert_eq!(scene.first()[0].count, 24);
}

#[test]
fn a_scrape_of_which_a_part_is_lost_is_coarser_and_not_wrong() {
    let mut scene = Scene::new();
    scene.classic(CLIENT, CART, &[0.01, 0.02], &[(0, &[0.0; 3]), (30, &[50.0, 100.0, 100.0])]);
    let mut lossy = Scene::new();
    let of = |le| {
        [&[("__name__", "traces_service_graph_request_client_seconds_bucket"), ("le", le)], CART]
            .concat()
    };
    lossy.series(&of("0.01"), &[(0, 0.0)]);
    lossy.series(&of("0.02"), &[(0, 0.0), (30, 100.0)]);
    lossy.series(&of("+Inf"), &[(0, 0.0), (30, 100.0)]);
    let (whole, part) = (scene.first(), lossy.first());
    assert_eq!((whole[0].client.0[0], part[0].client.0[0]), (10.0, 10.0));
    assert!(
        (whole[0].client.0[1] - 15.0).abs() < 1e-3 && (part[0].client.0[1] - 15.0).abs() < 1e-3
    );
    // Without the count nothing is known.
    let mut none = Scene::new();
    none.series(&of("0.01"), &[(0, 0.0), (30, 50.0)]);
    assert_eq!(shown(&none.first()), [""; 0]);
}

#[test]
fn replicas_with_different_bounds_add_up() {
    let mut scene = Scene::new();
    let of = |pod| [CART, &[("pod", pod)][..]].concat();
    scene.classic(CLIENT, &of("a"), &[0.02], &[(0, &[0.0; 2]), (30, &[100.0, 100.0])]);
    scene.classic(CLIENT, &of("b"), &[0.01], &[(0, &[0.0; 2]), (30, &[100.0, 100.0])]);
    let rpcs = scene.first();
    // Up to 10 ms lie 150 of 200: the median at 2/3 of that.
    assert_eq!(rpcs[0].count, 200);
    assert!((rpcs[0].client.0[0] - 20.0 / 3.0).abs() < 1e-3, "{:?}", rpcs[0].client);
    assert!((rpcs[0].client.0[1] - 10.0).abs() < 1e-3, "{:?}", rpcs[0].client);
}

fn histogram(s: i64, buckets: &[(f64, f64)], reset: ResetHint) -> Histogram {
    Histogram {
        time_ms: super::scene::BEGIN_MS + s * 1000,
        count: buckets.iter().map(|(_, n)| n).sum(),
        sum: 0.0,
        buckets: buckets.to_vec(),
        reset,
    }
}

#[test]
fn native_histograms_interpolate_on_a_logarithmic_scale_and_win_over_classic_ones() {
    let mut scene = Scene::new();
    let none = ResetHint::Unknown;
    // Schema 0. What was empty before has no bound of its own in the first one.
    let scrapes = vec![
        histogram(0, &[(0.0, 0.0), (0.125, 5.0)], none),
        histogram(30, &[(0.0, 0.0), (0.125, 5.0), (0.25, 100.0), (0.5, 0.0), (1.0, 100.0)], none),
    ];
    scene.native(CLIENT, CART, scrapes);
    scene.classic(CLIENT, CART, &[0.01], &[(0, &[0.0; 2]), (30, &[200.0, 200.0])]);
    let rpcs = scene.first();
    assert_eq!(rpcs[0].count, 200);
    let want = [250.0, 500.0 * 2f64.powf(0.5), 500.0 * 2f64.powf(0.8)];
    for (got, want) in rpcs[0].client.0.iter().zip(want) {
        assert!((f64::from(*got) / want - 1.0).abs() < 1e-5, "{:?}", rpcs[0].client);
    }
}

#[test]
fn native_histograms_start_over_with_or_without_a_hint_and_gauges_are_none() {
    let counts = |hint, first: &[(f64, f64)], second: &[(f64, f64)]| {
        let mut scene = Scene::new();
        let scrapes = vec![histogram(0, first, ResetHint::Unknown), histogram(30, second, hint)];
        scene.native(CLIENT, CART, scrapes);
        scene.first().first().map(|r| r.count)
    };
    let (before, after) = ([(0.5, 10.0), (1.0, 3.0)], [(0.5, 4.0), (1.0, 30.0)]);
    assert_eq!(counts(ResetHint::Unknown, &before, &after), Some(34));
    assert_eq!(counts(ResetHint::Reset, &before, &[(0.5, 20.0), (1.0, 20.0)]), Some(40));
    assert_eq!(counts(ResetHint::Continued, &before, &[(0.5, 20.0), (1.0, 20.0)]), Some(27));
    assert_eq!(counts(ResetHint::Gauge, &before, &[(0.5, 20.0)]), None);
    // A coarser schema: only what both can tell.
    assert_eq!(counts(ResetHint::Unknown, &before, &[(1.0, 20.0)]), Some(7));
}

proptest! {
    /// The estimate lies in the bucket of the true value, whatever the latencies and bounds.
    #[test]
    fn property_an_estimated_percentile_lies_in_the_bucket_of_the_true_one(
        latencies_ms in prop::collection::vec(1u32..20_000, 1..300),
        mut bounds_ms in prop::collection::btree_set(1u32..10_000, 1..30),
    ) {
        // The highest bound stands for all beyond.
        bounds_ms.insert(30_000);
        let bounds: Vec<f64> = bounds_ms.iter().map(|b| f64::from(*b) / 1000.0).collect();
        let up_to = |bound: u32| latencies_ms.iter().filter(|l| **l <= bound).count() as f64;
        let all = latencies_ms.len() as f64;
        let counts: Vec<f64> = bounds_ms.iter().map(|b| up_to(*b)).chain([all]).collect();
        let rpcs = cart(&counts, &counts, &bounds);
        let mut sorted = latencies_ms.clone();
        sorted.sort_unstable();
        for (q, got) in LEVELS.iter().zip(rpcs[0].client.0) {
            let rank = ((q * all).ceil() as usize).clamp(1, sorted.len());
            let truth = sorted[rank - 1];
            let upper = *bounds_ms.range(truth..).next().unwrap();
            let lower = bounds_ms.range(..truth).next_back().copied().unwrap_or(0);
            let slack = 1e-3 * f64::from(upper);
            let got = f64::from(got);
            prop_assert!(
                got >= f64::from(lower) - slack && got <= f64::from(upper) + slack,
                "p{q}: {got} is not in ({lower}, {upper}] with {truth}"
            );
        }
    }
}
