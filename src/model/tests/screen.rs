//! Which metrics are taken for causes.

use super::town::{Town, brief, chain, feature};
use crate::data::{FeatureWindow, Frame, Replica, Resource, Role, Scale, Scope, Signal};
use crate::graph::Mechanism;
use crate::model::features::FeatureModel;

/// Names of the metrics that are kept.
fn kept(town: &Town) -> Vec<String> {
    let model = FeatureModel::fit(&town.frames(), &town.met, &town.net).unwrap();
    model.features.iter().filter(|f| f.kept).map(|f| f.name.clone()).collect()
}

fn usage(name: &str, role: Role, level: f64) -> FeatureWindow {
    FeatureWindow { signal: Signal::Usage, ..feature(name, role, level) }
}

/// Rises where the trouble is.
fn cause(service: &str, is_troubled: bool) -> f64 {
    if is_troubled && service == "db" { 40.0 } else { 1.0 }
}

/// Rises wherever somebody waits for the trouble: callers hold more requests, and memory with them.
fn effect(service: &str, is_troubled: bool) -> f64 {
    if is_troubled && service != "db" { 40.0 } else { 1.0 }
}

/// Stalls that tell of the trouble, and others that only tell of waiting for it.
fn stalls(service: &str, is_troubled: bool, noise: f64) -> Vec<FeatureWindow> {
    vec![
        feature("memory_faulted", Role::Memory, noise * cause(service, is_troubled)),
        feature("memory_waited", Role::Memory, noise * effect(service, is_troubled)),
    ]
}

#[test]
fn a_metric_that_rises_where_the_trouble_is_stays_and_one_that_rises_above_it_goes() {
    assert_eq!(kept(&chain(240, 61, stalls)), ["memory_faulted"]);
}

/// Whoever shares a host with a tier in trouble may have the same trouble for the same reason. Only the
/// host's own metrics say so.
#[test]
fn a_shortage_of_the_host_is_nobodys_effect() {
    let metrics = |service: &str, is_troubled: bool, noise: f64| {
        let crowded = if is_troubled { 40.0 } else { 1.0 };
        let of_host = feature("node_cpu_busy", Role::Cpu, noise * crowded);
        vec![
            feature("cpu_throttled", Role::Cpu, noise * cause(service, is_troubled)),
            feature("cpu_waited", Role::Cpu, noise * crowded),
            FeatureWindow { scope: Scope::Node, ..of_host },
        ]
    };
    let on = |node: &dyn Fn(&str) -> String| {
        let mut town = chain(240, 68, metrics);
        for service in town.frames.iter_mut().flat_map(|f| &mut f.services) {
            let node = node(&service.service).into();
            service.replicas = vec![Replica { name: service.service.clone(), node }];
        }
        kept(&town)
    };
    assert_eq!(on(&|_| "one".into()), ["cpu_throttled", "cpu_waited", "node_cpu_busy"]);
    assert_eq!(on(&|service| format!("of-{service}")), ["cpu_throttled"]);
}

/// Some evidence is better than none.
#[test]
fn the_only_metric_of_a_resource_stays() {
    let town = chain(240, 62, |service, is_troubled, noise| {
        vec![
            usage("cpu_used", Role::Cpu, noise * cause(service, is_troubled)),
            feature("memory_waited", Role::Memory, noise * effect(service, is_troubled)),
        ]
    });
    assert_eq!(kept(&town), ["cpu_used", "memory_waited"]);
}

#[test]
fn with_too_little_trouble_to_judge_by_every_metric_stays() {
    let mut town = chain(40, 63, stalls);
    assert_eq!(kept(&town).len(), 2);
    town.met.fill(true);
    assert_eq!(kept(&town).len(), 2);
}

/// Whoever waits holds more requests, and memory with them: that is no shortage of memory, neither for the
/// screen nor for the scores. The same memory without anybody waiting is one.
#[test]
fn what_work_in_flight_explains_is_not_abnormal() {
    let held = |service: &str, is_troubled: bool, noise: f64| {
        vec![usage("memory_held", Role::Memory, noise * effect(service, is_troubled))]
    };
    let town = chain(240, 67, held);
    let model = FeatureModel::fit(&town.frames(), &town.met, &town.net).unwrap();
    let troubled = town.met.iter().rposition(|met| !met).unwrap();
    let calm = town.met.iter().position(|met| *met).unwrap();
    let j = town.net.rpcs.iter().find_map(|r| r.caller).unwrap();
    let z = |now: &crate::data::Frame| model.scores(now, &town.frames[calm], &town.net)[j][0].z;
    assert!(z(&town.frames[troubled]).abs() < 5.0, "{}", z(&town.frames[troubled]));
    let mut strange = town.frames[calm].clone();
    strange.services = town.frames[troubled].services.clone();
    assert!(z(&strange) > 10.0, "{}", z(&strange));
}

/// What is used is a stand-in: where a shortage shows, that is what slows a service down.
#[test]
fn a_metric_of_use_has_no_say_beside_one_of_shortage() {
    let town = chain(240, 64, |service, is_troubled, noise| {
        vec![
            feature("cpu_throttled", Role::Cpu, noise * cause(service, is_troubled)),
            usage("cpu_used", Role::Cpu, noise * cause(service, is_troubled)),
        ]
    });
    let model = FeatureModel::fit(&town.frames(), &town.met, &town.net).unwrap();
    let scores = model.scores(&town.frames[3], &town.frames[0], &town.net);
    let db = town.net.service("db").unwrap();
    let names: Vec<&str> =
        scores[db].iter().map(|s| model.features[s.feature].name.as_str()).collect();
    assert_eq!(names, ["cpu_throttled"]);
    assert!(scores[db][0].z > 5.0, "{:?}", scores[db]);
}

/// Twice the requests, twice the processor time: nothing is wrong. With the usual requests the same
/// level is strange.
#[test]
fn what_the_load_explains_is_not_abnormal() {
    let mut town = chain(120, 66, |_, _, noise| vec![usage("cpu_used", Role::Cpu, noise)]);
    for (n, frame) in town.frames.iter_mut().enumerate() {
        let load = 0.5 + (n * 7 % 31) as f64 / 20.0;
        frame.rpcs.iter_mut().for_each(|r| r.count = (r.count as f64 * load) as u64);
        for feature in frame.services.iter_mut().flat_map(|s| &mut s.features) {
            feature.percentiles = feature.percentiles.map(|level| level * load);
        }
    }
    let model = FeatureModel::fit(&town.frames(), &town.met, &town.net).unwrap();
    let requests = |n: usize| town.frames[n].rpcs[0].count;
    let by_load = |n: &usize| requests(*n);
    let (quiet, busy) =
        ((0..120).min_by_key(by_load).unwrap(), (0..120).max_by_key(by_load).unwrap());
    assert!(requests(busy) > 3 * requests(quiet));
    let z = |now: &crate::data::Frame| model.scores(now, &town.frames[quiet], &town.net)[0][0].z;
    assert!(z(&town.frames[busy]).abs() < 4.0, "{}", z(&town.frames[busy]));
    let mut strange = town.frames[quiet].clone();
    strange.services = town.frames[busy].services.clone();
    assert!(z(&strange) > 10.0, "{}", z(&strange));
}

#[test]
fn load_is_never_evidence() {
    let town = chain(40, 65, |_, _, noise| vec![feature("requests_in", Role::Load, 9.0 * noise)]);
    assert_eq!(kept(&town), [] as [&str; 0]);
}

/// Whoever holds a lock has more memory in use, and nobody goes without any.
#[test]
fn use_accuses_nobody_where_a_shortage_would_show() {
    let accused = |is_measured: bool| {
        let town = chain(120, 69, |service, is_troubled, noise| {
            let held = usage("memory_held", Role::Memory, noise * cause(service, is_troubled));
            let faulted = feature("memory_faulted", Role::Memory, noise);
            if is_measured { vec![held, faulted] } else { vec![held] }
        });
        let model = town.fit(&brief(7)).unwrap();
        let calm = &town.frames[town.met.iter().position(|met| *met).unwrap()];
        let troubled = &town.frames[town.met.iter().rposition(|met| !met).unwrap()];
        // No more work in flight than usual.
        let strange = Frame { services: troubled.services.clone(), ..calm.clone() };
        let db = town.net.services.iter().position(|s| &**s == "db").unwrap();
        model.abduct(&strange, calm).situation().used[db][Resource::Memory.index()]
    };
    assert!(accused(false) > 10.0, "{}", accused(false));
    assert!(accused(true).abs() < 1e-9, "{}", accused(true));
}

/// A program at its limit may get all it asks for; only waiting and throttling say that it does not.
#[test]
fn use_as_a_share_of_a_limit_does_not_say_that_somebody_goes_without() {
    let busy = |scale: Scale| {
        let town = chain(120, 70, |service, is_troubled, noise| {
            let used = 0.1 * noise * cause(service, is_troubled).min(4.0);
            let share = FeatureWindow { scale, ..feature("cpu_of_limit", Role::Cpu, used) };
            vec![share, usage("cpu_used", Role::Cpu, used)]
        });
        let model = town.fit(&brief(7)).unwrap();
        let calm = &town.frames[town.met.iter().position(|met| *met).unwrap()];
        let db = town.net.services.iter().position(|s| &**s == "db").unwrap();
        model.abduct(calm, calm).situation().busy[db]
    };
    assert!(busy(Scale::Headroom).is_some());
    assert_eq!(busy(Scale::Log), None);
}

/// Where nobody ever waited, a thousandth of the time is a great rise and costs no request anything.
#[test]
fn a_thousandth_of_the_time_lost_waiting_is_not_strange() {
    let town = chain(120, 72, |_, _, _| {
        let waited = feature("memory_pressure", Role::Memory, 0.0);
        vec![FeatureWindow { signal: Signal::Stall, ..waited }]
    });
    let model = town.fit(&brief(7)).unwrap();
    let calm = &town.frames[town.met.iter().position(|met| *met).unwrap()];
    let db = town.net.services.iter().position(|s| &**s == "db").unwrap();
    let z = |level: f64| {
        let mut strange = calm.clone();
        let all = strange.services.iter_mut().flat_map(|s| &mut s.features);
        all.for_each(|f| f.percentiles = [level; 3]);
        model.abduct(&strange, calm).situation().own[db].z[Resource::Memory.index()]
    };
    assert!(z(0.001) < 3.0, "{}", z(0.001));
    assert!(z(0.2) > 20.0, "{}", z(0.2));
}

/// Whatever is hit how often: beyond what calm has shown it counts, in whatever unit. What an older interval took it for
/// does not.
#[test]
fn a_limit_that_is_hit_is_told_from_other_shortages() {
    let limit = |unit: f64, old: Signal| {
        let seen = std::cell::Cell::new(0);
        let town = chain(120, 73, |service, is_troubled, noise| {
            let signal = if seen.replace(seen.get() + 1) < 60 { old } else { Signal::Limit };
            let hits = if cause(service, is_troubled) > 1.5 { 8000.0 * noise * unit } else { 0.0 };
            let throttled = feature("cpu_throttled_ratio", Role::Cpu, 0.01 * noise);
            let hits = feature("memory_limit_hits", Role::Memory, hits);
            vec![FeatureWindow { signal, ..hits }, throttled]
        });
        let model = town.fit(&brief(7)).unwrap();
        let calm = &town.frames[town.met.iter().position(|met| *met).unwrap()];
        let db = town.net.services.iter().position(|s| &**s == "db").unwrap();
        let mut strange = calm.clone();
        for f in strange.services.iter_mut().flat_map(|s| &mut s.features) {
            f.percentiles =
                if &*f.name == "memory_limit_hits" { [11_000.0 * unit; 3] } else { [0.78; 3] };
        }
        let own = model.abduct(&strange, calm).situation().own[db];
        assert!(own.z[Resource::Cpu.index()] > 20.0, "{own:?}");
        assert_eq!(own.limit[Resource::Cpu.index()], 0.0);
        assert_eq!(own.limit[Resource::Memory.index()], own.z[Resource::Memory.index()]);
        own.limit[Resource::Memory.index()]
    };
    let often = limit(1.0, Signal::Limit);
    assert!(often > 20.0, "{often}");
    assert!((limit(0.001, Signal::Saturation) - often).abs() < 0.01 * often);
}
