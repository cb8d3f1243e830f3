//! The demo itself.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

use super::scenario::{Scenario, scenarios};
use super::table::Verdict;
use crate::config::Config;
use crate::data::{EventTime, QosTarget};
use crate::lab::sim::{AppSpec, Observation, SimConfig, Simulator, social_network};
use crate::lab::wire::{Api, SpanSender, alert_json};
use crate::lab::{Blame, Minute, Schedule, Weather};
use crate::stats::median;

/// Length of an interval of event time.
pub const INTERVAL: Duration = Duration::from_secs(30);
/// Share of the requests that is traced.
const TRACED: f64 = 0.1;
/// The target is this much above the calm latency.
const SLACK: f64 = 1.3;
/// Calm intervals tried beforehand to find the target.
const CALM: usize = 10;
/// Intervals a scenario lasts, and intervals of peace after it.
const SCENARIO: (usize, usize) = (2, 3);
/// How long training may take.
const TRAINING_S: u64 = 900;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What may be chosen.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Seed of the application, its load and its faults.
    pub seed: u64,
    /// Intervals of everyday traffic to learn from.
    pub intervals: usize,
}

/// What the demo tells whoever watches.
pub trait Watcher {
    /// A share of an activity is done.
    fn progress(&self, what: &str, share: f64);
    /// The scenarios begin.
    fn begin(&self, target: &QosTarget);
    /// A scenario is over.
    fn verdict(&self, spec: &AppSpec, verdict: &Verdict);
}

/// The application and everything about it that is known beforehand.
#[derive(Debug)]
pub struct Stage {
    /// The application.
    pub spec: AppSpec,
    /// The target an operator would have set.
    pub target: QosTarget,
    options: Options,
}

impl Stage {
    /// Looks at the application in peace.
    ///
    /// # Errors
    /// When it cannot be simulated.
    pub fn new(options: Options) -> Result<Self, Failure> {
        let spec = social_network();
        let mut calm = Simulator::new(&spec, SimConfig::default(), options.seed, 0)?;
        let tails = (0..CALM)
            .filter_map(|_| calm.run(INTERVAL, 1.0, &[]).truth.quantile_ms(spec.qos_quantile));
        let target_ms = median(tails).ok_or("an application without requests")? * SLACK;
        let entry = spec.entries.first().ok_or("an application without entries")?;
        let service = spec.services[entry.service].name.clone();
        let target =
            QosTarget { service, quantile: spec.qos_quantile, target_ms: target_ms.round() };
        Ok(Self { spec, target, options })
    }

    /// Configures the sidecar as the operator of the application would.
    pub fn configure(&self, config: &mut Config) {
        config.qos = vec![self.target.clone()];
        config.window.interval = INTERVAL;
        // The rule behind the alerts waits one interval (`for: 30s`), and Alertmanager not at all.
        config.diagnose.pending = INTERVAL;
        config.train.min_intervals = self.options.intervals;
        config.train.seed = self.options.seed;
    }

    /// Event time the demo takes.
    pub fn duration(&self) -> Duration {
        let scenarios = scenarios(&self.spec).len() * (SCENARIO.0 + SCENARIO.1);
        INTERVAL * u32::try_from(self.options.intervals + scenarios + 4).unwrap_or(u32::MAX)
    }
}

/// Sends everyday traffic, waits for the model, injects one fault after another and asks about each.
///
/// # Errors
/// When the sidecar does not play along.
pub async fn run(
    stage: &Stage,
    start: EventTime,
    (http, otlp_grpc): (SocketAddr, SocketAddr),
    watcher: &(dyn Watcher + Sync),
) -> Result<Vec<Verdict>, Failure> {
    // Every scenario is a fault of single services, and so is what is learnt from.
    let observe = SimConfig { trace_ratio: TRACED, node_exporter: false, ..SimConfig::default() };
    let mut simulator = Simulator::new(&stage.spec, observe, stage.options.seed, start.0)?;
    let weather = Weather { neighbours: 0.0, ..Weather::default() };
    let mut schedule = Schedule::new(&stage.spec, weather, stage.options.seed ^ 0x5eed);
    let api = Api::new(http);
    let mut spans = SpanSender::connect(otlp_grpc).await?;
    let everyday = stage.options.intervals + 1;
    let (tx, mut rx) = mpsc::channel::<Observation>(4);
    // The application runs on a thread of its own, as applications do.
    let running = std::thread::spawn(move || {
        for _ in 0..everyday {
            let minute = schedule.next_minute();
            if tx.blocking_send(simulator.run(INTERVAL, minute.load, &minute.faults)).is_err() {
                break;
            }
        }
        (simulator, schedule)
    });
    let mut sent = 0;
    while let Some(observation) = rx.recv().await {
        watcher.progress("everyday traffic", sent as f64 / everyday as f64);
        send(&api, &mut spans, &observation).await?;
        sent += 1;
    }
    let (mut simulator, mut schedule) = running.join().map_err(|_| "the simulator failed")?;
    train(&api, watcher).await?;
    watcher.begin(&stage.target);
    let mut verdicts = Vec::new();
    for mut scenario in scenarios(&stage.spec) {
        let mut world = World { stage, api: &api, spans: &mut spans, schedule: &mut schedule };
        let verdict = world.play(&mut scenario, &mut simulator).await?;
        watcher.verdict(&stage.spec, &verdict);
        verdicts.push(verdict);
    }
    Ok(verdicts)
}

async fn send(api: &Api, spans: &mut SpanSender, o: &Observation) -> Result<(), Failure> {
    spans.send(&o.spans).await?;
    api.write(&o.series).await?;
    Ok(())
}

/// The model trains by itself once it has enough intervals; only waits.
async fn train(api: &Api, watcher: &(dyn Watcher + Sync)) -> Result<(), Failure> {
    let gate = |model: &Value| {
        watcher.progress("training", model["progress"].as_f64().unwrap_or(0.0));
        (model["trainings"] != 0).then(|| model.clone())
    };
    let model = api.wait("the training", "/api/v1/model", TRAINING_S, &gate).await?;
    match model["error"].as_str() {
        Some(error) => Err(format!("training: {error}").into()),
        None => Ok(()),
    }
}

struct World<'a> {
    stage: &'a Stage,
    api: &'a Api,
    spans: &'a mut SpanSender,
    schedule: &'a mut Schedule,
}

impl World<'_> {
    /// Injects the faults, lets the alert fire and end, and reads the diagnosis.
    async fn play(
        &mut self,
        scenario: &mut Scenario,
        simulator: &mut Simulator,
    ) -> Result<Verdict, Failure> {
        let target = &self.stage.target;
        let load = self.schedule.load();
        let blame: Option<Blame> =
            scenario.arm(simulator, load, INTERVAL, target.quantile, target.target_ms);
        let began = simulator.now();
        for _ in 0..SCENARIO.0 {
            let minute = Minute { load, faults: scenario.faults.clone() };
            send(self.api, self.spans, &simulator.run(INTERVAL, minute.load, &minute.faults))
                .await?;
        }
        let ended = simulator.now();
        for _ in 0..SCENARIO.1 {
            let load = self.schedule.load();
            send(self.api, self.spans, &simulator.run(INTERVAL, load, &[])).await?;
        }
        let gate = |status: &Value| {
            let watermark: EventTime = serde_json::from_value(status["watermark"].clone()).ok()?;
            (watermark >= ended).then_some(Value::Null)
        };
        self.api.wait("the intervals to close", "/api/v1/status", 60, &gate).await?;
        let labels = [
            ("alertname", "TailLatencyHigh"),
            ("service", target.service.as_str()),
            ("severity", "critical"),
        ];
        // The rule waits half a minute, so the alert began to fire half a minute after the fault.
        let fires = began.plus(INTERVAL);
        let mut alert = alert_json(&labels, fires, None);
        alert["fingerprint"] = format!("{:016x}", began.0).into();
        let ids = self.api.alert(&[alert.clone()]).await?;
        let diagnosis = self.api.diagnosis(ids.first().ok_or("no diagnosis was begun")?).await?;
        let mut resolved = alert_json(&labels, fires, Some(ended));
        resolved["fingerprint"] = alert["fingerprint"].clone();
        self.api.alert(&[resolved]).await?;
        Ok(Verdict::new(&self.stage.spec, scenario.faults.clone(), blame, diagnosis))
    }
}
