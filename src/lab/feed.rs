//! Simulated telemetry straight into the windows, without a wire.

use std::sync::Arc;
use std::time::Duration;

use super::sim::Observation;
use super::wire::ServiceGraph;
use crate::data::Frame;
use crate::window::{Config, Metrics, Windower};

/// Windows fed in process.
#[derive(Debug)]
pub struct Feed {
    windower: Windower,
    graph: Option<ServiceGraph>,
}

impl Feed {
    /// Windows of `interval`.
    pub fn new(interval: Duration) -> Self {
        Self::growing(interval, Duration::ZERO)
    }

    /// Windows of `interval`, which may grow to `interval_max` where few requests are seen.
    pub fn growing(interval: Duration, interval_max: Duration) -> Self {
        let lateness = Duration::from_secs(1);
        let config = Config { interval, interval_max, lateness, ..Config::default() };
        Self { windower: Windower::new(&config, Metrics::default()), graph: None }
    }

    /// Windows that are shown the latency histograms of `graph` instead of spans.
    #[must_use]
    pub fn without_spans(self, graph: ServiceGraph) -> Self {
        Self { graph: Some(graph), ..self }
    }

    /// Feeds one simulated interval; returns the frames that closed.
    pub fn push(&mut self, observation: Observation) -> Vec<Arc<Frame>> {
        let Observation { spans, series, .. } = observation;
        if let Some(graph) = &mut self.graph {
            let latencies = graph.push(&spans, observation.interval.end);
            self.windower.push_series(&latencies, Duration::ZERO);
        } else {
            self.windower.push_spans(&spans, Duration::ZERO);
        }
        self.windower.push_series(&series, Duration::ZERO);
        self.windower.close(Duration::ZERO).into_iter().map(Arc::new).collect()
    }
}
