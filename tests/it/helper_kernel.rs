//! The node helper against this machine's kernel: cgroups and an interface that the tests make themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::helper::{Helper, Node, first_line, journal, me, until};
use crate::support::missing_peer;

/// Cgroups of version 1 under one name in several hierarchies; removed when dropped.
struct Cgroup {
    name: String,
    dirs: Vec<PathBuf>,
}

const ROOT: &str = "/sys/fs/cgroup";

/// Whether this is root. Everybody else may go without these tests, whatever is required.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can make cgroups and interfaces");
    }
    is_root
}

impl Cgroup {
    fn make(purpose: &str, controllers: &[&str]) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let name = format!("sage-test-{purpose}-{}", std::process::id());
        let mut made = Self { name, dirs: Vec::new() };
        for controller in controllers {
            let dir = Path::new(ROOT).join(controller).join(&made.name);
            // Only a hierarchy of version 1 fills a new directory with its files.
            if let Err(error) = fs::create_dir(&dir) {
                missing_peer(&format!("a writable cgroup hierarchy {controller}: {error}"));
                return None;
            }
            made.dirs.push(dir);
        }
        Some(made)
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = self.dirs.iter().map(|dir| dir.join(name)).find(|path| path.exists());
        path.unwrap_or_else(|| panic!("no {name} in {:?}", self.dirs))
    }

    fn read(&self, name: &str) -> String {
        first_line(&self.file(name))
    }

    fn target(&self) -> Value {
        json!({"cgroup": format!("/{}", self.name)})
    }

    /// A process of its own in here.
    fn spawn(&self, words: &[&str]) -> Process {
        let child = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        for dir in &self.dirs {
            fs::write(dir.join("cgroup.procs"), child.id().to_string()).unwrap();
        }
        Process(child)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for dir in &self.dirs {
            // Killed processes are gone in a moment.
            for _ in 0..500 {
                if fs::remove_dir(dir).is_ok() || !dir.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// A process of a test; killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A policy for cgroups of these tests, on this machine.
fn policy(node: &Node) -> PathBuf {
    let home = node.path("").display().to_string();
    let home = home.trim_end_matches('/');
    node.write_policy(&format!(
        r#"
        [socket]
        path = "{home}/sock"
        {me}
        [state]
        dir = "{home}/state"
        [limits]
        fixes_per_target_max = 10
        watch = "100ms"
        [[allow]]
        cgroups = ["/sage-test-*"]
        devices = ["254:0", "8:0", "259:0"]
        [allow.knobs.cpu_quota]
        min = 0.01
        max = 64
        unlimited = true
        [allow.knobs.cpu_weight]
        min = 1
        max = 1000
        [allow.knobs.cpuset]
        cpus = "0-1023"
        [allow.knobs.memory_max]
        min = 1000000
        max = 1e12
        [allow.knobs.memory_high]
        min = 1000000
        max = 1e12
        [allow.knobs.io_write_bytes]
        min = 1000
        max = 1e9
        [allow.knobs.io_weight]
        min = 1
        max = 1000
        factor_max = 10
        [allow.knobs.freeze]
        [[allow]]
        devices = ["sgt*"]
        [allow.knobs.network_rate]
        min = 1000
        max = 1e12
        [[allow]]
        cgroups = ["/sage-test-*"]
        [allow.knobs.network_rate]
        min = 1000
        max = 1e12
        "#,
        me = me()
    ))
}

fn fix(id: &str, target: &Value, knob: &str, value: Value, device: Option<&str>) -> Value {
    let mut request = json!({"apply": {
        "id": id, "target": target, "knob": knob, "device": device, "lease": "60s"
    }});
    request["apply"]["value"] = value;
    request
}

#[test]
fn knobs_of_real_cgroups_turn_and_turn_back() {
    let Some(group) = Cgroup::make("knobs", &["cpu", "cpuset", "memory", "blkio", "freezer"])
    else {
        return;
    };
    let cpus = first_line(&Path::new(ROOT).join("cpuset/cpuset.cpus"));
    let mems = first_line(&Path::new(ROOT).join("cpuset/cpuset.mems"));
    fs::write(group.file("cpuset.mems"), mems).unwrap();
    fs::write(group.file("cpuset.cpus"), &cpus).unwrap();
    let node = Node::new();
    let helper = Helper::start(&policy(&node));
    let mut client = helper.client();
    let mut device = None;
    for (knob, value, file, then) in [
        ("cpu_quota", json!(0.5), "cpu.cfs_quota_us", "50000"),
        ("cpu_weight", json!(150), "cpu.shares", "1536"),
        ("cpuset", json!("0"), "cpuset.cpus", "0"),
        ("memory_max", json!(64_001_000), "memory.limit_in_bytes", "64000000"),
        ("memory_high", json!(64_001_000), "memory.soft_limit_in_bytes", "64000000"),
        ("io_weight", json!(300), "blkio.bfq.weight", "300"),
        ("freeze", json!(true), "freezer.state", "FROZEN"),
        ("io_write_bytes", json!(2_000_000), "blkio.throttle.write_bps_device", ""),
    ] {
        // Not every kernel has every knob.
        if !group.dirs.iter().any(|dir| dir.join(file).exists()) || knob == "cpuset" && cpus == "0"
        {
            eprintln!("skipped: {file} cannot be turned here");
            continue;
        }
        let before = group.read(file);
        let answer = if knob == "io_write_bytes" {
            let mut tries = ["254:0", "8:0", "259:0"].into_iter().map(|d| {
                device = Some(d);
                client.ask(fix("f", &group.target(), knob, value.clone(), device))
            });
            // The first disk that there is.
            match tries.find(|answer| answer["lease"].is_object()) {
                Some(answer) => {
                    let wanted = format!("{} 2000000", device.unwrap());
                    assert_eq!(group.read(file), wanted);
                    answer
                }
                None => continue,
            }
        } else {
            let answer = client.ask(fix("f", &group.target(), knob, value, None));
            assert!(answer["lease"].is_object(), "{knob}: {answer}");
            assert_eq!(group.read(file), then, "{knob}");
            answer
        };
        let ended = client.ask(json!({"revert": {"fix": "f"}}));
        assert_eq!(ended["ended"][0]["how"], "reverted", "{knob}: {answer} {ended}");
        assert_eq!(group.read(file), before, "{knob}");
    }
    assert!(journal(&node.path("state")).is_empty());
}

/// CPU time a process has had, in ticks. A frozen one gets none.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let words: Vec<_> = rest.split(' ').collect();
    words[11].parse::<u64>().unwrap() + words[12].parse::<u64>().unwrap()
}

#[test]
fn a_real_process_is_found_squeezed_frozen_and_let_go() {
    let Some(group) = Cgroup::make("busy", &["cpu", "freezer"]) else { return };
    let busy = group.spawn(&["sh", "-c", "while :; do :; done"]);
    let pid = busy.0.id();
    let node = Node::new();
    let helper = Helper::start(&policy(&node));
    let mut client = helper.client();
    let answer = client.ask(fix("q", &json!({"pid": pid}), "cpu_quota", json!(0.05), None));
    assert_eq!(answer["lease"]["place"], format!("cpu:/{}", group.name), "{answer}");
    let throttled = || {
        let inspected = helper.ask(json!({"inspect": {"target": {"pid": pid}}}));
        inspected["inspected"]["usage"]["cpu_periods_throttled"].as_f64().unwrap_or(0.0) > 3.0
    };
    until("the quota bites", throttled);
    client.ask(json!({"revert": {"fix": "q"}}));
    client.ask(fix("z", &json!({"pid": pid}), "freeze", json!(true), None));
    until("it is frozen", || group.read("freezer.state") == "FROZEN");
    let before = cpu_ticks(pid);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(cpu_ticks(pid), before);
    drop(helper);
    // The helper is dead, the process still frozen; the next start lets it go.
    assert_eq!(group.read("freezer.state"), "FROZEN");
    let _next = Helper::start(&policy(&node));
    assert_eq!(group.read("freezer.state"), "THAWED");
    until("it runs again", || cpu_ticks(pid) > before);
}

#[test]
fn a_real_cgroup_that_is_removed_or_set_by_others_ends_its_fix() {
    let Some(group) = Cgroup::make("others", &["cpu"]) else { return };
    let node = Node::new();
    let helper = Helper::start(&policy(&node));
    let ended = |how: &str| {
        until(how, || {
            let list = helper.ask(json!({"list": {}}));
            list["list"]["ended"][0]["how"] == how
        });
    };
    helper.ask(fix("a", &group.target(), "cpu_quota", json!(0.5), None));
    fs::write(group.file("cpu.cfs_quota_us"), "70000").unwrap();
    ended("overridden");
    assert_eq!(group.read("cpu.cfs_quota_us"), "70000");
    let again = helper.ask(fix("b", &group.target(), "cpu_quota", json!(0.5), None));
    assert_eq!(again["lease"]["old"], "70000", "{again}");
    fs::remove_dir(&group.dirs[0]).unwrap();
    ended("gone");
    fs::create_dir(&group.dirs[0]).unwrap();
    assert_eq!(group.read("cpu.cfs_quota_us"), "-1");
    assert!(journal(&node.path("state")).is_empty());
}

#[test]
fn killed_at_any_moment_it_leaves_no_real_cgroup_changed() {
    const ROUNDS: u64 = 100;
    let Some(group) = Cgroup::make("kill", &["cpu", "memory"]) else { return };
    let node = Node::new();
    let policy = policy(&node);
    let now = || (group.read("cpu.cfs_quota_us"), group.read("memory.limit_in_bytes"));
    let before = now();
    let mut left_changed = 0;
    for round in 0..ROUNDS {
        let mut helper = Helper::start(&policy);
        assert_eq!(now(), before, "round {round}");
        assert!(journal(&node.path("state")).is_empty(), "round {round}");
        let (mut client, target) = (helper.client(), group.target());
        let asking = std::thread::spawn(move || {
            let requests = [
                fix("q", &target, "cpu_quota", json!(0.5), None),
                fix("m", &target, "memory_max", json!(64_001_000), None),
                json!({"renew": {"fix": "q", "lease": "60s", "value": 0.6}}),
                json!({"revert": {"fix": "m"}}),
                json!({"revert": "all"}),
            ];
            while requests.iter().all(|request| client.try_ask(request.clone()).is_some()) {}
        });
        std::thread::sleep(Duration::from_micros(round * 7919 % 10_000));
        helper.kill();
        asking.join().unwrap();
        left_changed += u64::from(now() != before);
    }
    drop(Helper::start(&policy));
    assert_eq!(now(), before);
    assert!(left_changed > ROUNDS / 10, "only {left_changed} of {ROUNDS} died with fixes in force");
}

/// A pair of interfaces; removed when dropped.
struct Veth(String);

impl Veth {
    fn make() -> Option<Self> {
        if !is_root() {
            return None;
        }
        let name = format!("sgt{}", std::process::id());
        let peer = format!("{name}p");
        let made = Command::new("ip")
            .args(["link", "add", &name, "type", "veth", "peer", "name", &peer])
            .output();
        match made {
            Ok(output) if output.status.success() => Some(Self(name)),
            other => {
                missing_peer(&format!("iproute2 and veth: {other:?}"));
                None
            }
        }
    }

    fn tc(&self, words: &[&str]) -> String {
        let [what, verb, rest @ ..] = words else { panic!("{words:?}") };
        let output =
            Command::new("tc").args([what, verb, "dev", &self.0]).args(rest).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        drop(Command::new("ip").args(["link", "del", &self.0]).output());
    }
}

#[test]
fn a_real_interface_gets_its_rate_and_loses_it_again() {
    let Some(veth) = Veth::make() else { return };
    let node = Node::new();
    let helper = Helper::start(&policy(&node));
    let target = json!("node");
    let rate = |id: &str, bits: u64| fix(id, &target, "network_rate", json!(bits), Some(&veth.0));
    let answer = helper.ask(rate("a", 20_000_000));
    assert_eq!(answer["lease"]["now"], "20000000", "{answer}");
    let shown = veth.tc(&["qdisc", "show"]);
    assert!(shown.contains("tbf 5a9e: root") && shown.contains("rate 20Mbit"), "{shown}");
    helper.ask(json!({"renew": {"fix": "a", "lease": "60s", "value": 30_000_000}}));
    assert!(veth.tc(&["qdisc", "show"]).contains("rate 30Mbit"));
    drop(helper);
    let helper = Helper::start(&policy(&node));
    assert!(!veth.tc(&["qdisc", "show"]).contains("5a9e:"));
    // Somebody else's stays.
    veth.tc(&["qdisc", "add", "root", "handle", "1:", "htb"]);
    let refused = helper.ask(rate("b", 20_000_000));
    assert_eq!(refused["refused"]["code"], "foreign_qdisc", "{refused}");
    assert!(veth.tc(&["qdisc", "show"]).contains("htb 1: root"));
}

/// A network namespace; goes when dropped, and its interfaces with it.
struct Netns(String);

impl Netns {
    fn make(purpose: &str) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let name = format!("sgt{}{purpose}", std::process::id());
        match Command::new("ip").args(["netns", "add", &name]).output() {
            Ok(output) if output.status.success() => Some(Self(name)),
            other => {
                missing_peer(&format!("iproute2 and network namespaces: {other:?}"));
                None
            }
        }
    }

    /// An interface of the node that leads here, where it is called `inside`.
    fn link(&self, inside: &str) -> Veth {
        let name = format!("{}{inside}", self.0);
        let output = Command::new("ip")
            .args(["link", "add", &name, "type", "veth", "peer", "name", inside, "netns", &self.0])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        Veth(name)
    }

    /// A process of `group` in here.
    fn spawn(&self, group: &Cgroup) -> Process {
        let process = group.spawn(&["ip", "netns", "exec", &self.0, "sleep", "1000"]);
        let ours = netns_of("self");
        until("it is in its namespace", || netns_of(&process.0.id().to_string()) != ours);
        process
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        drop(Command::new("ip").args(["netns", "del", &self.0]).output());
    }
}

fn netns_of(process: &str) -> PathBuf {
    fs::read_link(format!("/proc/{process}/ns/net")).unwrap()
}

#[test]
fn the_real_interface_of_a_replica_is_found_though_others_have_its_number() {
    let Some(group) = Cgroup::make("net", &["cpu"]) else { return };
    let (Some(ours), Some(theirs)) = (Netns::make("a"), Netns::make("b")) else { return };
    // Made within, as container networks do: both have the number 2 in there.
    let (veth, other) = (ours.link("e0"), theirs.link("e0"));
    let number =
        |veth: &Veth| first_line(&Path::new("/sys/class/net").join(&veth.0).join("iflink"));
    assert_eq!(number(&veth), number(&other));
    let node = Node::new();
    let helper = Helper::start(&policy(&node));
    let rate = |target: &Value| fix("r", target, "network_rate", json!(20_000_000), None);
    let replica = ours.spawn(&group);
    for target in [group.target(), json!({"pid": replica.0.id()})] {
        let answer = helper.ask(rate(&target));
        assert_eq!(answer["lease"]["device"], veth.0, "{answer}");
        assert!(veth.tc(&["qdisc", "show"]).contains("tbf 5a9e: root"));
        assert!(!other.tc(&["qdisc", "show"]).contains("5a9e:"));
        helper.ask(json!({"revert": "all"}));
        assert!(!veth.tc(&["qdisc", "show"]).contains("5a9e:"));
    }
    // Two that lead there, and a process that has the node's network.
    let second = ours.link("e1");
    let refused = helper.ask(rate(&group.target()));
    assert_eq!(refused["refused"]["code"], "target_ambiguous", "{refused}");
    drop((second, replica));
    let _on_the_node = group.spawn(&["sleep", "1000"]);
    let refused = helper.ask(rate(&group.target()));
    assert_eq!(refused["refused"]["code"], "device", "{refused}");
    assert!(refused["refused"]["reason"].as_str().unwrap().contains("the node's network"));
}
