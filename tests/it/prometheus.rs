//! The real Prometheus, node exporter and Alertmanager, configured by the shipped files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sage::data::{EventTime, QosTarget, Span};
use sage::lab::wire::SpanSender;
use serde_json::Value;

use crate::support::{Peer, Sidecar, free_address, has, span};

const TARGET_MS: f64 = 50.0;
/// Time everything may take to come about; nothing is asserted about how long it does.
const PATIENCE_S: u64 = 90;

fn shipped(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Puts the addresses of this test in the place of the usual ones.
fn adapt(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_string(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not in\n{text}");
        text.replace(from, to)
    })
}

fn write(home: &Path, name: &str, text: &str) -> PathBuf {
    let file = home.join(name);
    std::fs::write(&file, text).unwrap();
    file
}

/// Prometheus with the shipped remote write and rules, faster than usual.
fn prometheus(home: &Path, sage: SocketAddr, node: SocketAddr, alertmanager: SocketAddr) -> Peer {
    std::fs::create_dir(home.join("alerts")).unwrap();
    write(home, "alerts/qos.rules.yml", &fast(&shipped("alerts/qos.rules.yml")));
    let config = adapt(
        &shipped("plugin-config/prometheus-remote-write.yml"),
        &[
            ("127.0.0.1:7243", &sage.to_string()),
            ("127.0.0.1:9093", &alertmanager.to_string()),
            ("scrape_interval: 15s", "scrape_interval: 1s"),
            ("evaluation_interval: 15s", "evaluation_interval: 1s"),
        ],
    );
    // Scrapes stand last in the file, so one more can follow.
    let node = format!(
        "  - job_name: node\n    static_configs:\n      - targets: ['localhost:{}']\n",
        node.port()
    );
    let file = write(home, "prometheus.yml", &format!("{config}\n{node}"));
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", home.join("tsdb").display()))
        .arg(format!("--web.listen-address={}", free_address()))
        .arg("--storage.remote.flush-deadline=1s");
    Peer::start(&mut command, &home.join("prometheus.log"))
}

/// The shipped rules are evaluated now and then and wait a minute or two, which a test need not.
fn fast(rules: &str) -> String {
    let line = |l: &str| {
        let slow = ["for: ", "interval: "].into_iter().find(|key| l.contains(key));
        match slow.and_then(|key| Some((l.split_once(key)?.0, key))) {
            Some((before, key)) => format!("{before}{key}1s"),
            None => l.to_string(),
        }
    };
    rules.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn alertmanager(home: &Path, sage: SocketAddr, own: SocketAddr) -> Peer {
    let config = adapt(
        &shipped("plugin-config/alertmanager-receiver.yml"),
        &[("127.0.0.1:7243", &sage.to_string())],
    );
    // Seconds instead of minutes.
    let quick = |l: &str| match l.trim_start().split_once(':') {
        Some((key @ ("group_wait" | "group_interval"), _)) => {
            l.split(key).next().unwrap().to_string() + key + ": 1s"
        }
        _ => l.to_string(),
    };
    let config = config.lines().map(quick).collect::<Vec<_>>().join("\n");
    let file = write(home, "alertmanager.yml", &config);
    let mut command = Command::new("prometheus-alertmanager");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.path={}", home.join("alertmanager").display()))
        .arg(format!("--web.listen-address={own}"))
        .arg("--cluster.listen-address=");
    Peer::start(&mut command, &home.join("alertmanager.log"))
}

fn node_exporter(home: &Path, own: SocketAddr) -> Peer {
    let mut command = Command::new("prometheus-node-exporter");
    command.arg(format!("--web.listen-address={own}"));
    Peer::start(&mut command, &home.join("node-exporter.log"))
}

/// Requests to `web` on this host, ten in a tenth of a second, until the returned guard is dropped.
async fn serve_web(otlp: SocketAddr, latency_ms: Arc<AtomicU64>) -> tokio::task::JoinHandle<()> {
    let mut sender = SpanSender::connect(otlp).await.unwrap();
    tokio::spawn(async move {
        for round in 1_u64.. {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let ms = latency_ms.load(Ordering::Relaxed);
            let ended = EventTime(now.as_millis().try_into().unwrap());
            let began = ended.minus(Duration::from_millis(ms));
            let request = |i: u64| Span {
                replica: "web-0".into(),
                node: "localhost".into(),
                ..span("web", u128::from(round * 10 + i), i, began, ms)
            };
            let spans: Vec<_> = (1..=10).map(request).collect();
            if sender.send(&spans).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

async fn diagnosis_that(sage: &Sidecar, what: &str, is_meant: impl Fn(&Value) -> bool) -> Value {
    let find = |list: &Value| list.as_array()?.iter().find(|d| is_meant(d)).cloned();
    sage.api.wait(what, "/api/v1/diagnoses?service=web", PATIENCE_S, &find).await.unwrap()
}

/// Samples arrive in the windows, a QoS alert becomes a diagnosis, and its end closes it.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_of_the_real_prometheus_becomes_a_diagnosis() {
    let needed = ["prometheus", "prometheus-alertmanager", "prometheus-node-exporter"];
    if !needed.into_iter().all(has) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |c| {
        c.window.interval = Duration::from_secs(1);
        c.window.lateness = Duration::from_secs(1);
        c.qos = vec![QosTarget { service: "web".into(), quantile: 0.99, target_ms: TARGET_MS }];
    })
    .await;
    let http = sage.running.http;
    let latency_ms = Arc::new(AtomicU64::new(5));
    let web = serve_web(sage.running.otlp_grpc, latency_ms.clone()).await;
    let (node, own) = (free_address(), free_address());
    let _node = node_exporter(home.path(), node);
    let _alertmanager = alertmanager(home.path(), http, own);
    let _prometheus = prometheus(home.path(), http, node, own);

    // Node exporter's samples are features of the service whose replica runs on that node.
    let with_pressure = |frames: &Value| {
        let services = frames.as_array()?.iter().flat_map(|f| f["services"].as_array());
        services
            .flatten()
            .find(|s| s["service"] == "web" && s.to_string().contains("node_cpu_busy"))
            .cloned()
    };
    let frames = "/api/v1/frames?limit=20";
    sage.api.wait("node features", frames, PATIENCE_S, &with_pressure).await.unwrap();
    assert!(sage.count("sage_receive_samples_total").await > 0.0);

    latency_ms.store(400, Ordering::Relaxed);
    let firing = diagnosis_that(&sage, "a diagnosis", |d| d["outcome"] == "no_model").await;
    assert_eq!(firing["alert"]["status"], "firing", "{firing:#}");
    assert_eq!(firing["qos"]["target_ms"], TARGET_MS, "{firing:#}");
    assert!(firing["qos"]["observed_ms"].as_f64().unwrap() > 350.0, "{firing:#}");
    assert!(firing["robust_baseline"].to_string().contains("web"), "{firing:#}");

    latency_ms.store(5, Ordering::Relaxed);
    let is_closed = |d: &Value| d["id"] == firing["id"] && d["alert"]["status"] == "resolved";
    let closed = diagnosis_that(&sage, "the end of the alert", is_closed).await;
    assert_ne!(closed["alert"]["endsAt"], Value::Null, "{closed:#}");
    web.abort();
    sage.running.stop().await;
}
