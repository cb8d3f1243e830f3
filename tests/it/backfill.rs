//! `sage backfill`: from the real Prometheus and a stand-in for Jaeger into a real sidecar.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sage::data::{EventTime, Sample, Series};
use sage::http::Listener;
use sage::lab::wire::Api;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{Peer, Process, free_address, has, sage};

const TOKEN: &str = "jaeger-reads";
const INTERVAL_MS: i64 = 30_000;
const INTERVALS: i64 = 24;

/// The query API of Jaeger as its documentation and UI have it. No package has the server.
struct Jaeger {
    traces: Vec<Value>,
    /// (start, end, limit) of every query.
    queries: Mutex<Vec<(i64, i64, usize)>>,
}

impl Jaeger {
    async fn start(traces: Vec<Value>) -> (Arc<Self>, SocketAddr, watch::Sender<bool>) {
        let jaeger = Arc::new(Self { traces, queries: Mutex::default() });
        let router = Router::new()
            .route("/api/services", get(services))
            .route("/api/traces", get(traces_of))
            .with_state(jaeger.clone());
        let listener = Listener::bind("jaeger", "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.address();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(listener.serve(router, stopped));
        (jaeger, address, stop)
    }
}

fn is_known(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|v| v == &format!("Bearer {TOKEN}"))
}

async fn services(headers: HeaderMap) -> Response {
    if !is_known(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    json!({"data": ["web", "db"], "total": 2, "limit": 0, "offset": 0, "errors": null})
        .to_string()
        .into_response()
}

async fn traces_of(
    State(jaeger): State<Arc<Jaeger>>,
    Query(query): Query<std::collections::HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if !is_known(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let number = |name: &str| query[name].parse::<i64>().unwrap();
    let (start, end, limit) = (number("start"), number("end"), number("limit") as usize);
    jaeger.queries.lock().unwrap().push((start, end, limit));
    let is_meant = |span: &&Value, trace: &Value| {
        let process = &trace["processes"][span["processID"].as_str().unwrap()];
        let at = span["startTime"].as_i64().unwrap();
        process["serviceName"] == query["service"] && (start..=end).contains(&at)
    };
    let found = jaeger.traces.iter().rev().filter(|trace| {
        trace["spans"].as_array().unwrap().iter().any(|span| is_meant(&span, trace))
    });
    let found: Vec<&Value> = found.take(limit).collect();
    json!({"data": found, "total": 0, "limit": 0, "offset": 0, "errors": null})
        .to_string()
        .into_response()
}

/// A request of `web` that calls `db`.
fn trace(number: i64, start_ms: i64) -> Value {
    let id = format!("{:032x}", number + 1);
    let reference = |span: &str| json!([{"refType": "CHILD_OF", "traceID": id, "spanID": span}]);
    let span = |span: &str, parent: Option<&str>, kind: &str, process: &str, at: i64, us: i64| {
        json!({
            "traceID": id, "spanID": span, "operationName": format!("op-{process}"),
            "references": parent.map_or_else(|| json!([]), reference),
            "startTime": start_ms * 1000 + at, "duration": us,
            "tags": [{"key": "span.kind", "type": "string", "value": kind}],
            "logs": [], "processID": process, "warnings": null,
        })
    };
    let process = |name: &str| {
        let pod = format!("{name}-0");
        json!({"serviceName": name, "tags": [{"key": "k8s.pod.name", "type": "string", "value": pod}]})
    };
    json!({
        "traceID": id,
        "spans": [
            span("a1", None, "server", "p1", 0, 20_000),
            span("b2", Some("a1"), "client", "p1", 1000, 10_000),
            span("c3", Some("b2"), "server", "p2", 2000, 8000),
        ],
        "processes": {"p1": process("web"), "p2": process("db")},
        "warnings": null,
    })
}

fn prometheus(home: &Path, address: SocketAddr) -> Peer {
    let file = home.join("prometheus.yml");
    std::fs::write(&file, "global:\n  scrape_interval: 1h\n").unwrap();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", home.join("tsdb").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--web.enable-remote-write-receiver");
    Peer::start(&mut command, &home.join("prometheus.log"))
}

/// Processor time of both services: `web` uses half a core, `db` a quarter.
fn stored(start: i64) -> Vec<Series> {
    let series = |service: &str, per_second: f64| Series {
        labels: vec![
            ("__name__".into(), "container_cpu_usage_seconds_total".into()),
            ("pod".into(), format!("{service}-0").into()),
            ("service".into(), service.into()),
        ]
        .into(),
        samples: (0..INTERVALS * 2)
            .map(|i| {
                let time_ms = start + i * INTERVAL_MS / 2;
                let value = (time_ms - start) as f64 / 1000.0 * per_second;
                Sample { time_ms, value }
            })
            .collect(),
        histograms: Vec::new(),
    };
    vec![series("web", 0.5), series("db", 0.25)]
}

async fn store(address: SocketAddr, series: &[Series]) {
    let api = Api::new(address);
    for _ in 0..1200 {
        if api.write(series).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("Prometheus does not take samples");
}

async fn backfill(args: Vec<String>) -> Output {
    let run = move || sage().arg("backfill").args(args).output().unwrap();
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_is_filled_from_what_is_stored() {
    if !has("prometheus") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let start = (now / INTERVAL_MS - INTERVALS - 2) * INTERVAL_MS;
    let end = start + INTERVALS * INTERVAL_MS;
    let source = free_address();
    let _prometheus = prometheus(home.path(), source);
    store(source, &stored(start)).await;
    // Five requests in an interval; of each interval's, one is under way when the next begins.
    let at = |i: i64| start + i * INTERVAL_MS / 5 + 5990;
    let traces: Vec<Value> = (0..INTERVALS * 5 - 1).map(|i| trace(i, at(i))).collect();
    let (jaeger, jaeger_address, _stop) = Jaeger::start(traces).await;
    std::fs::write(home.path().join("token"), format!("{TOKEN}\n")).unwrap();

    let listen = free_address();
    let config = Process::configure(home.path(), "");
    let text = std::fs::read_to_string(&config).unwrap();
    let own = format!("otlp_http = \"{listen}\"");
    std::fs::write(&config, text.replace("otlp_http = \"127.0.0.1:0\"", &own)).unwrap();
    let process = Process::start(&config);
    let args: Vec<String> = [
        ("--prometheus", format!("http://{source}/")),
        ("--jaeger", format!("http://{jaeger_address}")),
        ("--jaeger-token-file", home.path().join("token").display().to_string()),
        ("--from", EventTime(start).to_string()),
        ("--to", EventTime(end).to_string()),
        ("--target", format!("http://{}", process.http)),
        ("--otlp", format!("http://{listen}")),
        ("--config", config.display().to_string()),
        // Less than a stretch holds, so that queries must be cut in two.
        ("--limit", "20".into()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_string(), value])
    .collect();

    let output = backfill(args.clone()).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let row = |name: &str| {
        let line = text.lines().find(|l| l.trim_start().starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        line.split_whitespace().find_map(|w| w.parse::<i64>().ok()).unwrap()
    };
    assert_eq!((row("spans"), row("dropped")), (3 * (INTERVALS * 5 - 1), 0), "{text}");
    assert_eq!(row("samples"), INTERVALS * 2 * 2, "{text}");
    let queries = jaeger.queries.lock().unwrap().clone();
    assert!(queries.iter().any(|q| q.1 - q.0 < INTERVAL_MS * 10_000 / 2), "{queries:?}");

    // The last interval stays open until something newer comes.
    let api = Api::new(process.http);
    let enough = |frames: &Value| {
        let frames = frames.as_array()?;
        (frames.len() as i64 >= INTERVALS - 1).then(|| json!(frames))
    };
    let frames = api.wait("the frames", "/api/v1/frames?limit=100", 60, &enough).await.unwrap();
    let frames = frames.as_array().unwrap();
    assert_eq!(frames[0]["interval"]["start"], json!(EventTime(start)));
    for frame in &frames[1..] {
        let text = frame.to_string();
        for part in ["op-p1", "op-p2", "cpu_usage"] {
            assert!(text.contains(part), "no {part} in {frame:#}");
        }
    }

    // The same again has nothing to do; another stretch must not be mixed up with this one.
    let again = backfill(args.clone()).await;
    assert!(again.status.success() && said(&again).contains("nothing sent"), "{}", said(&again));
    let mut other = args.clone();
    other.extend(["--state".into(), home.path().join("other.json").display().to_string()]);
    let refused = backfill(other).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("has closed intervals up to"), "{}", said(&refused));
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_refuses_is_named_with_the_cure() {
    let (_jaeger, address, _stop) = Jaeger::start(Vec::new()).await;
    let home = tempfile::tempdir().unwrap();
    let sidecar = crate::support::Sidecar::start(home.path(), |_| {}).await;
    let output = backfill(
        [
            ("--jaeger", format!("http://{address}")),
            ("--from", "2026-01-01T00:00:00Z".into()),
            ("--to", "2026-01-01T01:00:00Z".into()),
            ("--target", format!("http://{}", sidecar.running.http)),
            ("--state", home.path().join("state.json").display().to_string()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_string(), value])
        .collect(),
    )
    .await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["Jaeger", "401", "/api/services", "--jaeger"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    sidecar.running.stop().await;
}
