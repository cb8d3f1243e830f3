//! Spans and samples to frames: pairing, sketches, and closing an interval.

use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use sage::data::Span;
use sage::lab::sim::{AppSpec, Observation, SimConfig, Simulator, random_graph, social_network};
use sage::window::{Config, Metrics, Sketch, Windower};

const INTERVAL: Duration = Duration::from_secs(10);
/// A moment of the wall clock; nothing times out.
const NOW: Duration = Duration::ZERO;

/// As `sage` itself has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// One interval of an application.
fn observe(app: &AppSpec) -> Observation {
    let mut simulator = Simulator::new(app, SimConfig::default(), 7, 1_785_578_400_000)
        .expect("applications of the proving ground make sense");
    simulator.run(INTERVAL, 1.0, &[]);
    simulator.run(INTERVAL, 1.0, &[])
}

fn windower() -> Windower {
    let config = Config { interval: INTERVAL, ..Config::default() };
    Windower::new(&config, Metrics::default())
}

/// A span of every sender, late enough for the interval of `spans` to close.
fn later(spans: &[Span]) -> Vec<Span> {
    let ahead = 3 * INTERVAL.as_nanos() as u64;
    let later = |s: &Span| Span {
        trace: s.trace ^ (1 << 127),
        start_ns: s.start_ns + ahead,
        end_ns: s.end_ns + ahead,
        ..s.clone()
    };
    let mut senders: Vec<&Span> = spans.iter().collect();
    senders.sort_by(|a, b| (&a.node, &a.replica).cmp(&(&b.node, &b.replica)));
    senders.dedup_by(|a, b| (&a.node, &a.replica) == (&b.node, &b.replica));
    senders.into_iter().map(later).collect()
}

/// Whole traces of the Social Network, from spans to a frame.
#[divan::bench(sample_count = 20)]
fn pair_and_close(bencher: Bencher) {
    let spans = observe(&social_network()).spans;
    let later = later(&spans);
    bencher
        .counter(ItemsCount::new(spans.len()))
        .with_inputs(|| (windower(), spans.clone(), later.clone()))
        .bench_values(|(mut windower, spans, later)| {
            windower.push_spans(&spans, NOW);
            windower.push_spans(&later, NOW);
            (windower.close(NOW), windower)
        });
}

#[divan::bench(sample_count = 20)]
fn take_samples(bencher: Bencher) {
    let series = observe(&random_graph(300, 1)).series;
    let samples: usize = series.iter().map(|s| s.samples.len()).sum();
    bencher.counter(ItemsCount::new(samples)).with_inputs(windower).bench_values(|mut windower| {
        windower.push_series(&series, NOW);
        windower
    });
}

/// The pause at the end of an interval, by number of services: thousands of RPCs and series.
#[divan::bench(args = [30, 300, 1000], sample_count = 10)]
fn close(bencher: Bencher, services: usize) {
    let seen = observe(&random_graph(services, 1));
    let later = later(&seen.spans);
    bencher
        .counter(ItemsCount::new(seen.spans.len()))
        .with_inputs(|| {
            let mut windower = windower();
            windower.push_series(&seen.series, NOW);
            windower.push_spans(&seen.spans, NOW);
            windower.push_spans(&later, NOW);
            windower
        })
        .bench_values(|mut windower| (windower.close(NOW), windower));
}

/// Durations from a tenth of a millisecond to a second, in no order.
fn durations() -> Vec<u64> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    (0..10_000).map(|_| (1e5 * 1e4f64.powf(next())) as u64).collect()
}

fn sketch_of(durations: &[u64]) -> Sketch {
    let mut sketch = Sketch::default();
    durations.iter().for_each(|ns| sketch.insert(*ns));
    sketch
}

#[divan::bench]
fn sketch_insert(bencher: Bencher) {
    let durations = durations();
    bencher.counter(ItemsCount::new(durations.len())).bench(|| sketch_of(&durations));
}

#[divan::bench]
fn sketch_merge(bencher: Bencher) {
    let durations = durations();
    let (left, right) = durations.split_at(durations.len() / 2);
    let (left, right) = (sketch_of(left), sketch_of(right));
    bencher.with_inputs(|| left.clone()).bench_values(|mut left| {
        left.merge(&right);
        left
    });
}

#[divan::bench]
fn sketch_percentiles(bencher: Bencher) {
    let sketch = sketch_of(&durations());
    bencher.bench(|| sketch.percentiles());
}
