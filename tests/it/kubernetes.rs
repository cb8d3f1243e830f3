//! Pods that are given more and deployments that are scaled, against a minimal API server.

use std::collections::BTreeSet;
use std::path::Path;

use sage::act::{
    Command, Config, Kubernetes, Metrics, Order, Outlook, Question, Runs, Word, Workload, carry,
    look,
};
use sage::data::{ActionKind, Outside, Resource};
use sage::observe::Registry;
use serde_json::{Value, json};

use crate::support::Authority;
use crate::support::kubernetes::{ApiServer, TOKEN};

const SCALE: &str = "/apis/apps/v1/namespaces/shop/deployments/redis/scale";
const HPAS: &str = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers";
const HPA: &str = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/redis-auto";
const PODS: &str = "/api/v1/namespaces/shop/pods";
const RESIZE: &str = "/api/v1/namespaces/shop/pods/redis-7c9-x1/resize";
const LIMIT: &str = "/spec/containers/0/resources/limits/cpu";
const REPLICAS: &str = "/spec/replicas";
const LEAST: &str = "/spec/minReplicas";

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "redis-7c9-x1", "namespace": "shop", "resourceVersion": "731",
            "uid": "0f8fad5b-d9cb-469f-a165-70867728950e", "labels": {"app": "redis"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "redis", "image": "redis:7",
            "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
            "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "250m"}}}]},
        "status": {"phase": "Running", "qosClass": "Burstable", "containerStatuses": [
            {"name": "redis", "containerID": "containerd://7e5c1a", "ready": true}]}
    })
}

/// A cluster of one deployment, and a sidecar that may do everything there.
async fn cluster(home: &Path) -> (ApiServer, Config) {
    let authority = Authority::new(home, "cluster");
    let server = ApiServer::start(&authority.issue("apiserver", &["127.0.0.1"])).await;
    server.put(
        "/api/v1",
        json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": [
        {"name": "pods", "kind": "Pod"}, {"name": "pods/resize", "kind": "Pod"}]}),
    );
    server.put("/version", json!({"major": "1", "minor": "34", "gitVersion": "v1.34.1"}));
    server.put(
        SCALE,
        json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": "redis", "namespace": "shop", "uid": "d-1", "resourceVersion": "731"},
        "spec": {"replicas": 2}, "status": {"replicas": 2, "selector": "app=redis,tier in (db)"}}),
    );
    server.put(HPAS, json!({"kind": "HorizontalPodAutoscalerList", "items": []}));
    server.put(PODS, json!({"kind": "PodList", "items": [pod()]}));
    server.put(RESIZE, pod());
    let token_file = home.join("token");
    std::fs::write(&token_file, format!("{TOKEN}\n")).unwrap();
    let workload = Workload {
        service: "redis".into(),
        runs: Runs::Deployment("shop/redis".into()),
        container: None,
        replicas_max: 4,
        cpu_max: Some(2.0),
        memory_max: Some(1e9),
    };
    let config = Config {
        kubernetes: Some(Kubernetes {
            url: format!("https://{}", server.address),
            token_file: Some(token_file),
            ca_file: Some(authority.file),
        }),
        workloads: vec![workload],
        ..Config::default()
    };
    (server, config)
}

fn add_autoscaler(server: &ApiServer) {
    let hpa = json!({"metadata": {"name": "redis-auto", "uid": "h-1"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "redis"},
            "minReplicas": 1, "maxReplicas": 6},
        "status": {"currentReplicas": 2, "desiredReplicas": 2}});
    server.put(HPAS, json!({"items": [hpa.clone()]}));
    server.put(HPA, hpa);
}

async fn ask(config: &Config, resource: Resource) -> Outlook {
    look(Question { service: "redis", resource, accused: &[] }, config).await
}

async fn scale(config: &Config) -> Outside {
    ask(config, Resource::Disk).await.scale.unwrap().unwrap()
}

async fn grown(config: &Config, resource: Resource) -> Outside {
    let outlook = ask(config, resource).await;
    assert_eq!(outlook.left_out, Vec::<String>::new());
    outlook.resizables[0].grow(1.5).unwrap().0
}

fn order(changes: &[Outside]) -> Order {
    Order {
        fix: "f".into(),
        diagnosis: "d".into(),
        service: "redis".into(),
        resource: Some(Resource::Cpu),
        rung: 0,
        kind: ActionKind::ScaleOut,
        changes: vec![],
        outside: changes.to_vec(),
        note: String::new(),
    }
}

/// What comes of commands about one change, or several.
struct Hand<'a> {
    config: &'a Config,
    changes: &'a [Outside],
    metrics: Metrics,
}

impl<'a> Hand<'a> {
    fn new(config: &'a Config, change: &'a Outside) -> Self {
        Self::of_several(config, std::slice::from_ref(change))
    }

    fn of_several(config: &'a Config, changes: &'a [Outside]) -> Self {
        let metrics = Metrics::register(&mut Registry::default(), config);
        Self { config, changes, metrics }
    }

    async fn does(&self, command: fn(Order) -> Command) -> Word {
        let order = order(self.changes);
        carry(&command(order.clone()), &order, self.config, &self.metrics).await
    }
}

fn reverted() -> Word {
    Word::Reverted(String::new())
}

#[tokio::test]
async fn a_deployment_is_scaled_and_scaled_back() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    let change = scale(&config).await;
    let hand = Hand::new(&config, &change);
    for _ in 0..2 {
        // Asked twice, as after an answer that was lost.
        assert_eq!(hand.does(Command::Apply).await, Word::InForce);
        assert_eq!(server.at(SCALE, REPLICAS), 3);
    }
    assert_eq!(hand.does(Command::Renew).await, Word::InForce);
    for _ in 0..2 {
        assert_eq!(hand.does(Command::Revert).await, reverted());
        assert_eq!(server.at(SCALE, REPLICAS), 2);
    }
}

#[tokio::test]
async fn an_autoscaler_is_moved_instead_of_the_deployment() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    add_autoscaler(&server);
    let change = scale(&config).await;
    let hand = Hand::new(&config, &change);
    assert_eq!(hand.does(Command::Apply).await, Word::InForce);
    assert_eq!((server.at(HPA, LEAST), server.at(SCALE, REPLICAS)), (json!(3), json!(2)));
    assert_eq!(hand.does(Command::Revert).await, reverted());
    assert_eq!(server.at(HPA, LEAST), 1);
}

#[tokio::test]
async fn a_pod_is_given_more_in_place_and_made_small_again() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    for (resource, at, to) in [
        (Resource::Cpu, LIMIT, "750m"),
        (Resource::Memory, "/spec/containers/0/resources/limits/memory", "384Mi"),
    ] {
        let change = grown(&config, resource).await;
        let hand = Hand::new(&config, &change);
        let old = server.at(RESIZE, at);
        assert_eq!(hand.does(Command::Apply).await, Word::InForce);
        assert_eq!(server.at(RESIZE, at), to);
        assert_eq!(hand.does(Command::Revert).await, reverted());
        assert_eq!(server.at(RESIZE, at), old);
    }
    assert_eq!(server.at(RESIZE, "/spec/containers/0/resources/requests/cpu"), "250m");
}

#[tokio::test]
async fn what_somebody_else_has_set_stays() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    let change = scale(&config).await;
    let hand = Hand::new(&config, &change);
    // Between plan and change,
    server.set(SCALE, REPLICAS, json!(1));
    let word = hand.does(Command::Apply).await;
    assert!(
        matches!(&word, Word::Refused(why) if why.contains("since this was planned")),
        "{word:?}"
    );
    assert_eq!(server.at(SCALE, REPLICAS), 1);
    // between our look and our write,
    server.set(SCALE, REPLICAS, json!(2));
    server.state.lock().unwrap().meanwhile = Some((SCALE.into(), REPLICAS.into(), json!(7)));
    let word = hand.does(Command::Apply).await;
    assert!(matches!(&word, Word::Refused(why) if why.contains("to 7")), "{word:?}");
    assert_eq!(server.at(SCALE, REPLICAS), 7);
    // while it is in force,
    server.set(SCALE, REPLICAS, json!(2));
    assert_eq!(hand.does(Command::Apply).await, Word::InForce);
    server.set(SCALE, REPLICAS, json!(4));
    let word = hand.does(Command::Renew).await;
    assert!(matches!(word, Word::Lost { is_foreign: true, .. }), "{word:?}");
    // and when it is taken back.
    let word = hand.does(Command::Revert).await;
    assert!(matches!(&word, Word::Reverted(note) if note.contains("that stays")), "{word:?}");
    assert_eq!(server.at(SCALE, REPLICAS), 4);
}

#[tokio::test]
async fn another_pod_under_the_same_name_is_let_alone() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    let change = grown(&config, Resource::Cpu).await;
    let hand = Hand::new(&config, &change);
    assert_eq!(hand.does(Command::Apply).await, Word::InForce);
    server.set(RESIZE, "/metadata/uid", json!("11111111-d9cb-469f-a165-70867728950e"));
    let word = hand.does(Command::Renew).await;
    assert!(matches!(word, Word::Lost { is_foreign: true, .. }), "{word:?}");
    let word = hand.does(Command::Revert).await;
    assert!(matches!(&word, Word::Reverted(note) if note.contains("is gone")), "{word:?}");
    assert_eq!(server.at(RESIZE, LIMIT), "750m");
}

const OTHER_RESIZE: &str = "/api/v1/namespaces/shop/pods/redis-7c9-x2/resize";
const OTHER_UID: &str = "22222222-d9cb-469f-a165-70867728950e";

/// A second replica of the deployment, and both grown in the plan.
async fn two_pods(server: &ApiServer, config: &Config) -> Vec<Outside> {
    let mut other = pod();
    other["metadata"]["name"] = json!("redis-7c9-x2");
    other["metadata"]["uid"] = json!(OTHER_UID);
    server.put(PODS, json!({"kind": "PodList", "items": [pod(), other.clone()]}));
    server.put(OTHER_RESIZE, other);
    let outlook = ask(config, Resource::Cpu).await;
    outlook.resizables.iter().map(|pod| pod.grow(1.5).unwrap().0).collect()
}

#[tokio::test]
async fn one_pod_that_does_not_shrink_again_does_not_keep_the_others() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    let changes = two_pods(&server, &config).await;
    let hand = Hand::of_several(&config, &changes);
    assert_eq!(hand.does(Command::Apply).await, Word::InForce);
    let limits = || (server.at(RESIZE, LIMIT), server.at(OTHER_RESIZE, LIMIT));
    assert_eq!(limits(), (json!("750m"), json!("750m")));
    server.state.lock().unwrap().guarded.insert(RESIZE.into());
    let word = hand.does(Command::Revert).await;
    assert!(matches!(&word, Word::NotReverted(why) if why.contains("quota")), "{word:?}");
    assert_eq!(limits(), (json!("750m"), json!("500m")));
    server.state.lock().unwrap().guarded.clear();
    assert_eq!(hand.does(Command::Revert).await, reverted());
    assert_eq!(limits(), (json!("500m"), json!("500m")));
}

#[tokio::test]
async fn one_pod_that_goes_does_not_end_what_the_others_were_given() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    let changes = two_pods(&server, &config).await;
    let hand = Hand::of_several(&config, &changes);
    assert_eq!(hand.does(Command::Apply).await, Word::InForce);
    let remove = |path: &str| drop(server.state.lock().unwrap().objects.remove(path));
    remove(RESIZE);
    assert_eq!(hand.does(Command::Renew).await, Word::InForce);
    // Somebody else's value counts all the same.
    server.set(OTHER_RESIZE, LIMIT, json!("900m"));
    let word = hand.does(Command::Renew).await;
    assert!(
        matches!(&word, Word::Lost { is_foreign: true, why } if why.contains("900m")),
        "{word:?}"
    );
    server.set(OTHER_RESIZE, LIMIT, json!("750m"));
    let word = hand.does(Command::Revert).await;
    assert!(
        matches!(&word, Word::Reverted(note) if note.contains("x1/resize is gone")),
        "{word:?}"
    );
    assert_eq!(server.at(OTHER_RESIZE, LIMIT), "500m");
    remove(OTHER_RESIZE);
    let word = hand.does(Command::Renew).await;
    assert!(
        matches!(&word, Word::Lost { is_foreign: true, why } if why.contains("x2/resize is gone")),
        "{word:?}"
    );
}

#[tokio::test]
async fn a_write_that_lands_after_its_time_is_taken_back_too() {
    let home = tempfile::tempdir().unwrap();
    let (server, config) = cluster(home.path()).await;
    let change = scale(&config).await;
    let hand = Hand::new(&config, &change);
    server.state.lock().unwrap().is_slow = true;
    let word = hand.does(Command::Apply).await;
    assert!(matches!(&word, Word::Refused(why) if why.contains("no answer")), "{word:?}");
    // Whoever looks now sees the old value; the write comes right after.
    assert_eq!(server.at(SCALE, REPLICAS), 2);
    assert_eq!(hand.does(Command::Revert).await, reverted());
    assert!(server.state.lock().unwrap().late.is_none());
    assert_eq!(server.at(SCALE, REPLICAS), 2);
}

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
    let manifest = include_str!("../../plugin-config/sage-rbac.yaml");
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
