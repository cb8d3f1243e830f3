use super::scene::{cause, config, diagnosis, inspection, inventory, knob};
use crate::act::config::{BestEffort, Config, Located};
use crate::act::nodes::Helper;
use crate::act::{Inventory, Plan, locate, obvious_target, plan};
use crate::data::{
    ActMode, ActionKind, Knob, MetricEvidence, Replica, Resource, RootCause, Rung, Target, Value,
};

fn planned(cause: &RootCause, stock: &Inventory, config: &Config) -> Plan {
    plan("fix-1", &diagnosis("d", cause.clone()), cause, stock, config)
}

/// Kind, knob and goal of the first change of each rung.
fn ladder(plan: &Plan) -> Vec<(ActionKind, Option<(Knob, Value)>)> {
    let first = |r: &crate::data::Rung| r.changes.first().map(|c| (c.knob, c.to.clone()));
    plan.rungs.iter().map(|r| (r.kind, first(r))).collect()
}

fn throttled(service: &str) -> RootCause {
    let evidence =
        MetricEvidence { name: "cpu_throttled_ratio".into(), observed: 0.71, normal: 0.02 };
    RootCause { metrics: vec![evidence], ..cause(service, Some(Resource::Cpu)) }
}

fn amount(value: f64) -> Value {
    Value::Amount(value)
}

#[test]
fn a_bug_gets_no_fix_and_is_said_to_be_one() {
    let stock = inventory(vec![knob(Knob::CpuQuota, 1.0, Some((0.1, 8.0)))]);
    let plan = planned(&cause("redis", None), &stock, &config(ActMode::Auto));
    assert!(plan.rungs.is_empty());
    assert!(plan.none_because.unwrap().contains("software bug"));
}

#[test]
fn a_throttled_service_gets_more_quota_in_two_steps_then_more_replicas() {
    let mut config = config(ActMode::Auto);
    config.scale_out_services = vec!["redis".into()];
    config.scale_out_command = vec!["true".into()];
    let stock = inventory(vec![knob(Knob::CpuQuota, 1.5, Some((0.1, 8.0)))]);
    let plan = planned(&throttled("redis"), &stock, &config);
    let expected = [
        (ActionKind::Cpu, Some((Knob::CpuQuota, amount(2.25)))),
        (ActionKind::Cpu, Some((Knob::CpuQuota, amount(3.0)))),
        (ActionKind::ScaleOut, None),
    ];
    assert_eq!(ladder(&plan), expected);
    let first = &plan.rungs[0];
    assert_eq!(first.what, "cpu_quota of cgroup /apps/redis on n1 from 1.5 to 2.25");
    assert!(first.why.contains("cpu_throttled_ratio is 0.71, normally 0.02"), "{}", first.why);
    let ids: Vec<&str> =
        plan.rungs.iter().flat_map(|r| &r.changes).map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["fix-1-0-0", "fix-1-1-0"], "every change has a name of its own");
}

#[test]
fn policy_and_node_bound_every_step_and_equal_steps_are_one() {
    let config = config(ActMode::Auto);
    // The policy's 2.0 is below both steps.
    let stock = inventory(vec![knob(Knob::CpuQuota, 1.5, Some((0.1, 2.0)))]);
    let plan = planned(&throttled("redis"), &stock, &config);
    assert_eq!(ladder(&plan), [(ActionKind::Cpu, Some((Knob::CpuQuota, amount(2.0))))]);
    // The node's 8 CPUs are below the policy's 100.
    let stock = inventory(vec![knob(Knob::CpuQuota, 7.0, Some((0.1, 100.0)))]);
    let plan = planned(&throttled("redis"), &stock, &config);
    assert_eq!(ladder(&plan), [(ActionKind::Cpu, Some((Knob::CpuQuota, amount(8.0))))]);
    // Half of the 1 GB the node has left is below 1.5 times 2 GB.
    let stock = inventory(vec![knob(Knob::MemoryMax, 2e9, Some((1e6, 1e12)))]);
    let plan = planned(&cause("redis", Some(Resource::Memory)), &stock, &config);
    assert_eq!(ladder(&plan), [(ActionKind::Memory, Some((Knob::MemoryMax, amount(2.5e9))))]);
}

#[test]
fn what_cannot_be_raised_is_left_out_with_the_reason() {
    let config = config(ActMode::Auto);
    let unlimited = crate::wire::KnobView {
        value: Value::Text("max".into()),
        ..knob(Knob::CpuQuota, 0.0, Some((0.1, 8.0)))
    };
    for (knobs, why) in [
        (vec![], "there is no such knob"),
        (vec![unlimited], "no limit that could be raised"),
        (vec![knob(Knob::CpuQuota, 1.5, None)], "policy does not allow it"),
        (vec![knob(Knob::CpuQuota, 2.0, Some((0.1, 2.0)))], "as far up as"),
    ] {
        let plan = planned(&throttled("redis"), &inventory(knobs), &config);
        assert!(plan.rungs.is_empty());
        assert!(plan.none_because.as_ref().unwrap().contains(why), "{plan:?}");
    }
}

fn with_batch(mut stock: Inventory) -> Inventory {
    let work = BestEffort {
        node: "n1".into(),
        target: Target::Cgroup("/batch/job".into()),
        interface: Some("veth1".into()),
        rate: Some(1e7),
    };
    let freeze = crate::wire::KnobView {
        value: Value::Flag(false),
        ..knob(Knob::Freeze, 0.0, Some((0.0, 0.0)))
    };
    let knobs = vec![
        knob(Knob::CpuWeight, 100.0, Some((10.0, 1000.0))),
        knob(Knob::IoWeight, 100.0, Some((10.0, 1000.0))),
        freeze,
    ];
    stock.neighbours.push((work, inspection(knobs)));
    stock
}

#[test]
fn without_throttling_best_effort_neighbours_give_way_first() {
    let mut config = config(ActMode::Auto);
    config.freeze_neighbours = true;
    let stock = with_batch(inventory(vec![
        knob(Knob::CpuQuota, 1.0, Some((0.1, 8.0))),
        knob(Knob::IoWeight, 100.0, Some((10.0, 1000.0))),
    ]));
    let (n, cpu) = (ActionKind::Neighbour, ActionKind::Cpu);
    let plan = planned(&cause("redis", Some(Resource::Cpu)), &stock, &config);
    let expected = [
        (n, Some((Knob::CpuWeight, amount(50.0)))),
        (n, Some((Knob::CpuWeight, amount(25.0)))),
        (n, Some((Knob::Freeze, Value::Flag(true)))),
        (cpu, Some((Knob::CpuQuota, amount(1.5)))),
        (cpu, Some((Knob::CpuQuota, amount(2.0)))),
    ];
    assert_eq!(ladder(&plan), expected);
    // With throttling its own quota comes first.
    let plan = planned(&throttled("redis"), &stock, &config);
    assert_eq!(plan.rungs[0].kind, cpu);
    let plan = planned(&cause("redis", Some(Resource::Disk)), &stock, &config);
    assert_eq!(plan.rungs[0].changes[0].target, Target::Cgroup("/batch/job".into()));
    assert!(ladder(&plan).contains(&(ActionKind::Disk, Some((Knob::IoWeight, amount(200.0))))));
    // The network: the interface, at the rate that is configured; it belongs to the node.
    let plan = planned(&cause("redis", Some(Resource::Network)), &stock, &config);
    assert_eq!(ladder(&plan), [(n, Some((Knob::NetworkRate, amount(1e7))))]);
    let change = &plan.rungs[0].changes[0];
    assert_eq!((&change.target, change.device.as_deref()), (&Target::Node, Some("veth1")));
}

#[test]
fn neighbours_lose_cache_and_bandwidth_before_they_are_frozen() {
    let mut config = config(ActMode::Auto);
    config.freeze_neighbours = true;
    let mut stock = with_batch(inventory(vec![]));
    let (work, seen) = stock.neighbours.remove(0);
    let mut seen = seen;
    seen.knobs.push(knob(Knob::LlcWays, 11.0, Some((2.0, 11.0))));
    seen.knobs.push(knob(Knob::MemoryBandwidth, 100.0, Some((20.0, 100.0))));
    stock.neighbours.push((work.clone(), seen));
    let plan = planned(&cause("redis", Some(Resource::Cpu)), &stock, &config);
    let goals = |rung: &Rung| -> Vec<_> {
        rung.changes.iter().map(|c| (c.knob, c.to.clone(), c.target.clone())).collect()
    };
    let job = || Target::Cgroup("/batch/job".into());
    let share = |ways, percent| {
        vec![(Knob::LlcWays, amount(ways), job()), (Knob::MemoryBandwidth, amount(percent), job())]
    };
    // Whole ways, and steps that processors have.
    let rungs: Vec<_> = plan.rungs.iter().map(goals).collect();
    assert_eq!(rungs[2..4], [share(6.0, 50.0), share(3.0, 30.0)], "{plan:?}");
    assert_eq!(rungs[4][0].0, Knob::Freeze);
    // As far as the policy allows, and not a step that changes nothing.
    stock.neighbours[0].1.knobs.truncate(3);
    stock.neighbours[0].1.knobs.push(knob(Knob::MemoryBandwidth, 40.0, Some((35.0, 100.0))));
    let plan = planned(&cause("redis", Some(Resource::Cpu)), &stock, &config);
    let is_bandwidth = |r: &Rung| r.changes.iter().any(|c| c.knob == Knob::MemoryBandwidth);
    assert!(!plan.rungs.iter().any(is_bandwidth), "{plan:?}");
}

#[test]
fn work_without_a_named_interface_is_rated_by_its_own_name() {
    let mut stock = with_batch(inventory(vec![]));
    stock.neighbours[0].0.interface = None;
    let plan = planned(&cause("redis", Some(Resource::Network)), &stock, &config(ActMode::Auto));
    let change = &plan.rungs[0].changes[0];
    assert_eq!((change.knob, &change.to), (Knob::NetworkRate, &amount(1e7)));
    assert_eq!((&change.target, &change.device), (&Target::Cgroup("/batch/job".into()), &None));
}

#[test]
fn kinds_that_are_only_observed_and_services_that_are_not_listed_get_no_rung() {
    let stock = with_batch(inventory(vec![knob(Knob::CpuQuota, 1.0, Some((0.1, 8.0)))]));
    let mut config = config(ActMode::Auto);
    config.modes.insert(ActionKind::Neighbour, ActMode::Observe);
    let plan = planned(&cause("redis", Some(Resource::Cpu)), &stock, &config);
    assert!(plan.rungs.iter().all(|r| r.kind == ActionKind::Cpu), "{plan:?}");
    config.services = vec!["cart".into()];
    let plan = planned(&throttled("redis"), &stock, &config);
    assert!(plan.none_because.unwrap().contains("not in act.services"));
}

#[test]
fn at_most_as_many_replicas_as_configured_are_changed_at_once() {
    let mut config = config(ActMode::Auto);
    config.changes_max = 2;
    let mut stock = inventory(vec![knob(Knob::CpuQuota, 1.0, Some((0.1, 8.0)))]);
    let one = stock.replicas[0].clone();
    stock.replicas.extend([one.clone(), one.clone(), one]);
    let plan = planned(&throttled("redis"), &stock, &config);
    assert!(plan.rungs.iter().all(|r| r.changes.len() == 2), "{plan:?}");
    assert!(plan.left_out[0].contains("act.changes_max"), "{plan:?}");
}

#[test]
fn a_replicas_name_may_say_where_it_is() {
    let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let uid = "6b7a3b9e-0a1b-4c2d-8e3f-0123456789ab";
    for (name, expected) in [
        (id.to_string(), Some(Target::Container(id.into()))),
        (format!("/docker/{id}"), Some(Target::Container(id.into()))),
        (format!("/system.slice/docker-{id}.scope"), Some(Target::Container(id.into()))),
        ("0123456789ab".into(), Some(Target::Container("0123456789ab".into()))),
        ("/system.slice/redis.service".into(), Some(Target::Unit("redis.service".into()))),
        (uid.into(), Some(Target::Pod(uid.into()))),
        ("redis-0".into(), None),
        ("cart:8080".into(), None),
        ("0123456789AB".into(), None),
    ] {
        assert_eq!(obvious_target(&name), expected, "{name}");
    }
}

#[test]
fn configured_targets_win_over_names_and_those_that_stand_out_are_taken() {
    let mut config = config(ActMode::Auto);
    config.helpers.push(Helper::local("n2", "/nowhere"));
    let located = |replica: Option<&str>, node: &str, path: &str| Located {
        service: "redis".into(),
        replica: replica.map(Into::into),
        node: node.into(),
        target: Target::Cgroup(path.into()),
    };
    let seen = |name: &str, node: &str| Replica { name: name.into(), node: node.into() };
    let frame = [seen("0123456789ab", "n1"), seen("redis-1", "n1"), seen("ab0123456789", "n9")];
    let mut accused = cause("redis", Some(Resource::Cpu));
    let (places, unknown) = locate(&config, &accused, &frame);
    assert_eq!(places.len(), 1);
    assert!(unknown[0].contains("redis-1") && unknown[1].contains("n9"), "{unknown:?}");
    // By node: only n1 stands out.
    config.targets = vec![located(None, "n1", "/a"), located(None, "n2", "/b")];
    let paths = |cause: &RootCause, config: &Config| -> Vec<Target> {
        locate(config, cause, &frame).0.into_iter().map(|p| p.target).collect()
    };
    assert_eq!(paths(&accused, &config), [Target::Cgroup("/a".into())]);
    // By replica.
    config.targets = vec![located(Some("r-0"), "n1", "/a"), located(Some("r-1"), "n2", "/b")];
    accused.replicas = vec!["r-1".into()];
    assert_eq!(paths(&accused, &config), [Target::Cgroup("/b".into())]);
}
