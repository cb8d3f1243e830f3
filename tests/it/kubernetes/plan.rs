//! What can be changed, what cannot, and what a sidecar must be granted for it.

use std::collections::BTreeSet;

use sage::act::{Command, Question, look};
use sage::data::Resource;
use serde_json::json;

use super::scene::{
    Hand, OTHER_RESIZE, PODS, REPLICAS, SCALE, add_autoscaler, ask, cluster, grown, pod, scale,
};
use crate::support::Authority;

#[tokio::test]
async fn a_pod_is_found_on_whatever_page_of_the_list_it_is() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    let page = |name: &str, next: &str| {
        let mut pod = pod();
        pod["metadata"]["name"] = json!(name);
        json!({"kind": "PodList", "metadata": {"continue": next}, "items": [pod]})
    };
    server.put(PODS, page("redis-7c9-x1", "a=/"));
    server.put(&format!("{PODS}?a%3D%2F"), page("redis-7c9-x2", ""));
    let accused = async |name: &str| {
        let accused = [name.to_string()];
        let question = Question { service: "redis", resource: Resource::Cpu, accused: &accused };
        let outlook = look(question, &config).await;
        let objects = outlook.resizables.iter().map(|pod| pod.grow(1.5).unwrap().0.object);
        (objects.collect::<Vec<_>>(), outlook.left_out)
    };
    assert_eq!(accused("redis-7c9-x2").await, (vec![OTHER_RESIZE.to_string()], vec![]));
    // A list without an end is not read to the end, and that is said.
    server.put(&format!("{PODS}?a%3D%2F"), page("redis-7c9-x2", "a=/"));
    let (objects, left_out) = accused("redis-7c9-x3").await;
    assert!(objects.is_empty() && left_out[0].contains("only 5000 pods"), "{left_out:?}");
}

#[tokio::test]
async fn what_cannot_be_done_is_said_in_the_plan() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    server.set("/version", "/minor", json!("33+"));
    let old = ask(&config, Resource::Memory).await;
    assert!(old.resizables.is_empty() && old.left_out[0].contains("1.34"), "{old:?}");
    server.put("/api/v1", json!({"resources": [{"name": "pods"}]}));
    let older = ask(&config, Resource::Cpu).await;
    assert!(older.resizables.is_empty() && older.left_out[0].contains("1.33"), "{older:?}");
    server.set(SCALE, REPLICAS, json!(4));
    let full = ask(&config, Resource::Cpu).await.scale.unwrap().unwrap_err();
    assert!(full.contains("replicas_max is 4"), "{full}");
    std::fs::write(home.path().join("token"), "another").unwrap();
    let stranger = ask(&config, Resource::Cpu).await.scale.unwrap().unwrap_err();
    assert!(stranger.contains("401") && stranger.contains("token_file"), "{stranger}");
    // A server that nobody vouches for does not get the token.
    let authority = Authority::new(home.path(), "somebody");
    let mut wrong = config.clone();
    wrong.kubernetes.as_mut().unwrap().ca_file = Some(authority.file);
    let unknown = ask(&wrong, Resource::Cpu).await.scale.unwrap().unwrap_err();
    assert!(unknown.contains("certificate"), "{unknown}");
}

/// `group resource verb` of the shipped Role, one each.
fn granted() -> BTreeSet<String> {
    let manifest = include_str!("../../../plugin-config/sage-rbac.yaml");
    let list = |line: &str, key: &str| -> Vec<String> {
        let (_, rest) = line.split_once(&format!("{key}: [")).unwrap();
        let (items, _) = rest.split_once(']').unwrap();
        items.split(", ").map(Into::into).collect()
    };
    let mut all = BTreeSet::new();
    for line in manifest.lines().filter(|l| l.trim().starts_with("- {apiGroups")) {
        for resource in list(line, "resources") {
            for verb in list(line, "verbs") {
                all.insert(format!("{} {resource} {verb}", list(line, "apiGroups")[0]));
            }
        }
    }
    all
}

#[tokio::test]
async fn the_shipped_role_grants_exactly_what_is_used() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    for change in [scale(&config).await, grown(&config, Resource::Cpu).await] {
        Hand::new(&config, &change).does(Command::Apply).await;
    }
    add_autoscaler(&server);
    let change = scale(&config).await;
    Hand::new(&config, &change).does(Command::Apply).await;
    // A StatefulSet is asked the same.
    let used = server.state.lock().unwrap().used.clone();
    let sets = used.iter().map(|rule| rule.replace("deployments/scale", "statefulsets/scale"));
    let used: BTreeSet<String> = used.iter().cloned().chain(sets).collect();
    assert_eq!(used, granted());
}
