//! Death at every step, followed by a start: no knob is left changed without a lease.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::super::crash;
use super::node::{Cgroups, Node, REPLICA, at, fix, quota};
use crate::data::{Knob, Value};

const OLD: &str = "150000";

/// Whatever happens between two knobs and three requests.
fn life(node: &Node) {
    let mut keeper = node.keeper();
    keeper.try_apply(quota("f", 2.0), at(1)).unwrap();
    keeper.try_apply(fix("n", Knob::NetworkRate, Value::Amount(2e7)), at(1)).unwrap();
    keeper.try_renew("f", Some(Value::Amount(2.5)), at(2)).unwrap();
    keeper.try_revert("f", at(3));
    keeper.tick(at(90));
}

/// Dies at point `at` of `what`; says how many points there were if it got through.
fn die_at(point: u64, what: impl FnOnce()) -> Option<u64> {
    crash::arm(point);
    let lived = catch_unwind(AssertUnwindSafe(what)).is_ok();
    let points = crash::points();
    crash::arm(u64::MAX);
    lived.then_some(points)
}

fn quota_now(node: &Node) -> String {
    node.read("cpu", "cpu.cfs_quota_us")
}

fn is_rated(node: &Node) -> bool {
    node.path("tc.json").exists()
}

/// What is changed is in the journal, with the old value.
fn assert_journalled(node: &Node, when: &str) {
    let entry = |name: &str| std::fs::read_to_string(node.path("state").join(name));
    if quota_now(node) != OLD {
        assert!(entry("f.json").unwrap().contains(OLD), "{when}");
    }
    if is_rated(node) {
        assert!(entry("n.json").unwrap().contains("max"), "{when}");
    }
}

#[test]
fn death_at_any_step_leaves_nothing_changed_after_the_next_start() {
    let mut deaths = 0;
    for point in 0.. {
        let node = Node::new(Cgroups::V1);
        let lived = die_at(point, || life(&node));
        assert_journalled(&node, &format!("at {point}"));
        drop(node.keeper());
        assert_eq!(quota_now(&node), OLD, "at {point}");
        assert!(!is_rated(&node), "at {point}");
        assert!(node.journal().is_empty(), "at {point}: {:?}", node.journal());
        match lived {
            Some(points) => {
                assert_eq!(points, point, "points are passed in a fixed order");
                break;
            }
            None => deaths += 1,
        }
    }
    // Two applied, one changed (noted before and after), one reverted, one expired.
    let (entries, removals, writes) = (4, 2, 5);
    assert_eq!(deaths, 5 * entries + 2 * removals + 2 * writes, "something is not covered");
}

#[test]
fn death_while_recovering_from_death_changes_nothing_about_that() {
    let mut deaths = 0;
    // Some points of life, every point of the recovery after it.
    for point in (0..60).step_by(4) {
        for second in 0.. {
            let node = Node::new(Cgroups::V1);
            let lived = die_at(point, || life(&node)).is_some();
            let recovered = die_at(second, || drop(node.keeper())).is_some();
            assert_journalled(&node, &format!("at {point}, then {second}"));
            drop(node.keeper());
            assert_eq!(quota_now(&node), OLD, "at {point}, then {second}");
            assert!(!is_rated(&node) && node.journal().is_empty(), "at {point}, then {second}");
            if lived || recovered {
                break;
            }
            deaths += 1;
        }
    }
    assert!(deaths > 40, "only {deaths} second deaths");
}

#[test]
fn what_others_set_while_the_helper_was_dead_stays() {
    let node = Node::new(Cgroups::V1);
    let mut keeper = node.keeper();
    keeper.try_apply(quota("f", 2.0), at(1)).unwrap();
    drop(keeper);
    node.meddle("cpu", "cpu.cfs_quota_us", "120000");
    let (mut keeper, recovered) = node.restart();
    assert_eq!(recovered.unwrap(), 1);
    assert_eq!(quota_now(&node), "120000");
    assert_eq!(keeper.listing(at(1)).ended[0].how, crate::wire::Ending::Overridden);
}

#[test]
fn a_rounded_value_is_known_again_though_its_rounding_was_never_noted() {
    let node = Node::new(Cgroups::V1);
    let mut keeper = node.keeper();
    keeper.try_apply(quota("f", 2.0), at(1)).unwrap();
    drop(keeper);
    // As if the kernel had made this of it, and we had died before we could read it back.
    node.meddle("cpu", "cpu.cfs_quota_us", "199990");
    drop(node.keeper());
    assert_eq!(quota_now(&node), OLD);
}

#[test]
fn nothing_of_an_earlier_boot_is_put_back() {
    let node = Node::new(Cgroups::V1);
    let mut keeper = node.keeper();
    keeper.try_apply(quota("f", 2.0), at(1)).unwrap();
    drop(keeper);
    std::fs::write(node.path("proc/sys/kernel/random/boot_id"), "boot-2\n").unwrap();
    let (mut keeper, recovered) = node.restart();
    recovered.unwrap();
    assert_eq!(keeper.listing(at(1)).ended[0].how, crate::wire::Ending::Gone);
    // Whoever set it in this boot wanted it so.
    assert_eq!(quota_now(&node), "200000");
    assert!(node.journal().is_empty());
}

#[test]
fn an_entry_that_cannot_be_read_stops_the_start_after_all_others_are_undone() {
    let node = Node::new(Cgroups::V1);
    let mut keeper = node.keeper();
    keeper.try_apply(quota("f", 2.0), at(1)).unwrap();
    drop(keeper);
    for (name, text) in [("a.json", "{\"format\":1"), ("z.json", "{\"format\":2}")] {
        std::fs::write(node.path("state").join(name), text).unwrap();
        let (_, recovered) = node.restart();
        let error = recovered.unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("by hand"), "{error}");
        assert_eq!(quota_now(&node), OLD);
        std::fs::remove_file(node.path("state").join(name)).unwrap();
    }
}

#[test]
fn two_helpers_do_not_share_a_journal() {
    let node = Node::new(Cgroups::V1);
    let _first = node.keeper();
    let second = super::super::journal::Journal::open(&node.path("state"), Duration::ZERO);
    assert!(matches!(second, Err(super::super::Error::Running { .. })));
}

#[test]
fn a_journal_that_others_can_write_is_not_trusted() {
    use std::os::unix::fs::PermissionsExt as _;
    let node = Node::new(Cgroups::V1);
    let dir = node.path("state");
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o770)).unwrap();
    let opened = super::super::journal::Journal::open(&dir, Duration::ZERO);
    assert!(matches!(opened, Err(super::super::Error::Untrusted { .. })));
}

/// Two fixes in one resource group: applied, changed, one reverted, one renewed after a thread has come, and
/// expired.
fn life_in_a_group(node: &Node) {
    let mut keeper = node.keeper();
    keeper.try_apply(fix("w", Knob::LlcWays, Value::Amount(4.0)), at(1)).unwrap();
    keeper.try_apply(fix("b", Knob::MemoryBandwidth, Value::Amount(50.0)), at(1)).unwrap();
    keeper.try_renew("w", Some(Value::Amount(5.0)), at(2)).unwrap();
    node.put_threads(REPLICA, "101\n102\n200\n");
    keeper.try_revert("w", at(3));
    keeper.try_renew("b", None, at(4)).unwrap();
    keeper.tick(at(90));
}

/// Whoever is in a group of ours is in the journal.
fn assert_group_journalled(node: &Node, when: &str) {
    for group in node.own_groups() {
        assert!(!node.journal().is_empty(), "{when}: {group}");
    }
}

fn assert_no_group(node: &Node, when: &str) {
    assert!(node.own_groups().is_empty() && node.journal().is_empty(), "{when}");
    let mut tasks: Vec<_> = node.group_file("", "tasks").split(',').map(String::from).collect();
    tasks.sort();
    assert_eq!(tasks, ["1", "101", "102", "200"], "{when}");
}

#[test]
fn death_at_any_step_leaves_no_resource_group_after_the_next_start() {
    let mut deaths = 0;
    for point in 0.. {
        let node = Node::with_groups(Cgroups::V2);
        let lived = die_at(point, || life_in_a_group(&node)).is_some();
        assert_group_journalled(&node, &format!("at {point}"));
        drop(node.keeper());
        assert_no_group(&node, &format!("at {point}"));
        if lived {
            break;
        }
        deaths += 1;
    }
    // Four entries (one twice) and two removals of the journal; the group made once and found there twice; three
    // lines set, one put back, three threads taken in, the group removed.
    let (entries, removals, writes) = (4, 2, 3 + 1 + 3 + 1);
    assert_eq!(deaths, 5 * entries + 2 * removals + 4 + 2 * writes, "something is not covered");
}

#[test]
fn death_while_recovering_a_resource_group_changes_nothing_about_that() {
    let mut deaths = 0;
    for point in (0..60).step_by(3) {
        for second in 0.. {
            let node = Node::with_groups(Cgroups::V2);
            let lived = die_at(point, || life_in_a_group(&node)).is_some();
            let recovered = die_at(second, || drop(node.keeper())).is_some();
            assert_group_journalled(&node, &format!("at {point}, then {second}"));
            drop(node.keeper());
            assert_no_group(&node, &format!("at {point}, then {second}"));
            if lived || recovered {
                break;
            }
            deaths += 1;
        }
    }
    assert!(deaths > 40, "only {deaths} second deaths");
}
