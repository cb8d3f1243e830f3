//! What holds for remote write of both versions, uncompressed: the same as generated code reads, nothing beyond
//! the limits, and the same again when its series are known from before.

use sage::data::Histogram;
use sage::receive::{KnownSeries, WriteLimits, WriteRequest, decode_knowing, decode_write_request};

use crate::reference::reference_write;

const LIMITS: WriteLimits =
    WriteLimits { labels: 8, name_bytes: 100, series_samples: 5, request_series: 100 };

/// Everything that comes out of a body, in a form that compares: texts hold numbers to the bit.
fn plain(request: &WriteRequest) -> (Vec<String>, [u64; 6]) {
    let histogram = |h: &Histogram| {
        let bits = |(bound, count): &(f64, f64)| (bound.to_bits(), count.to_bits());
        let buckets: Vec<_> = h.buckets.iter().map(bits).collect();
        (h.time_ms, h.count.to_bits(), h.sum.to_bits(), buckets, h.reset)
    };
    let series = request.series.iter().map(|s| {
        let labels: Vec<_> = s.labels.iter().collect();
        let samples: Vec<_> = s.samples.iter().map(|p| (p.time_ms, p.value.to_bits())).collect();
        let histograms: Vec<_> = s.histograms.iter().map(histogram).collect();
        format!("{labels:?} {samples:?} {histograms:?}")
    });
    let r = request;
    let refused = r.invalid_samples + r.oversized_samples;
    (series.collect(), [r.samples, r.histograms, r.exemplars, r.ignored, r.invalid, refused])
}

fn check_limits(request: &WriteRequest) {
    assert!(request.series.len() <= LIMITS.request_series);
    for s in &request.series {
        assert!(s.labels.len() <= LIMITS.labels);
        assert!(s.samples.len() + s.histograms.len() <= LIMITS.series_samples);
        assert!(s.labels.iter().is_sorted_by(|a, b| a.0 < b.0));
        for h in &s.histograms {
            assert!(h.buckets.windows(2).all(|w| w[0].0 < w[1].0));
        }
    }
}

/// Panics when something does not hold.
pub(crate) fn check(bytes: &[u8], is_v2: bool) {
    let some = |metric: &str| metric.len() % 2 == 1;
    let all = |_: &str| true;
    for (is_wanted, wants_all) in [(&some as &dyn Fn(&str) -> bool, false), (&all, true)] {
        let ours = decode_write_request(bytes, is_v2, is_wanted, &LIMITS);
        match (&ours, reference_write(bytes, is_v2, is_wanted, &LIMITS)) {
            (Ok(ours), Ok(theirs)) => assert_eq!(plain(ours), plain(&theirs)),
            (Err(why), Ok(_)) => {
                let why = why.to_string();
                assert!(why.contains("a group") || why.contains("number of"), "refused: {why}");
            }
            // What is inside a series that is dropped anyway is not looked at.
            (Ok(ours), Err(theirs)) => assert!(!wants_all || ours.invalid > 0, "taken: {theirs}"),
            (Err(_), Err(_)) => {}
        }
        let known = KnownSeries::default();
        for _ in 0..2 {
            match (&ours, decode_knowing(bytes, is_v2, is_wanted, &LIMITS, &known)) {
                (Ok(fresh), Ok(again)) => {
                    check_limits(&again);
                    assert_eq!((plain(fresh), &fresh.faults), (plain(&again), &again.faults));
                }
                (Err(fresh), Err(again)) => assert_eq!(fresh.to_string(), again.to_string()),
                (_, again) => panic!("known from before it is {again:?}"),
            }
        }
    }
}
