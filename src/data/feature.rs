//! Which metrics matter, and for what.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A resource that can be short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// Processor time.
    Cpu,
    /// Memory capacity.
    Memory,
    /// Block devices.
    Disk,
    /// The network between services.
    Network,
}

impl Resource {
    /// All of them, in a fixed order.
    pub const ALL: [Resource; 4] = [Self::Cpu, Self::Memory, Self::Disk, Self::Network];

    /// Position in [`Resource::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Network => "network",
        })
    }
}

/// What a feature tells about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Shortage of processor time.
    Cpu,
    /// Shortage of memory.
    Memory,
    /// Shortage of disk.
    Disk,
    /// Trouble on the network.
    Network,
    /// How much work arrives. Context only: load is never a service's fault.
    Load,
}

impl Role {
    /// The resource, unless the role is load.
    pub fn resource(self) -> Option<Resource> {
        match self {
            Self::Cpu => Some(Resource::Cpu),
            Self::Memory => Some(Resource::Memory),
            Self::Disk => Some(Resource::Disk),
            Self::Network => Some(Resource::Network),
            Self::Load => None,
        }
    }
}

/// How samples of a metric become a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// Only grows: its rate per second counts.
    Counter,
    /// Its mean over the interval counts.
    Gauge,
    /// A time that somebody measured, zero where there was nothing to measure: the mean of the others counts.
    Duration,
    /// Such a time: how many of them there was nothing to measure for counts, as a share.
    Lost,
}

impl MetricKind {
    /// How samples are kept: what was lost is told from the same series as how long the rest took.
    pub fn of_series(self) -> Self {
        match self {
            Self::Lost => Self::Duration,
            kind => kind,
        }
    }
}

/// What a high value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Much of the resource is used. May be an effect: whoever waits for a slow callee holds more.
    #[default]
    Usage,
    /// Somebody goes without: throttling, faults, retransmissions.
    Saturation,
    /// Time is lost for want of it, as the kernel's pressure counts it. Where that is as usual, nobody goes
    /// without, whatever else is counted.
    Stall,
    /// More was asked for than a limit of its own allows, so often. A shortage like others; and as no want of
    /// anything else makes that happen, it is not the effect of one.
    Limit,
}

/// Whom a series describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// One replica of a service.
    #[default]
    Service,
    /// A host: applies to every replica on it.
    Node,
    /// A probe of a service from outside.
    Probe,
}

/// How two levels of a feature compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// By their ratio: twice as much is twice as much.
    #[default]
    Log,
    /// The level is a share of a limit: what counts is how little is left.
    Headroom,
}

/// What a feature is divided by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Divisor {
    /// Metric.
    pub metric: String,
    /// Counter or gauge.
    pub kind: MetricKind,
    /// Labels that must match, as in [`FeatureSpec::matchers`].
    #[serde(default, rename = "match", skip_serializing_if = "BTreeMap::is_empty")]
    pub matchers: BTreeMap<String, String>,
}

fn one() -> f64 {
    1.0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_one(factor: &f64) -> bool {
    *factor == 1.0
}

/// One row of the feature table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    /// Name of the feature, as diagnoses show it.
    pub name: String,
    /// Metric it is computed from.
    pub metric: String,
    /// Counter or gauge.
    pub kind: MetricKind,
    /// The resource it tells about, or `load`.
    pub resource: Role,
    /// Divide by this, replica by replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Divisor>,
    /// Multiply by this, to arrive at a useful unit.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub factor: f64,
    /// How levels compare.
    #[serde(default)]
    pub scale: Scale,
    /// What a high value means.
    #[serde(default)]
    pub signal: Signal,
    /// Whom the series describes.
    #[serde(default)]
    pub scope: Scope,
    /// Unit, for people.
    #[serde(default)]
    pub unit: String,
    /// Labels that must match; `"!value"` must not, `"a|b"` is either.
    #[serde(default, rename = "match", skip_serializing_if = "BTreeMap::is_empty")]
    pub matchers: BTreeMap<String, String>,
}
