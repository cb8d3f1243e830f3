//! What can be changed on a node: the values that cross the border between sidecar and helper.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The name of a fix, given by whoever asks for it: 1 to 64 of `a-z`, `0-9` and `-`.
///
/// It becomes a file name in the helper's journal, so nothing else is let through.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FixId(String);

impl FixId {
    /// Checks a name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if (1..=64).contains(&text.len()) && text.chars().all(is_plain) {
            Ok(Self(text))
        } else {
            Err("a fix id is 1 to 64 of a-z, 0-9 and -".into())
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FixId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::new(text)
    }
}

impl From<FixId> for String {
    fn from(id: FixId) -> Self {
        id.0
    }
}

impl fmt::Display for FixId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing of a node that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Knob {
    /// CPU time, in cores; `"max"` for no limit.
    CpuQuota,
    /// Share of contended CPU time, 1 to 10000 as in cgroup v2; 100 is usual.
    CpuWeight,
    /// The CPUs that may be used, as a list: `"0-3,8"`.
    Cpuset,
    /// Hard memory limit, in bytes; `"max"` for none.
    MemoryMax,
    /// Memory beyond which the kernel reclaims (v2) or reclaims first under pressure (v1), in bytes.
    MemoryHigh,
    /// Bytes read per second from one block device; `"max"` for no limit.
    IoReadBytes,
    /// Bytes written per second to one block device; `"max"` for no limit.
    IoWriteBytes,
    /// Reads per second from one block device; `"max"` for no limit.
    IoReadOps,
    /// Writes per second to one block device; `"max"` for no limit.
    IoWriteOps,
    /// Share of contended block I/O, 1 to 10000 (1 to 1000 on cgroup v1).
    IoWeight,
    /// Whether all processes stand still.
    Freeze,
    /// How many ways of the last-level cache may be filled, or which ones as a mask: `"0xf0"`.
    LlcWays,
    /// Share of the memory bandwidth, in percent.
    MemoryBandwidth,
    /// Highest frequency of one cpufreq policy, in kHz.
    FrequencyMax,
    /// Lowest frequency of one cpufreq policy, in kHz.
    FrequencyMin,
    /// Governor of one cpufreq policy, by name.
    Governor,
    /// What one network interface may send, in bits per second; `"max"` for no limit.
    NetworkRate,
}

impl Knob {
    /// All there are.
    pub const ALL: [Self; 17] = [
        Self::CpuQuota,
        Self::CpuWeight,
        Self::Cpuset,
        Self::MemoryMax,
        Self::MemoryHigh,
        Self::IoReadBytes,
        Self::IoWriteBytes,
        Self::IoReadOps,
        Self::IoWriteOps,
        Self::IoWeight,
        Self::Freeze,
        Self::LlcWays,
        Self::MemoryBandwidth,
        Self::FrequencyMax,
        Self::FrequencyMin,
        Self::Governor,
        Self::NetworkRate,
    ];

    /// Its name in requests and in the policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::CpuQuota => "cpu_quota",
            Self::CpuWeight => "cpu_weight",
            Self::Cpuset => "cpuset",
            Self::MemoryMax => "memory_max",
            Self::MemoryHigh => "memory_high",
            Self::IoReadBytes => "io_read_bytes",
            Self::IoWriteBytes => "io_write_bytes",
            Self::IoReadOps => "io_read_ops",
            Self::IoWriteOps => "io_write_ops",
            Self::IoWeight => "io_weight",
            Self::Freeze => "freeze",
            Self::LlcWays => "llc_ways",
            Self::MemoryBandwidth => "memory_bandwidth",
            Self::FrequencyMax => "frequency_max",
            Self::FrequencyMin => "frequency_min",
            Self::Governor => "governor",
            Self::NetworkRate => "network_rate",
        }
    }

    /// Whether it belongs to a cgroup; else it belongs to the node.
    pub fn is_of_cgroup(self) -> bool {
        !matches!(
            self,
            Self::FrequencyMax | Self::FrequencyMin | Self::Governor | Self::NetworkRate
        )
    }

    /// Whether it is in a resource group of the kernel, made for the cgroup.
    pub fn is_of_group(self) -> bool {
        matches!(self, Self::LlcWays | Self::MemoryBandwidth)
    }

    /// Whether a request must say for which device.
    pub fn needs_device(self) -> bool {
        !self.is_of_cgroup()
            || matches!(
                self,
                Self::IoReadBytes | Self::IoWriteBytes | Self::IoReadOps | Self::IoWriteOps
            )
    }
}

impl fmt::Display for Knob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whom a fix is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A cgroup, by its path below the hierarchy: `"/system.slice/a.service"`.
    Cgroup(String),
    /// A container, by its id or the first 12 digits or more of it.
    Container(String),
    /// All containers of a pod, by its uid.
    Pod(String),
    /// A systemd unit: `"redis.service"`.
    Unit(String),
    /// The cgroup of the processes with this name. They must share one.
    Process(String),
    /// The cgroup of one process.
    Pid(u32),
    /// The node itself, for knobs that belong to no cgroup.
    Node,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cgroup(path) => write!(f, "cgroup {path}"),
            Self::Container(id) => write!(f, "container {id}"),
            Self::Pod(uid) => write!(f, "pod {uid}"),
            Self::Unit(name) => write!(f, "unit {name}"),
            Self::Process(name) => write!(f, "process {name}"),
            Self::Pid(pid) => write!(f, "pid {pid}"),
            Self::Node => write!(f, "the node"),
        }
    }
}

/// What a knob is set to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// `freeze`.
    Flag(bool),
    /// A size, in the unit of the knob.
    Amount(f64),
    /// `"max"`, a list of CPUs, a governor.
    Text(String),
}

impl Fix {
    /// Whether the interface is to be found by the target.
    pub fn seeks_interface(&self) -> bool {
        self.knob == Knob::NetworkRate && self.device.is_none() && self.target != Target::Node
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Amount(amount) => write!(f, "{amount}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// One change of one knob of one target, for a limited time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fix {
    /// Its name.
    pub id: FixId,
    /// Whom it is for.
    pub target: Target,
    /// What is changed.
    pub knob: Knob,
    /// Block device (`"254:0"`), cpufreq policy (`"policy0"`) or interface (`"eth0"`), where the knob
    /// has one of several. Without, `network_rate` of a replica finds its interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What it is set to.
    pub value: Value,
    /// How long it stays unless it is renewed.
    #[serde(with = "crate::duration")]
    pub lease: Duration,
    /// For people who read the list: why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}
