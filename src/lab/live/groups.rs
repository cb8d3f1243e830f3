//! Cgroups of our own, version 1 or 2: made, filled, read, written, and removed with everyone in them.
//!
//! All are below one name, so that whatever is left behind can be found by it. Absent on purpose: any other
//! cgroup, but for going back to where we came from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The cgroup above all of ours.
pub(super) const NAME: &str = "sage-live";
/// Controllers of version 1 that are used.
const CONTROLLERS: [&str; 4] = ["cpu", "cpuacct", "memory", "blkio"];
/// Attempts to remove a cgroup whose processes were killed, and the pause between them.
const PATIENCE: (usize, Duration) = (200, Duration::from_millis(10));

/// What can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// Processor time, in microseconds of a period.
    Cpu,
    /// Memory, in bytes.
    Memory,
    /// Bytes read per second from the device with our files.
    DiskRead,
    /// Share of contended processor time, 100 is usual.
    Weight,
}

/// The kernel's period of a processor quota, microseconds.
pub(super) const PERIOD_US: u64 = 100_000;

/// Where cgroups are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Layout {
    /// Version 1; and version 2 without controllers, for the pressure of a group, where it is mounted.
    One {
        unified: Option<PathBuf>,
    },
    Two,
}

/// The cgroups of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Groups {
    root: PathBuf,
    layout: Layout,
    /// `major:minor` of the block device below our files.
    device: String,
}

impl Groups {
    /// Finds out what there is below `root`, usually `/sys/fs/cgroup`.
    ///
    /// # Errors
    /// What is missing, in words.
    pub(super) fn find(root: &Path, device: &str) -> Result<Self, String> {
        let made = |layout| Self { root: root.into(), layout, device: device.into() };
        if let Ok(text) = fs::read_to_string(root.join("cgroup.subtree_control")) {
            let has = |c: &&str| !text.split_whitespace().any(|w| w == *c);
            let missing: Vec<&str> = ["cpu", "memory", "io"].into_iter().filter(has).collect();
            return match missing.as_slice() {
                [] => Ok(made(Layout::Two)),
                missing => Err(format!(
                    "cgroup controllers {} are not enabled; as root: echo '+{}' > {}/cgroup.subtree_control",
                    missing.join(", "),
                    missing.join(" +"),
                    root.display()
                )),
            };
        }
        let is_missing = |c: &&str| !root.join(c).join("cgroup.procs").exists();
        let missing: Vec<&str> = CONTROLLERS.into_iter().filter(is_missing).collect();
        if !missing.is_empty() {
            return Err(format!(
                "no cgroup hierarchy {} below {}",
                missing.join(", "),
                root.display()
            ));
        }
        let unified = root.join("unified");
        let unified = unified.join("cgroup.procs").exists().then_some(unified);
        Ok(made(Layout::One { unified }))
    }

    /// Hierarchies in which each group has a directory.
    fn trees(&self) -> Vec<PathBuf> {
        match &self.layout {
            Layout::Two => vec![self.root.clone()],
            Layout::One { unified } => {
                let one = CONTROLLERS.iter().map(|c| self.root.join(c));
                one.chain(unified.clone()).collect()
            }
        }
    }

    /// Whether something of that name is there already.
    pub(super) fn exist(&self) -> bool {
        self.trees().iter().any(|tree| tree.join(NAME).exists())
    }

    /// Makes the group above all others.
    ///
    /// # Errors
    /// Those of the kernel.
    pub(super) fn begin(&self) -> io::Result<()> {
        for tree in self.trees() {
            fs::create_dir(tree.join(NAME))?;
        }
        if self.layout == Layout::Two {
            let control = self.root.join(NAME).join("cgroup.subtree_control");
            fs::write(control, "+cpu +memory +io")?;
        }
        Ok(())
    }

    /// Makes a group.
    ///
    /// # Errors
    /// Those of the kernel.
    pub(super) fn make(&self, group: &str) -> io::Result<()> {
        self.trees().iter().try_for_each(|tree| fs::create_dir(tree.join(NAME).join(group)))
    }

    /// The files that put a process there.
    pub(super) fn entries(&self, group: &str) -> Vec<PathBuf> {
        let entry = |tree: &PathBuf| tree.join(NAME).join(group).join("cgroup.procs");
        self.trees().iter().map(entry).collect()
    }

    /// Puts a process there.
    ///
    /// # Errors
    /// Those of the kernel.
    pub(super) fn add(&self, group: &str, pid: u32) -> io::Result<()> {
        self.entries(group).iter().try_for_each(|entry| fs::write(entry, pid.to_string()))
    }

    /// Puts this process into a group, as far as processor time goes; returns the file that takes it back. With
    /// version 2 it stays where it is: there it cannot be moved for one controller alone.
    ///
    /// # Errors
    /// Those of the kernel.
    pub(super) fn enter(&self, group: &str) -> io::Result<Option<PathBuf>> {
        if self.is_two() {
            return Ok(None);
        }
        let text = fs::read_to_string("/proc/self/cgroup")?;
        let is_cpu = |list: &str| list.split(',').any(|c| c == "cpu");
        // 4:cpu,cpuacct:/user.slice
        let was = text.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            is_cpu(controllers).then_some(path)
        });
        let was = was.unwrap_or("/").trim_start_matches('/');
        fs::write(self.file(group, "cpu", "cgroup.procs"), std::process::id().to_string())?;
        Ok(Some(self.root.join("cpu").join(was).join("cgroup.procs")))
    }

    /// Takes this process back to where it came from.
    ///
    /// # Errors
    /// Those of the kernel.
    pub(super) fn leave(place: &Path) -> io::Result<()> {
        fs::write(place, std::process::id().to_string())
    }

    /// The path of a group below its hierarchy, as the helper wants it.
    pub(super) fn path(group: &str) -> String {
        format!("/{NAME}/{group}")
    }

    /// A file of a group; `controller` counts in version 1 only.
    pub(super) fn file(&self, group: &str, controller: &str, name: &str) -> PathBuf {
        // An empty group is the one above all others.
        let tree = match self.layout {
            Layout::One { .. } => self.root.join(controller),
            Layout::Two => self.root.clone(),
        };
        tree.join(NAME).join(group).join(name)
    }

    /// The file with the pressure on a group, where there is one.
    pub(super) fn pressure(&self, group: &str, what: &str) -> Option<PathBuf> {
        let tree = match &self.layout {
            Layout::One { unified } => unified.clone()?,
            Layout::Two => self.root.clone(),
        };
        Some(tree.join(NAME).join(group).join(format!("{what}.pressure")))
    }

    /// Whether this is version 2.
    pub(super) fn is_two(&self) -> bool {
        self.layout == Layout::Two
    }

    fn place(&self, group: &str, limit: Limit) -> PathBuf {
        let (controller, one, two) = match limit {
            Limit::Cpu => ("cpu", "cpu.cfs_quota_us", "cpu.max"),
            Limit::Weight => ("cpu", "cpu.shares", "cpu.weight"),
            Limit::Memory => ("memory", "memory.limit_in_bytes", "memory.max"),
            Limit::DiskRead => ("blkio", "blkio.throttle.read_bps_device", "io.max"),
        };
        self.file(group, controller, if self.is_two() { two } else { one })
    }

    /// Sets a limit; `None`: no limit.
    ///
    /// # Errors
    /// Those of the kernel.
    pub(super) fn set(&self, group: &str, limit: Limit, value: Option<u64>) -> io::Result<()> {
        fs::write(self.place(group, limit), self.words(limit, value))
    }

    /// What is written for a value.
    fn words(&self, limit: Limit, value: Option<u64>) -> String {
        let device = &self.device;
        match (self.is_two(), limit, value) {
            (true, Limit::Cpu, Some(us)) => format!("{us} {PERIOD_US}"),
            (true, Limit::Cpu, None) => format!("max {PERIOD_US}"),
            (true, Limit::DiskRead, Some(bps)) => format!("{device} rbps={bps}"),
            (true, Limit::DiskRead, None) => format!("{device} rbps=max"),
            (false, Limit::DiskRead, bps) => format!("{device} {}", bps.unwrap_or(0)),
            // 1024 shares are a weight of 100.
            (false, Limit::Weight, Some(weight)) => (weight * 1024 / 100).to_string(),
            (_, _, Some(value)) => value.to_string(),
            (false, _, None) => "-1".into(),
            (true, _, None) => "max".into(),
        }
    }

    /// What a limit is at, in the kernel's words.
    ///
    /// # Errors
    /// Those of the kernel.
    pub(super) fn get(&self, group: &str, limit: Limit) -> io::Result<String> {
        Ok(fs::read_to_string(self.place(group, limit))?.trim().to_string())
    }

    /// Sets a limit to what was read of it before.
    ///
    /// # Errors
    /// Those of the kernel.
    pub(super) fn put_back(&self, group: &str, limit: Limit, words: &str) -> io::Result<()> {
        // Without a limit for a device there is no line for it.
        let none = self.words(limit, None);
        fs::write(self.place(group, limit), if words.is_empty() { &none } else { words })
    }

    /// Kills everyone in our groups but this process, and removes the groups. What is not there is fine.
    ///
    /// # Errors
    /// A group that cannot be removed.
    pub(super) fn sweep(&self) -> io::Result<()> {
        self.trees().iter().try_for_each(|tree| sweep(&tree.join(NAME)))
    }
}

fn sweep(dir: &Path) -> io::Result<()> {
    let Ok(below) = fs::read_dir(dir) else { return Ok(()) };
    for entry in below.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        sweep(&entry.path())?;
    }
    for _ in 0..PATIENCE.0 {
        kill_all(dir);
        match fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) => std::thread::sleep(PATIENCE.1),
        }
    }
    fs::remove_dir(dir)
}

fn kill_all(dir: &Path) {
    let members = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    for pid in members.lines().filter_map(|l| l.parse::<i32>().ok()) {
        let us = rustix::process::getpid();
        if let Some(pid) = rustix::process::Pid::from_raw(pid).filter(|pid| *pid != us) {
            // It may have ended by itself; the next look tells.
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(of: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in of {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "cpu memory io\n").unwrap();
        }
        root
    }

    #[test]
    fn both_versions_are_recognised_and_written_in_their_own_words() {
        let one: Vec<String> = CONTROLLERS.iter().map(|c| format!("{c}/cgroup.procs")).collect();
        let root = files(&one.iter().map(String::as_str).collect::<Vec<_>>());
        let groups = Groups::find(root.path(), "8:0").unwrap();
        assert!(!groups.is_two() && groups.pressure("a", "cpu").is_none());
        groups.begin().unwrap();
        groups.make("a").unwrap();
        groups.set("a", Limit::Cpu, Some(5000)).unwrap();
        assert_eq!(groups.get("a", Limit::Cpu).unwrap(), "5000");
        groups.set("a", Limit::DiskRead, Some(1000)).unwrap();
        assert_eq!(groups.get("a", Limit::DiskRead).unwrap(), "8:0 1000");
        groups.set("a", Limit::Weight, Some(200)).unwrap();
        assert_eq!(groups.get("a", Limit::Weight).unwrap(), "2048");
        assert!(groups.exist());

        let root = files(&["cgroup.subtree_control"]);
        let groups = Groups::find(root.path(), "8:0").unwrap();
        groups.begin().unwrap();
        groups.make("a").unwrap();
        groups.set("a", Limit::Cpu, None).unwrap();
        assert_eq!(groups.get("a", Limit::Cpu).unwrap(), "max 100000");
        groups.set("a", Limit::DiskRead, None).unwrap();
        assert_eq!(groups.get("a", Limit::DiskRead).unwrap(), "8:0 rbps=max");
        groups.set("a", Limit::Weight, Some(200)).unwrap();
        assert_eq!(groups.get("a", Limit::Weight).unwrap(), "200");
    }

    #[test]
    fn what_is_missing_is_named() {
        let root = files(&["cpu/cgroup.procs", "memory/cgroup.procs"]);
        let why = Groups::find(root.path(), "8:0").unwrap_err();
        assert!(why.contains("cpuacct, blkio"), "{why}");
        fs::write(root.path().join("cgroup.subtree_control"), "memory\n").unwrap();
        let why = Groups::find(root.path(), "8:0").unwrap_err();
        assert!(why.contains("+cpu +io"), "{why}");
    }

    #[test]
    fn nothing_to_sweep_is_fine() {
        let root = files(&["cgroup.subtree_control"]);
        Groups::find(root.path(), "8:0").unwrap().sweep().unwrap();
    }
}
