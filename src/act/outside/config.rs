//! `[act.kubernetes]`, `[act.docker]`, `[[act.workloads]]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data::Runner;

/// `[act.kubernetes]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kubernetes {
    /// The API server.
    pub url: String,
    /// A bearer token, read at every call: those of service accounts are exchanged every hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The authority of its certificate; those of the system when not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// `[act.docker]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Docker {
    /// The engine's socket.
    pub socket: PathBuf,
}

/// `[[act.workloads]]`: which object a service is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Service.
    pub service: String,
    /// Its object.
    pub runs: Runs,
    /// Of several containers of a pod the one that is resized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Not more replicas than this.
    #[serde(default = "replicas_max")]
    pub replicas_max: u32,
    /// Not more cores for one replica; without it they are not touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_max: Option<f64>,
    /// Not more bytes of memory for one replica; without it they are not touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_max: Option<f64>,
}

fn replicas_max() -> u32 {
    10
}

/// An object that runs a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runs {
    /// A Deployment of Kubernetes: `"namespace/name"`.
    Deployment(String),
    /// A StatefulSet of Kubernetes: `"namespace/name"`.
    Statefulset(String),
    /// A service of Docker Swarm, by name or id.
    DockerService(String),
    /// A container of the Docker engine, by name or id.
    DockerContainer(String),
}

impl Runs {
    /// Who is asked about it.
    pub fn runner(&self) -> Runner {
        match self {
            Self::Deployment(_) | Self::Statefulset(_) => Runner::Kubernetes,
            Self::DockerService(_) | Self::DockerContainer(_) => Runner::Docker,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Deployment(name)
            | Self::Statefulset(name)
            | Self::DockerService(name)
            | Self::DockerContainer(name) => name,
        }
    }

    /// Whether every part of its name can stand in a path: names become URLs, so nothing else is let through.
    fn is_named_well(&self) -> bool {
        let is_plain = |part: &str| {
            (1..=253).contains(&part.len())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                && !part.starts_with('.')
        };
        let parts = self.name().split('/').count();
        let wanted = if self.runner() == Runner::Kubernetes { 2 } else { 1 };
        parts == wanted && self.name().split('/').all(is_plain)
    }
}

impl Workload {
    /// Names what is wrong, each with its key in front.
    pub(in super::super) fn faults(
        &self,
        has_runner: impl Fn(Runner) -> bool,
        fault: &mut dyn FnMut(&str, String),
    ) {
        let runner = self.runs.runner();
        if !self.runs.is_named_well() {
            let form = if runner == Runner::Kubernetes { "namespace/name" } else { "a name" };
            fault("runs", format!("{:?} is not {form}", self.runs.name()));
        }
        if !has_runner(runner) {
            fault("runs", format!("needs [act.{runner}]"));
        }
        if self.replicas_max == 0 {
            fault("replicas_max", "must be at least 1".into());
        }
        for (key, value) in [("cpu_max", self.cpu_max), ("memory_max", self.memory_max)] {
            if value.is_some_and(|v| !(v > 0.0 && v.is_finite())) {
                fault(key, "must be a positive number".into());
            }
        }
    }
}

impl Kubernetes {
    /// Names what is wrong, each with its key in front.
    pub(in super::super) fn faults(&self, fault: &mut dyn FnMut(&str, String)) {
        let is_safe = self.url.starts_with("https://");
        if !is_safe && !self.url.starts_with("http://") {
            fault("url", format!("{:?} is neither https nor http", self.url));
        } else if !is_safe && self.token_file.is_some() {
            fault("token_file", "is not sent in the clear: the url must be https".into());
        }
    }
}
