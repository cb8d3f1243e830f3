//! From names to cgroups.

use super::super::asker::Asker;
use super::super::host::{Base, Controller, Host};
use super::super::locate::locate;
use super::node::{Cgroups, Node, REPLICA, at};
use crate::data::{Knob, Target, Value};
use crate::wire::{Answer, Code, Request};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const UID: &str = "6f2d8c1e-0000-4000-8000-0123456789ab";

fn find(node: &Node, target: &Target) -> Result<String, Code> {
    let host = Host::open(&node.policy().roots).unwrap();
    let base = if node.cgroups == Cgroups::V2 { Base::V2 } else { Base::V1(Controller::Cpu) };
    locate(&host, target, base).map(|path| path.to_string()).map_err(|refusal| refusal.code)
}

#[test]
fn containers_are_found_under_the_names_their_engines_give() {
    for path in [
        format!("/docker/{ID}"),
        format!("/system.slice/docker-{ID}.scope"),
        format!("/machine.slice/libpod-{ID}.scope"),
        format!("/libpod_parent/libpod-{ID}"),
        format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope"),
        format!("/kubepods/burstable/pod{UID}/{ID}"),
    ] {
        for cgroups in [Cgroups::V1, Cgroups::V2] {
            let node = Node::new(cgroups);
            node.add_cgroup(&path);
            for id in [ID, &ID[..12]] {
                assert_eq!(find(&node, &Target::Container(id.into())), Ok(path.clone()));
            }
            let other = Target::Container("ffff56789abc".into());
            assert_eq!(find(&node, &other), Err(Code::TargetNotFound));
        }
    }
    let node = Node::new(Cgroups::V1);
    for bad in ["", "0123", "../../..", "redis-server"] {
        assert_eq!(find(&node, &Target::Container(bad.into())), Err(Code::TargetNotFound));
    }
}

#[test]
fn pods_are_found_with_either_driver() {
    let systemd = format!("/kubepods.slice/kubepods-burstable-pod{}.slice", UID.replace('-', "_"));
    for path in [systemd, format!("/kubepods/burstable/pod{UID}")] {
        let node = Node::new(Cgroups::V2);
        node.add_cgroup(&path);
        assert_eq!(find(&node, &Target::Pod(UID.into())), Ok(path));
        assert_eq!(find(&node, &Target::Pod(String::new())), Err(Code::TargetNotFound));
    }
}

#[test]
fn units_are_found_by_name_unless_there_are_two() {
    let node = Node::new(Cgroups::V2);
    node.add_cgroup("/system.slice/redis.service");
    let unit = Target::Unit("redis.service".into());
    assert_eq!(find(&node, &unit), Ok("/system.slice/redis.service".into()));
    node.add_cgroup("/user.slice/redis.service");
    assert_eq!(find(&node, &unit), Err(Code::TargetAmbiguous));
}

#[test]
fn processes_are_found_by_number_and_name() {
    for cgroups in [Cgroups::V1, Cgroups::V2] {
        let node = Node::new(cgroups);
        node.add_process(4000, "/usr/bin/redis-server", REPLICA);
        node.add_process(4001, "/usr/bin/redis-server", REPLICA);
        node.add_process(4002, "nginx", "/apps/nginx");
        assert_eq!(find(&node, &Target::Pid(4000)), Ok(REPLICA.into()));
        assert_eq!(find(&node, &Target::Pid(9)), Err(Code::TargetNotFound));
        let redis = Target::Process("redis-server".into());
        assert_eq!(find(&node, &redis), Ok(REPLICA.into()));
        node.add_process(4003, "redis-server", "/apps/other");
        assert_eq!(find(&node, &redis), Err(Code::TargetAmbiguous));
        let nobody = Target::Process("redis".into());
        assert_eq!(find(&node, &nobody), Err(Code::TargetNotFound));
    }
}

#[test]
fn a_process_outside_of_what_is_mounted_here_has_no_cgroup() {
    let node = Node::new(Cgroups::V2);
    node.add_process(4000, "far", "/../../elsewhere");
    assert_eq!(find(&node, &Target::Pid(4000)), Err(Code::TargetNotFound));
}

#[test]
fn inspection_shows_values_use_and_room_of_covered_targets_only() {
    let node = Node::new(Cgroups::V1);
    let mut keeper = node.keeper();
    let target = Target::Cgroup(REPLICA.into());
    let Answer::Inspected(seen) =
        keeper.answer(Request::Inspect { target }, &Asker::User(0), at(1))
    else {
        panic!("not inspected")
    };
    let quota = seen.knobs.iter().find(|k| k.knob == Knob::CpuQuota).unwrap();
    assert_eq!((&quota.value, quota.max), (&Value::Amount(1.5), Some(4.0)));
    let soft = seen.knobs.iter().find(|k| k.knob == Knob::MemoryHigh).unwrap();
    assert_eq!(soft.value, Value::Text("max".into()));
    assert_eq!(seen.usage["memory_bytes"], 536_870_912.0);
    assert_eq!(seen.node["memory_available_bytes"], 524_288.0);
    assert_eq!(seen.cgroups["cpu"], REPLICA);
    node.add_cgroup("/private");
    for (path, code) in
        [("/private", Code::TargetNotAllowed), ("/apps/nobody", Code::TargetNotFound)]
    {
        let target = Target::Cgroup(path.into());
        match keeper.answer(Request::Inspect { target }, &Asker::User(0), at(1)) {
            Answer::Refused(refusal) => assert_eq!(refusal.code, code),
            other => panic!("{other:?}"),
        }
    }
}
