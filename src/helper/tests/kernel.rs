//! Every knob against files in the kernel's form, on both versions.

use super::node::{Cgroups, Node, at, first_line, fix};
use crate::data::{Knob, Value};
use crate::wire::{Answer, Code, Ending};

use super::super::keeper::Keeper;

fn amount(amount: f64) -> Value {
    Value::Amount(amount)
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// Applies, looks, reverts, looks again.
fn turns(
    node: &Node,
    keeper: &mut Keeper,
    knob: Knob,
    value: &Value,
    file: &std::path::Path,
    then: &str,
) {
    let before = first_line(file);
    let lease = keeper.try_apply(fix("f", knob, value.clone()), at(1));
    lease.unwrap_or_else(|refusal| panic!("{knob} {value}: {refusal:?}"));
    assert_eq!(first_line(file), then, "{knob} {value}");
    assert_eq!(node.journal(), ["f.json"], "{knob}");
    let Answer::Ended(ended) = keeper.try_revert("f", at(2)) else { panic!("{knob}") };
    assert_eq!(ended[0].how, Ending::Reverted, "{knob}");
    assert_eq!(first_line(file), before, "{knob}");
    assert!(node.journal().is_empty(), "{knob}");
}

#[test]
fn every_knob_of_version_1_turns_and_turns_back() {
    let node = Node::new(Cgroups::V1);
    let mut keeper = node.keeper();
    for (knob, value, controller, file, then) in [
        (Knob::CpuQuota, amount(2.5), "cpu", "cpu.cfs_quota_us", "250000"),
        (Knob::CpuQuota, text("max"), "cpu", "cpu.cfs_quota_us", "-1"),
        (Knob::CpuWeight, amount(200.0), "cpu", "cpu.shares", "2048"),
        (Knob::Cpuset, text("5,0-2,4"), "cpuset", "cpuset.cpus", "0-2,4-5"),
        (Knob::MemoryMax, amount(2e9), "memory", "memory.limit_in_bytes", "1999998976"),
        (Knob::IoWeight, amount(500.0), "blkio", "blkio.bfq.weight", "500"),
        (Knob::Freeze, Value::Flag(true), "freezer", "freezer.state", "FROZEN"),
    ] {
        let file = node.cgroup(controller, super::node::REPLICA).join(file);
        turns(&node, &mut keeper, knob, &value, &file, then);
    }
}

#[test]
fn every_knob_of_version_2_turns_and_turns_back() {
    let node = Node::new(Cgroups::V2);
    let mut keeper = node.keeper();
    for (knob, value, file, then) in [
        (Knob::CpuQuota, amount(2.5), "cpu.max", "250000 100000"),
        (Knob::CpuQuota, text("max"), "cpu.max", "max 100000"),
        (Knob::CpuWeight, amount(50.0), "cpu.weight", "50"),
        (Knob::Cpuset, text("0-1"), "cpuset.cpus", "0-1"),
        (Knob::MemoryMax, amount(2e9), "memory.max", "1999998976"),
        (Knob::MemoryHigh, amount(1.5e9), "memory.high", "1499996160"),
        (Knob::Freeze, Value::Flag(true), "cgroup.freeze", "1"),
    ] {
        let file = node.cgroup("", super::node::REPLICA).join(file);
        turns(&node, &mut keeper, knob, &value, &file, then);
    }
}

#[test]
fn a_hybrid_node_has_each_knob_where_its_controller_is() {
    let node = Node::new(Cgroups::Hybrid);
    let mut keeper = node.keeper();
    let lease = keeper.try_apply(fix("a", Knob::MemoryHigh, amount(1.5e9)), at(1)).unwrap();
    assert_eq!(lease.place, "unified:/apps/redis");
    let lease = keeper.try_apply(fix("b", Knob::CpuQuota, amount(2.0)), at(1)).unwrap();
    assert_eq!(lease.place, "cpu:/apps/redis");
    assert_eq!(node.read("cpu", "cpu.cfs_quota_us"), "200000");
}

/// Files of several lines cannot be played by plain files: what is written is compared instead.
#[test]
fn rates_of_devices_are_written_in_the_form_of_each_version() {
    let node = Node::new(Cgroups::V1);
    let mut keeper = node.keeper();
    let write = fix("w", Knob::IoWriteBytes, amount(2e6));
    let lease = keeper.try_apply(write, at(1)).unwrap();
    assert_eq!((&*lease.old, &*lease.now), ("4000000", "2000000"));
    assert_eq!(node.read("blkio", "blkio.throttle.write_bps_device"), "8:0 2000000");
    // No line is no limit, and 0 takes a line away.
    let lease = keeper.try_apply(fix("r", Knob::IoReadOps, amount(500.0)), at(1)).unwrap();
    assert_eq!((&*lease.old, &*lease.now), ("max", "500"));
    keeper.try_revert("r", at(2));
    assert_eq!(node.read("blkio", "blkio.throttle.read_iops_device"), "8:0 0");

    let node = Node::new(Cgroups::V2);
    let mut keeper = node.keeper();
    let lease = keeper.try_apply(fix("w", Knob::IoWriteBytes, amount(2e6)), at(1)).unwrap();
    assert_eq!((&*lease.old, &*lease.now), ("4000000", "2000000"));
    assert_eq!(node.read("", "io.max"), "8:0 wbps=2000000");
    let lease = keeper.try_apply(fix("i", Knob::IoWeight, amount(500.0)), at(1)).unwrap();
    assert_eq!((&*lease.old, &*lease.now), ("100", "500"));
}

#[test]
fn frequencies_and_governors_stay_within_what_the_cpu_can() {
    let node = Node::new(Cgroups::V2);
    let mut keeper = node.keeper();
    let policy = node.path("cpu/cpufreq/policy0");
    for (knob, value, file, then) in [
        (Knob::FrequencyMax, amount(2_500_000.0), "scaling_max_freq", "2500000"),
        (Knob::FrequencyMin, amount(1_500_000.0), "scaling_min_freq", "1500000"),
        (Knob::Governor, text("performance"), "scaling_governor", "performance"),
    ] {
        turns(&node, &mut keeper, knob, &value, &policy.join(file), then);
    }
    for (knob, value) in [
        (Knob::FrequencyMax, amount(3_500_000.0)),
        (Knob::FrequencyMin, amount(600_000.0)),
        (Knob::Governor, text("ondemand")),
    ] {
        let refused = keeper.try_apply(fix("f", knob, value), at(1)).unwrap_err();
        assert_eq!(refused.0, Code::BadValue, "{refused:?}");
    }
}

#[test]
fn a_rate_goes_on_the_interface_and_off_again() {
    let node = Node::new(Cgroups::V2);
    let mut keeper = node.keeper();
    let rate = fix("n", Knob::NetworkRate, amount(20_000_001.0));
    let lease = keeper.try_apply(rate, at(1)).unwrap();
    assert_eq!((&*lease.old, &*lease.now), ("max", "20000000"));
    let lease = keeper.try_renew("n", Some(amount(40_000_000.0)), at(2)).unwrap();
    assert_eq!((&*lease.old, &*lease.now), ("max", "40000000"));
    keeper.try_revert("n", at(3));
    assert!(!node.path("tc.json").exists());
}

#[test]
fn somebody_elses_queueing_discipline_is_left_alone() {
    let node = Node::new(Cgroups::V2);
    let mut keeper = node.keeper();
    let foreign = r#"[{"kind":"htb","handle":"1:","root":true,"options":{}}]"#;
    std::fs::write(node.path("tc.json"), foreign).unwrap();
    let refused = keeper.try_apply(fix("n", Knob::NetworkRate, amount(2e7)), at(1)).unwrap_err();
    assert_eq!(refused.0, Code::ForeignQdisc);
    // And if it takes the place of ours later.
    std::fs::remove_file(node.path("tc.json")).unwrap();
    keeper.try_apply(fix("n", Knob::NetworkRate, amount(2e7)), at(1)).unwrap();
    std::fs::write(node.path("tc.json"), foreign).unwrap();
    keeper.tick(at(2));
    assert_eq!(keeper.listing(at(2)).ended[0].how, Ending::Overridden);
    assert_eq!(std::fs::read_to_string(node.path("tc.json")).unwrap(), foreign);
}

/// Under a limit that was raised the replica grows beyond the old one. Version 2 would kill it.
#[test]
fn a_memory_limit_is_not_put_back_below_what_has_grown_since() {
    let node = Node::new(Cgroups::V2);
    let hard = "memory.max";
    node.meddle("", hard, "1073741824");
    let mut keeper = node.keeper();
    keeper.try_apply(fix("m", Knob::MemoryMax, amount(1_610_612_736.0)), at(1)).unwrap();
    let grow = |current: &str, files: &str| {
        node.meddle("", "memory.current", current);
        let stat = format!("anon 1\nfile 9\ninactive_file {files}\nactive_file 4096");
        node.meddle("", "memory.stat", &stat);
    };
    grow("1400000000", "100000000");
    let Answer::Refused(refusal) = keeper.try_revert("m", at(2)) else { panic!("killed") };
    assert!(refusal.code == Code::Kernel && refusal.reason.contains("would kill"), "{refusal}");
    // The lease ends, the helper is told to end, another one recovers: all the same.
    keeper.tick(at(200));
    assert!(keeper.stop(at(201)).is_err());
    drop(keeper);
    let (mut keeper, recovered) = node.restart();
    assert_eq!((recovered.unwrap(), keeper.held()), (0, 1));
    assert_eq!((node.read("", hard), node.journal()), ("1610612736".into(), vec!["m.json".into()]));
    // Files are dropped by the kernel itself.
    grow("1400000000", "400000000");
    keeper.tick(at(400));
    assert_eq!((node.read("", hard), node.journal()), ("1073741824".into(), vec![]));
    assert_eq!(keeper.listing(at(400)).ended[0].how, Ending::Recovered);
}

/// A limit that was lowered goes up again, whatever is in use.
#[test]
fn a_memory_limit_that_was_lowered_is_always_put_back() {
    let node = Node::new(Cgroups::V2);
    node.meddle("", "memory.max", "1073741824");
    let mut keeper = node.keeper();
    keeper.try_apply(fix("m", Knob::MemoryMax, amount(600e6)), at(1)).unwrap();
    node.meddle("", "memory.current", "1200000000");
    let Answer::Ended(_) = keeper.try_revert("m", at(2)) else { panic!("refused") };
    assert_eq!(node.read("", "memory.max"), "1073741824");
}

#[test]
fn memory_in_use_is_not_taken_away() {
    for cgroups in [Cgroups::V1, Cgroups::V2] {
        let node = Node::new(cgroups);
        let file = if cgroups == Cgroups::V1 { "memory.limit_in_bytes" } else { "memory.max" };
        node.meddle("memory", file, "600000000");
        let mut keeper = node.keeper();
        // 512 MiB are in use.
        let less = fix("m", Knob::MemoryMax, amount(500e6));
        assert_eq!(keeper.try_apply(less, at(1)).unwrap_err().0, Code::BelowUsage);
        keeper.try_apply(fix("m", Knob::MemoryMax, amount(550e6)), at(1)).unwrap();
    }
}
