//! What is tried: an application, how it is observed, and what happens to it.

use std::time::Duration;

use super::feed::Feed;
use super::schedule::Weather;
use super::sim::{AppSpec, SimConfig};
use super::wire::{Buckets, ServiceGraph};

/// One application under random disturbances, first to learn from, then to be diagnosed.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The application.
    pub spec: AppSpec,
    /// How it is observed.
    pub observe: SimConfig,
    /// Latency histograms of a service graph, with these buckets, are all there is instead of spans.
    pub histograms: Option<Buckets>,
    /// Length of an interval.
    pub interval: Duration,
    /// What it may grow to where few requests are traced; zero: it does not.
    pub interval_max: Duration,
    /// Target and alerts come from somebody who sees every request, and not from the traced ones.
    pub all_alerts: bool,
    /// Intervals trained on.
    pub train: usize,
    /// Intervals diagnosed.
    pub test: usize,
    /// Seed of everything.
    pub seed: u64,
    /// Disturbances.
    pub weather: Weather,
    /// What changes between training and test.
    pub drift: Drift,
    /// Whether root causes of violations in the training part are found out, too. Costs a few
    /// simulations of each.
    pub labelled: bool,
    /// Whether violations of the test come with what would have been measured without their faults.
    pub counterfactual: bool,
}

/// What changes between training and test. Nothing, by default.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    /// The application is replaced by this one. Its services must be the same, in the same order.
    pub spec: Option<AppSpec>,
    /// Load is this many times what it would have been.
    pub load: Option<f64>,
    /// Disturbances become these.
    pub weather: Option<Weather>,
}

impl Trial {
    /// Length of an interval where nothing else is asked for: that of the product.
    pub const INTERVAL: Duration = Duration::from_secs(30);
    /// Share of the requests that is traced where nothing else is asked for.
    pub const TRACED: f64 = 0.1;

    /// A trial of `spec` as most are: 30 s, 10 % traced, everyday disturbances.
    pub fn new(spec: AppSpec, train: usize, test: usize, seed: u64) -> Self {
        Self {
            spec,
            observe: SimConfig { trace_ratio: Self::TRACED, ..SimConfig::default() },
            histograms: None,
            interval: Self::INTERVAL,
            interval_max: Duration::ZERO,
            all_alerts: false,
            train,
            test,
            seed,
            weather: Weather::default(),
            drift: Drift::default(),
            labelled: false,
            counterfactual: false,
        }
    }

    /// Windows that see what this trial lets them see.
    pub(super) fn feed(&self) -> Feed {
        let feed = Feed::growing(self.interval, self.interval_max);
        match self.histograms {
            Some(buckets) => {
                feed.without_spans(ServiceGraph::new(buckets, self.observe.scrape_every))
            }
            None => feed,
        }
    }
}
