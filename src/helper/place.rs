//! Where one knob of one target is, as it is written in the journal; and what is done there.

use std::io;

use serde::{Deserialize, Serialize};

use super::host::{Base, Host};
use super::knob::{Fault, Interface, Spot, interface};
use super::resctrl::Partition;
use super::root::{Identity, RelPath};
use crate::data::Knob;

/// One knob at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    pub(crate) base: Base,
    pub(crate) path: RelPath,
    pub(crate) knob: Knob,
    pub(crate) device: Option<String>,
    /// The replica whose interface was looked for; `None` where the interface was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replica: Option<Replica>,
    /// Which directory it was; another one under the same name is not this place.
    pub(crate) identity: Identity,
}

/// A cgroup, where it is not the place itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replica {
    pub(crate) base: Base,
    pub(crate) path: RelPath,
}

/// A place, opened: the same directory for all that follows.
pub(crate) struct Open {
    spot: Spot,
    interface: &'static dyn Interface,
}

/// What is at a place now.
pub(crate) enum Found {
    Here(Open),
    /// The cgroup, policy or interface has gone, whatever bears its name now.
    Gone,
}

impl Place {
    /// Finds a knob.
    ///
    /// # Errors
    /// When the kernel has none of that name there.
    pub(crate) fn find(
        host: &Host,
        base: Base,
        path: RelPath,
        knob: Knob,
        device: Option<String>,
    ) -> Result<(Self, Open), Fault> {
        let open = Open::new(host, base, &path, knob, device.clone())?;
        let identity = open.spot.dir.identity()?;
        Ok((Self { base, path, knob, device, replica: None, identity }, open))
    }

    /// Opens it again.
    pub(crate) fn open(&self, host: &Host) -> Result<Found, Fault> {
        match Open::new(host, self.base, &self.path, self.knob, self.device.clone()) {
            Ok(open) if open.spot.dir.identity()? == self.identity => Ok(Found::Here(open)),
            Ok(_) | Err(Fault::Absent(_)) => Ok(Found::Gone),
            Err(fault) => Err(fault),
        }
    }

    /// A path for people.
    pub(crate) fn shown(&self) -> String {
        let of = self.replica.as_ref().map(|r| format!(" of {}:{}", r.base, r.path));
        format!("{}:{}{}", self.base, self.path, of.unwrap_or_default())
    }

    /// Whether `other` is the same knob of the same directory.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.identity, self.knob, &self.device) == (other.identity, other.knob, &other.device)
    }

    /// The resource group that this knob is in, if it is in one.
    pub(crate) fn partition(&self, host: &Host) -> Option<Partition> {
        self.knob.is_of_group().then(|| host.groups.of(self.identity))
    }

    /// Whether `other` is in the same resource group.
    pub(crate) fn shares_group(&self, other: &Self) -> bool {
        self.knob.is_of_group() && other.knob.is_of_group() && self.identity == other.identity
    }

    /// Whether `other` is at the same target: the same cgroup in whatever hierarchy, or the node.
    pub(crate) fn shares_target(&self, other: &Self) -> bool {
        self.cgroup() == other.cgroup()
    }

    /// The cgroup it is for; `None` for the node.
    fn cgroup(&self) -> Option<&RelPath> {
        if self.knob.is_of_cgroup() {
            return Some(&self.path);
        }
        self.replica.as_ref().map(|replica| &replica.path)
    }
}

impl Open {
    fn new(
        host: &Host,
        base: Base,
        path: &RelPath,
        knob: Knob,
        device: Option<String>,
    ) -> Result<Self, Fault> {
        let absent = || Fault::Absent(format!("{knob} in {base}"));
        let interface = interface(base, knob).ok_or_else(absent)?;
        let root = host.root(base).ok_or_else(absent)?;
        let dir = root.dir(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Fault::Absent(format!("{base}:{path}"))
            }
            _ => Fault::Io(e),
        })?;
        let partition = host.groups.of(dir.identity()?);
        Ok(Self { spot: Spot { dir, device, tc: host.tc.clone(), partition }, interface })
    }

    pub(crate) fn spot(&self) -> &Spot {
        &self.spot
    }

    pub(crate) fn interface(&self) -> &'static dyn Interface {
        self.interface
    }

    pub(crate) fn read(&self) -> Result<String, Fault> {
        // A kernel file of a directory that was removed answers ENODEV: the directory is gone.
        self.interface.read(&self.spot).map_err(|fault| match fault {
            Fault::Io(e) if e.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => {
                Fault::Absent(self.spot.dir.shown().display().to_string())
            }
            other => other,
        })
    }

    pub(crate) fn write(&self, text: &str) -> Result<(), Fault> {
        self.interface.write(&self.spot, text)
    }

    /// Sees to what has come to the target since it was written.
    pub(crate) fn refresh(&self) -> Result<(), Fault> {
        self.interface.refresh(&self.spot)
    }

    /// Why `text`, which was there before, must not be put back yet, if so.
    pub(crate) fn obstacle(&self, text: &str) -> Result<Option<String>, Fault> {
        self.interface.obstacle(&self.spot, text)
    }

    /// Whether two texts mean the same to a kernel that rounds.
    pub(crate) fn are_close(&self, a: &str, b: &str) -> bool {
        let amount = |text| self.interface.amount(&self.spot, text);
        a == b || matches!((amount(a), amount(b)), (Ok(a), Ok(b)) if a.is_close(&b))
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("spot", &self.spot).finish_non_exhaustive()
    }
}
