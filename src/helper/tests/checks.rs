//! What is refused, and why.

use std::time::Duration;

use proptest::prelude::*;

use super::super::policy::Policy;
use super::node::{Cgroups, Node, REPLICA, at, first_line, fix, quota};
use crate::data::{Fix, Knob, Target, Value};
use crate::wire::Code;

fn refusal(change: impl FnOnce(&mut Fix)) -> Code {
    let node = Node::new(Cgroups::V1);
    let mut fix = quota("f", 2.0);
    change(&mut fix);
    let (code, reason) = node.keeper().try_apply(fix, at(1)).unwrap_err();
    assert!(reason.len() > 10, "{reason}");
    assert!(node.journal().is_empty(), "a refused fix is in the journal");
    assert_eq!(node.read("cpu", "cpu.cfs_quota_us"), "150000");
    code
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    let value = |v: f64| refusal(|f| f.value = Value::Amount(v));
    assert_eq!(value(0.4), Code::OutOfBounds);
    assert_eq!(value(4.1), Code::OutOfBounds);
    assert_eq!(value(3.5), Code::FactorExceeded);
    assert_eq!(value(0.6), Code::FactorExceeded);
    assert_eq!(value(1.5), Code::NothingToDo);
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(value(bad), Code::BadValue);
    }
    for bad in [Value::Text("maximum".into()), Value::Flag(true), Value::Text("-1".into())] {
        assert_eq!(refusal(|f| f.value = bad), Code::BadValue);
    }
    assert_eq!(
        refusal(|f| (f.knob, f.value) = (Knob::Cpuset, Value::Text("0-9".into()))),
        Code::OutOfBounds
    );
    assert_eq!(
        refusal(|f| (f.knob, f.value) = (Knob::Cpuset, Value::Text("0".into()))),
        Code::FactorExceeded
    );
    let unlimited = |f: &mut Fix| (f.knob, f.value) = (Knob::MemoryMax, Value::Text("max".into()));
    assert_eq!(refusal(unlimited), Code::OutOfBounds);
}

#[test]
fn leases_have_a_length() {
    assert_eq!(refusal(|f| f.lease = Duration::from_secs(601)), Code::LeaseLength);
    assert_eq!(refusal(|f| f.lease = Duration::from_millis(999)), Code::LeaseLength);
    assert_eq!(refusal(|f| f.note = "x".repeat(513)), Code::BadRequest);
}

#[test]
fn only_targets_of_the_policy_are_touched() {
    let target = |path: &str| refusal(|f| f.target = Target::Cgroup(path.into()));
    assert_eq!(target("/other"), Code::TargetNotAllowed);
    // A star does not reach below.
    assert_eq!(target("/apps/redis/child"), Code::TargetNotAllowed);
    assert_eq!(target("/apps/nobody"), Code::KnobAbsent);
    assert_eq!(target("/"), Code::OwnCgroup);
    for bad in
        ["", "apps/redis", "/apps/../apps/redis", "/apps//redis", "/apps/redis/", "/apps/./redis"]
    {
        assert_eq!(target(bad), Code::TargetNotFound, "{bad}");
    }
    assert_eq!(target(&format!("/apps/{}", "x".repeat(4096))), Code::TargetNotFound);
    assert_eq!(target("/apps/a\nb"), Code::TargetNotFound);
    assert_eq!(refusal(|f| f.target = Target::Node), Code::TargetNotFound);
}

#[test]
fn a_symlink_leads_nowhere() {
    let node = Node::new(Cgroups::V1);
    let outside = node.path("outside");
    std::fs::create_dir_all(&outside).unwrap();
    for (file, text) in [("cpu.cfs_quota_us", "100000"), ("cpu.cfs_period_us", "100000")] {
        std::fs::write(outside.join(file), text).unwrap();
    }
    // The cgroup itself, a directory above it, and the file.
    let apps = node.cgroup("cpu", "/apps");
    std::os::unix::fs::symlink(&outside, apps.join("link")).unwrap();
    let mut keeper = node.keeper();
    let mut linked = quota("f", 1.5);
    linked.target = Target::Cgroup("/apps/link".into());
    assert_eq!(keeper.try_apply(linked, at(1)).unwrap_err().0, Code::KnobAbsent);

    let kube = node.cgroup("cpu", "/kubepods");
    std::os::unix::fs::symlink(&apps, &kube).unwrap();
    let mut above = quota("f", 2.0);
    above.target = Target::Cgroup("/kubepods/redis".into());
    assert_eq!(keeper.try_apply(above, at(1)).unwrap_err().0, Code::KnobAbsent);

    let quota_file = node.cgroup("cpu", REPLICA).join("cpu.cfs_quota_us");
    std::fs::remove_file(&quota_file).unwrap();
    std::os::unix::fs::symlink(outside.join("cpu.cfs_quota_us"), &quota_file).unwrap();
    assert_eq!(keeper.try_apply(quota("f", 2.0), at(1)).unwrap_err().0, Code::KnobAbsent);
    assert_eq!(first_line(&outside.join("cpu.cfs_quota_us")), "100000");
}

#[test]
fn the_helper_does_not_turn_its_own_knobs() {
    let node = Node::new(Cgroups::V1);
    node.add_cgroup("/system.slice/sage.service");
    node.add_process(std::process::id(), "sage-helper", "/system.slice/sage.service/inner");
    let mut fix = quota("f", 2.0);
    fix.target = Target::Cgroup("/system.slice/sage.service".into());
    assert_eq!(node.keeper().try_apply(fix, at(1)).unwrap_err().0, Code::OwnCgroup);
}

#[test]
fn devices_are_named_where_and_only_where_there_are_several() {
    let device = |knob, value, device: Option<&str>| {
        refusal(|f| (f.knob, f.value, f.device) = (knob, value, device.map(Into::into)))
    };
    let rate = || Value::Amount(2e6);
    assert_eq!(device(Knob::CpuQuota, Value::Amount(2.0), Some("8:0")), Code::Device);
    assert_eq!(device(Knob::IoReadBytes, rate(), None), Code::Device);
    for bad in ["sda", "8:0 rbps=max\n8:16", "8", "8:", ":0", "8:-1"] {
        assert_eq!(device(Knob::IoReadBytes, rate(), Some(bad)), Code::Device, "{bad}");
    }
    assert_eq!(device(Knob::IoReadBytes, rate(), Some("8:16")), Code::TargetNotAllowed);
    let node = |knob, device: &str| {
        refusal(|f| {
            *f = fix("f", knob, rate());
            f.device = Some(device.into());
        })
    };
    for bad in ["../policy0", "-policy0", "policy0/..", "", "a-name-that-is-too-long"] {
        assert_eq!(node(Knob::FrequencyMax, bad), Code::Device, "{bad}");
    }
    assert_eq!(node(Knob::NetworkRate, "lo"), Code::TargetNotAllowed);
    assert_eq!(node(Knob::FrequencyMax, "policy7"), Code::KnobAbsent);
    let of_cgroup = refusal(|f| {
        *f = fix("f", Knob::FrequencyMax, rate());
        f.target = Target::Cgroup(REPLICA.into());
    });
    assert_eq!(of_cgroup, Code::TargetNotAllowed);
}

#[test]
fn a_knob_that_no_rule_names_is_refused() {
    let node = Node::new(Cgroups::V1);
    let rules =
        "[[allow]]\ncgroups = [\"/apps/*\"]\n[allow.knobs.cpu_weight]\nmin = 1\nmax = 200\n";
    let policy = Policy::parse(&node.policy_text(rules)).unwrap();
    let host = super::super::host::Host::open(&policy.roots).unwrap();
    let refused = super::super::check::check(&policy, &host, quota("f", 2.0)).unwrap_err();
    assert_eq!(refused.code, Code::KnobNotAllowed);
}

proptest! {
    /// Whatever is asked for: what gets through is within the bounds, and it is what was asked for.
    #[test]
    fn property_nothing_beyond_the_policy_gets_through(
        cores in prop_oneof![0.0..10.0_f64, Just(-1.0), any::<f64>()],
        old in 1_000_u32..800_000,
    ) {
        let node = Node::new(Cgroups::V1);
        node.meddle("cpu", "cpu.cfs_quota_us", &old.to_string());
        let policy = node.policy();
        let host = super::super::host::Host::open(&policy.roots).unwrap();
        let old = f64::from(old) / 100_000.0;
        let is_allowed = (0.5..=4.0).contains(&cores)
            && cores <= old * 2.0
            && cores >= old / 2.0
            && (cores - old).abs() > 1e-5_f64;
        match super::super::check::check(&policy, &host, quota("f", cores)) {
            Ok(checked) => {
                let new: f64 = checked.new_value().parse::<f64>().unwrap() / 100_000.0;
                prop_assert!((new - cores).abs() <= 1e-5, "{new} is not {cores}");
                prop_assert!((0.499..=4.001).contains(&new));
                prop_assert!(new <= old * 2.01 && new * 2.01 >= old, "{old} to {new}");
            }
            Err(refusal) => prop_assert!(!is_allowed, "{old} to {cores}: {refusal}"),
        }
    }

    /// Text that nobody would write does not get a path beyond its root.
    #[test]
    fn property_no_path_leaves_its_root(path in "(/|\\.\\.|\\.|a|apps|redis|\0|\n){0,8}") {
        if let Ok(checked) = super::super::root::RelPath::parse(&path) {
            let is_inside = checked.as_str().split('/').all(|part| part != ".." && part != ".");
            prop_assert!(is_inside && checked.as_str().starts_with('/'));
        }
    }
}
