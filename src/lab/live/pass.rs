//! The faults of a run, one after another, under one policy.

use axum::http::Method;
use bytes::Bytes;
use serde_json::Value;

use super::Failure;
use super::autoscale::Autoscale;
use super::episode::Episode;
use super::groups::Limit;
use super::load::wall_ms;
use super::run::{POLL, Run, load_average};
use super::schedule::Fault;
use super::settings::Policy;
use super::timeline::Slot;

/// A fault lasts for so long at most, and for so long once the target is met again, seconds.
const FAULT_S: (i64, i64) = (32, 6);
/// How long to wait for calm between faults, seconds.
const CALM_S: i64 = 40;
/// Intervals that make calm.
const CALM_SLOTS: usize = 3;

impl Run<'_> {
    /// All faults under one policy.
    pub(super) async fn pass(&mut self, policy: Policy) -> Result<Vec<Episode>, Failure> {
        let faults = self.faults()?;
        let mut episodes = Vec::new();
        for (n, fault) in faults.iter().enumerate() {
            let is_calm = self.wait_for_calm().await?;
            // While the alert of the fault before still fired, another fix may have begun.
            self.release().await?;
            self.watcher.progress(
                &format!("{}: {} {}", policy.name(), fault.service, fault.kind.name()),
                n as f64 / faults.len() as f64,
            );
            let mut episode = self.play(fault, policy).await?;
            episode.is_restless = !is_calm;
            self.watcher.say(&super::report::line(&episode));
            episodes.push(episode);
        }
        self.wait_for_calm().await?;
        self.release().await?;
        Ok(episodes)
    }

    /// Until the target is met for a while and no alert fires; false if that does not come.
    async fn wait_for_calm(&mut self) -> Result<bool, Failure> {
        let start_ms = wall_ms();
        while wall_ms() - start_ms < CALM_S * 1000 {
            self.look_after()?;
            tokio::time::sleep(POLL).await;
            let from_ms = wall_ms() - (CALM_SLOTS as i64 + 1) * Self::interval_ms();
            let seen = self.slots(from_ms.max(start_ms), wall_ms());
            let is_calm = |s: &Slot| s.tail_ms <= self.target.target_ms;
            if seen.len() < CALM_SLOTS || !seen.iter().all(is_calm) {
                continue;
            }
            let diagnoses = self.api.get("/api/v1/diagnoses?limit=20").await?;
            let is_firing = |d: &Value| d["alert"]["status"] == "firing";
            if !diagnoses.as_array().is_some_and(|list| list.iter().any(is_firing)) {
                return Ok(true);
            }
        }
        self.watcher.say("The machine does not come to rest; going on all the same.");
        Ok(false)
    }

    /// What every limit is at.
    fn limits(&self) -> Vec<(String, String)> {
        let groups = self.stage.groups();
        let mut limits = Vec::new();
        for service in self.names() {
            for limit in [Limit::Cpu, Limit::Memory, Limit::DiskRead] {
                let value = groups.get(&service, limit).unwrap_or_else(|e| e.to_string());
                limits.push((format!("{limit:?} of {service}"), value));
            }
            if let Some(wires) = &self.stage.wires {
                let value = wires.queue(&service).unwrap_or_else(|e| e.to_string());
                limits.push((format!("link of {service}"), value));
            }
        }
        limits
    }

    async fn play(&mut self, fault: &Fault, policy: Policy) -> Result<Episode, Failure> {
        let before = self.limits();
        let mut autoscale = Autoscale::new(self.stage.helper());
        let mut episode = Episode::new(fault, policy, wall_ms(), load_average());
        let injected = self.begin(fault)?;
        let (names, mut looked) = (self.names(), 0);
        loop {
            tokio::time::sleep(POLL).await;
            self.look_after()?;
            let now_ms = wall_ms();
            let interval = now_ms.div_euclid(Self::interval_ms());
            // The interval under way at the injection is half of another time.
            let first_ms = episode.injected_ms + Self::interval_ms() - 1;
            episode.look(&self.slots(first_ms, now_ms), self.target.target_ms);
            match policy {
                Policy::AutoscaleStrict if interval > looked => {
                    autoscale.look(self.stage.groups(), &names, now_ms);
                    episode.autoscaled(&autoscale.scaled);
                    looked = interval;
                }
                _ => self.listen(&mut episode, policy).await?,
            }
            if is_over(&episode, now_ms) {
                break;
            }
        }
        if policy == Policy::AutoscaleStrict {
            autoscale.end()?;
        }
        self.release().await?;
        if let Err(error) = self.end(injected) {
            episode.leftovers.push(error.to_string());
        }
        episode.ended_ms = wall_ms();
        for ((what, was), (_, is)) in before.iter().zip(self.limits()) {
            if *was != is {
                episode.leftovers.push(format!("{what} was {was:?} and is {is:?}"));
            }
        }
        Ok(episode)
    }

    /// What the sidecar says about the alert of this fault.
    async fn listen(&self, episode: &mut Episode, policy: Policy) -> Result<(), Failure> {
        let path = format!("/api/v1/diagnoses?limit=5&since={}", episode.injected_ms);
        let diagnoses = self.api.get(&path).await?;
        // The first alert after the injection is the one that the fault has caused.
        let Some(diagnosis) = diagnoses.as_array().and_then(|list| list.last()) else {
            return Ok(());
        };
        episode.diagnosis(diagnosis, wall_ms());
        if policy == Policy::Sage {
            let id = diagnosis["id"].as_str().unwrap_or_default();
            let fixes = self.api.get(&format!("/api/v1/fixes?diagnosis={id}")).await?;
            fixes.as_array().into_iter().flatten().for_each(|fix| episode.fix(fix));
        }
        Ok(())
    }

    /// The cause is going, so what was done about it is taken back first: a squeezed quota must be as the fault
    /// has left it, or nobody can tell whose it is.
    async fn release(&self) -> Result<(), Failure> {
        let states = ["watching", "holding", "relaxing", "proposed", "approved", "applying"];
        let is_open = |fix: &Value| states.iter().any(|s| fix["state"] == *s);
        for fix in self.api.get("/api/v1/fixes?limit=20").await?.as_array().into_iter().flatten() {
            if let (true, Some(id)) = (is_open(fix), fix["id"].as_str()) {
                let path = format!("/api/v1/fixes/{id}/revert");
                // One that has ended meanwhile is refused, which is as good.
                self.api.call(Method::POST, &path, &[], Bytes::new()).await?;
            }
        }
        let is_at_rest = |fixes: &Value| {
            let is_reverting = |fix: &Value| fix["state"] == "reverting" || is_open(fix);
            (!fixes.as_array()?.iter().any(is_reverting)).then_some(Value::Null)
        };
        self.api.wait("the end of all fixes", "/api/v1/fixes?limit=20", 20, &is_at_rest).await?;
        Ok(())
    }
}

/// A fault ends some time after the target is met again, or when there is nothing to wait for.
fn is_over(episode: &Episode, now_ms: i64) -> bool {
    let (most, after) = (FAULT_S.0 * 1000, FAULT_S.1 * 1000);
    let is_helped =
        episode.fixed_ms.is_some() && episode.recovered_ms.is_some_and(|at| now_ms - at > after);
    let is_hopeless = !episode.fault.kind.is_fixable()
        && episode.policy == Policy::Sage
        && episode.diagnosed_ms.is_some_and(|at| now_ms - at > 2 * after);
    is_helped || is_hopeless || now_ms - episode.injected_ms > most
}
