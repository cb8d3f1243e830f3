//! What things take in memory: the numbers behind the budget (`src/app/budget.rs`, docs/performance.md). The
//! column "max alloc" is what was asked of the allocator at the same time; times mean nothing here.

use std::time::Duration;

use divan::{AllocProfiler, Bencher};
use prost::Message as _;
use sage::data::{EventTime, Half, Name, Sample, Series, Span};
use sage::hash::HashSet;
use sage::lab::wire::{encode_export, encode_write};
use sage::receive::{KnownSeries, WriteLimits, decode_knowing, read_export};
use sage::window::{Config, Metrics, Windower};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const BEGIN_NS: u64 = 1_785_578_400_000_000_000;
const SPANS: u64 = 90_000;
const SERIES: usize = 50_000;
const RPCS: u64 = 1000;
/// Requests and bodies are of so many.
const BODY: usize = 900;

fn main() {
    divan::main();
}

fn span(trace: u64, id: u64, parent: u64, half: Half) -> Span {
    Span {
        trace: u128::from(trace) << 64 | 7,
        id,
        parent,
        half,
        start_ns: BEGIN_NS,
        end_ns: BEGIN_NS + 20_000_000,
        service: format!("service-{}", trace % 20).into(),
        replica: format!("service-{}-0", trace % 20).into(),
        node: "node-0".into(),
        op: format!("op-{}", trace % 50).into(),
        peer: None,
        failed: false,
        weight: None,
    }
}

/// Spans as they come in: bodies.
fn bodies(spans: &[Span]) -> Vec<Vec<u8>> {
    spans.chunks(BODY).map(|s| encode_export(s).encode_to_vec()).collect()
}

fn take(windower: &mut Windower, bodies: &[Vec<u8>]) {
    for body in bodies {
        let (spans, _) = read_export(body, 4096, 1 << 20).expect("just encoded");
        windower.push_spans(&spans, Duration::ZERO);
    }
}

fn windower() -> Windower {
    Windower::new(&Config::default(), Metrics::default())
}

/// 90,000 spans that wait, alone in their traces or nine in each.
#[divan::bench(args = [1, 9], sample_count = 1, sample_size = 1)]
fn spans_that_wait(bencher: Bencher, per_trace: u64) {
    let half = |n: u64| if n.is_multiple_of(2) { Half::Client } else { Half::Server };
    let spans: Vec<Span> = (0..SPANS)
        .map(|n| span(n / per_trace + 1, n % per_trace + 1, n % per_trace, half(n)))
        .collect();
    let bodies = bodies(&spans);
    bencher.bench(|| {
        let mut windower = windower();
        take(&mut windower, &bodies);
        windower
    });
}

/// The same nine in each, which come one at a time: each is in another body than the one before.
#[divan::bench(sample_count = 1, sample_size = 1)]
fn spans_that_wait_and_came_alone(bencher: Bencher) {
    let half = |n: u64| if n.is_multiple_of(2) { Half::Client } else { Half::Server };
    let traces = SPANS / 9;
    let spans: Vec<Span> =
        (0..SPANS).map(|n| span(n % traces + 1, n / traces + 1, n / traces, half(n))).collect();
    let bodies = bodies(&spans);
    bencher.bench(|| {
        let mut windower = windower();
        take(&mut windower, &bodies);
        windower
    });
}

/// 50,000 series that are followed, two samples each, with what makes them known again.
#[divan::bench(sample_count = 1, sample_size = 1)]
fn series_that_are_followed(bencher: Bencher) {
    let one = |n: usize, round: i64| {
        let container = n / 2;
        let metric = ["container_cpu_usage_seconds_total", "container_memory_working_set_bytes"];
        let labels: Vec<(Name, Name)> = vec![
            ("__name__".into(), metric[n % 2].into()),
            ("container".into(), format!("service-{}", container / 3).into()),
            ("id".into(), format!("/kubepods/burstable/pod{container:08x}").into()),
            ("image".into(), "registry.example.com/shop/service:v1.2.3".into()),
            ("instance".into(), format!("10.0.0.{}:10250", container % 20).into()),
            ("job".into(), "kubelet".into()),
            ("namespace".into(), "shop".into()),
            ("node".into(), format!("node-{}", container % 20).into()),
            ("pod".into(), format!("service-{}-7d9f8b6c5-{container:05x}", container / 3).into()),
        ];
        let sample = Sample { time_ms: 1_785_578_400_000 + 15_000 * round, value: n as f64 };
        Series { labels: labels.into(), samples: vec![sample].into(), ..Series::default() }
    };
    let all: Vec<Series> =
        (0..2).flat_map(|round| (0..SERIES).map(move |n| one(n, round))).collect();
    let bodies: Vec<Vec<u8>> = all.chunks(BODY).map(encode_write).collect();
    let limits = WriteLimits::default();
    let wanted: HashSet<String> = Config::default().wanted_metrics().into_iter().collect();
    bencher.bench(|| {
        let (mut windower, known) = (windower(), KnownSeries::default());
        for body in &bodies {
            let bytes = snap::raw::Decoder::new().decompress_vec(body).expect("just compressed");
            let is_wanted = |m: &str| wanted.contains(m);
            let request = decode_knowing(&bytes, false, is_wanted, &limits, &known);
            windower.push_series(&request.expect("just encoded").series, Duration::ZERO);
        }
        (windower, known)
    });
}

/// An interval of 1,000 RPCs and so many calls of each is closed, with latencies from 1 ms to 1 s.
#[divan::bench(args = [1, 10, 100], sample_count = 1, sample_size = 1)]
fn an_interval_that_closes(bencher: Bencher, calls: u64) {
    let mut state = 1_u64;
    let mut took_ns = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (1e6 * 1e3_f64.powf((state >> 33) as f64 / (1_u64 << 31) as f64)) as u64
    };
    let mut spans = Vec::new();
    for n in 0..RPCS * calls {
        let (rpc, took) = (n % RPCS, took_ns());
        let op: Name = format!("op-{}", rpc % 50).into();
        let service: Name = format!("service-{}", rpc / 50).into();
        let delay = took_ns() / 1000;
        let end = BEGIN_NS + 2 * delay + took;
        spans.push(Span { op: op.clone(), end_ns: end, ..span(n + 1, 1, 0, Half::Client) });
        let (start_ns, end_ns) = (BEGIN_NS + delay, end - delay);
        spans.push(Span { op, service, start_ns, end_ns, ..span(n + 1, 2, 1, Half::Server) });
    }
    let bodies = bodies(&spans);
    let hour = 3_600_000_000_000;
    let later = span(u64::MAX, 1, 0, Half::Client);
    let later = Span { end_ns: BEGIN_NS + hour, ..later };
    let ready = || {
        let mut windower = windower();
        take(&mut windower, &bodies);
        windower.push_spans(std::slice::from_ref(&later), Duration::ZERO);
        windower
    };
    bencher.with_inputs(ready).bench_refs(|windower| {
        let frames = windower.close(Duration::ZERO);
        assert_eq!(frames[0].rpcs.len(), usize::try_from(RPCS).expect("a thousand"));
        assert!(frames[0].interval.start <= EventTime::from_nanos(BEGIN_NS));
        frames
    });
}

/// 90,000 spans on their way to the windows, as many as come in a body of 900 share their names.
#[divan::bench(sample_count = 1, sample_size = 1)]
fn spans_in_the_queue(bencher: Bencher) {
    let spans: Vec<Span> = (0..SPANS).map(|n| span(n + 1, 1, 0, Half::Client)).collect();
    let bodies = bodies(&spans);
    bencher.bench(|| {
        let read = |body: &Vec<u8>| read_export(body, 4096, 1 << 20).expect("just encoded");
        bodies.iter().map(read).collect::<Vec<_>>()
    });
}
