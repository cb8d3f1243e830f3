//! Knobs of real cgroups.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::asked::{fix, policy};
use super::cgroup::{Cgroup, ROOT};
use crate::support::helper::{Helper, Node, first_line, journal, until};

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
