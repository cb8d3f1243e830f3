//! A cluster of one deployment behind a minimal API server, and a sidecar that may do everything there.

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

pub(super) const SCALE: &str = "/apis/apps/v1/namespaces/shop/deployments/redis/scale";
pub(super) const HPAS: &str = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers";
pub(super) const HPA: &str =
    "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/redis-auto";
pub(super) const PODS: &str = "/api/v1/namespaces/shop/pods";
pub(super) const RESIZE: &str = "/api/v1/namespaces/shop/pods/redis-7c9-x1/resize";
pub(super) const OTHER_RESIZE: &str = "/api/v1/namespaces/shop/pods/redis-7c9-x2/resize";
pub(super) const LIMIT: &str = "/spec/containers/0/resources/limits/cpu";
pub(super) const REPLICAS: &str = "/spec/replicas";
pub(super) const LEAST: &str = "/spec/minReplicas";

pub(super) fn pod() -> Value {
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
pub(super) async fn cluster(home: &Path) -> (ApiServer, Config) {
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

pub(super) fn add_autoscaler(server: &ApiServer) {
    let hpa = json!({"metadata": {"name": "redis-auto", "uid": "h-1"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "redis"},
            "minReplicas": 1, "maxReplicas": 6},
        "status": {"currentReplicas": 2, "desiredReplicas": 2}});
    server.put(HPAS, json!({"items": [hpa.clone()]}));
    server.put(HPA, hpa);
}

pub(super) async fn ask(config: &Config, resource: Resource) -> Outlook {
    look(Question { service: "redis", resource, accused: &[] }, config).await
}

pub(super) async fn scale(config: &Config) -> Outside {
    ask(config, Resource::Disk).await.scale.unwrap().unwrap()
}

pub(super) async fn grown(config: &Config, resource: Resource) -> Outside {
    let outlook = ask(config, resource).await;
    assert_eq!(outlook.left_out, Vec::<String>::new());
    outlook.resizables[0].grow(1.5).unwrap().0
}

pub(super) fn order(changes: &[Outside]) -> Order {
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
pub(super) struct Hand<'a> {
    config: &'a Config,
    changes: &'a [Outside],
    metrics: Metrics,
}

impl<'a> Hand<'a> {
    pub(super) fn new(config: &'a Config, change: &'a Outside) -> Self {
        Self::of_several(config, std::slice::from_ref(change))
    }

    pub(super) fn of_several(config: &'a Config, changes: &'a [Outside]) -> Self {
        let metrics = Metrics::register(&mut Registry::default(), config);
        Self { config, changes, metrics }
    }

    pub(super) async fn does(&self, command: fn(Order) -> Command) -> Word {
        let order = order(self.changes);
        carry(&command(order.clone()), &order, self.config, &self.metrics).await
    }
}

pub(super) fn reverted() -> Word {
    Word::Reverted(String::new())
}
