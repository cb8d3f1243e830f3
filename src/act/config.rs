//! `[act]`: what may be done about a diagnosis, by whom, how far, and when to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::nodes::{Helper, Tls};
use super::outside::{Docker, Kubernetes, Workload};
use crate::data::{ActMode, ActionKind, Knob, Runner, Target};

/// Fixes. Nothing is done unless it is told to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How much is done without asking.
    pub mode: ActMode,
    /// The same for single kinds of action.
    pub modes: BTreeMap<ActionKind, ActMode>,
    /// Services that may be helped; `"*"` for all.
    pub services: Vec<String>,
    /// Services that may be given more replicas; `"*"` for all.
    pub scale_out_services: Vec<String>,
    /// Command that does it, with its arguments.
    pub scale_out_command: Vec<String>,
    /// How long that command may take.
    #[serde(with = "crate::duration")]
    pub scale_out_timeout: Duration,
    /// Factors by which a CPU quota is raised, rung by rung.
    pub cpu_steps: Vec<f64>,
    /// Factors by which memory is raised.
    pub memory_steps: Vec<f64>,
    /// Factors by which a weight is raised, or lowered for a neighbour.
    pub weight_steps: Vec<f64>,
    /// Whether best-effort neighbours may be stopped altogether when slowing them down was not enough.
    pub freeze_neighbours: bool,
    /// How long a change outlives the last word of this sidecar.
    #[serde(with = "crate::duration")]
    pub lease: Duration,
    /// How long a helper may take to answer.
    #[serde(with = "crate::duration")]
    pub timeout: Duration,
    /// Intervals within which a change must help.
    pub recover_within: usize,
    /// Intervals in a row that must meet the target, after the alert has resolved, before it is taken back.
    pub normal_intervals: usize,
    /// No change is kept for longer than this.
    #[serde(with = "crate::duration")]
    pub hold_max: Duration,
    /// Without a closed interval for so long nobody can tell whether a change helps.
    #[serde(with = "crate::duration")]
    pub blind_max: Duration,
    /// Time between two fixes of one service.
    #[serde(with = "crate::duration")]
    pub cool_down: Duration,
    /// Fixes in force at a time.
    pub fixes_max: usize,
    /// Changes of one rung: replicas that are helped at once.
    pub changes_max: usize,
    /// Fixes kept and listed.
    pub keep: usize,
    /// Helpers, one a node.
    pub helpers: Vec<Helper>,
    /// Certificates for helpers on other nodes.
    pub tls: Option<Tls>,
    /// The Kubernetes API.
    pub kubernetes: Option<Kubernetes>,
    /// The Docker engine.
    pub docker: Option<Docker>,
    /// Which objects of these services are.
    pub workloads: Vec<Workload>,
    /// Where services are.
    pub targets: Vec<Located>,
    /// Work that may be slowed down for others.
    pub best_effort: Vec<BestEffort>,
}

/// `[[act.targets]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Located {
    /// Service.
    pub service: String,
    /// Only this replica of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
    /// Where.
    pub node: String,
    /// What the helper is asked for.
    pub target: Target,
}

/// `[[act.best_effort]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestEffort {
    /// Where.
    pub node: String,
    /// Its cgroup, one way or the other.
    pub target: Target,
    /// The interface only it uses; not set: the helper finds that of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// What the interface is limited to, in bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
}

impl Default for Config {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            mode: ActMode::Observe,
            modes: BTreeMap::new(),
            services: Vec::new(),
            scale_out_services: Vec::new(),
            scale_out_command: Vec::new(),
            scale_out_timeout: seconds(30),
            cpu_steps: vec![1.5, 2.0],
            memory_steps: vec![1.25, 1.5],
            weight_steps: vec![2.0, 4.0],
            freeze_neighbours: false,
            lease: seconds(60),
            timeout: seconds(3),
            recover_within: 2,
            normal_intervals: 4,
            hold_max: seconds(6 * 3600),
            blind_max: seconds(300),
            cool_down: seconds(600),
            fixes_max: 2,
            changes_max: 8,
            keep: 200,
            helpers: Vec::new(),
            tls: None,
            kubernetes: None,
            docker: None,
            workloads: Vec::new(),
            targets: Vec::new(),
            best_effort: Vec::new(),
        }
    }
}

fn names(list: &[String], service: &str) -> bool {
    list.iter().any(|name| name == "*" || name == service)
}

impl Config {
    /// How much of `kind` is done without asking.
    pub fn mode_of(&self, kind: ActionKind) -> ActMode {
        self.modes.get(&kind).copied().unwrap_or(self.mode)
    }

    /// Whether there is anything to plan for.
    pub fn is_idle(&self) -> bool {
        ActionKind::ALL.iter().all(|kind| self.mode_of(*kind) == ActMode::Observe)
    }

    /// Whether `service` may be helped.
    pub fn may_help(&self, service: &str) -> bool {
        names(&self.services, service)
    }

    /// Whether `service` may be given more replicas.
    pub fn may_scale_out(&self, service: &str) -> bool {
        names(&self.scale_out_services, service)
    }

    /// The object that a service is.
    pub(super) fn workload(&self, service: &str) -> Option<&Workload> {
        self.workloads.iter().find(|workload| workload.service == service)
    }

    /// Leases are renewed this often: twice may fail before one ends.
    pub fn renew_every(&self) -> Duration {
        self.lease / 3
    }

    /// Appends what is wrong.
    pub fn faults(&self, faults: &mut Vec<String>) {
        let mut must = |holds: bool, fault: String| {
            if !holds {
                faults.push(format!("act.{fault}"));
            }
        };
        let least = self.timeout.saturating_mul(3).max(Duration::from_secs(2));
        must(
            self.lease >= least && self.lease <= Duration::from_secs(3600),
            format!(
                "lease = {:?}: must be at least 2s and three times act.timeout, and at most 1h (default 1m)",
                self.lease
            ),
        );
        for (key, value) in [
            ("timeout", self.timeout),
            ("scale_out_timeout", self.scale_out_timeout),
            ("hold_max", self.hold_max),
            ("blind_max", self.blind_max),
        ] {
            must(
                value >= Duration::from_millis(100),
                format!("{key} = {value:?}: must be at least 100ms"),
            );
        }
        for (key, value) in [
            ("recover_within", self.recover_within),
            ("normal_intervals", self.normal_intervals),
            ("fixes_max", self.fixes_max),
            ("changes_max", self.changes_max),
            ("keep", self.keep),
        ] {
            must(value > 0, format!("{key} = 0: must be at least 1"));
        }
        must(
            self.keep > self.fixes_max,
            format!("keep = {}: must be more than act.fixes_max", self.keep),
        );
        must(self.changes_max <= 64, format!("changes_max = {}: at most 64", self.changes_max));
        for (key, steps) in [
            ("cpu_steps", &self.cpu_steps),
            ("memory_steps", &self.memory_steps),
            ("weight_steps", &self.weight_steps),
        ] {
            let grows = steps.iter().all(|s| *s > 1.0 && s.is_finite()) && steps.is_sorted();
            let is_few = (1..=4).contains(&steps.len());
            must(
                grows && is_few,
                format!("{key} = {steps:?}: one to four factors above 1, growing"),
            );
        }
        self.node_faults(&mut must);
    }

    fn node_faults(&self, must: &mut dyn FnMut(bool, String)) {
        let mut nodes = BTreeSet::new();
        for (i, helper) in self.helpers.iter().enumerate() {
            let node = &helper.node;
            must(!node.is_empty(), format!("helpers[{i}].node: must not be empty"));
            must(nodes.insert(node), format!("helpers[{i}].node = {node:?}: is there twice"));
            helper.faults(self.tls.is_some(), &mut |key, why| {
                must(false, format!("helpers[{i}].{key}: {why}"));
            });
        }
        if let Some(Err(fault)) = self.tls.as_ref().map(Tls::read) {
            must(false, fault);
        }
        let mut known = |key: String, node: &String| {
            let fault = format!("{key}.node = {node:?}: there is no [[act.helpers]] for that node");
            must(nodes.contains(node), fault);
        };
        for (i, target) in self.targets.iter().enumerate() {
            known(format!("targets[{i}]"), &target.node);
        }
        for (i, work) in self.best_effort.iter().enumerate() {
            known(format!("best_effort[{i}]"), &work.node);
        }
        for (i, work) in self.best_effort.iter().enumerate() {
            must(
                work.interface.is_none() || work.rate.is_some(),
                format!("best_effort[{i}]: interface needs a rate, see {}", Knob::NetworkRate),
            );
        }
        let kinds = [ActMode::Approve, ActMode::Auto];
        must(
            !kinds.contains(&self.mode_of(ActionKind::ScaleOut))
                || self.scale_out_services.is_empty()
                || !self.scale_out_command.is_empty()
                || !self.workloads.is_empty(),
            "scale_out_services: needs scale_out_command or [[act.workloads]]".into(),
        );
        self.workload_faults(must);
    }

    fn workload_faults(&self, must: &mut dyn FnMut(bool, String)) {
        if let Some(kubernetes) = &self.kubernetes {
            kubernetes.faults(&mut |key, why| must(false, format!("kubernetes.{key}: {why}")));
        }
        let has_runner = |runner| match runner {
            Runner::Kubernetes => self.kubernetes.is_some(),
            Runner::Docker => self.docker.is_some(),
        };
        for (i, workload) in self.workloads.iter().enumerate() {
            let fault = &mut |key: &str, why| must(false, format!("workloads[{i}].{key}: {why}"));
            workload.faults(has_runner, fault);
            let service = &workload.service;
            let first = self.workloads.iter().position(|w| w.service == *service);
            must(first == Some(i), format!("workloads[{i}].service = {service:?}: is there twice"));
        }
    }
}
