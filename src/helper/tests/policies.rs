//! The policy file.

use caps::Capability;

use super::super::policy::Policy;
use super::super::privilege::needed;
use crate::data::Knob;

const WEIGHT: &str =
    "[[allow]]\ncgroups = [\"/a/*\"]\n[allow.knobs.cpu_weight]\nmin = 1\nmax = 200\n";

#[test]
fn nothing_is_allowed_by_default() {
    let policy = Policy::parse("").unwrap();
    assert!(policy.rules.is_empty());
    assert_eq!(policy.socket.allowed_uids, [0]);
    assert!(needed(&policy).is_empty());
}

#[test]
fn every_fault_is_named_at_once() {
    let faults = Policy::parse(
        r#"
        [socket]
        path = "here"
        mode = "0999"
        allowed_uids = []
        connections = 3
        [limits]
        lease_max = "48h"
        fixes_max = 0
        [roots]
        cgroup = "relative"
        resctrl = "sys/fs/resctrl"
        [sockets]
        [[allow]]
        cgroups = ["a/*", "/b/***"]
        [allow.knobs.cpu_quota]
        min = 2
        max = 1
        factor_max = 0.5
        [allow.knobs.cpu_share]
        [allow.knobs.cpuset]
        min = 1
        [allow.knobs.llc_ways]
        [allow.knobs.memory_bandwidth]
        min = 90
        max = 20
        [allow.knobs.frequency_max]
        min = 1
        [[allow]]
        cgroups = ["/a"]
        [[allow]]
        cgroups = ["/a"]
        [allow.knobs.io_read_ops]
        min = 1
        max = 2
        [allow.knobs.network_rate]
        min = 1
        max = 2
        [[allow]]
        [allow.knobs.network_rate]
        min = 1
        max = 2
        "#,
    )
    .unwrap_err()
    .to_string();
    for part in [
        "socket.path = \"here\": must be an absolute path",
        "socket.mode: \"0999\" is no octal number",
        "socket.allowed_uids: must name at least one user",
        "socket.connections: unknown field",
        "limits.lease_max: must be at most 24h",
        "limits.fixes_max: must be 1 to 1024",
        "roots.cgroup = \"relative\": must be an absolute path",
        "roots.resctrl = \"sys/fs/resctrl\": must be an absolute path",
        "sockets: unknown table; known: socket, tcp, state, sandbox, roots, limits, allow",
        "allow[0].cgroups: \"a/*\" must start with /",
        "allow[0].cgroups: \"/b/***\"",
        "allow[0].knobs.cpu_quota: min = 2, max = 1",
        "allow[0].knobs.cpu_quota.factor_max = 0.5",
        "allow[0].knobs.cpu_share: unknown knob; known: cpu_quota",
        "allow[0].knobs.cpuset: min and max mean nothing here",
        "allow[0].knobs.cpuset.cpus: needed",
        "allow[0].knobs.llc_ways: needs min and max",
        "allow[0].knobs.memory_bandwidth: min = 90, max = 20",
        "allow[0].knobs.frequency_max: needs min and max",
        "allow[0].knobs.frequency_max: allow.devices must say which",
        "allow[1].knobs: must allow at least one knob",
        "allow[2].knobs.io_read_ops: allow.devices must say which",
        "allow[3].knobs.network_rate: allow.devices must say which",
    ] {
        assert!(faults.contains(part), "{part:?} is missing in:\n{faults}");
    }
    // The interface of a replica is found.
    assert!(!faults.contains("allow[2].knobs.network_rate"), "{faults}");
}

#[test]
fn a_socket_for_everybody_is_a_fault() {
    let faults = Policy::parse("[socket]\nmode = \"0666\"").unwrap_err().to_string();
    assert!(faults.contains("must not let everybody in"), "{faults}");
}

#[test]
fn capabilities_follow_from_what_is_allowed() {
    let policy = Policy::parse(WEIGHT).unwrap();
    assert!(policy.allows(|knob| knob == Knob::CpuWeight));
    assert_eq!(needed(&policy), [Capability::CAP_DAC_OVERRIDE].into());
    let group = WEIGHT.replace("cpu_weight", "llc_ways");
    assert_eq!(needed(&Policy::parse(&group).unwrap()), [Capability::CAP_DAC_OVERRIDE].into());
    let rate = "[[allow]]\ndevices = [\"eth0\"]\n[allow.knobs.network_rate]\nmin = 1\nmax = 2\n";
    assert_eq!(needed(&Policy::parse(rate).unwrap()), [Capability::CAP_NET_ADMIN].into());
    let both = Policy::parse(&format!("{WEIGHT}{rate}")).unwrap();
    assert_eq!(needed(&both).len(), 2);
}

#[test]
fn the_shipped_policy_has_no_faults() {
    let text = include_str!("../../../plugin-config/sage-helper.toml");
    let policy = Policy::parse(text).unwrap();
    assert!(!policy.rules.is_empty());
    // What it shows of the rest are the defaults.
    let defaults = Policy::parse("").unwrap();
    assert_eq!(
        (policy.socket, policy.state, policy.roots, policy.limits),
        (defaults.socket, defaults.state, defaults.roots, defaults.limits)
    );
}

#[test]
fn cpu_lists_are_read_and_printed_as_the_kernel_does() {
    use super::super::Cpus;
    for (text, printed) in
        [("0", "0"), ("0-3", "0-3"), ("3,1,2", "1-3"), ("0,2,4-5,6", "0,2,4-6"), ("", "")]
    {
        assert_eq!(text.parse::<Cpus>().unwrap().to_string(), printed, "{text}");
    }
    for bad in ["a", "1-", "-1", "3-1", "1,,2", "0-4294967295", "1;2", "+1", "1 2"] {
        assert!(bad.parse::<Cpus>().is_err(), "{bad}");
    }
}
