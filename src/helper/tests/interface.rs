//! The rate of a replica: which interface leads to it.

use std::fs;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use super::super::links::{Link, Links};
use super::node::{Cgroups, Node, REPLICA, at, first_line, fix};
use crate::data::{Fix, Knob, Target, Value};
use crate::wire::{Answer, Code, Ending};

/// Links as two files have them: `<name> <kind> <namespace or ->`, and `<process> <namespace>`.
#[derive(Debug)]
pub(super) struct FakeLinks(pub(super) PathBuf);

impl Links for FakeLinks {
    fn all(&self) -> io::Result<Vec<Link>> {
        let text = fs::read_to_string(self.0.join("links"))?;
        let link = |line: &str| {
            let words: Vec<_> = line.split(' ').collect();
            let (name, kind) = (words[0].into(), words[1].into());
            Link { name, kind, peer_netns: words[2].parse().ok() }
        };
        Ok(text.lines().map(link).collect())
    }

    fn netns_of(&self, pid: u32) -> io::Result<Option<i32>> {
        let text = fs::read_to_string(self.0.join("namespaces"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{pid} ")));
        line.map(|number| number.parse().ok()).ok_or_else(|| Errno::SRCH.into())
    }
}

/// A node on which `eth0` leads to the replica, and `veth9` to somebody else.
fn node() -> Node {
    let node = Node::new(Cgroups::V1);
    fs::create_dir_all(node.path("proc/self/net")).unwrap();
    fs::write(node.path("proc/self/net/dev"), "").unwrap();
    share(&node, "self", 1);
    set(&node, "links", "lo  -\neth0 veth 3\nveth9 veth 4\nmacvlan0 macvlan 3\n");
    set(&node, "namespaces", "1 -\n4000 3\n4001 3\n5000 4\n");
    for (pid, command, cgroup) in [
        (4000, "redis-server", REPLICA),
        (4001, "redis-server", REPLICA),
        (5000, "nginx", "/apps/nginx"),
    ] {
        node.add_process(pid, command, cgroup);
    }
    node.add_cgroup("/apps/nginx");
    own(&node, 4000);
    share(&node, "4000", 4001);
    own(&node, 5000);
    procs(&node, REPLICA, "4000\n4001\n");
    procs(&node, "/apps/nginx", "5000\n");
    node
}

fn set(node: &Node, file: &str, text: &str) {
    fs::write(node.path(file), text).unwrap();
}

fn procs(node: &Node, cgroup: &str, text: &str) {
    fs::write(node.cgroup("cpu", cgroup).join("cgroup.procs"), text).unwrap();
}

/// A process with a namespace of its own.
fn own(node: &Node, pid: u32) {
    let dir = node.path(&format!("proc/{pid}/net"));
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("dev"), "").unwrap();
}

/// The same file in both: the same namespace.
fn share(node: &Node, with: &str, pid: u32) {
    let dir = node.path(&format!("proc/{pid}/net"));
    fs::create_dir_all(&dir).unwrap();
    drop(fs::remove_file(dir.join("dev")));
    fs::hard_link(node.path(&format!("proc/{with}/net/dev")), dir.join("dev")).unwrap();
}

fn rate(target: Target) -> Fix {
    Fix { target, device: None, ..fix("n", Knob::NetworkRate, Value::Amount(2e7)) }
}

fn redis() -> Target {
    Target::Process("redis-server".into())
}

#[test]
fn the_interface_of_a_replica_is_found_rated_and_let_go() {
    for target in [redis(), Target::Cgroup(REPLICA.into()), Target::Pid(4001)] {
        let node = node();
        let mut keeper = node.keeper();
        let lease = keeper.try_apply(rate(target.clone()), at(1)).unwrap();
        assert_eq!(lease.device.as_deref(), Some("eth0"));
        assert_eq!(lease.place, "net:/eth0 of cpu:/apps/redis");
        assert!(first_line(&node.path("tc.json")).contains("2500000"));
        // Asked again, and changed: bounds are those of the rule for the cgroup.
        keeper.try_apply(rate(target.clone()), at(2)).unwrap();
        keeper.try_renew("n", Some(Value::Amount(4e7)), at(3)).unwrap();
        let beyond = keeper.try_renew("n", Some(Value::Amount(2e8)), at(3));
        assert_eq!(beyond, Err(Code::OutOfBounds));
        let named = fix("m", Knob::NetworkRate, Value::Amount(3e7));
        assert_eq!(keeper.try_apply(named, at(3)).unwrap_err().0, Code::Busy);
        drop(keeper);
        // A crash later it is known by its device.
        let (mut keeper, recovered) = node.restart();
        assert_eq!(recovered.unwrap(), 1);
        assert!(!node.path("tc.json").exists() && node.journal().is_empty());
        // The replica goes, and its interface with it.
        keeper.try_apply(rate(target), at(5)).unwrap();
        fs::rename(node.path("net/eth0"), node.path("net/gone")).unwrap();
        keeper.tick(at(6));
        assert_eq!(keeper.listing(at(6)).ended[0].how, Ending::Gone);
    }
}

#[test]
fn a_replica_without_one_interface_of_its_own_is_refused() {
    type Change = fn(&Node);
    let cases: [(Change, Code, &str); 9] = [
        (
            |n| {
                share(n, "self", 4000);
                share(n, "self", 4001);
            },
            Code::Device,
            "the node's network",
        ),
        (
            |n| set(n, "links", "eth0 veth 3\nveth7 veth 3\n"),
            Code::TargetAmbiguous,
            "eth0 and veth7",
        ),
        (|n| set(n, "links", "lo  -\nmacvlan0 macvlan 3\nveth9 veth 4\n"), Code::Device, "no veth"),
        // The number of no namespace is that of no interface.
        (|n| set(n, "namespaces", "4000 -\n4001 -\n"), Code::Device, "no veth"),
        (|n| own(n, 4001), Code::TargetAmbiguous, "two network namespaces"),
        (|n| procs(n, REPLICA, ""), Code::TargetNotFound, "no process"),
        (|n| procs(n, REPLICA, "4444\n"), Code::TargetNotFound, "no process"),
        (|n| own(n, 1), Code::Device, "the helper is not in"),
        (|n| set(n, "namespaces", ""), Code::Kernel, "No such process"),
    ];
    for (change, code, part) in cases {
        let node = node();
        fs::remove_file(node.path("proc/4001/net/dev")).unwrap();
        share(&node, "4000", 4001);
        if part == "the helper is not in" || part == "two network namespaces" {
            // Not the file that others share.
            let pid = if code == Code::Device { 1 } else { 4001 };
            fs::remove_file(node.path(&format!("proc/{pid}/net/dev"))).unwrap();
        }
        change(&node);
        let refused =
            node.keeper().try_apply(rate(Target::Cgroup(REPLICA.into())), at(1)).unwrap_err();
        assert!(refused.0 == code && refused.1.contains(part), "{part}: {refused:?}");
        assert!(!node.path("tc.json").exists() && node.journal().is_empty(), "{part}");
    }
}

#[test]
fn only_replicas_of_a_rule_with_their_cgroup_are_rated() {
    let node = node();
    let mut keeper = node.keeper();
    // A rule for an interface is none for replicas behind it.
    node.add_cgroup("/other");
    node.add_process(6000, "other", "/other");
    fs::write(node.cgroup("cpu", "/other").join("cgroup.procs"), "4000\n").unwrap();
    let refused = keeper.try_apply(rate(Target::Cgroup("/other".into())), at(1)).unwrap_err();
    assert_eq!(refused.0, Code::TargetNotAllowed, "{refused:?}");
    // Nor is one for replicas one for interfaces.
    let mut named = fix("n", Knob::NetworkRate, Value::Amount(2e7));
    named.device = Some("veth9".into());
    assert_eq!(keeper.try_apply(named, at(1)).unwrap_err().0, Code::TargetNotAllowed);
    // Both at once cannot be asked.
    let both = Fix { device: Some("eth0".into()), ..rate(redis()) };
    assert_eq!(keeper.try_apply(both, at(1)).unwrap_err().0, Code::TargetNotAllowed);
    let node_without = Fix { device: None, ..fix("n", Knob::NetworkRate, Value::Amount(2e7)) };
    assert_eq!(keeper.try_apply(node_without, at(1)).unwrap_err().0, Code::Device);
    let Answer::Refused(_) = keeper.try_revert("n", at(1)) else { panic!("something was applied") };
}

#[test]
fn a_replica_with_rate_and_quota_is_one_target() {
    let node = node();
    let mut keeper = node.keeper();
    keeper.try_apply(rate(redis()), at(1)).unwrap();
    for (name, knob, value) in
        [("a", Knob::CpuQuota, 2.0), ("b", Knob::CpuWeight, 150.0), ("c", Knob::MemoryMax, 1.5e9)]
    {
        let applied = keeper.try_apply(fix(name, knob, Value::Amount(value)), at(1));
        let is_third = name == "c";
        assert_eq!(applied.is_err(), is_third, "{name}: {applied:?}");
    }
}
