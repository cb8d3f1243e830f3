//! Cache and memory bandwidth, by resource groups.

use std::fs;

use super::super::policy::Policy;
use super::groups::Fake;
use super::node::{Cgroups, Node, REPLICA, at, fix, quota};
use crate::data::{Fix, Knob, Target, Value};
use crate::wire::{Answer, Code, Ending, LeaseState, Request};

use super::super::asker::Asker;
use super::super::resctrl::Tree as _;
use super::super::root::RelPath;

fn ways(name: &str, ways: f64) -> Fix {
    fix(name, Knob::LlcWays, Value::Amount(ways))
}

fn bandwidth(name: &str, percent: f64) -> Fix {
    fix(name, Knob::MemoryBandwidth, Value::Amount(percent))
}

/// Nothing of ours is left, and nobody is anywhere else than at first.
fn assert_untouched(node: &Node, when: &str) {
    assert!(node.own_groups().is_empty(), "{when}: {:?}", node.own_groups());
    assert!(node.journal().is_empty(), "{when}: {:?}", node.journal());
    let mut tasks: Vec<_> = node.group_file("", "tasks").split(',').map(String::from).collect();
    tasks.sort();
    assert_eq!(tasks, ["1", "101", "102", "200"], "{when}");
    assert_eq!(node.group_file("", "schemata"), "L3:0=7ff;1=7ff,MB:0=100;1=100", "{when}");
}

#[test]
fn both_knobs_turn_and_turn_back_in_both_versions() {
    for cgroups in [Cgroups::V1, Cgroups::V2, Cgroups::Hybrid] {
        let node = Node::with_groups(cgroups);
        let mut keeper = node.keeper();
        let lease = keeper.try_apply(ways("w", 4.0), at(1)).unwrap();
        assert_eq!((&*lease.old, &*lease.now), ("root", "0=f;1=f"));
        // What is not set is as it was, and all threads of the target are in, nobody else.
        assert_eq!(node.own_group(), ("L3:0=f;1=f,MB:0=100;1=100".into(), "101,102".into()));
        assert_eq!(node.group_file("", "tasks"), "1,200");
        keeper.try_revert("w", at(2));
        assert_untouched(&node, "reverted");
        let lease = keeper.try_apply(bandwidth("b", 50.0), at(3)).unwrap();
        assert_eq!((&*lease.old, &*lease.now), ("root", "0=50;1=50"));
        assert_eq!(node.own_group().0, "L3:0=7ff;1=7ff,MB:0=50;1=50");
        keeper.tick(at(63));
        assert_untouched(&node, "expired");
    }
}

#[test]
fn both_knobs_of_one_target_share_a_group_that_goes_with_the_last() {
    for first in ["w", "b"] {
        let node = Node::with_groups(Cgroups::V2);
        let mut keeper = node.keeper();
        keeper.try_apply(ways("w", 4.0), at(1)).unwrap();
        keeper.try_apply(bandwidth("b", 50.0), at(1)).unwrap();
        assert_eq!(node.own_group(), ("L3:0=f;1=f,MB:0=50;1=50".into(), "101,102".into()));
        keeper.try_revert(first, at(2));
        let left =
            if first == "w" { "L3:0=7ff;1=7ff,MB:0=50;1=50" } else { "L3:0=f;1=f,MB:0=100;1=100" };
        assert_eq!(node.own_group(), (left.into(), "101,102".into()));
        assert_eq!(keeper.listing(at(2)).ended[0].how, Ending::Reverted);
        keeper.stop(at(3)).unwrap();
        assert_untouched(&node, first);
    }
}

#[test]
fn a_fix_is_changed_within_its_bounds_and_put_back_whatever_the_root_group_has_by_then() {
    let node = Node::with_groups(Cgroups::V1);
    let mut keeper = node.keeper();
    keeper.try_apply(ways("w", 4.0), at(1)).unwrap();
    let lease = keeper.try_renew("w", Some(Value::Text("0x1e0".into())), at(2)).unwrap();
    assert_eq!((&*lease.old, &*lease.now), ("root", "0=1e0;1=1e0"));
    assert_eq!(keeper.try_renew("w", Some(Value::Amount(2.0)), at(2)), Err(Code::FactorExceeded));
    assert_eq!(keeper.try_renew("w", Some(Value::Amount(11.0)), at(2)), Err(Code::NothingToDo));
    node.put_group_file("schemata", "    L3:0=ff;1=ff\n    MB:0=100;1=100\n");
    keeper.try_revert("w", at(3));
    assert!(node.own_groups().is_empty());
    // A target has no more than the root group: five of its ways, and not those that were kept from it.
    assert_eq!(keeper.try_apply(ways("w", 9.0), at(4)).unwrap_err().0, Code::BadValue);
    keeper.try_apply(bandwidth("b", 50.0), at(4)).unwrap();
    assert_eq!(node.own_group().0, "L3:0=ff;1=ff,MB:0=50;1=50");
}

#[test]
fn what_the_processor_or_the_policy_cannot_do_is_refused_before_anything_is_changed() {
    let node = Node::with_groups(Cgroups::V2);
    let mut keeper = node.keeper();
    let text = |mask: &str| fix("f", Knob::LlcWays, Value::Text(mask.into()));
    for (fix, code, part) in [
        (text("0xf0f"), Code::BadValue, "side by side"),
        (text("0"), Code::BadValue, "side by side"),
        (text("0x10"), Code::BadValue, "fewer ways than the 2"),
        (text("0xf00"), Code::BadValue, "not within 7ff"),
        (text("max"), Code::BadValue, "no mask"),
        (ways("f", 1.0), Code::BadValue, "fewer ways than the 2"),
        (ways("f", 2.5), Code::BadValue, "whole number"),
        (ways("f", 12.0), Code::BadValue, "not within 7ff"),
        (ways("f", 1e12), Code::BadValue, "whole number"),
        (ways("f", 2.0), Code::FactorExceeded, "factor of 4"),
        (ways("f", 11.0), Code::NothingToDo, "root already"),
        (text("7ff"), Code::NothingToDo, "root already"),
        (bandwidth("f", 45.0), Code::BadValue, "steps of 10"),
        (bandwidth("f", 5.0), Code::BadValue, "not within 10 to 100"),
        (bandwidth("f", 110.0), Code::BadValue, "not within 10 to 100"),
        (bandwidth("f", 10.0), Code::OutOfBounds, "not within 20 to 90"),
        (bandwidth("f", 20.0), Code::FactorExceeded, "factor of 4"),
    ] {
        let (value, refused) = (fix.value.clone(), keeper.try_apply(fix, at(1)).unwrap_err());
        assert!(refused.0 == code && refused.1.contains(part), "{value}: {refused:?}");
        assert_untouched(&node, part);
    }
    let mut device = ways("f", 4.0);
    device.device = Some("8:0".into());
    assert_eq!(keeper.try_apply(device, at(1)).unwrap_err().0, Code::Device);
}

#[test]
fn without_the_resource_there_is_no_knob() {
    let node = Node::new(Cgroups::V2);
    let refused = node.keeper().try_apply(ways("f", 4.0), at(1)).unwrap_err();
    assert_eq!(refused.0, Code::KnobAbsent);
    // Code and data apart, eighths of GB/s, MB/s.
    for (file, text, fix) in [
        ("schemata", "L3CODE:0=7ff\nL3DATA:0=7ff\n", ways("f", 4.0)),
        ("schemata", "L3:0=7ff\n", bandwidth("f", 50.0)),
        ("info/MB/delay_linear", "0\n", bandwidth("f", 50.0)),
        ("schemata", "MB:0=4294967295\n", bandwidth("f", 50.0)),
    ] {
        let node = Node::with_groups(Cgroups::V2);
        node.put_group_file(file, text);
        let mut keeper = node.keeper();
        let refused = keeper.try_apply(fix, at(1)).unwrap_err();
        assert_eq!(refused.0, Code::KnobAbsent, "{text}: {refused:?}");
        assert!(node.own_groups().is_empty() && node.journal().is_empty());
        keeper.try_apply(quota("q", 2.0), at(1)).unwrap();
    }
}

#[test]
fn a_target_in_somebody_elses_group_is_left_there() {
    for group in ["runtime-7", "mon_groups/watch"] {
        let node = Node::with_groups(Cgroups::V2);
        let put = |name: &str, text: &str| node.put_group_file(&format!("{group}/{name}"), text);
        if !group.contains('/') {
            put("schemata", "    L3:0=f;1=f\n    MB:0= 50;1= 50\n");
            node.put_group_file("tasks", "1\n101\n200\n");
        }
        put("tasks", "102\n");
        let mut keeper = node.keeper();
        let refused = keeper.try_apply(ways("w", 4.0), at(1)).unwrap_err();
        assert!(refused.0 == Code::ForeignGroup && refused.1.contains(group), "{refused:?}");
        assert_eq!((node.group_file(group, "tasks"), node.own_groups()), ("102".into(), vec![]));
        assert!(node.journal().is_empty());
        // Nor is it taken from whoever takes it from us.
        put("tasks", "");
        node.put_group_file("tasks", "1\n101\n102\n200\n");
        keeper.try_apply(ways("w", 4.0), at(2)).unwrap();
        let fake = Fake(node.path("resctrl"));
        if group.contains('/') {
            // The kernel lets nobody but its own parent be monitored.
            fake.write(&RelPath::root(), "tasks", "102").unwrap();
            put("tasks", "102\n");
        } else {
            fake.write(&RelPath::root().child(group), "tasks", "102").unwrap();
        }
        assert_eq!(keeper.try_renew("w", None, at(3)), Err(Code::LeaseEnded));
        let ended = &keeper.listing(at(3)).ended[0];
        assert!(ended.how == Ending::Overridden && ended.left_at.contains(group), "{ended:?}");
        assert_eq!((node.group_file(group, "tasks"), node.own_groups()), ("102".into(), vec![]));
        assert!(node.group_file("", "tasks").contains("101") && node.journal().is_empty());
    }
}

#[test]
fn a_cgroup_within_one_that_has_a_group_is_refused() {
    let node = Node::with_groups(Cgroups::V2);
    node.add_cgroup("/kubepods/pod1");
    node.add_cgroup("/kubepods/pod1/c1");
    node.put_threads(REPLICA, "");
    node.put_threads("/kubepods/pod1", "");
    node.put_threads("/kubepods/pod1/c1", "101\n");
    let mut keeper = node.keeper();
    let of =
        |name: &str, path: &str| Fix { target: Target::Cgroup(path.into()), ..ways(name, 4.0) };
    keeper.try_apply(of("pod", "/kubepods/pod1"), at(1)).unwrap();
    assert_eq!(node.own_group().1, "101");
    let refused = keeper.try_apply(of("container", "/kubepods/pod1/c1"), at(1)).unwrap_err();
    assert_eq!(refused.0, Code::ForeignGroup, "{refused:?}");
    // A group for nobody yet.
    keeper.try_apply(of("empty", REPLICA), at(1)).unwrap();
    keeper.stop(at(2)).unwrap();
    assert_untouched(&node, "stopped");
}

#[test]
fn no_group_left_is_a_refusal_that_says_so() {
    let node = Node::with_groups(Cgroups::V2);
    node.put_group_file("info/L3/num_closids", "1\n");
    let mut keeper = node.keeper();
    let fix = ways("w", 4.0);
    match keeper.answer(Request::Apply(fix), &Asker::User(1000), at(1)) {
        Answer::Refused(refusal) => {
            assert_eq!(refusal.code, Code::NoGroupLeft);
            assert!(refusal.reason.contains("Out of CLOSIDs"), "{refusal}");
            assert!(refusal.cure.contains("remove a group"), "{refusal}");
        }
        other => panic!("{other:?}"),
    }
    assert_untouched(&node, "refused");
    node.put_group_file("info/L3/num_closids", "2\n");
    keeper.try_apply(ways("w", 4.0), at(2)).unwrap();
}

#[test]
fn threads_that_come_late_are_taken_in_with_the_renewal_and_those_that_left_let_go() {
    let node = Node::with_groups(Cgroups::V1);
    let mut keeper = node.keeper();
    keeper.try_apply(ways("w", 4.0), at(1)).unwrap();
    // 102 went to another cgroup, 103 came from one, 104 has ended before it could be moved.
    node.put_threads(REPLICA, "101\n103\n104\n");
    node.put_group_file("tasks", "1\n103\n200\n");
    keeper.tick(at(2));
    assert_eq!(node.own_group().1, "101,102");
    keeper.try_renew("w", None, at(3)).unwrap();
    assert_eq!(
        (node.own_group().1, node.group_file("", "tasks")),
        ("101,103".into(), "1,200,102".into())
    );
}

#[test]
fn what_somebody_else_does_to_a_group_of_ours_ends_the_fix_and_the_group() {
    for line in ["L3:0=ff;1=ff", "L3:0=7ff;1=7ff"] {
        let node = Node::with_groups(Cgroups::V2);
        let mut keeper = node.keeper();
        keeper.try_apply(ways("w", 4.0), at(1)).unwrap();
        let group = RelPath::root().child(&node.own_groups()[0]);
        Fake(node.path("resctrl")).write(&group, "schemata", line).unwrap();
        keeper.tick(at(2));
        assert_eq!(keeper.listing(at(2)).ended[0].how, Ending::Overridden, "{line}");
        assert_untouched(&node, line);
    }
    let node = Node::with_groups(Cgroups::V2);
    let mut keeper = node.keeper();
    keeper.try_apply(ways("w", 4.0), at(1)).unwrap();
    Fake(node.path("resctrl")).remove(&node.own_groups()[0]).unwrap();
    keeper.tick(at(2));
    assert_eq!(keeper.listing(at(2)).ended[0].how, Ending::Overridden);
    assert_untouched(&node, "removed");
}

#[test]
fn a_cgroup_that_goes_takes_its_group_along() {
    let node = Node::with_groups(Cgroups::V2);
    let mut keeper = node.keeper();
    keeper.try_apply(ways("w", 4.0), at(1)).unwrap();
    let dir = node.cgroup("cpu", REPLICA);
    fs::rename(&dir, dir.with_file_name("aside")).unwrap();
    keeper.tick(at(2));
    assert_eq!(keeper.listing(at(2)).ended[0].how, Ending::Gone);
    assert_untouched(&node, "gone");
}

#[test]
fn groups_of_ours_that_no_fix_needs_are_swept_and_nobody_elses() {
    let node = Node::with_groups(Cgroups::V2);
    let tree = Fake(node.path("resctrl"));
    for name in ["sage-helper-1f", "sage-helper-db", "sage-helper-queue"] {
        tree.make(name).unwrap();
    }
    tree.write(&RelPath::root().child("sage-helper-1f"), "tasks", "102").unwrap();
    // Where the policy lets no group be made, none is removed.
    let other = Policy::parse(&node.policy_text("")).unwrap();
    assert!(!other.allows(Knob::is_of_group));
    let mut keeper = node.keeper();
    assert_eq!(node.own_groups(), ["sage-helper-queue"]);
    assert!(node.group_file("", "tasks").ends_with("102"));
    // One that cannot be removed now is removed as soon as it can be.
    tree.make("sage-helper-2").unwrap();
    node.put_group_file("stuck", "");
    keeper.tick(at(1));
    assert!(tree.0.join("sage-helper-2").exists());
    fs::remove_file(node.path("resctrl/stuck")).unwrap();
    keeper.try_apply(ways("w", 4.0), at(2)).unwrap();
    keeper.tick(at(2));
    assert!(!tree.0.join("sage-helper-2").exists());
    assert_eq!(node.own_groups().len(), 2);
}

#[test]
fn a_group_that_cannot_be_removed_is_stuck_and_tried_again() {
    let node = Node::with_groups(Cgroups::V2);
    let mut keeper = node.keeper();
    keeper.try_apply(ways("w", 4.0), at(1)).unwrap();
    node.put_group_file("stuck", "");
    keeper.tick(at(61));
    let lease = &keeper.listing(at(61)).leases[0];
    assert_eq!(lease.state, LeaseState::Stuck);
    assert!(lease.trouble.as_ref().unwrap().contains("no"), "{lease:?}");
    assert_eq!((node.own_groups().len(), node.journal().len()), (1, 1));
    fs::remove_file(node.path("resctrl/stuck")).unwrap();
    keeper.tick(at(200));
    assert_untouched(&node, "tried again");
}

#[test]
fn inspection_shows_shares_in_the_unit_of_requests() {
    let node = Node::with_groups(Cgroups::V2);
    let mut keeper = node.keeper();
    keeper.try_apply(bandwidth("b", 50.0), at(1)).unwrap();
    let target = Target::Cgroup(REPLICA.into());
    let Answer::Inspected(seen) =
        keeper.answer(Request::Inspect { target }, &Asker::User(0), at(1))
    else {
        panic!("not inspected")
    };
    let value = |knob| seen.knobs.iter().find(|k| k.knob == knob).unwrap().value.clone();
    assert_eq!(value(Knob::LlcWays), Value::Amount(11.0));
    assert_eq!(value(Knob::MemoryBandwidth), Value::Amount(50.0));
}
