//! Remote write 1.0 and 2.0.

use std::collections::HashSet;

use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message as _;
use sage::data::{Histogram, ResetHint, STALE_NAN_BITS, Series};
use sage::receive::remote_write_proto::{BucketSpan, Count, Sample, ZeroCount, v1, v2};
use sage::receive::{
    KnownSeries, WriteLimits, WriteRequest, decode_knowing, decode_write_request,
    remote_write_proto as proto,
};

use super::damage::{Damage, damage, damages, fixed};
use crate::support::{fixture, reference_write};

const LIMITS: WriteLimits =
    WriteLimits { labels: 3, name_bytes: 12, series_samples: 4, request_series: 1000 };

/// (capture, whether it is 2.0)
const CAPTURES: [(&str, bool); 10] = [
    ("rw1-prometheus-2.42.0-metadata-only", false),
    ("rw1-prometheus-2.42.0-rules-exemplars", false),
    ("rw1-prometheus-2.42.0-samples-exemplars", false),
    ("rw1-prometheus-2.42.0-stale-marker", false),
    ("rw1-prometheus-3.5.3-native-histograms", false),
    ("rw1-prometheus-3.5.3-small", false),
    ("rw1-vmagent-1.79.5-snappy", false),
    ("rw2-prometheus-3.5.3-native-histograms-exemplars", true),
    ("rw2-prometheus-3.5.3-partial-batch", true),
    ("rw2-prometheus-3.5.3-stale-marker", true),
];

fn capture(name: &str) -> Vec<u8> {
    let body = fixture(&format!("remote_write/{name}.body"));
    snap::raw::Decoder::new().decompress_vec(&body).unwrap()
}

type Buckets = Vec<(u64, u64)>;
type PlainHistogram = (i64, u64, u64, Buckets, ResetHint);
type PlainSeries = (Vec<(String, String)>, Vec<(i64, u64)>, Vec<PlainHistogram>);

/// In a form that compares: numbers to the bit.
fn plain(request: &WriteRequest) -> (Vec<PlainSeries>, [u64; 6]) {
    let histogram = |h: &Histogram| {
        let bits = |(bound, count): &(f64, f64)| (bound.to_bits(), count.to_bits());
        let buckets = h.buckets.iter().map(bits).collect();
        (h.time_ms, h.count.to_bits(), h.sum.to_bits(), buckets, h.reset)
    };
    let series = |s: &Series| {
        let labels = s.labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        let samples = s.samples.iter().map(|p| (p.time_ms, p.value.to_bits())).collect();
        (labels, samples, s.histograms.iter().map(histogram).collect())
    };
    let r = request;
    let refused = r.invalid_samples + r.oversized_samples;
    let counts = [r.samples, r.histograms, r.exemplars, r.ignored, r.invalid, refused];
    (r.series.iter().map(series).collect(), counts)
}

/// Both decoders on the same bytes, once with every metric wanted and once with some of them.
fn compare(bytes: &[u8], is_v2: bool, limits: &WriteLimits) {
    let some = |metric: &str| metric.len() % 2 == 1;
    let all = |_: &str| true;
    for (is_wanted, wants_all) in [(&some as &dyn Fn(&str) -> bool, false), (&all, true)] {
        let ours = decode_write_request(bytes, is_v2, is_wanted, limits);
        let theirs = reference_write(bytes, is_v2, is_wanted, limits);
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => assert_eq!(plain(&ours), plain(&theirs)),
            (Err(ours), Ok(_)) => {
                // The one thing that is refused although protobuf allows it.
                assert!(ours.to_string().contains("a group"), "refused: {ours}");
            }
            // What is inside a series that is dropped anyway is not looked at.
            (Ok(ours), Err(theirs)) => {
                assert!(!wants_all || ours.invalid > 0, "taken: {theirs}");
            }
            (Err(_), Err(_)) => {}
        }
    }
}

/// What is known from `before`, and then from `bytes` themselves, changes nothing.
fn compare_knowing(before: &[u8], bytes: &[u8], is_v2: bool, limits: &WriteLimits) {
    let some = |metric: &str| metric.len() % 2 == 1;
    let all = |_: &str| true;
    for is_wanted in [&some as &dyn Fn(&str) -> bool, &all] {
        let read = |bytes: &[u8], known: &KnownSeries| {
            decode_knowing(bytes, is_v2, is_wanted, limits, known)
                .map(|r| (plain(&r), r.faults))
                .map_err(|r| r.to_string())
        };
        let (fresh, known) = (read(bytes, &KnownSeries::default()), KnownSeries::default());
        let first = read(before, &known);
        assert_eq!(read(before, &known), first);
        assert_eq!(read(bytes, &known), fresh);
        assert_eq!(read(bytes, &known), fresh);
    }
}

#[test]
fn captures_are_read_the_same() {
    for (name, is_v2) in CAPTURES {
        let bytes = capture(name);
        compare(&bytes, is_v2, &WriteLimits::default());
        compare_knowing(&bytes, &bytes, is_v2, &WriteLimits::default());
        let all = decode_write_request(&bytes, is_v2, |_| true, &WriteLimits::default()).unwrap();
        let is_empty = name.ends_with("metadata-only");
        assert_eq!(all.series.is_empty(), is_empty, "{name}");
        assert_eq!(all.faults, Vec::<String>::new(), "{name}");
        let histograms: usize = all.series.iter().map(|s| s.histograms.len()).sum();
        assert_eq!(histograms as u64, all.histograms, "{name}");
    }
}

/// The histogram of Prometheus' own durations, against what is known about it without the decoder.
#[test]
fn native_histograms_of_prometheus_hold_what_they_count() {
    for (name, is_v2) in CAPTURES.into_iter().filter(|(name, _)| name.contains("native")) {
        let bytes = capture(name);
        let all = decode_write_request(&bytes, is_v2, |_| true, &WriteLimits::default()).unwrap();
        let histograms: Vec<_> = all.series.iter().flat_map(|s| &s.histograms).collect();
        assert!(!histograms.is_empty(), "{name}");
        for h in histograms {
            let total: f64 = h.buckets.iter().map(|(_, count)| count).sum();
            assert_eq!(total, h.count, "{name}");
            assert!(h.buckets.windows(2).all(|w| w[0].0 < w[1].0), "{name}: {:?}", h.buckets);
            // The sum lies between what the bounds of the buckets allow.
            let mut lower = 0.0;
            let (mut least, mut most) = (0.0, 0.0);
            for (upper, count) in &h.buckets {
                (least, most) = (least + lower * count, most + upper * count);
                lower = *upper;
            }
            assert!(least <= h.sum && h.sum <= most, "{name}: {least} {} {most}", h.sum);
        }
    }
}

fn any_double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        Just(f64::from_bits(STALE_NAN_BITS)),
        Just(f64::INFINITY),
        (0..9).prop_map(f64::from),
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    let texts = ["", "__name__", "A", "a", "b", "mm", "mmm", "zé", "beyond the limit"];
    // Many names of metrics, or few series would be valid.
    prop_oneof![prop::sample::select(texts.to_vec()), Just("__name__")].prop_map(str::to_string)
}

fn any_sample() -> impl Strategy<Value = Sample> {
    (any_double(), any::<i64>()).prop_map(|(value, timestamp)| Sample { value, timestamp })
}

/// Histograms of which many make sense.
fn any_histogram() -> impl Strategy<Value = proto::Histogram> {
    let schema = prop_oneof![-5..10, Just(-53), Just(53)];
    let spans = || prop::collection::vec((-2..9, 0..3_u32), 0..3);
    let numbers = (any_double(), any_double(), any_double(), any::<bool>(), any::<i64>());
    let lists = (any_sides(), any_sides(), prop::collection::vec(any_double(), 0..4));
    (schema, spans(), spans(), numbers, lists, 0..5).prop_map(
        |(schema, positive, negative, numbers, (up, down, mut custom_values), reset_hint)| {
            let (count, sum, zeros, is_float, timestamp) = numbers;
            custom_values.sort_by(f64::total_cmp);
            let span =
                |(offset, length): &(i32, u32)| BucketSpan { offset: *offset, length: *length };
            let fit = |spans: &[(i32, u32)]| spans.iter().map(|(_, n)| *n as usize).sum::<usize>();
            let (up_n, down_n) = (fit(&positive), fit(&negative));
            let whole = |n: f64| n.abs() as u64;
            proto::Histogram {
                count: Some(if is_float { Count::Float(count) } else { Count::Int(whole(count)) }),
                sum,
                schema,
                zero_threshold: zeros.abs().min(1.0),
                zero_count: (zeros != 1.0).then(|| match is_float {
                    true => ZeroCount::Float(zeros.abs()),
                    false => ZeroCount::Int(whole(zeros)),
                }),
                positive_spans: positive.iter().map(span).collect(),
                positive_deltas: up.0.into_iter().cycle().take(up_n).collect(),
                positive_counts: up.1.into_iter().cycle().take(up_n).collect(),
                negative_spans: negative.iter().map(span).collect(),
                negative_deltas: down.0.into_iter().cycle().take(down_n).collect(),
                negative_counts: down.1.into_iter().cycle().take(down_n).collect(),
                reset_hint,
                timestamp,
                custom_values,
            }
        },
    )
}

/// (deltas, float counts), none of them empty.
fn any_sides() -> impl Strategy<Value = (Vec<i64>, Vec<f64>)> {
    let delta = prop_oneof![0..5_i64, 0..5_i64, -3..1_i64, any::<i64>()];
    let count = prop_oneof![(0..9).prop_map(f64::from), any_double()];
    (prop::collection::vec(delta, 1..4), prop::collection::vec(count, 1..4))
}

/// (labels, samples, histograms, exemplars)
type Parts = (Vec<(String, String)>, Vec<Sample>, Vec<proto::Histogram>, Vec<Vec<u8>>);

fn any_series() -> impl Strategy<Value = Vec<Parts>> {
    let labels = prop::collection::vec((any_text(), any_text()), 0..5);
    let samples = prop::collection::vec(any_sample(), 0..6);
    let histograms = prop::collection::vec(any_histogram(), 0..2);
    let exemplars = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3), 0..2);
    prop::collection::vec((labels, samples, histograms, exemplars), 0..5)
}

fn version_1(series: Vec<Parts>) -> Vec<u8> {
    let one = |(labels, samples, histograms, exemplars): Parts| v1::TimeSeries {
        labels: labels.into_iter().map(|(name, value)| v1::Label { name, value }).collect(),
        samples,
        exemplars,
        histograms,
    };
    v1::WriteRequest { timeseries: series.into_iter().map(one).collect() }.encode_to_vec()
}

/// `wrong` is a reference that leads somewhere else, `spare` a half label too many.
fn version_2(series: Vec<Parts>, wrong: Option<(Index, u32)>, spare: bool) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut refer = |text: String| {
        symbols.iter().position(|s| *s == text).unwrap_or_else(|| {
            symbols.push(text);
            symbols.len() - 1
        }) as u32
    };
    let one = |(labels, samples, histograms, exemplars): Parts| v2::TimeSeries {
        labels_refs: labels.into_iter().flat_map(|(n, v)| [refer(n), refer(v)]).collect(),
        samples,
        // One kind only, mostly.
        histograms: if exemplars.is_empty() { histograms } else { Vec::new() },
        exemplars,
    };
    let mut timeseries: Vec<_> = series.into_iter().map(one).collect();
    if let Some(last) = timeseries.last_mut() {
        if spare {
            last.labels_refs.push(0);
        }
        if let (Some((at, to)), false) = (wrong, last.labels_refs.is_empty()) {
            let at = at.index(last.labels_refs.len());
            last.labels_refs[at] = to;
        }
    }
    v2::Request { symbols, timeseries }.encode_to_vec()
}

proptest! {
    #![proptest_config(fixed(4000))]

    #[test]
    fn property_random_requests_of_1_0_are_read_the_same(
        series in any_series(),
        damages in damages(),
    ) {
        let whole = version_1(series);
        let damaged = damage(whole.clone(), &damages);
        compare(&damaged, false, &LIMITS);
        compare_knowing(&whole, &damaged, false, &LIMITS);
    }

    #[test]
    fn property_random_requests_of_2_0_are_read_the_same(
        series in any_series(),
        wrong in prop::option::weighted(0.1, (any::<Index>(), 0..20_u32)),
        spare in prop::bool::weighted(0.05),
        damages in damages(),
    ) {
        let whole = version_2(series, wrong, spare);
        let damaged = damage(whole.clone(), &damages);
        compare(&damaged, true, &LIMITS);
        compare_knowing(&whole, &damaged, true, &LIMITS);
    }
}

proptest! {
    #![proptest_config(fixed(40))]

    /// Whole captures cost more, so there are fewer; each is damaged in every way.
    #[test]
    fn property_damaged_captures_are_read_the_same(
        which in 0..CAPTURES.len(),
        damages in prop::collection::vec(damages(), 8),
        wanted in prop::collection::hash_set(any_text(), 0..3),
    ) {
        let (name, is_v2) = CAPTURES[which];
        let bytes = capture(name);
        for one in &damages {
            let damaged = damage(bytes.clone(), one);
            compare(&damaged, is_v2, &WriteLimits::default());
            compare_knowing(&bytes, &damaged, is_v2, &WriteLimits::default());
        }
        // Both messages are refused by, or empty for, the decoder of the other.
        let limits = WriteLimits::default();
        let wanted: HashSet<String> = wanted;
        if let Ok(other) = decode_write_request(&bytes, !is_v2, |m| wanted.contains(m), &limits) {
            prop_assert!(other.series.is_empty());
        }
        let whole = damage(bytes, &[Damage::Unknown]);
        prop_assert!(decode_write_request(&whole, is_v2, |_| true, &limits).is_ok());
    }
}
