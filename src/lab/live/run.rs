//! A run: calibrate, calm, learn, one fault after another, and once more under other policies.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use super::Failure;
use super::episode::Episode;
use super::faults::{Injected, Surroundings, Use, used};
use super::load::wall_ms;
use super::schedule::{Chosen, Fault, nuisances, schedule};
use super::settings::{INTERVAL_S, Policy};
use super::stage::Stage;
use super::timeline::{Slot, slots};
use crate::data::QosTarget;
use crate::lab::wire::Api;
use crate::stats::median;

/// Processors that the application may use in calm.
const CALM_CORES: f64 = 0.3;
/// Least requests a second; an interval must hold enough of them.
const RATE_LEAST: f64 = 20.0;
/// Users judge by this quantile: one in twenty requests is a handful in an interval.
const QUANTILE: f64 = 0.95;
/// How far the target is above the calm tail, as a factor and at least, in milliseconds.
const SLACK: (f64, f64) = (2.5, 15.0);
/// Seconds of warming up, of calibrating, and of calm.
const PHASES_S: [u64; 3] = [3, 6, 16];
/// How often the sidecar is asked.
pub(super) const POLL: Duration = Duration::from_millis(200);
/// A nuisance while the model learns: seconds from one to the next, and how long it lasts.
const NUISANCE_S: (f64, f64) = (12.0, 4.0);
/// How long a training may take, seconds.
const TRAINING_S: u64 = 240;

/// What may be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// Seed of users and nuisances.
    pub seed: u64,
    /// Intervals to learn from.
    pub intervals: usize,
    /// Whether the same faults come again without Sage.
    pub compare: bool,
    /// Which faults.
    pub faults: Chosen,
}

/// What whoever watches is told.
pub trait Watcher {
    /// A share of an activity is done.
    fn progress(&self, what: &str, share: f64);
    /// Something worth a line.
    fn say(&self, line: &str);
}

/// What a run yields.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The target.
    pub(super) target: QosTarget,
    /// Every fault under every policy.
    pub(super) episodes: Vec<Episode>,
    /// Latency since the faults began.
    pub(super) slots: Vec<Slot>,
}

/// Everything a run works with.
pub(super) struct Run<'a> {
    pub(super) stage: &'a mut Stage,
    pub(super) options: &'a Options,
    pub(super) watcher: &'a (dyn Watcher + Sync),
    pub(super) api: Api,
    pub(super) target: QosTarget,
    pub(super) rate: f64,
    /// What each service uses in a second of calm.
    pub(super) used: BTreeMap<String, Use>,
}

/// Runs everything.
///
/// # Errors
/// Whatever does not play along.
pub async fn run(
    stage: &mut Stage,
    options: &Options,
    watcher: &(dyn Watcher + Sync),
) -> Result<Outcome, Failure> {
    let api = stage.api();
    let target = QosTarget {
        service: stage.app.entry().into(),
        quantile: QUANTILE,
        target_ms: f64::INFINITY,
    };
    let rate = stage.app.rate;
    let mut run = Run { stage, options, watcher, api, target, rate, used: BTreeMap::new() };
    // What cannot be had must be said before anybody waits for it.
    run.faults()?;
    run.calibrate().await?;
    run.calm().await?;
    run.learn().await?;
    let began_ms = wall_ms();
    let mut episodes = run.pass(Policy::Sage).await?;
    if options.compare {
        for policy in [Policy::AutoscaleStrict, Policy::Nobody] {
            let how = (run.train_at(), policy);
            run.stage.start_sidecar(&run.target.clone(), how).await?;
            episodes.extend(run.pass(policy).await?);
        }
    }
    let slots = run.slots(began_ms, wall_ms());
    Ok(Outcome { target: run.target, episodes, slots })
}

/// One of the load averages of the machine.
pub(super) fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|w| w.parse().ok()).unwrap_or(0.0)
}

impl Run<'_> {
    pub(super) fn interval_ms() -> i64 {
        INTERVAL_S as i64 * 1000
    }

    /// Whole intervals between two moments.
    pub(super) fn slots(&self, from_ms: i64, to_ms: i64) -> Vec<Slot> {
        let interval_ms = Self::interval_ms();
        let from_ms = from_ms.div_euclid(interval_ms) * interval_ms;
        let to_ms = to_ms.div_euclid(interval_ms) * interval_ms;
        let samples = self.stage.load.as_ref().map(|l| l.samples(from_ms, to_ms));
        slots(&samples.unwrap_or_default(), (from_ms, to_ms), interval_ms, QUANTILE)
    }

    async fn pause(&mut self, what: &str, seconds: u64) -> Result<(), Failure> {
        for second in 0..seconds {
            self.watcher.progress(what, second as f64 / seconds as f64);
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.look_after()?;
        }
        Ok(())
    }

    pub(super) fn look_after(&mut self) -> Result<(), Failure> {
        match self.stage.ended() {
            Some(name) => Err(format!("{name} has ended by itself").into()),
            None => Ok(()),
        }
    }

    /// What is to go wrong.
    pub(super) fn faults(&self) -> Result<Vec<Fault>, Failure> {
        let faults = self.options.faults.of(schedule(&self.stage.app, self.stage.needs.able()));
        match faults.is_empty() {
            true => Err("none of these faults can be had on this machine".into()),
            false => Ok(faults),
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.stage.app.services.iter().map(|s| s.name.clone()).collect()
    }

    fn used_so_far(&self) -> BTreeMap<String, Use> {
        let (groups, wires) = (self.stage.groups(), self.stage.wires.as_ref());
        self.names().into_iter().map(|s| (s.clone(), used(groups, wires, &s))).collect()
    }

    /// What each service uses in one of some seconds.
    async fn use_for(&mut self, what: &str, s: u64) -> Result<BTreeMap<String, Use>, Failure> {
        let (before, start_ms) = (self.used_so_far(), wall_ms());
        self.pause(what, s).await?;
        let elapsed_s = (wall_ms() - start_ms) as f64 / 1e3;
        let used = self.used_so_far().into_iter().map(|(service, after)| {
            let before = before.get(&service).copied().unwrap_or(after);
            let cpu = (after.cpu - before.cpu) / elapsed_s;
            let read = (after.read - before.read) / elapsed_s;
            (service, Use { cpu, read, received: (after.received - before.received) / elapsed_s })
        });
        Ok(used.collect())
    }

    /// As much load as leaves the machine mostly idle.
    async fn calibrate(&mut self) -> Result<(), Failure> {
        self.stage.start_load(self.rate, self.options.seed)?;
        self.pause("warming up", PHASES_S[0]).await?;
        let used: f64 =
            self.use_for("calibrating", PHASES_S[1]).await?.values().map(|u| u.cpu).sum();
        self.rate = (self.rate * (CALM_CORES / used.max(0.001)).min(1.0)).max(RATE_LEAST).round();
        self.set_rate(1.0);
        Ok(())
    }

    fn set_rate(&self, factor: f64) {
        if let Some(load) = &self.stage.load {
            load.set_rate(self.rate * factor);
        }
    }

    /// What users are used to, and the target an operator would set.
    async fn calm(&mut self) -> Result<(), Failure> {
        self.pause("calm", 2).await?;
        let start_ms = wall_ms();
        self.used = self.use_for("calm", PHASES_S[2]).await?;
        let seen = self.slots(start_ms, wall_ms());
        let tail_ms = median(seen.iter().map(|s| s.tail_ms)).ok_or("no request was answered")?;
        self.target.target_ms = (tail_ms * SLACK.0).max(tail_ms + SLACK.1).round();
        let cores: f64 = self.used.values().map(|u| u.cpu).sum();
        self.watcher.say(&format!(
            "{:.0} requests a second use {cores:.2} of a processor; p{:.0} is {tail_ms:.1} ms in calm, the target \
             {:.0} ms. Load average {:.1}.",
            self.rate,
            QUANTILE * 100.0,
            self.target.target_ms,
            load_average()
        ));
        Ok(())
    }

    /// Intervals after which the model is trained.
    fn train_at(&self) -> usize {
        self.options.intervals.saturating_sub(4).max(20)
    }

    /// Varied load and small disturbances, so that there is something to learn from.
    async fn learn(&mut self) -> Result<(), Failure> {
        let target = self.target.clone();
        self.stage.start_watchers(&target, self.train_at()).await?;
        self.watcher.say(&format!("Sage's own page: http://{}", self.stage.page));
        let mut rng = SmallRng::seed_from_u64(self.options.seed ^ 0x1ea2);
        let nuisances = nuisances(&self.stage.app, self.stage.needs.able());
        let (start_ms, mut n) = (wall_ms(), 0);
        let whole_ms = self.options.intervals as i64 * Self::interval_ms();
        let mut present: Option<(Injected, i64)> = None;
        while wall_ms() - start_ms < whole_ms {
            let elapsed_ms = wall_ms() - start_ms;
            self.watcher.progress("learning", elapsed_ms as f64 / whole_ms as f64);
            self.look_after()?;
            if let Some((injected, _)) = present.take_if(|(_, until)| *until < elapsed_ms) {
                self.end(injected)?;
            }
            if elapsed_ms as f64 / 1e3 > (f64::from(n) + 0.6) * NUISANCE_S.0 && present.is_none() {
                n += 1;
                self.set_rate(rng.random_range(0.6..1.25));
                let mut fault = nuisances[rng.random_range(0..nuisances.len())].clone();
                fault.strength *= rng.random_range(0.6..1.3);
                let injected = self.begin(&fault)?;
                present = Some((injected, elapsed_ms + (NUISANCE_S.1 * 1e3) as i64));
            }
            tokio::time::sleep(POLL).await;
        }
        if let Some((injected, _)) = present {
            self.end(injected)?;
        }
        self.set_rate(1.0);
        self.train().await?;
        self.weigh().await
    }

    /// What services receive now that they are watched: answers to spans are part of it.
    async fn weigh(&mut self) -> Result<(), Failure> {
        if self.stage.wires.is_some() {
            for (service, now) in self.use_for("calm", PHASES_S[1]).await? {
                self.used.entry(service).or_default().received = now.received;
            }
        }
        Ok(())
    }

    async fn train(&mut self) -> Result<(), Failure> {
        let gate = |model: &Value| {
            self.watcher.progress("training", model["progress"].as_f64().unwrap_or(0.0));
            (model["trainings"] != 0).then(|| model.clone())
        };
        let model = self.api.wait("the training", "/api/v1/model", TRAINING_S, &gate).await?;
        if let Some(error) = model["error"].as_str() {
            return Err(format!("training: {error}").into());
        }
        let fit = model["r2"].as_f64().map_or_else(|| "unknown".into(), |r2| format!("{r2:.2}"));
        self.watcher.say(&format!("The model is trained; its fit (R\u{b2}) is {fit}."));
        Ok(())
    }

    fn surroundings(&self, service: &str) -> Surroundings<'_> {
        Surroundings {
            groups: self.stage.groups(),
            wires: self.stage.wires.as_ref(),
            stress_ng: &self.stage.needs.programs.stress_ng,
            log: self.stage.log("stress-ng"),
            address: self.stage.address(service),
            used: self.used.get(service).copied().unwrap_or_default(),
            asked: self.rate * self.stage.app.requests(service),
        }
    }

    pub(super) fn begin(&self, fault: &Fault) -> Result<Injected, Failure> {
        Ok(fault.begin(&self.surroundings(&fault.service))?)
    }

    pub(super) fn end(&self, injected: Injected) -> Result<(), Failure> {
        let at = self.surroundings(injected.service());
        Ok(injected.end(&at)?)
    }
}
