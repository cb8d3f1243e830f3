//! The resource groups of the node: ours, one for each target, and those of others.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::super::crash;
use super::super::knob::Fault;
use super::super::members::{numbers, threads};
use super::super::root::{Dir, Identity, RelPath};
use super::schemata::{Domains, lines};

use super::tree::Tree;

/// What names of our groups begin with; the rest is the number of the target's cgroup.
const PREFIX: &str = "sage-helper-";
/// Directories that are no groups.
const NO_GROUPS: [&str; 3] = ["info", "mon_groups", "mon_data"];
/// How often threads that came meanwhile are looked for; those of threads taken in are in already.
const PASSES_MAX: usize = 16;

/// All groups.
#[derive(Clone, Debug)]
pub(crate) struct Groups(Arc<dyn Tree>);

impl Groups {
    pub(crate) fn new(tree: impl Tree + 'static) -> Self {
        Self(Arc::new(tree))
    }

    /// Whether resctrl is mounted.
    pub(crate) fn is_mounted(&self) -> bool {
        self.0.read(&RelPath::root(), "schemata").is_ok()
    }

    /// The group of a target, which need not be there.
    pub(crate) fn of(&self, target: Identity) -> Partition {
        Partition { groups: self.clone(), name: name(target) }
    }

    /// Removes groups of ours that belong to none of `targets`, and says how many.
    ///
    /// # Errors
    /// The first that is left, after all were tried.
    pub(crate) fn sweep(&self, targets: impl Iterator<Item = Identity>) -> Result<usize, Fault> {
        let kept: BTreeSet<String> = targets.map(name).collect();
        let (mut count, mut first) = (0, None);
        for name in self.directories(&RelPath::root())? {
            let is_ours = name.strip_prefix(PREFIX).is_some_and(|rest| {
                !rest.is_empty() && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            });
            if is_ours && !kept.contains(&name) {
                match self.remove(&name) {
                    Ok(()) => count += 1,
                    Err(fault) => drop(first.get_or_insert(fault)),
                }
            }
        }
        first.map_or(Ok(count), Err)
    }

    /// A number of `info/`.
    pub(crate) fn info(&self, resource: &str, file: &str) -> Result<u64, Fault> {
        let at = RelPath::root().child("info").child(resource);
        let text = self.0.read(&at, file).map_err(|e| self.fault(&e))?;
        text.trim()
            .parse()
            .map_err(|_| Fault::Strange(format!("info/{resource}/{file} is {text:?}")))
    }

    /// What the root group has of a resource.
    pub(crate) fn root_line(&self, resource: &str, base: u32) -> Result<Domains, Fault> {
        let absent = || Fault::Absent(format!("{resource} in the schemata of resctrl"));
        match self.line(&RelPath::root(), resource, base)? {
            Some(line) => Ok(line),
            None => Err(absent()),
        }
    }

    fn line(&self, group: &RelPath, resource: &str, base: u32) -> Result<Option<Domains>, Fault> {
        let text = match self.0.read(group, "schemata") {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.fault(&e)),
        };
        let line = lines(&text).find(|(name, _)| *name == resource);
        line.map(|(_, rest)| Domains::parse(rest, base)).transpose().map_err(Fault::Strange)
    }

    fn directories(&self, at: &RelPath) -> Result<Vec<String>, Fault> {
        match self.0.directories(at) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(|e| self.fault(&e)),
        }
    }

    /// The tasks of a group; none where there is no such group.
    fn tasks(&self, group: &RelPath) -> Result<BTreeSet<u32>, Fault> {
        match self.0.read(group, "tasks") {
            Ok(text) => Ok(numbers(&text).collect()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(e) => Err(self.fault(&e)),
        }
    }

    fn write(&self, group: &RelPath, file: &str, text: &str) -> Result<(), io::Error> {
        crash::point();
        self.0.write(group, file, text)?;
        crash::point();
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), Fault> {
        crash::point();
        match self.0.remove(name) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(self.fault(&e)),
            _ => {}
        }
        crash::point();
        Ok(())
    }

    /// What went wrong, with what the kernel has to say beyond a number.
    fn fault(&self, error: &io::Error) -> Fault {
        let status = self.0.read(&RelPath::root().child("info"), "last_cmd_status");
        let status = status.unwrap_or_default().trim().replace('\n', "; ");
        let text = match status.as_str() {
            "" | "ok" => error.to_string(),
            status => format!("{error}: {status}"),
        };
        if error.raw_os_error() == Some(Errno::NOSPC.raw_os_error()) {
            return Fault::NoGroupLeft(text);
        }
        Fault::Io(io::Error::new(error.kind(), text))
    }
}

fn name(target: Identity) -> String {
    format!("{PREFIX}{:x}", target.number())
}

/// The group of one target.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub(crate) groups: Groups,
    name: String,
}

impl Partition {
    fn path(&self) -> RelPath {
        RelPath::root().child(&self.name)
    }

    /// What the group has of a resource; `None` where there is no group.
    pub(crate) fn line(&self, resource: &str, base: u32) -> Result<Option<Domains>, Fault> {
        self.groups.line(&self.path(), resource, base)
    }

    /// Which group of somebody else has a thread of the target, be it to monitor it only: to take it from there
    /// would end that.
    pub(crate) fn check_unclaimed(&self, cgroup: &Dir) -> Result<(), Fault> {
        let (groups, root) = (&self.groups, RelPath::root());
        let mut others = Vec::new();
        for name in groups.directories(&root)? {
            if name != self.name && !NO_GROUPS.contains(&name.as_str()) {
                others.push(root.child(&name));
            }
        }
        let monitoring = root.child("mon_groups");
        let names = groups.directories(&monitoring)?;
        others.extend(names.iter().map(|name| monitoring.child(name)));
        if others.is_empty() {
            return Ok(());
        }
        let threads = threads(cgroup)?;
        for other in others {
            if let Some(thread) = groups.tasks(&other)?.intersection(&threads).next() {
                let what =
                    format!("thread {thread} of it is in the resource group {other} already");
                return Err(Fault::Claimed(what));
            }
        }
        Ok(())
    }

    /// Makes the group if it is not there. What it has at first is what the root group has, so that nothing
    /// changes but what is set then.
    pub(crate) fn make(&self) -> Result<(), Fault> {
        let groups = &self.groups;
        crash::point();
        match groups.0.make(&self.name) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            other => other.map_err(|e| groups.fault(&e))?,
        }
        crash::point();
        let read = |group: &RelPath| groups.0.read(group, "schemata").map_err(|e| groups.fault(&e));
        let (wanted, has) = (read(&RelPath::root())?, read(&self.path())?);
        for line in lines(&wanted) {
            if !lines(&has).any(|other| other == line) {
                self.set(line.0, line.1)?;
            }
        }
        Ok(())
    }

    /// Sets one resource of the group.
    pub(crate) fn set(&self, resource: &str, domains: &str) -> Result<(), Fault> {
        let line = format!("{resource}:{domains}");
        self.groups.write(&self.path(), "schemata", &line).map_err(|e| self.groups.fault(&e))
    }

    /// Takes in all threads of the target, and lets go of those that have left it.
    pub(crate) fn gather(&self, cgroup: &Dir) -> Result<(), Fault> {
        for _ in 0..PASSES_MAX {
            // In this order: a thread that begins between the two is in both, or is late.
            let inside = self.groups.tasks(&self.path())?;
            let threads = threads(cgroup)?;
            for left in inside.difference(&threads) {
                self.put(&RelPath::root(), *left)?;
            }
            let mut count = 0;
            for late in threads.difference(&inside) {
                count += usize::from(self.put(&self.path(), *late)?);
            }
            if count == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Puts a thread into a group, unless it has ended.
    fn put(&self, group: &RelPath, thread: u32) -> Result<bool, Fault> {
        match self.groups.write(group, "tasks", &thread.to_string()) {
            Ok(()) => Ok(true),
            Err(e) if e.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(false),
            Err(e) => Err(self.groups.fault(&e)),
        }
    }

    /// Removes the group; its threads are in the root group again.
    pub(crate) fn remove(&self) -> Result<(), Fault> {
        self.groups.remove(&self.name)
    }
}
