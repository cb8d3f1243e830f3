//! The whole configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::data::QosTarget;
use crate::observe::LogConfig;
use crate::{act, diagnose, graph, http, memory, model, receive, report, window};

/// `[listen]`: where the sidecar listens. Loopback unless told otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// Remote write, webhook, API, metrics, page.
    pub http: SocketAddr,
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    pub otlp_http: SocketAddr,
    /// Open connections of one listener.
    pub connections_max: usize,
    /// Requests in flight on one HTTP/2 connection.
    pub streams_max: u32,
    /// How long a connection may stay without a request.
    #[serde(with = "crate::duration")]
    pub idle_timeout: Duration,
    /// `[listen.tls]`
    pub tls: Option<http::Tls>,
    /// `[listen.auth]`
    pub auth: Option<http::Auth>,
}

impl Default for Listen {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let http::Limits { connections_max, streams_max, idle_timeout } = http::Limits::default();
        Self {
            http: loopback(7243),
            otlp_grpc: loopback(4317),
            otlp_http: loopback(4318),
            connections_max,
            streams_max,
            idle_timeout,
            tls: None,
            auth: None,
        }
    }
}

impl Listen {
    /// How much one listener serves at a time.
    pub fn limits(&self) -> http::Limits {
        let Self { connections_max, streams_max, idle_timeout, .. } = *self;
        http::Limits { connections_max, streams_max, idle_timeout }
    }

    fn faults(&self, faults: &mut Vec<String>) {
        self.limits().faults(faults);
        if let Some(tls) = &self.tls {
            tls.faults(faults);
        }
        if let Some(auth) = &self.auth {
            auth.faults(faults);
        }
    }
}

/// `[data]`: where the sidecar keeps what must survive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// Directory of the database.
    pub dir: PathBuf,
}

impl Default for Data {
    fn default() -> Self {
        Self { dir: "./sage-data".into() }
    }
}

/// Everything an operator may set.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Config {
    /// `[listen]`
    pub listen: Listen,
    /// `[data]`
    pub data: Data,
    /// `[log]`
    pub log: LogConfig,
    /// `[memory]`
    pub memory: memory::Config,
    /// `[receive]`
    pub receive: receive::Config,
    /// `[window]`
    pub window: window::Config,
    /// `[graph]`
    pub graph: graph::Config,
    /// `[train]`
    pub train: model::Config,
    /// `[diagnose]`
    pub diagnose: diagnose::Config,
    /// `[act]`
    pub act: act::Config,
    /// `[grafana]`
    pub grafana: report::Config,
    /// `[[qos]]`
    pub qos: Vec<QosTarget>,
}

impl Config {
    /// Appends what is wrong in the values; types and names were checked while reading.
    pub(super) fn faults(&self, faults: &mut Vec<String>) {
        self.listen.faults(faults);
        self.log.faults(faults);
        self.memory.faults(faults);
        self.receive.faults(faults);
        self.window.faults(faults);
        self.graph.faults(faults);
        self.train.faults(faults);
        self.diagnose.faults(faults);
        self.act.faults(faults);
        self.grafana.faults(faults);
        for (i, target) in self.qos.iter().enumerate() {
            let mut fault = |what: String| faults.push(format!("qos[{i}].{what}"));
            if target.service.is_empty() {
                fault("service: must not be empty".into());
            }
            if !(target.quantile > 0.0 && target.quantile < 1.0) {
                fault(format!(
                    "quantile = {}: must be between 0 and 1, like 0.99",
                    target.quantile
                ));
            }
            if !(target.target_ms > 0.0 && target.target_ms.is_finite()) {
                fault(format!("target_ms = {}: must be positive", target.target_ms));
            }
        }
        let ports = [self.listen.http, self.listen.otlp_grpc, self.listen.otlp_http];
        for (i, one) in ports.iter().enumerate() {
            if one.port() != 0 && ports[..i].contains(one) {
                faults.push(format!("listen: {one} is given to two listeners"));
            }
        }
        if self.train.min_intervals > self.window.history {
            faults.push(format!(
                "train.min_intervals = {}: more than window.history = {}, so training never begins",
                self.train.min_intervals, self.window.history
            ));
        }
    }
}
