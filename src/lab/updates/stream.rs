//! A running application, interval by interval, through its versions.

use std::sync::Arc;
use std::time::Duration;

use super::versions::Version;
use crate::data::{Frame, QosTarget, Series};
use crate::lab::sim::{Observation, SimConfig, Simulator};
use crate::lab::{Feed, Minute, Schedule, Weather};
use crate::stats::median;

/// Length of an interval.
pub(super) const INTERVAL: Duration = Duration::from_secs(30);
/// Share of the requests that is traced.
const TRACED: f64 = 0.1;
/// Calm intervals from which the target of a version is taken.
const CALM: usize = 12;
/// The target is this much above the calm latency.
const SLACK: f64 = 1.3;
/// Event time at which streams begin: 2026-01-01.
const EPOCH_MS: i64 = 1_767_225_600_000;

/// An application under a schedule, and what telemetry shows of it.
pub(super) struct Stream {
    simulator: Simulator,
    schedule: Schedule,
    feed: Feed,
    removed: Vec<String>,
    /// The target of the version that runs.
    pub target: QosTarget,
    /// Begin of each version and its target.
    targets: Vec<(i64, QosTarget)>,
    /// Closed intervals, oldest first.
    pub frames: Vec<Arc<Frame>>,
    /// Whether QoS was met in each.
    pub met: Vec<bool>,
}

/// One interval as it was run.
pub(super) struct Ran {
    /// What happened.
    pub minute: Minute,
    /// The application before it.
    pub before: Simulator,
    /// The true tail, milliseconds.
    pub tail_ms: f64,
}

impl Stream {
    /// A version at rest.
    pub(super) fn new(version: &Version, target: QosTarget, seed: u64) -> Result<Self, String> {
        let simulator = simulator(version, seed, EPOCH_MS)?;
        Ok(Self {
            simulator,
            schedule: schedule(version, seed),
            feed: Feed::new(INTERVAL),
            removed: version.removed.clone(),
            targets: vec![(EPOCH_MS, target.clone())],
            target,
            frames: Vec::new(),
            met: Vec::new(),
        })
    }

    /// Rolls out another version; telemetry goes on.
    pub(super) fn update(
        &mut self,
        version: &Version,
        target: QosTarget,
        seed: u64,
    ) -> Result<(), String> {
        let now = self.simulator.now().0;
        self.simulator = simulator(version, seed, now)?;
        self.schedule = schedule(version, seed);
        self.removed.clone_from(&version.removed);
        self.targets.push((now, target.clone()));
        self.target = target;
        Ok(())
    }

    /// What happens from now on is like this, and a share of it strikes one of these services.
    pub(super) fn disturb(&mut self, weather: Weather, services: Vec<usize>, share: f64) {
        self.schedule.change(weather);
        self.schedule.aim(services, share);
    }

    /// Event time of the application.
    pub(super) fn now(&self) -> i64 {
        self.simulator.now().0
    }

    /// Runs the next interval of the schedule; whether one was closed by that.
    pub(super) fn goes_on(&mut self) -> bool {
        let closed = self.frames.len();
        self.step();
        self.frames.len() > closed
    }

    /// Runs one interval without faults.
    pub(super) fn calm(&mut self) -> Ran {
        let load = self.schedule.load();
        self.run(Minute { load, faults: Vec::new() })
    }

    /// Runs the next interval of the schedule.
    pub(super) fn step(&mut self) -> Ran {
        let minute = self.schedule.next_minute();
        self.run(minute)
    }

    fn run(&mut self, minute: Minute) -> Ran {
        let before = self.simulator.clone();
        let mut observation = self.simulator.run(INTERVAL, minute.load, &minute.faults);
        let tail_ms = observation.truth.quantile_ms(self.target.quantile).unwrap_or(0.0);
        self.hide_removed(&mut observation);
        for frame in self.feed.push(observation) {
            let start = frame.interval.start.0;
            let target = self.targets.iter().rev().find(|(from, _)| *from <= start);
            let target = target.map_or(&self.target, |(_, target)| target);
            self.met.push(target.is_violated(&frame) != Some(true));
            self.frames.push(frame);
        }
        Ran { minute, before, tail_ms }
    }

    fn hide_removed(&self, observation: &mut Observation) {
        let is_removed = |series: &Series| {
            let names = ["container", "service"].into_iter().filter_map(|l| series.label(l));
            names.into_iter().any(|name| self.removed.iter().any(|r| **r == *name))
        };
        observation.series.retain(|s| !is_removed(s));
    }
}

fn simulator(version: &Version, seed: u64, start_ms: i64) -> Result<Simulator, String> {
    let observe = SimConfig { trace_ratio: TRACED, ..SimConfig::default() };
    Simulator::new(&version.spec, observe, seed, start_ms).map_err(|e| e.to_string())
}

fn schedule(version: &Version, seed: u64) -> Schedule {
    Schedule::new(&version.spec, Weather::default(), seed ^ 0x5eed)
}

/// The target of a version: a little above what its tail is when nothing is wrong.
pub(super) fn target_of(version: &Version, seed: u64) -> Result<QosTarget, String> {
    let spec = &version.spec;
    let entry = spec.entries.first().ok_or("an application without entries")?;
    let service = spec.services[entry.service].name.clone();
    let endless = QosTarget { service, quantile: spec.qos_quantile, target_ms: f64::INFINITY };
    let mut stream = Stream::new(version, endless.clone(), seed)?;
    let tails: Vec<f64> = (0..CALM).map(|_| stream.calm().tail_ms).collect();
    let calm = median(tails).ok_or("no requests")?;
    Ok(QosTarget { target_ms: calm * SLACK, ..endless })
}
