//! Windows that are shown scrapes.

use std::time::Duration;

use crate::data::{Frame, Histogram, RpcWindow, Sample, Series};
use crate::window::{Config, Metrics, Windower};

/// An interval of 30 s begins here.
pub(super) const BEGIN_MS: i64 = 1_700_000_010_000;
pub(super) const CLIENT: &str = "traces_service_graph_request_client_seconds";
pub(super) const SERVER: &str = "traces_service_graph_request_server_seconds";

/// Seconds after the beginning, and cumulative counts.
pub(super) type Scrapes<'a> = &'a [(i64, &'a [f64])];

pub(super) struct Scene {
    pub(super) windower: Windower,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self::of(&Config::default())
    }

    pub(super) fn of(config: &Config) -> Self {
        Self { windower: Windower::new(config, Metrics::default()) }
    }

    /// Classic buckets; `bounds` without the infinite one.
    pub(super) fn classic(
        &mut self,
        metric: &str,
        labels: &[(&str, &str)],
        bounds: &[f64],
        scrapes: Scrapes,
    ) {
        let texts = bounds.iter().map(ToString::to_string).chain(["+Inf".to_string()]);
        for (i, le) in texts.enumerate() {
            let name = format!("{metric}_bucket");
            let own = [("__name__", &*name), ("le", &*le)];
            let samples = scrapes.iter().filter(|(_, counts)| i < counts.len());
            let samples = samples.map(|(s, counts)| (*s, counts[i])).collect::<Vec<_>>();
            self.series(&[&own[..], labels].concat(), &samples);
        }
    }

    pub(super) fn series(&mut self, labels: &[(&str, &str)], samples: &[(i64, f64)]) {
        let sample =
            |(s, value): &(i64, f64)| Sample { time_ms: BEGIN_MS + s * 1000, value: *value };
        let samples = samples.iter().map(sample).collect();
        self.push(labels, Series { samples, ..Series::default() });
    }

    pub(super) fn native(
        &mut self,
        metric: &str,
        labels: &[(&str, &str)],
        histograms: Vec<Histogram>,
    ) {
        let series = Series { histograms, ..Series::default() };
        self.push(&[&[("__name__", metric)][..], labels].concat(), series);
    }

    pub(super) fn push(&mut self, labels: &[(&str, &str)], mut series: Series) {
        series.labels = labels.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        self.windower.push_series(&[series], Duration::ZERO);
    }

    /// Event time goes on by so many seconds after the beginning; the frames that close.
    pub(super) fn pass(&mut self, seconds: i64) -> Vec<Frame> {
        let clock = [("__name__", "process_cpu_seconds_total"), ("job", "clock")];
        self.series(&clock, &[(seconds + 10, 1.0)]);
        self.windower.close(Duration::ZERO)
    }

    /// The RPCs of the first interval.
    pub(super) fn first(&mut self) -> Vec<RpcWindow> {
        self.pass(30).remove(0).rpcs
    }
}

pub(super) const CART: &[(&str, &str)] = &[("client", "front"), ("server", "cart")];
pub(super) const USER: &[(&str, &str)] =
    &[("client", "user"), ("connection_type", "virtual_node"), ("server", "front")];

pub(super) fn shown(rpcs: &[RpcWindow]) -> Vec<String> {
    rpcs.iter().map(|r| format!("{} {:?} x{}", r.key, r.kind, r.count)).collect()
}

/// Both sides of the edge front -> cart, of one interval from nothing.
pub(super) fn cart(client: &[f64], server: &[f64], bounds: &[f64]) -> Vec<RpcWindow> {
    let mut scene = Scene::new();
    let zero = vec![0.0; bounds.len() + 1];
    scene.classic(CLIENT, CART, bounds, &[(0, &zero), (30, client)]);
    scene.classic(SERVER, CART, bounds, &[(0, &zero), (30, server)]);
    scene.first()
}
