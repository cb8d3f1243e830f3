//! Bytes to data values: OTLP as a real sender wrote it, and remote write of 2,000 series.

use std::collections::HashSet;
use std::time::Duration;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use sage::data::{Sample, Series};
use sage::lab::sim::{SimConfig, Simulator, social_network};
use sage::lab::wire::{encode_export, encode_write};
use sage::receive::remote_write_proto::v1;
use sage::receive::{WriteLimits, decode_export, decode_write_request, read_export};
use sage::window::{self, Windower};

const SPANS: usize = 1000;
const ATTRIBUTES: usize = 10;
const SERIES: usize = 2000;
const NAME_BYTES_MAX: usize = 4096;
const ITEMS_MAX: u32 = 1 << 20;
const INTERVAL: Duration = Duration::from_secs(10);

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

/// Series as cAdvisor has them: ten metrics of two hundred containers.
fn series() -> Vec<Series> {
    let one = |n: usize| {
        let (container, metric) = (n / 10, n % 10);
        let mut labels = vec![
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
        labels.sort();
        let sample = Sample { time_ms: 1_785_578_400_000, value: n as f64 };
        Series { labels, samples: vec![sample], ..Series::default() }
    };
    (0..SERIES).map(one).collect()
}

/// Of ten metrics that are sent the feature table reads this many.
#[divan::bench(args = [10, 1, 0])]
fn remote_write_samples(bencher: Bencher, wanted: usize) {
    let body = encode_write(&series());
    let wanted: HashSet<String> =
        (0..wanted).map(|metric| format!("container_metric_{metric}_total")).collect();
    let limits = WriteLimits::default();
    bencher.counter(ItemsCount::new(SERIES)).counter(BytesCount::new(body.len())).bench(|| {
        let bytes = snap::raw::Decoder::new().decompress_vec(&body).expect("just compressed");
        decode_write_request(&bytes, false, |m| wanted.contains(m), &limits)
    });
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
