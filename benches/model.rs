//! Training: what a step costs, and what surrounds the steps.

mod support;

use divan::Bencher;
use divan::counter::ItemsCount;
use sage::lab::sim::social_network;
use support::Watched;

const FRAMES: usize = 300;
const STEPS: usize = 50;

fn main() {
    divan::main();
}

/// Everything but the steps: metrics, layout, tensors, and measuring the fit. The one step is the
/// fewest there can be.
#[divan::bench(sample_count = 3)]
fn around_the_steps(bencher: Bencher) {
    let watched = Watched::new(&social_network(), FRAMES);
    bencher.bench_local(|| watched.train([1, 0]));
}

/// One network for all nodes. Items are steps of 128 frames, what surrounds them included.
#[divan::bench(sample_count = 3)]
fn steps_with_shared_weights(bencher: Bencher) {
    let watched = Watched::new(&social_network(), FRAMES);
    bencher.counter(ItemsCount::new(STEPS)).bench_local(|| watched.train([STEPS, 0]));
}

/// One network for each node.
#[divan::bench(sample_count = 3)]
fn steps_with_own_weights(bencher: Bencher) {
    let watched = Watched::new(&social_network(), FRAMES);
    bencher.counter(ItemsCount::new(STEPS)).bench_local(|| watched.train([1, STEPS]));
}
