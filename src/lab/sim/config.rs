//! How the simulated application is observed.

use std::time::Duration;

/// What tracing and monitoring deliver. It never changes what the application does.
#[derive(Clone, Debug, PartialEq)]
pub struct SimConfig {
    /// Share of the requests that are traced, 0 to 1. Decided at the entry, for the whole trace.
    pub trace_ratio: f64,
    /// Time between two scrapes of a replica or a host; at least [`SimConfig::SCRAPE_MIN`].
    pub scrape_every: Duration,
    /// Spread (sigma of a lognormal) of what a sample says about the time since the one before.
    pub metric_noise: f64,
    /// Whether hosts have a node exporter.
    pub node_exporter: bool,
    /// Leave out saturation metrics and probes: only CPU, memory, disk and network usage remain, and
    /// of hosts CPU usage.
    pub usage_metrics_only: bool,
    /// Hosts' clocks are wrong by up to this much, milliseconds, each by a constant.
    pub clock_skew_ms_max: f64,
    /// Share of the scrapes of a replica or a host that are lost, 0 to 1.
    pub missing_metrics: f64,
    /// Whether services that send no spans pass the trace on to those they call. If not, nothing
    /// behind them is traced.
    pub silent_services_forward: bool,
}

impl SimConfig {
    /// Shortest time between scrapes.
    pub const SCRAPE_MIN: Duration = Duration::from_millis(100);
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            trace_ratio: 1.0,
            scrape_every: Duration::from_secs(15),
            metric_noise: 0.08,
            node_exporter: true,
            usage_metrics_only: false,
            clock_skew_ms_max: 0.0,
            missing_metrics: 0.0,
            silent_services_forward: false,
        }
    }
}
