//! resctrl made of plain files, with what makes it unlike them: a new group fills itself, a task is in one
//! group only, a line replaces that of one resource, and what the processor cannot do is refused.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::super::resctrl::{Domains, Tree, is_contiguous};
use super::super::root::RelPath;
use super::node::{Cgroups, Node, REPLICA};

/// Two sockets, eleven ways each, four classes of service. The upper ways belong to devices, too.
const FILES: &[(&str, &str)] = &[
    ("schemata", "    L3:0=7ff;1=7ff\n    MB:0=100;1=100\n"),
    ("tasks", "1\n101\n102\n200\n"),
    ("info/last_cmd_status", "ok\n"),
    ("info/L3/cbm_mask", "7ff\n"),
    ("info/L3/min_cbm_bits", "2\n"),
    ("info/L3/num_closids", "4\n"),
    ("info/L3/shareable_bits", "600\n"),
    ("info/MB/min_bandwidth", "10\n"),
    ("info/MB/bandwidth_gran", "10\n"),
    ("info/MB/delay_linear", "1\n"),
];

/// Where it is mounted.
#[derive(Debug)]
pub(super) struct Fake(pub(super) PathBuf);

impl Fake {
    fn at(&self, at: &RelPath) -> PathBuf {
        self.0.join(at.as_str().trim_start_matches('/'))
    }

    fn fail<T>(&self, errno: Errno, status: &str) -> io::Result<T> {
        fs::write(self.0.join("info/last_cmd_status"), format!("{status}\n")).unwrap();
        Err(errno.into())
    }

    fn groups(&self) -> Vec<PathBuf> {
        let dirs = fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().path());
        dirs.filter(|path| path.join("schemata").is_file()).collect()
    }

    /// Every list of tasks.
    fn lists(&self) -> Vec<PathBuf> {
        let monitoring = fs::read_dir(self.0.join("mon_groups")).into_iter().flatten();
        let monitoring = monitoring.map(|e| e.unwrap().path());
        let dirs = self.groups().into_iter().chain(monitoring).chain([self.0.clone()]);
        dirs.map(|dir| dir.join("tasks")).collect()
    }

    fn put(&self, group: &Path, task: &str) -> io::Result<()> {
        let lists = self.lists();
        let holds = |list: &&PathBuf| fs::read_to_string(list).unwrap().lines().any(|l| l == task);
        if !lists.iter().any(|list| holds(&list)) {
            return self.fail(Errno::SRCH, &format!("No task {task}"));
        }
        for list in lists.iter().filter(holds) {
            let text = fs::read_to_string(list).unwrap();
            let rest: String =
                text.lines().filter(|l| *l != task).map(|l| format!("{l}\n")).collect();
            fs::write(list, rest).unwrap();
        }
        let text = fs::read_to_string(group.join("tasks")).unwrap();
        fs::write(group.join("tasks"), format!("{text}{task}\n"))
    }

    fn set(&self, group: &Path, line: &str) -> io::Result<()> {
        let (name, rest) = line.split_once(':').unwrap();
        let text = fs::read_to_string(group.join("schemata")).unwrap();
        let base = if name == "L3" { 16 } else { 10 };
        let Ok(domains) = Domains::parse(rest, base) else {
            return self.fail(Errno::INVAL, &format!("Missing '='  in {rest}"));
        };
        for value in [domains.least(), domains.greatest()] {
            if name == "L3" && (!is_contiguous(value) || value.count_ones() < 2 || value > 0x7ff) {
                return self.fail(Errno::INVAL, &format!("The mask {value:x} is bad"));
            }
            if name == "MB" && !(10..=100).contains(&value) {
                return self.fail(Errno::INVAL, &format!("MB value {value} out of range"));
            }
        }
        let printed =
            if base == 16 { domains.print(16) } else { domains.print(10).replace("=", "= ") };
        let is_it = |line: &str| line.trim().starts_with(&format!("{name}:"));
        assert!(text.lines().any(is_it), "no {name} in {text}");
        let text: String = text
            .lines()
            .map(|l| if is_it(l) { format!("    {name}:{printed}\n") } else { format!("{l}\n") })
            .collect();
        fs::write(group.join("schemata"), text)
    }
}

impl Tree for Fake {
    fn directories(&self, at: &RelPath) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(self.at(at))?.map(Result::unwrap);
        let dirs = entries.filter(|e| e.path().is_dir());
        Ok(dirs.map(|e| e.file_name().into_string().unwrap()).collect())
    }

    fn read(&self, at: &RelPath, file: &str) -> io::Result<String> {
        fs::read_to_string(self.at(at).join(file))
    }

    fn write(&self, at: &RelPath, file: &str, text: &str) -> io::Result<()> {
        let group = self.at(at);
        fs::metadata(group.join(file))?;
        match file {
            "tasks" => self.put(&group, text),
            "schemata" => self.set(&group, text),
            other => panic!("nobody writes {other}"),
        }
    }

    fn make(&self, name: &str) -> io::Result<()> {
        let group = self.0.join(name);
        let closids: usize =
            fs::read_to_string(self.0.join("info/L3/num_closids"))?.trim().parse().unwrap();
        if group.is_dir() {
            return Err(Errno::EXIST.into());
        }
        // The root group has one.
        if self.groups().len() + 1 >= closids {
            return self.fail(Errno::NOSPC, "Out of CLOSIDs");
        }
        fs::create_dir(&group)?;
        fs::write(group.join("tasks"), "")?;
        fs::write(group.join("schemata"), FILES[0].1)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let group = self.0.join(name);
        let tasks = fs::read_to_string(group.join("tasks"))?;
        if self.0.join("stuck").exists() {
            return self.fail(Errno::PERM, "no");
        }
        tasks.lines().try_for_each(|task| self.put(&self.0, task))?;
        fs::remove_dir_all(group)
    }
}

impl Node {
    /// A node with resctrl, and threads 101 and 102 of the replica.
    pub(super) fn with_groups(cgroups: Cgroups) -> Self {
        let node = Self::new(cgroups);
        for (file, text) in FILES {
            node.put_group_file(file, text);
        }
        node.put_threads(REPLICA, "101\n102\n");
        node
    }

    pub(super) fn put_group_file(&self, file: &str, text: &str) {
        let path = self.path("resctrl").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What threads a cgroup has.
    pub(super) fn put_threads(&self, cgroup: &str, threads: &str) {
        let file = if self.cgroups == Cgroups::V2 { "cgroup.threads" } else { "tasks" };
        fs::write(self.cgroup("cpu", cgroup).join(file), threads).unwrap();
    }

    /// Groups of the helper.
    pub(super) fn own_groups(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("resctrl")).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("sage-helper-")).collect()
    }

    /// A file of a group, `""` for the root group, without what it is padded with.
    pub(super) fn group_file(&self, group: &str, file: &str) -> String {
        let text = fs::read_to_string(self.path("resctrl").join(group).join(file)).unwrap();
        text.replace(' ', "").trim().replace('\n', ",")
    }

    /// The one group of the helper: what it has, and its tasks.
    pub(super) fn own_group(&self) -> (String, String) {
        let groups = self.own_groups();
        let [group] = groups.as_slice() else { panic!("{groups:?}") };
        (self.group_file(group, "schemata"), self.group_file(group, "tasks"))
    }
}
