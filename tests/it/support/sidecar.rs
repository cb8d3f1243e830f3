//! A sidecar in this process, on ports of its own.

use std::path::Path;
use std::time::Duration;

use sage::app::{Running, start_with};
use sage::config::Config;
use sage::lab::wire::Api;
use sage::memory::{Resident, resident};
use serde_json::Value;

pub(crate) struct Sidecar {
    pub(crate) running: Running,
    pub(crate) api: Api,
}

fn config(home: &Path, tune: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    let any = "127.0.0.1:0".parse().unwrap();
    (config.listen.http, config.listen.otlp_grpc, config.listen.otlp_http) = (any, any, any);
    config.data.dir = home.join("data");
    tune(&mut config);
    config
}

impl Sidecar {
    /// Starts one whose data lies below `home`. On a busy machine a training of the one before, in this same
    /// process, may still hold the database after its stop has given up waiting.
    pub(crate) async fn start(home: &Path, tune: impl FnOnce(&mut Config)) -> Self {
        Self::start_with(home, tune, resident()).await
    }

    /// As [`Sidecar::start`]; `resident` tells how much memory it takes.
    pub(crate) async fn start_with(
        home: &Path,
        tune: impl FnOnce(&mut Config),
        resident: Resident,
    ) -> Self {
        let config = config(home, tune);
        let mut started = Self::run(&config, resident.clone()).await;
        for _ in 0..600 {
            match &started {
                Err(why) if why.contains("is locked") => {}
                _ => break,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            started = Self::run(&config, resident.clone()).await;
        }
        started.expect("the sidecar starts")
    }

    pub(crate) async fn try_start(
        home: &Path,
        tune: impl FnOnce(&mut Config),
    ) -> Result<Self, String> {
        Self::run(&config(home, tune), resident()).await
    }

    async fn run(config: &Config, resident: Resident) -> Result<Self, String> {
        let running = start_with(config, None, resident).await.map_err(|e| e.to_string())?;
        let api = Api::new(running.http);
        Ok(Self { running, api })
    }

    /// Sum over all label sets of a metric.
    pub(crate) async fn count(&self, metric: &str) -> f64 {
        self.counts(|name| name == metric || name.starts_with(&format!("{metric}{{"))).await
    }

    /// One sample, labels included.
    pub(crate) async fn sample(&self, sample: &str) -> f64 {
        self.counts(|name| name == sample).await
    }

    async fn counts(&self, is_meant: impl Fn(&str) -> bool) -> f64 {
        let status = self.api.get("/api/v1/status").await.unwrap();
        let counts = status["counts"].as_object().unwrap();
        let found: Vec<f64> =
            counts.iter().filter(|(n, _)| is_meant(n)).map(|(_, v)| v.as_f64().unwrap()).collect();
        assert!(!found.is_empty(), "no such metric; there are {:?}", counts.keys());
        found.iter().sum()
    }

    /// Polls until the metric has the value.
    pub(crate) async fn until(&self, metric: &str, is_there: impl Fn(f64) -> bool) {
        for _ in 0..1200 {
            if is_there(self.count(metric).await) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{metric} stays at {}", self.count(metric).await);
    }

    pub(crate) async fn diagnosis(&self, id: &str) -> Value {
        self.api.diagnosis(id).await.unwrap()
    }
}
