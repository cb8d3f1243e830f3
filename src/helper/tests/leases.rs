//! Fixes over time: renewed, changed, expired, overridden, gone, stuck.

use super::super::asker::Asker;
use super::node::{Cgroups, Node, REPLICA, at, fix, id, quota};
use crate::data::{Knob, Target, Value};
use crate::wire::{Answer, Code, Ending, LeaseState, Request, Which};

const QUOTA: &str = "cpu.cfs_quota_us";

#[test]
fn a_lease_that_is_not_renewed_ends_with_the_old_value() {
    let node = Node::new(Cgroups::V1);
    let mut keeper = node.keeper();
    let lease = keeper.try_apply(quota("f", 2.0), at(100)).unwrap();
    assert_eq!((&*lease.old, &*lease.now, lease.left.as_secs()), ("150000", "200000", 60));
    keeper.tick(at(159));
    assert_eq!(node.read("cpu", QUOTA), "200000");
    assert_eq!(keeper.try_renew("f", None, at(159)).unwrap().left.as_secs(), 60);
    keeper.tick(at(218));
    assert_eq!(node.read("cpu", QUOTA), "200000");
    keeper.tick(at(219));
    assert_eq!(node.read("cpu", QUOTA), "150000");
    let listing = keeper.listing(at(219));
    assert!(listing.leases.is_empty());
    assert_eq!(listing.ended[0].how, Ending::Expired);
    assert_eq!(keeper.try_renew("f", None, at(219)), Err(Code::LeaseEnded));
    assert!(node.journal().is_empty());
}

#[test]
fn the_keeper_says_when_it_must_be_called_again() {
    let node = Node::new(Cgroups::V1);
    let mut keeper = node.keeper();
    // Nothing to do but to look whether others meddle, once a second.
    assert_eq!(keeper.tick(at(10)).as_secs(), 11);
    let mut short = quota("f", 2.0);
    short.lease = std::time::Duration::from_millis(1500);
    keeper.try_apply(short, at(10)).unwrap();
    assert_eq!(keeper.tick(at(10)).as_millis(), 11_000);
    assert_eq!(keeper.tick(at(11)).as_millis(), 11_500);
}

#[test]
fn asking_twice_applies_once() {
    let node = Node::new(Cgroups::V1);
    let mut keeper = node.keeper();
    keeper.try_apply(quota("f", 2.0), at(100)).unwrap();
    let again = keeper.try_apply(quota("f", 2.0), at(130)).unwrap();
    assert_eq!((&*again.old, again.left.as_secs()), ("150000", 60));
    for other in [quota("f", 2.5), fix("f", Knob::CpuWeight, Value::Amount(150.0))] {
        assert_eq!(keeper.try_apply(other, at(131)).unwrap_err().0, Code::IdConflict);
    }
    assert_eq!(keeper.try_apply(quota("g", 2.5), at(131)).unwrap_err().0, Code::Busy);
    assert_eq!(keeper.listing(at(131)).leases.len(), 1);
}

#[test]
fn a_fix_is_relaxed_step_by_step_within_the_bounds_of_its_first_value() {
    let node = Node::new(Cgroups::V1);
    let mut keeper = node.keeper();
    keeper.try_apply(quota("f", 3.0), at(1)).unwrap();
    let lease = keeper.try_renew("f", Some(Value::Amount(2.5)), at(2)).unwrap();
    assert_eq!((&*lease.old, &*lease.now), ("150000", "250000"));
    assert_eq!(node.read("cpu", QUOTA), "250000");
    // Twice what is there now, but more than twice what was there before.
    assert_eq!(keeper.try_renew("f", Some(Value::Amount(4.0)), at(3)), Err(Code::FactorExceeded));
    assert_eq!(keeper.try_renew("f", Some(Value::Amount(1.5)), at(3)), Err(Code::NothingToDo));
    assert_eq!(node.read("cpu", QUOTA), "250000");
    keeper.try_revert("f", at(4));
    assert_eq!(node.read("cpu", QUOTA), "150000");
}

#[test]
fn what_somebody_else_sets_stays() {
    for foreign in ["170000", "150000", "-1"] {
        let node = Node::new(Cgroups::V1);
        let mut keeper = node.keeper();
        keeper.try_apply(quota("f", 2.0), at(1)).unwrap();
        node.meddle("cpu", QUOTA, foreign);
        keeper.tick(at(2));
        let ended = &keeper.listing(at(2)).ended[0];
        assert_eq!((ended.how, &*ended.left_at), (Ending::Overridden, foreign));
        assert_eq!(node.read("cpu", QUOTA), foreign);
        assert!(node.journal().is_empty());
    }
    // Also when it is noticed at the last moment only.
    let node = Node::new(Cgroups::V1);
    let mut keeper = node.keeper();
    keeper.try_apply(quota("f", 2.0), at(1)).unwrap();
    node.meddle("cpu", QUOTA, "170000");
    let Answer::Ended(ended) = keeper.try_revert("f", at(2)) else { panic!("not ended") };
    assert_eq!(ended[0].how, Ending::Overridden);
    assert_eq!(node.read("cpu", QUOTA), "170000");
    // A change by a hair is a change.
    keeper.try_apply(quota("g", 2.0), at(3)).unwrap();
    node.meddle("cpu", QUOTA, "200001");
    keeper.tick(at(4));
    assert_eq!(node.read("cpu", QUOTA), "200001");
}

#[test]
fn a_cgroup_that_goes_takes_its_fix_along_even_if_one_of_that_name_comes_again() {
    for comes_again in [false, true] {
        let node = Node::new(Cgroups::V1);
        let mut keeper = node.keeper();
        keeper.try_apply(quota("f", 2.0), at(1)).unwrap();
        let dir = node.cgroup("cpu", REPLICA);
        let aside = dir.with_file_name("aside");
        std::fs::rename(&dir, &aside).unwrap();
        if comes_again {
            node.add_cgroup(REPLICA);
            // Chance has it at the very value.
            node.meddle("cpu", QUOTA, "200000");
        }
        keeper.tick(at(2));
        assert_eq!(keeper.listing(at(2)).ended[0].how, Ending::Gone);
        assert!(node.journal().is_empty());
        if comes_again {
            assert_eq!(node.read("cpu", QUOTA), "200000");
        }
    }
}

#[test]
fn what_the_kernel_does_not_take_back_is_tried_again_and_shown() {
    let node = Node::new(Cgroups::V2);
    let mut keeper = node.keeper();
    keeper.try_apply(fix("n", Knob::NetworkRate, Value::Amount(2e7)), at(100)).unwrap();
    std::fs::write(node.path("tc.broken"), "").unwrap();
    let next = keeper.tick(at(160));
    let lease = &keeper.listing(at(160)).leases[0];
    assert_eq!(lease.state, LeaseState::Stuck);
    assert!(lease.trouble.as_ref().unwrap().contains("busy"), "{lease:?}");
    assert_eq!(node.journal(), ["n.json"]);
    assert!(next > at(160).since_boot);
    // It cannot be renewed, it is over. A revert is refused with the reason.
    assert_eq!(keeper.try_renew("n", None, at(161)), Err(Code::LeaseEnded));
    let Answer::Refused(refusal) = keeper.try_revert("n", at(161)) else { panic!("not refused") };
    assert_eq!(refusal.code, Code::Kernel);
    std::fs::remove_file(node.path("tc.broken")).unwrap();
    keeper.tick(at(300));
    let listing = keeper.listing(at(300));
    assert!(listing.leases.is_empty() && node.journal().is_empty());
    assert!(!node.path("tc.json").exists());
}

#[test]
fn there_are_only_so_many_fixes() {
    let node = Node::new(Cgroups::V1);
    let mut keeper = node.keeper();
    for (name, knob, value) in [
        ("a", Knob::CpuQuota, Value::Amount(2.0)),
        ("b", Knob::CpuWeight, Value::Amount(150.0)),
        ("c", Knob::MemoryMax, Value::Amount(1.5e9)),
    ] {
        keeper.try_apply(fix(name, knob, value), at(1)).unwrap();
    }
    // In another hierarchy, but of the same replica.
    let fourth = fix("d", Knob::Freeze, Value::Flag(true));
    assert_eq!(keeper.try_apply(fourth, at(1)).unwrap_err().0, Code::TooManyOnTarget);
    let mut other = |i: usize| {
        let path = format!("/apps/other-{i}");
        node.add_cgroup(&path);
        let mut fix = quota(&format!("o-{i}"), 2.0);
        fix.target = Target::Cgroup(path);
        keeper.try_apply(fix, at(1))
    };
    for i in 0..3 {
        other(i).unwrap();
    }
    assert_eq!(other(3).unwrap_err().0, Code::TooManyFixes);
    keeper.try_revert("a", at(2));
    keeper.try_apply(quota("e", 2.0), at(2)).unwrap();
}

#[test]
fn stopping_puts_everything_back_and_takes_nothing_new() {
    let node = Node::new(Cgroups::V1);
    let mut keeper = node.keeper();
    keeper.try_apply(quota("a", 2.0), at(1)).unwrap();
    keeper.try_apply(fix("b", Knob::Freeze, Value::Flag(true)), at(1)).unwrap();
    assert_eq!(keeper.stop(at(2)).unwrap().len(), 2);
    assert_eq!(node.read("cpu", QUOTA), "150000");
    assert_eq!(node.read("freezer", "freezer.state"), "THAWED");
    assert_eq!(keeper.try_apply(quota("c", 2.0), at(3)).unwrap_err().0, Code::Stopping);
}

#[test]
fn reverting_is_safe_to_repeat() {
    let node = Node::new(Cgroups::V1);
    let mut keeper = node.keeper();
    keeper.try_apply(quota("f", 2.0), at(1)).unwrap();
    let first = keeper.try_revert("f", at(2));
    assert_eq!(keeper.try_revert("f", at(3)), first);
    let Answer::Refused(unknown) = keeper.try_revert("g", at(3)) else { panic!("not refused") };
    assert_eq!(unknown.code, Code::UnknownFix);
    let all = keeper.answer(Request::Revert(Which::All), &Asker::User(0), at(4));
    assert_eq!(all, Answer::Ended(vec![]));
    assert_eq!(keeper.try_renew("never", None, at(4)), Err(Code::UnknownFix));
    assert_eq!(id("f").as_str(), "f");
}
