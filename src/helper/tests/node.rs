//! A node made of plain files: cgroups of either version, processes, frequencies, an interface.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::asker::Asker;
use super::super::clock::Now;
use super::super::host::Host;
use super::super::journal::Journal;
use super::super::keeper::Keeper;
use super::super::policy::Policy;
use super::super::resctrl::Groups;
use super::groups::Fake;
use super::interface::FakeLinks;
use crate::data::{Fix, FixId, Knob, Target, Value};
use crate::wire::{Answer, Code, LeaseView, Listing, Request, Which};

/// The cgroup that rules of these tests cover.
pub(super) const REPLICA: &str = "/apps/redis";

/// Which cgroups a node has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cgroups {
    V1,
    V2,
    /// Version 1 but for memory, which is in `unified`.
    Hybrid,
}

/// For the lock: a `tc` of another test, just forked, has it for a moment.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A node.
pub(super) struct Node {
    pub(super) home: tempfile::TempDir,
    pub(super) cgroups: Cgroups,
}

const MEMINFO: &str = "MemTotal: 1024 kB\nMemFree: 100 kB\nMemAvailable: 512 kB\nBuffers: 0 kB\n\
Cached: 0 kB\nSwapCached: 0 kB\nActive: 0 kB\nInactive: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n\
Dirty: 0 kB\nWriteback: 0 kB\nMapped: 0 kB\nSlab: 0 kB\nCommitted_AS: 0 kB\nVmallocTotal: 0 kB\n\
VmallocUsed: 0 kB\nVmallocChunk: 0 kB";

const V1_FILES: &[(&str, &str, &str)] = &[
    ("cpu", "cpu.cfs_quota_us", "150000"),
    ("cpu", "cpu.cfs_period_us", "100000"),
    ("cpu", "cpu.shares", "1024"),
    ("cpuset", "cpuset.cpus", "0-3"),
    ("memory", "memory.limit_in_bytes", "1073741824"),
    ("memory", "memory.soft_limit_in_bytes", "9223372036854771712"),
    ("memory", "memory.usage_in_bytes", "536870912"),
    ("blkio", "blkio.throttle.read_bps_device", ""),
    ("blkio", "blkio.throttle.write_bps_device", "8:0 4000000"),
    ("blkio", "blkio.throttle.read_iops_device", ""),
    ("blkio", "blkio.throttle.write_iops_device", ""),
    ("blkio", "blkio.bfq.weight", "100"),
    ("freezer", "freezer.state", "THAWED"),
];

const V2_FILES: &[(&str, &str)] = &[
    ("cpu.max", "150000 100000"),
    ("cpu.weight", "100"),
    ("cpuset.cpus", ""),
    ("memory.max", "max"),
    ("memory.high", "1073741824"),
    ("memory.current", "536870912"),
    ("memory.stat", "anon 400000000\nfile 100000000\ninactive_file 0\nactive_file 0"),
    ("io.max", "8:0 rbps=max wbps=4000000 riops=max wiops=max"),
    ("io.weight", "default 100"),
    ("cgroup.freeze", "0"),
];

fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("{text}\n")).unwrap();
}

impl Node {
    pub(super) fn new(cgroups: Cgroups) -> Self {
        let node = Self { home: tempfile::tempdir().unwrap(), cgroups };
        if cgroups == Cgroups::V2 {
            put(&node.path("cgroup/cgroup.controllers"), "cpu memory io cpuset");
        }
        if cgroups == Cgroups::Hybrid {
            put(&node.path("cgroup/unified/cgroup.controllers"), "memory");
        }
        node.add_cgroup(REPLICA);
        put(&node.path("proc/sys/kernel/random/boot_id"), "boot-1");
        put(&node.path("proc/loadavg"), "0.50 0.40 0.30 1/100 4242");
        put(&node.path("proc/meminfo"), MEMINFO);
        for (file, text) in [
            ("scaling_max_freq", "2000000"),
            ("scaling_min_freq", "1000000"),
            ("scaling_governor", "powersave"),
            ("scaling_available_governors", "performance powersave"),
            ("cpuinfo_min_freq", "800000"),
            ("cpuinfo_max_freq", "3000000"),
        ] {
            put(&node.path(&format!("cpu/cpufreq/policy0/{file}")), text);
        }
        put(&node.path("net/eth0/ifindex"), "2");
        node.add_tc();
        node
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.home.path().join(below)
    }

    /// The directory of a cgroup, in the hierarchy that has `controller`.
    pub(super) fn cgroup(&self, controller: &str, path: &str) -> PathBuf {
        let tree = match (self.cgroups, controller) {
            (Cgroups::V2, _) => "cgroup".to_string(),
            (Cgroups::Hybrid, "memory") => "cgroup/unified".to_string(),
            _ => format!("cgroup/{controller}"),
        };
        self.path(&format!("{tree}{path}"))
    }

    pub(super) fn add_cgroup(&self, path: &str) {
        for (controller, file, text) in V1_FILES {
            let is_here = match self.cgroups {
                Cgroups::V1 => true,
                Cgroups::V2 => false,
                Cgroups::Hybrid => *controller != "memory",
            };
            if is_here {
                put(&self.cgroup(controller, path).join(file), text);
            }
        }
        for (file, text) in V2_FILES {
            if self.cgroups == Cgroups::V2
                || self.cgroups == Cgroups::Hybrid && file.starts_with("memory")
            {
                put(&self.cgroup("memory", path).join(file), text);
            }
        }
    }

    /// A process, by its cgroup in every hierarchy.
    pub(super) fn add_process(&self, pid: u32, command: &str, cgroup: &str) {
        let dir = self.path(&format!("proc/{pid}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("cmdline"), format!("{command}\0--port\x001\0")).unwrap();
        let v1 = ["cpu,cpuacct", "cpuset", "memory", "blkio", "freezer"];
        let mut text: String =
            v1.iter().enumerate().map(|(i, c)| format!("{}:{c}:{cgroup}\n", i + 1)).collect();
        text += &format!("0::{cgroup}\n");
        fs::write(dir.join("cgroup"), text).unwrap();
    }

    /// A `tc` made of files. A link, because a program just written cannot be run while any other
    /// thread forks.
    fn add_tc(&self) {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tc/tc");
        std::os::unix::fs::symlink(program, self.path("tc")).unwrap();
    }

    pub(super) fn policy(&self) -> Policy {
        Policy::parse(&self.policy_text(RULES)).unwrap()
    }

    pub(super) fn policy_text(&self, rules: &str) -> String {
        let home = self.home.path().display();
        format!(
            "[socket]\npath = \"{home}/sock\"\n[state]\ndir = \"{home}/state\"\n[roots]\n\
             cgroup = \"{home}/cgroup\"\nproc = \"{home}/proc\"\ncpu = \"{home}/cpu\"\n\
             net = \"{home}/net\"\nresctrl = \"{home}/resctrl\"\ntc = \"{home}/tc\"\n{rules}"
        )
    }

    /// A helper that has recovered.
    pub(super) fn keeper(&self) -> Keeper {
        let (keeper, recovered) = self.restart();
        recovered.unwrap();
        keeper
    }

    /// A helper, and how many fixes it put back.
    pub(super) fn restart(&self) -> (Keeper, Result<usize, super::super::Error>) {
        let policy = self.policy();
        let mut host = Host::open(&policy.roots).unwrap();
        host.groups = Groups::new(Fake(policy.roots.resctrl.clone()));
        host.links = Box::new(FakeLinks(self.home.path().into()));
        let journal = Journal::open(&policy.state.dir, PATIENCE).unwrap();
        let mut keeper = Keeper::new(policy, host, journal);
        let recovered = keeper.recover(at(0));
        (keeper, recovered)
    }

    /// Names of the journal's entries.
    pub(super) fn journal(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("state")).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "lock").collect()
    }

    /// The first line of a file of the replica.
    pub(super) fn read(&self, controller: &str, file: &str) -> String {
        first_line(&self.cgroup(controller, REPLICA).join(file))
    }

    /// Somebody else writes there.
    pub(super) fn meddle(&self, controller: &str, file: &str, text: &str) {
        put(&self.cgroup(controller, REPLICA).join(file), text);
    }
}

pub(super) fn first_line(path: &Path) -> String {
    fs::read_to_string(path).unwrap().lines().next().unwrap_or_default().into()
}

pub(super) const RULES: &str = r#"
[limits]
fixes_max = 6
fixes_per_target_max = 3
[[allow]]
cgroups = ["/apps/*", "/kubepods*/**", "/system.slice/*.service"]
devices = ["8:0"]
[allow.knobs.cpu_quota]
min = 0.5
max = 4.0
unlimited = true
[allow.knobs.cpu_weight]
min = 10
max = 400
[allow.knobs.cpuset]
cpus = "0-5"
[allow.knobs.memory_max]
min = 1048576
max = 4294967296
[allow.knobs.memory_high]
min = 1048576
max = 4294967296
factor_max = 4
[allow.knobs.io_read_bytes]
min = 1000000
max = 100000000
[allow.knobs.io_write_bytes]
min = 1000000
max = 100000000
[allow.knobs.io_read_ops]
min = 10
max = 100000
[allow.knobs.io_write_ops]
min = 10
max = 100000
[allow.knobs.io_weight]
min = 10
max = 500
factor_max = 5
[allow.knobs.freeze]
[allow.knobs.llc_ways]
min = 2
max = 16
factor_max = 4
[allow.knobs.memory_bandwidth]
min = 20
max = 90
factor_max = 4
[[allow]]
devices = ["policy*", "eth0"]
[allow.knobs.frequency_max]
min = 500000
max = 5000000
[allow.knobs.frequency_min]
min = 500000
max = 5000000
[allow.knobs.governor]
choices = ["performance", "ondemand"]
[allow.knobs.network_rate]
min = 1000000
max = 1000000000
unlimited = true
[[allow]]
cgroups = ["/apps/*"]
[allow.knobs.network_rate]
min = 1000000
max = 100000000
"#;

/// A moment, in seconds since boot.
pub(super) fn at(seconds: u64) -> Now {
    Now {
        since_boot: Duration::from_secs(seconds),
        wall: jiff::Timestamp::from_second(1_700_000_000 + i64::try_from(seconds).unwrap())
            .unwrap(),
    }
}

pub(super) fn id(text: &str) -> FixId {
    FixId::new(text).unwrap()
}

/// A fix for the replica, for a minute.
pub(super) fn fix(name: &str, knob: Knob, value: Value) -> Fix {
    let is_of_cgroup = knob.is_of_cgroup();
    let device = match (knob.needs_device(), is_of_cgroup) {
        (false, _) => None,
        (true, true) => Some("8:0"),
        (true, false) if knob == Knob::NetworkRate => Some("eth0"),
        (true, false) => Some("policy0"),
    };
    Fix {
        id: id(name),
        target: if is_of_cgroup { Target::Cgroup(REPLICA.into()) } else { Target::Node },
        knob,
        device: device.map(Into::into),
        value,
        lease: Duration::from_secs(60),
        note: String::new(),
    }
}

pub(super) fn quota(name: &str, cores: f64) -> Fix {
    fix(name, Knob::CpuQuota, Value::Amount(cores))
}

impl Keeper {
    pub(super) fn try_apply(&mut self, fix: Fix, now: Now) -> Result<LeaseView, (Code, String)> {
        match self.answer(Request::Apply(fix), &Asker::User(1000), now) {
            Answer::Lease(lease) => Ok(lease),
            Answer::Refused(refusal) => Err((refusal.code, refusal.reason)),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn try_renew(
        &mut self,
        name: &str,
        value: Option<Value>,
        now: Now,
    ) -> Result<LeaseView, Code> {
        let lease = Duration::from_secs(60);
        match self.answer(Request::Renew { fix: id(name), lease, value }, &Asker::User(1000), now) {
            Answer::Lease(lease) => Ok(lease),
            Answer::Refused(refusal) => Err(refusal.code),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn try_revert(&mut self, name: &str, now: Now) -> Answer {
        self.answer(Request::Revert(Which::Fix(id(name))), &Asker::User(1000), now)
    }

    pub(super) fn listing(&mut self, now: Now) -> Listing {
        match self.answer(Request::List {}, &Asker::User(1000), now) {
            Answer::List(listing) => listing,
            other => panic!("{other:?}"),
        }
    }
}
