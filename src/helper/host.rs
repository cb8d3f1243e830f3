//! The node: which hierarchies there are, opened once at start.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use procfs::process::Process;
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::links::{Links, Rtnetlink};
use super::policy::Roots;
use super::resctrl::{Groups, Mounted};
use super::root::{RelPath, Root};
use crate::data::Knob;

/// A version 1 hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Controller {
    Cpu,
    Cpuset,
    Memory,
    Blkio,
    Freezer,
}

impl Controller {
    const ALL: [Self; 5] = [Self::Cpu, Self::Cpuset, Self::Memory, Self::Blkio, Self::Freezer];

    /// Its directory, and its name in `/proc/PID/cgroup`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuset => "cpuset",
            Self::Memory => "memory",
            Self::Blkio => "blkio",
            Self::Freezer => "freezer",
        }
    }

    /// The one a knob is in; `None` for knobs of no cgroup.
    fn of(knob: Knob) -> Option<Self> {
        match knob {
            Knob::CpuQuota | Knob::CpuWeight => Some(Self::Cpu),
            Knob::Cpuset => Some(Self::Cpuset),
            Knob::MemoryMax | Knob::MemoryHigh => Some(Self::Memory),
            Knob::IoReadBytes
            | Knob::IoWriteBytes
            | Knob::IoReadOps
            | Knob::IoWriteOps
            | Knob::IoWeight => Some(Self::Blkio),
            Knob::Freeze => Some(Self::Freezer),
            // Cgroups say whose they are only.
            Knob::LlcWays | Knob::MemoryBandwidth => None,
            Knob::FrequencyMax | Knob::FrequencyMin | Knob::Governor | Knob::NetworkRate => None,
        }
    }
}

/// A tree of directories that knobs are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Base {
    /// One hierarchy of cgroup version 1.
    V1(Controller),
    /// The hierarchy of cgroup version 2.
    V2,
    /// cpufreq policies.
    Frequency,
    /// Network interfaces.
    Network,
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V1(controller) => f.write_str(controller.name()),
            Self::V2 => f.write_str("unified"),
            Self::Frequency => f.write_str("cpufreq"),
            Self::Network => f.write_str("net"),
        }
    }
}

/// The node.
#[derive(Debug)]
pub(crate) struct Host {
    bases: BTreeMap<Base, Root>,
    own: BTreeMap<Base, RelPath>,
    /// Resource groups of the kernel.
    pub(crate) groups: Groups,
    /// Where interfaces lead.
    pub(crate) links: Box<dyn Links>,
    /// procfs.
    pub(crate) proc: PathBuf,
    /// The `tc` program.
    pub(crate) tc: PathBuf,
    /// Which boot this is. Nothing set by an earlier one is still there.
    pub(crate) boot: String,
}

impl Host {
    /// Finds out what there is, and opens it.
    ///
    /// # Errors
    /// When a root cannot be opened, or holds no cgroups at all.
    pub(crate) fn open(roots: &Roots) -> Result<Self, Error> {
        let mut bases = cgroup_bases(&roots.cgroup)
            .map_err(|e| Error::Open { what: roots.cgroup.clone(), source: e })?;
        if bases.is_empty() {
            return Err(Error::NoCgroups { path: roots.cgroup.clone() });
        }
        // Many machines have no frequency to set; requests for it are refused then.
        if let Ok(root) = Root::open(&roots.cpu.join("cpufreq")) {
            bases.insert(Base::Frequency, root);
        }
        if let Ok(root) = Root::open_links(&roots.net) {
            bases.insert(Base::Network, root);
        }
        let boot = std::fs::read_to_string(roots.proc.join("sys/kernel/random/boot_id"))
            .map_err(|e| Error::Open { what: roots.proc.clone(), source: e })?;
        let mut host = Self {
            bases,
            own: BTreeMap::new(),
            groups: Groups::new(Mounted::new(roots.resctrl.clone())),
            links: Box::new(Rtnetlink),
            proc: roots.proc.clone(),
            tc: roots.tc.clone(),
            boot: boot.trim().into(),
        };
        for base in host.bases.keys().copied().collect::<Vec<_>>() {
            // A path that is none is one outside of what we see: nothing here can be ours.
            if let Ok(Some(path)) = host.cgroup_of(std::process::id(), base) {
                host.own.insert(base, path);
            }
        }
        Ok(host)
    }

    /// The directory of a tree.
    pub(crate) fn root(&self, base: Base) -> Option<&Root> {
        self.bases.get(&base)
    }

    /// The trees that cgroups are in.
    pub(crate) fn cgroup_bases(&self) -> impl Iterator<Item = Base> {
        self.bases.keys().copied().filter(|b| matches!(b, Base::V1(_) | Base::V2))
    }

    /// The tree a knob is in: of version 1 if its controller is mounted there, else of version 2.
    pub(crate) fn base_of(&self, knob: Knob) -> Option<Base> {
        let base = match Controller::of(knob) {
            Some(controller) if self.bases.contains_key(&Base::V1(controller)) => {
                Base::V1(controller)
            }
            Some(_) => Base::V2,
            None if knob.is_of_group() => {
                return self.cgroup_bases().next().filter(|_| self.groups.is_mounted());
            }
            None if knob == Knob::NetworkRate => Base::Network,
            None => Base::Frequency,
        };
        self.bases.contains_key(&base).then_some(base)
    }

    /// Whether the helper itself is in this cgroup.
    pub(crate) fn is_own(&self, base: Base, path: &RelPath) -> bool {
        path.is_root() || self.own.get(&base).is_some_and(|own| path.holds(own))
    }

    /// The cgroup of a process; `None` when it is in none of this tree.
    ///
    /// # Errors
    /// When there is no such process, or its cgroup lies outside of what is mounted here.
    pub(crate) fn cgroup_of(&self, pid: u32, base: Base) -> Result<Option<RelPath>, String> {
        let gone = |e: procfs::ProcError| format!("process {pid}: {e}");
        let process = Process::new_with_root(self.proc.join(pid.to_string())).map_err(gone)?;
        for group in process.cgroups().map_err(gone)? {
            let is_it = match base {
                Base::V1(controller) => group.controllers.iter().any(|c| c == controller.name()),
                Base::V2 => group.hierarchy == 0 && group.controllers.is_empty(),
                Base::Frequency | Base::Network => false,
            };
            if is_it {
                return RelPath::parse(&group.pathname).map(Some);
            }
        }
        Ok(None)
    }
}

/// The hierarchies below `path`: version 2 at `path` itself or in `unified`, version 1 by name.
fn cgroup_bases(path: &Path) -> io::Result<BTreeMap<Base, Root>> {
    let mut bases = BTreeMap::new();
    let real = path.canonicalize()?;
    if real.join("cgroup.controllers").is_file() {
        bases.insert(Base::V2, Root::open(&real)?);
        return Ok(bases);
    }
    let unified = real.join("unified");
    if unified.join("cgroup.controllers").is_file() {
        bases.insert(Base::V2, Root::open(&unified)?);
    }
    for controller in Controller::ALL {
        // `cpu` is often a link to `cpu,cpuacct` beside it.
        let Ok(dir) = real.join(controller.name()).canonicalize() else { continue };
        if dir.is_dir() && dir.parent() == Some(&*real) {
            bases.insert(Base::V1(controller), Root::open(&dir)?);
        }
    }
    Ok(bases)
}
