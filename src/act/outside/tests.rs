//! What needs no server: quantities, patches, what objects say.

use serde_json::{Value, json};

use super::amount::{means_same, quantity};
use super::carry::Way;
use super::config::{Runs, Workload};
use super::standing::{Standing, standing};
use super::{docker, kubernetes, pods};
use crate::data::{Edit, Outside, Resource};

fn workload() -> Workload {
    Workload {
        service: "redis".into(),
        runs: Runs::Deployment("shop/redis".into()),
        container: None,
        replicas_max: 5,
        cpu_max: Some(2.0),
        memory_max: Some(2e9),
    }
}

fn pod(qos: &str) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": "redis-1", "uid": "u-1"},
        "spec": {"containers": [{"name": "redis", "resources": {
            "limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "500m", "memory": "256Mi"}
        }}]},
        "status": {"phase": "Running", "qosClass": qos}
    })
}

#[test]
fn quantities_read_as_kubernetes_writes_them() {
    for (text, number) in [
        ("500m", 0.5),
        ("2", 2.0),
        ("1.5", 1.5),
        ("768Mi", 805_306_368.0),
        ("1e3", 1000.0),
        ("128974848", 128_974_848.0),
        ("129M", 129e6),
        ("1G", 1e9),
        ("100u", 1e-4),
    ] {
        let read = quantity(text).unwrap();
        assert!((read - number).abs() <= 1e-9 * number, "{text}: {read}");
    }
    for text in ["", "m", "-1", "1 Gi", "NaN", "inf", "x"] {
        assert_eq!(quantity(text), None, "{text}");
    }
    assert!(means_same(&json!("1500m"), &json!("1.5")) && means_same(&json!(3), &json!(3)));
    assert!(!means_same(&json!("1501m"), &json!("1.5")) && !means_same(&json!(3), &json!("3")));
}

#[test]
fn a_pod_grows_within_its_bounds_and_keeps_its_class() {
    let grown = |qos: &str, resource, factor| {
        let resizable = pods::resizable(&pod(qos), &workload(), resource).unwrap();
        resizable.grow(factor).map(|(change, _)| change)
    };
    let burstable = grown("Burstable", Resource::Cpu, 1.5).unwrap();
    assert_eq!(burstable.object, "/api/v1/namespaces/shop/pods/redis-1/resize");
    let limit = "/spec/containers/0/resources/limits/cpu";
    let edit = Edit { at: limit.into(), from: json!("500m"), to: json!("750m") };
    assert_eq!(burstable.edits, [edit]);
    let guaranteed = grown("Guaranteed", Resource::Memory, 1.5).unwrap();
    let to: Vec<&Value> = guaranteed.edits.iter().map(|e| &e.to).collect();
    assert_eq!(to, [&json!("384Mi"), &json!("384Mi")]);
    // Not beyond cpu_max, and not by nothing.
    assert_eq!(grown("Burstable", Resource::Cpu, 9.0).unwrap().edits[0].to, json!("2000m"));
    let full = Workload { cpu_max: Some(0.5), ..workload() };
    let full = pods::resizable(&pod("Burstable"), &full, Resource::Cpu).unwrap();
    assert!(full.grow(2.0).unwrap_err().contains("as far up"));
}

#[test]
fn a_pod_that_cannot_grow_says_why() {
    let why = |pod: &Value, workload: &Workload, resource| {
        pods::resizable(pod, workload, resource).unwrap_err()
    };
    let plain = pod("Burstable");
    assert!(why(&plain, &workload(), Resource::Disk).contains("in place"));
    let bare = Workload { cpu_max: None, ..workload() };
    assert!(why(&plain, &bare, Resource::Cpu).contains("no cpu_max"));
    let mut two = plain.clone();
    two["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "proxy"}));
    assert!(why(&two, &workload(), Resource::Cpu).contains("which container"));
    let proxy = Workload { container: Some("proxy".into()), ..workload() };
    assert!(why(&two, &proxy, Resource::Cpu).contains("no limit"));
    let mut restarting = plain;
    restarting["spec"]["containers"][0]["resizePolicy"] =
        json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
    assert!(why(&restarting, &workload(), Resource::Memory).contains("restart"));
    assert!(pods::resizable(&restarting, &workload(), Resource::Cpu).is_ok());
}

#[test]
fn memory_is_given_only_where_it_can_be_taken_back() {
    let version = |minor: &str| json!({"major": "1", "minor": minor});
    assert!(pods::can_shrink_memory(&version("34")) && pods::can_shrink_memory(&version("35+")));
    assert!(!pods::can_shrink_memory(&version("33")) && !pods::can_shrink_memory(&json!({})));
}

#[test]
fn replicas_are_accused_by_name_uid_or_container() {
    let mut pod = pod("Burstable");
    let id = "0123456789abcdef".repeat(4);
    pod["status"]["containerStatuses"] = json!([{"containerID": format!("containerd://{id}")}]);
    let is = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        pods::is_accused(&pod, &names)
    };
    assert!(is(&[]) && is(&["redis-1"]) && is(&["shop/redis-1"]) && is(&["u-1"]));
    assert!(is(&[&id]) && is(&[&id[..12]]) && !is(&["redis-2"]) && !is(&["redis"]));
    assert!(is(&[&format!("containerd://{id}")]) && !is(&[&id[1..13]]) && !is(&[&id[..11]]));
}

#[test]
fn a_replica_whose_name_begins_like_the_accused_one_is_not_accused() {
    let named = |name: &str, uid: &str| json!({"metadata": {"name": name, "uid": uid}});
    let is = |pod: &Value, name: &str| pods::is_accused(pod, &[name.to_string()]);
    let tenth = named("kafka-broker-10", "7e5c1a2b-d9cb-469f-a165-70867728950e");
    assert!(is(&tenth, "kafka-broker-10") && is(&tenth, "shop/kafka-broker-10"));
    assert!(!is(&tenth, "kafka-broker-1"));
    // The name of a Deployment is in those of all its pods.
    assert!(!is(&named("checkout-api-7c9d8-x1", "u"), "checkout-api"));
    assert!(!is(&tenth, "7e5c1a2b-d9cb"));
}

#[test]
fn an_autoscaler_is_moved_by_its_lower_bound() {
    let scale = json!({"metadata": {"uid": "s"}, "spec": {"replicas": 3}});
    let hpa = |least: u64, now: u64, most: u64| {
        json!({"items": [
            {"metadata": {"name": "other"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "x"}}},
            {"metadata": {"name": "auto", "uid": "h"},
             "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "redis"},
                      "minReplicas": least, "maxReplicas": most},
             "status": {"currentReplicas": now}}]})
    };
    let scaled = |scale: &Value, hpas: &Value| {
        pods::scaled(("shop", "Deployment", "redis"), "/scale", scale, hpas, &workload())
    };
    let by_hpa = scaled(&scale, &hpa(1, 3, 8)).unwrap();
    assert!(by_hpa.object.ends_with("/shop/horizontalpodautoscalers/auto"), "{by_hpa:?}");
    let edit = &by_hpa.edits[0];
    assert_eq!((&edit.from, &edit.to), (&json!(1), &json!(4)));
    assert!(scaled(&scale, &hpa(1, 3, 3)).unwrap_err().contains("maxReplicas"));
    assert!(scaled(&scale, &hpa(1, 5, 8)).unwrap_err().contains("replicas_max is 5"));
    let plain = scaled(&scale, &pods::nothing()).unwrap();
    assert_eq!((plain.object.as_str(), &plain.edits[0].to), ("/scale", &json!(4)));
    let zero = json!({"spec": {"replicas": 0}});
    assert!(scaled(&zero, &pods::nothing()).unwrap_err().contains("zero"));
}

fn change() -> Outside {
    let resizable = pods::resizable(&pod("Guaranteed"), &workload(), Resource::Cpu).unwrap();
    resizable.grow(1.5).unwrap().0
}

#[test]
fn it_is_known_whose_value_is_there() {
    let change = change();
    let mut now = pod("Guaranteed");
    assert_eq!(standing(&change, Some(&now)), Standing::Old);
    let resources = |now: &mut Value, kind: &str, to: &str| {
        now["spec"]["containers"][0]["resources"][kind]["cpu"] = json!(to);
    };
    resources(&mut now, "limits", "0.75");
    assert!(matches!(standing(&change, Some(&now)), Standing::Mixed(ours, _) if ours.len() == 1));
    resources(&mut now, "requests", "750m");
    assert_eq!(standing(&change, Some(&now)), Standing::Ours);
    resources(&mut now, "requests", "1");
    resources(&mut now, "limits", "1");
    let Standing::Foreign(what) = standing(&change, Some(&now)) else { panic!("{now}") };
    assert!(what.contains("limits/cpu to \"1\""), "{what}");
    now["metadata"]["uid"] = json!("u-2");
    assert_eq!(standing(&change, Some(&now)), Standing::Gone);
    assert_eq!(standing(&change, None), Standing::Gone);
}

#[test]
fn a_patch_tests_what_was_read_before_it_replaces() {
    let change = change();
    let mut now = pod("Guaranteed");
    now["spec"]["containers"][0]["resources"]["limits"]["cpu"] = json!("0.75");
    let edits = [&change.edits[0]];
    let operations = kubernetes::operations(&change, &now, &edits, Way::Back);
    let limit = "/spec/containers/0/resources/limits/cpu";
    assert_eq!(
        operations,
        json!([
            {"op": "test", "path": "/metadata/uid", "value": "u-1"},
            {"op": "test", "path": "/spec/containers/0/name", "value": "redis"},
            {"op": "test", "path": limit, "value": "0.75"},
            {"op": "replace", "path": limit, "value": "500m"},
        ])
    );
}

#[test]
fn a_container_of_the_engine_grows_by_the_limit_it_has() {
    let found = |host: Value| json!({"Id": "abc", "HostConfig": host});
    let grow = |host: Value, resource| {
        let resizable = docker::resizable(&found(host), "redis", &workload(), resource)?;
        resizable
            .grow(1.5)
            .map(|(change, _)| change.edits.into_iter().map(|e| (e.at, e.to)).collect::<Vec<_>>())
    };
    let nano = grow(json!({"NanoCpus": 500_000_000}), Resource::Cpu).unwrap();
    assert_eq!(nano, [("/HostConfig/NanoCpus".to_string(), json!(750_000_000))]);
    let quota = grow(json!({"CpuQuota": 25_000, "CpuPeriod": 50_000}), Resource::Cpu).unwrap();
    assert_eq!(quota, [("/HostConfig/CpuQuota".to_string(), json!(37_500))]);
    let memory = json!({"Memory": 100_000_000, "MemorySwap": 200_000_000});
    let both = grow(memory, Resource::Memory).unwrap();
    assert_eq!([&both[0].1, &both[1].1], [&json!(150_000_000), &json!(250_000_000)]);
    assert!(grow(json!({}), Resource::Cpu).unwrap_err().contains("no limit"));
}

#[test]
fn what_a_container_keeps_is_its_use_without_files_that_can_be_dropped() {
    let kept = |stats: Value| docker::kept_bytes(&json!({"memory_stats": stats}));
    let files = json!({"anon": 600, "inactive_file": 200, "active_file": 100, "shmem": 50});
    assert_eq!(kept(json!({"usage": 1000, "stats": files})), 700.0);
    let files = json!({"inactive_file": 1, "total_inactive_file": 200, "total_active_file": 100});
    assert_eq!(kept(json!({"usage": 1000, "stats": files})), 700.0);
    // It does not run.
    assert_eq!(kept(json!({})), 0.0);
}

#[test]
fn names_that_are_no_names_do_not_become_urls() {
    for (runs, is_good) in [
        (Runs::Deployment("shop/redis".into()), true),
        (Runs::Deployment("redis".into()), false),
        (Runs::Deployment("shop/../redis".into()), false),
        (Runs::DockerService("web?x=1".into()), false),
        (Runs::DockerContainer("web-1".into()), true),
        (Runs::DockerContainer("..".into()), false),
    ] {
        let mut faults = Vec::new();
        let workload = Workload { runs: runs.clone(), ..workload() };
        workload.faults(|_| true, &mut |key, why| faults.push(format!("{key}: {why}")));
        assert_eq!(faults.is_empty(), is_good, "{runs:?}: {faults:?}");
    }
}
