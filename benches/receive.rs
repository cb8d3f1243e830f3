//! Bytes to data values: OTLP as a real sender wrote it, and remote write of 2,000 series.

use std::time::Duration;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use sage::data::{FeatureSpec, MetricKind, Name, Sample, Series};
use sage::hash::HashSet;
use sage::lab::sim::{SimConfig, Simulator, social_network};
use sage::lab::wire::{encode_export, encode_write};
use sage::receive::remote_write_proto::v1;
use sage::receive::{KnownSeries, WriteLimits, decode_export, decode_knowing, read_export};
use sage::window::{self, Windower};

const SPANS: usize = 1000;
const ATTRIBUTES: usize = 10;
const SERIES: usize = 2000;
const SCRAPES: usize = 10;
const NAME_BYTES_MAX: usize = 4096;
const ITEMS_MAX: u32 = 1 << 20;
const INTERVAL: Duration = Duration::from_secs(10);

/// As `sage` itself has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// An export of the OpenTelemetry SDK for Python, repeated until it holds 1,000 spans, each with ten
/// attributes or more.
fn export() -> Vec<u8> {
    let bytes = include_bytes!("../tests/fixtures/otlp/python-grpc-checkout.pb");
    let mut request = ExportTraceServiceRequest::decode(&bytes[..]).expect("a captured export");
    let spans = &mut request.resource_spans[0].scope_spans[0].spans;
    let captured = spans.clone();
    let again = |n: usize| Span {
        // Other traces, so that nothing is a duplicate.
        trace_id: (n as u128 + 1).to_be_bytes().to_vec(),
        ..captured[n % captured.len()].clone()
    };
    *spans = (0..SPANS).map(again).collect();
    for span in spans {
        for n in span.attributes.len()..ATTRIBUTES {
            let value = Some(Value::StringValue(format!("value {n}")));
            let value = Some(AnyValue { value });
            let key = format!("app.attribute.{n}");
            span.attributes.push(KeyValue { key, value, ..KeyValue::default() });
        }
    }
    request.encode_to_vec()
}

#[divan::bench]
fn otlp_spans(bencher: Bencher) {
    let bytes = export();
    bencher
        .counter(ItemsCount::new(SPANS))
        .counter(BytesCount::new(bytes.len()))
        .bench(|| read_export(&bytes, NAME_BYTES_MAX, ITEMS_MAX));
}

/// The generated decoder on the same bytes, and the same spans from what it builds.
#[divan::bench]
fn otlp_spans_by_prost(bencher: Bencher) {
    let bytes = export();
    bencher.counter(ItemsCount::new(SPANS)).counter(BytesCount::new(bytes.len())).bench(|| {
        let request = ExportTraceServiceRequest::decode(&bytes[..]).expect("just encoded");
        decode_export(&request, NAME_BYTES_MAX)
    });
}

/// Bodies of an interval of the Social Network, 1,000 spans each and whole traces, then those that close
/// it: from bytes to a frame.
#[divan::bench(sample_count = 20)]
fn otlp_spans_to_a_frame(bencher: Bencher) {
    let mut simulator =
        Simulator::new(&social_network(), SimConfig::default(), 7, 1_785_578_400_000)
            .expect("applications of the proving ground make sense");
    let mut bodies = Vec::new();
    let mut spans = 0;
    for _ in 0..4 {
        let seen = simulator.run(INTERVAL, 1.0, &[]).spans;
        spans += seen.len();
        bodies.extend(seen.chunks(SPANS).map(|s| encode_export(s).encode_to_vec()));
    }
    let config = window::Config { interval: INTERVAL, ..window::Config::default() };
    let windower = || Windower::new(&config, window::Metrics::default());
    bencher.counter(ItemsCount::new(spans)).with_inputs(windower).bench_values(|mut windower| {
        let mut frames = Vec::new();
        for body in &bodies {
            let (spans, _) = read_export(body, NAME_BYTES_MAX, ITEMS_MAX).expect("just encoded");
            windower.push_spans(&spans, Duration::ZERO);
            frames.extend(windower.close(Duration::ZERO));
        }
        assert!(!frames.is_empty());
        (frames, windower)
    });
}

/// The same with windows that live on, as those of a sidecar do: an interval after the other.
#[divan::bench(sample_count = 20)]
fn otlp_spans_in_the_long_run(bencher: Bencher) {
    let mut simulator =
        Simulator::new(&social_network(), SimConfig::default(), 7, 1_785_578_400_000)
            .expect("applications of the proving ground make sense");
    let mut next = || {
        let seen = simulator.run(INTERVAL, 1.0, &[]).spans;
        let bodies = seen.chunks(SPANS).map(|s| encode_export(s).encode_to_vec()).collect();
        (seen.len(), bodies)
    };
    let config = window::Config { interval: INTERVAL, ..window::Config::default() };
    let mut windower = Windower::new(&config, window::Metrics::default());
    let mut take = |bodies: Vec<Vec<u8>>| {
        let mut frames = Vec::new();
        for body in &bodies {
            let (spans, _) = read_export(body, NAME_BYTES_MAX, ITEMS_MAX).expect("just encoded");
            windower.push_spans(&spans, Duration::ZERO);
            frames.extend(windower.close(Duration::ZERO));
        }
        frames
    };
    // Until what comes closes what came.
    while take(next().1).is_empty() {}
    bencher
        .with_inputs(next)
        .input_counter(|(spans, _)| ItemsCount::new(*spans))
        .bench_local_values(|(_, bodies)| {
            let frames = take(bodies);
            assert!(!frames.is_empty());
            frames
        });
}

/// Series as cAdvisor has them: ten metrics of two hundred containers.
fn series() -> Vec<Series> {
    let one = |n: usize| {
        let (container, metric) = (n / 10, n % 10);
        let labels: Vec<(Name, Name)> = vec![
            ("__name__".into(), format!("container_metric_{metric}_total").into()),
            ("container".into(), format!("service-{}", container / 3).into()),
            ("id".into(), format!("/kubepods/burstable/pod{container:08x}").into()),
            ("image".into(), "registry.example.com/shop/service:v1.2.3".into()),
            ("instance".into(), format!("10.0.0.{}:10250", container % 20).into()),
            ("job".into(), "kubelet".into()),
            ("namespace".into(), "shop".into()),
            ("node".into(), format!("node-{}", container % 20).into()),
            ("pod".into(), format!("service-{}-7d9f8b6c5-{container:05x}", container / 3).into()),
        ];
        let sample = Sample { time_ms: 1_785_578_400_000, value: n as f64 };
        Series { labels: labels.into(), samples: vec![sample].into(), ..Series::default() }
    };
    (0..SERIES).map(one).collect()
}

fn wanted(metrics: usize) -> HashSet<String> {
    (0..metrics).map(|metric| format!("container_metric_{metric}_total")).collect()
}

/// Of ten metrics that are sent the feature table reads this many.
#[divan::bench(args = [10, 1, 0])]
fn remote_write_samples(bencher: Bencher, metrics: usize) {
    let body = encode_write(&series());
    let (wanted, limits, known) = (wanted(metrics), WriteLimits::default(), KnownSeries::default());
    bencher.counter(ItemsCount::new(SERIES)).counter(BytesCount::new(body.len())).bench(|| {
        let bytes = snap::raw::Decoder::new().decompress_vec(&body).expect("just compressed");
        decode_knowing(&bytes, false, |m| wanted.contains(m), &limits, &known)
    });
}

/// The same when no series came before: labels are read and checked.
#[divan::bench]
fn remote_write_samples_of_new_series(bencher: Bencher) {
    let body = encode_write(&series());
    let limits = WriteLimits::default();
    bencher
        .counter(ItemsCount::new(SERIES))
        .counter(BytesCount::new(body.len()))
        .with_inputs(KnownSeries::default)
        .bench_values(|known| {
            let bytes = snap::raw::Decoder::new().decompress_vec(&body).expect("just compressed");
            let request = decode_knowing(&bytes, false, |_| true, &limits, &known);
            (request, known)
        });
}

/// A feature of the table for each of the ten metrics.
fn features() -> Vec<FeatureSpec> {
    let like = window::builtin_features().into_iter().find(|f| f.per.is_none());
    let like = like.expect("a feature of one metric");
    let one = |metric: usize| FeatureSpec {
        name: format!("metric_{metric}"),
        metric: format!("container_metric_{metric}_total"),
        kind: MetricKind::Counter,
        matchers: Default::default(),
        ..like.clone()
    };
    (0..10).map(one).collect()
}

/// Ten scrapes of 2,000 series, all wanted, then one that closes the interval: from bodies to a frame.
#[divan::bench(sample_count = 20)]
fn remote_write_samples_to_a_frame(bencher: Bencher) {
    let mut series = series();
    let bodies: Vec<Vec<u8>> = (0..=SCRAPES)
        .map(|n| {
            for one in &mut series {
                one.samples[0].time_ms += if n < SCRAPES { 900 } else { 60_000 };
                one.samples[0].value += 1.0;
            }
            encode_write(&series)
        })
        .collect();
    let config =
        window::Config { interval: INTERVAL, features: features(), ..window::Config::default() };
    let (wanted, limits, known) = (wanted(10), WriteLimits::default(), KnownSeries::default());
    let windower = || Windower::new(&config, window::Metrics::default());
    bencher.counter(ItemsCount::new((SCRAPES + 1) * SERIES)).with_inputs(windower).bench_values(
        |mut windower| {
            let mut frames = Vec::new();
            for body in &bodies {
                let bytes =
                    snap::raw::Decoder::new().decompress_vec(body).expect("just compressed");
                let is_wanted = |m: &str| wanted.contains(m);
                let request = decode_knowing(&bytes, false, is_wanted, &limits, &known);
                windower.push_series(&request.expect("just encoded").series, Duration::ZERO);
                frames.extend(windower.close(Duration::ZERO));
            }
            assert!(frames.iter().any(|f| !f.services.is_empty()));
            (frames, windower)
        },
    );
}

/// The same with windows that live on: ten scrapes an interval.
#[divan::bench(sample_count = 20)]
fn remote_write_samples_in_the_long_run(bencher: Bencher) {
    let mut series = series();
    let mut next = || -> Vec<Vec<u8>> {
        let scrape = |_| {
            for one in &mut series {
                one.samples[0].time_ms += INTERVAL.as_millis() as i64 / SCRAPES as i64;
                one.samples[0].value += 1.0;
            }
            encode_write(&series)
        };
        (0..SCRAPES).map(scrape).collect()
    };
    let config =
        window::Config { interval: INTERVAL, features: features(), ..window::Config::default() };
    let (wanted, limits, known) = (wanted(10), WriteLimits::default(), KnownSeries::default());
    let mut windower = Windower::new(&config, window::Metrics::default());
    let mut take = |bodies: Vec<Vec<u8>>| {
        let mut frames = Vec::new();
        for body in &bodies {
            let bytes = snap::raw::Decoder::new().decompress_vec(body).expect("just compressed");
            let is_wanted = |m: &str| wanted.contains(m);
            let request = decode_knowing(&bytes, false, is_wanted, &limits, &known);
            windower.push_series(&request.expect("just encoded").series, Duration::ZERO);
            frames.extend(windower.close(Duration::ZERO));
        }
        frames
    };
    while take(next()).is_empty() {}
    bencher.counter(ItemsCount::new(SCRAPES * SERIES)).with_inputs(next).bench_local_values(
        |bodies| {
            let frames = take(bodies);
            assert!(frames.iter().all(|f| !f.services.is_empty()));
            frames
        },
    );
}

/// The generated decoder on the same bytes; what it builds is only the beginning of the work.
#[divan::bench]
fn remote_write_samples_by_prost(bencher: Bencher) {
    let body = encode_write(&series());
    bencher.counter(ItemsCount::new(SERIES)).counter(BytesCount::new(body.len())).bench(|| {
        let bytes = snap::raw::Decoder::new().decompress_vec(&body).expect("just compressed");
        v1::WriteRequest::decode(&bytes[..]).expect("just encoded")
    });
}
