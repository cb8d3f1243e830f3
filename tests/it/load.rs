//! Load over the wire: every item is accounted for, and limits answer so that senders come again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message as _;
use sage::data::{EventTime, Sample, Series};
use sage::lab::load::{Loaded, Plan, Shape, Target, load};
use sage::lab::wire::{encode_export, encode_write};
use serde_json::{Value, json};
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use crate::support::{Answer, Sidecar, free_address, sage, send, span};

/// A moment before any clock this runs under.
const NOW: EventTime = EventTime(1_700_000_000_000);
const GIB: u64 = 1 << 30;
const REJECTED: &str = "sage_receive_requests_rejected_total";

/// A sidecar that may take a gibibyte and believes that it takes what stands in the cell.
async fn with_memory(home: &std::path::Path, resident: &Arc<AtomicU64>) -> Sidecar {
    let seen = resident.clone();
    let tell = Arc::new(move || Some(seen.load(Ordering::Relaxed)));
    Sidecar::start_with(home, |c| c.memory.budget_bytes = GIB, tell).await
}

/// What a sender of each kind hears.
async fn offer(sage: &Sidecar) -> (Answer, Answer, Result<(), tonic::Status>) {
    let spans = encode_export(&[span("cart", 1, 1, NOW, 5)]);
    let proto = ("content-type", "application/x-protobuf");
    let over_http =
        send(sage.running.otlp_http, "POST", "/v1/traces", &[proto], &spans.encode_to_vec()).await;
    let labels = [("__name__", "container_cpu_usage_seconds_total"), ("service", "cart")];
    let series = Series {
        labels: labels.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
        samples: vec![Sample { time_ms: NOW.0, value: 1.0 }].into(),
        ..Series::default()
    };
    let headers = [proto, ("content-encoding", "snappy")];
    let body = encode_write(&[series]);
    let written = send(sage.running.http, "POST", "/api/v1/write", &headers, &body).await;
    let endpoint = Channel::from_shared(format!("http://{}", sage.running.otlp_grpc)).unwrap();
    let mut client = TraceServiceClient::new(endpoint.connect().await.unwrap());
    (over_http, written, client.export(spans).await.map(|_| ()))
}

async fn ready(sage: &Sidecar) -> Answer {
    send(sage.running.http, "GET", "/-/ready", &[], b"").await
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_soft_limit_senders_come_again_and_past_the_hard_one_sage_is_not_ready() {
    let home = tempfile::tempdir().unwrap();
    let resident = Arc::new(AtomicU64::new(GIB / 10));
    let sage = with_memory(home.path(), &resident).await;
    let (over_http, written, over_grpc) = offer(&sage).await;
    assert_eq!((over_http.status, written.status), (200, 204));
    over_grpc.unwrap();
    sage.until("sage_window_spans_waiting", |n| n == 1.0).await;

    resident.store(GIB / 100 * 85, Ordering::Relaxed);
    sage.until("sage_memory_level", |level| level == 1.0).await;
    let (over_http, written, over_grpc) = offer(&sage).await;
    for answer in [over_http, written] {
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{}", answer.text());
        assert!(answer.text().contains("memory.soft_ratio"), "{}", answer.text());
    }
    let status = over_grpc.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let details = status.get_error_details();
    assert!(details.retry_info().unwrap().retry_delay.is_some());
    assert_eq!(ready(&sage).await.status, 200);
    // Nothing comes in that could close an interval, so the windows give up what waits.
    sage.until("sage_window_spans_waiting", |n| n == 0.0).await;
    let gone = "sage_window_dropped_total{item=\"span\",reason=\"memory\"}";
    assert_eq!(sage.sample(gone).await, 1.0);
    let alert = json!({"version": "4", "status": "firing", "alerts": [{
        "status": "firing", "labels": {"alertname": "Slow"}, "startsAt": NOW,
        "fingerprint": "0123456789abcdef",
    }]});
    let body = alert.to_string();
    let taken =
        send(sage.running.http, "POST", "/webhook/alertmanager", &[], body.as_bytes()).await;
    assert_eq!(taken.status, 200, "alerts are few and matter: {}", taken.text());

    resident.store(GIB / 100 * 97, Ordering::Relaxed);
    sage.until("sage_memory_level", |level| level == 2.0).await;
    let answer = ready(&sage).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("memory.hard_ratio"), "{}", answer.text());
    let healthy = send(sage.running.http, "GET", "/-/healthy", &[], b"").await;
    assert_eq!(healthy.status, 200, "a restart would help nobody");

    resident.store(GIB / 10, Ordering::Relaxed);
    sage.until("sage_memory_level", |level| level == 0.0).await;
    assert_eq!(ready(&sage).await.status, 200);
    let (over_http, written, over_grpc) = offer(&sage).await;
    assert_eq!((over_http.status, written.status), (200, 204));
    over_grpc.unwrap();
    for protocol in ["otlp_grpc", "otlp_http", "remote_write"] {
        let refused = format!("{REJECTED}{{protocol=\"{protocol}\",reason=\"memory\"}}");
        assert_eq!(sage.sample(&refused).await, 1.0, "{protocol}");
    }
    assert_eq!(sage.count("sage_memory_shortages_total").await, 1.0);
    sage.running.stop().await;
}

fn wall_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// So little that any machine keeps up in the end, whatever it takes.
fn plan() -> Plan {
    Plan {
        spans_per_s: 900.0,
        samples_per_s: 1000.0,
        duration: Duration::from_secs(1),
        connections: 2,
        rpcs: 8,
        series: 100,
        request_spans: 90,
        request_samples: 50,
        shape: Shape::Traces,
    }
}

fn loaded(sage: &Sidecar, url: &str, is_v2: bool) -> Loaded {
    let target = Target::parse(url, is_v2).unwrap();
    Loaded { name: "sage".into(), target, pid: None, status: Some(sage.api.clone()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_was_acknowledged_refused_or_failed() {
    let home = tempfile::tempdir().unwrap();
    let resident = Arc::new(AtomicU64::new(GIB / 10));
    let sage = with_memory(home.path(), &resident).await;
    let write = format!("http://{}/api/v1/write", sage.running.http);
    let all = [
        loaded(&sage, &format!("http://{}", sage.running.otlp_grpc), false),
        loaded(&sage, &format!("http://{}/v1/traces", sage.running.otlp_http), false),
        loaded(&sage, &write, false),
        loaded(&sage, &write, true),
        Loaded { status: None, ..loaded(&sage, &format!("http://{}", free_address()), false) },
    ];
    let outcomes = load(&plan(), &all, wall_ns, &|_, _| {}).await.unwrap();
    let mut taken = [0, 0];
    for outcome in &outcomes {
        let t = &outcome.tally;
        assert!(t.sent > 0, "{outcome:?}");
        assert_eq!(t.sent, t.acknowledged + t.refused + t.failed, "{outcome:?}");
        assert_eq!(t.requests, t.by_status.values().sum::<u64>());
        let is_spans = outcome.protocol.starts_with("otlp");
        assert_eq!(t.sent + t.unsent, if is_spans { 900 } else { 1000 }, "{outcome:?}");
        taken[usize::from(!is_spans)] += t.acknowledged;
    }
    let [nobody, listeners] = [&outcomes[4..], &outcomes[..4]];
    assert_eq!(nobody[0].tally.failed, nobody[0].tally.sent, "{nobody:?}");
    assert!(listeners.iter().all(|o| o.tally.failed == 0), "{listeners:?}");
    assert_eq!(sage.count("sage_receive_spans_total").await, taken[0] as f64);
    assert_eq!(sage.count("sage_receive_samples_total").await, taken[1] as f64);

    resident.store(GIB, Ordering::Relaxed);
    sage.until("sage_memory_level", |level| level == 2.0).await;
    let before = sage.count(REJECTED).await;
    let outcomes = load(&plan(), &all[..4], wall_ns, &|_, _| {}).await.unwrap();
    let requests: u64 = outcomes.iter().map(|o| o.tally.requests).sum();
    assert!(outcomes.iter().all(|o| o.tally.refused == o.tally.sent), "{outcomes:?}");
    assert_eq!(sage.count(REJECTED).await - before, requests as f64);
    sage.running.stop().await;
}

/// The command, with a sidecar of its own.
#[test]
fn load_prints_a_table_and_writes_the_same_to_files() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_str().unwrap();
    let args = ["lab", "load", "--duration", "1s", "--spans", "2000", "--samples", "2000"];
    let output = sage().args(args).args(["--series", "100", "--out", dir]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let json: Value =
        serde_json::from_slice(&std::fs::read(home.path().join("load.json")).unwrap()).unwrap();
    let rows = json["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{said}");
    for (row, protocol) in rows.iter().zip(["otlp_grpc", "remote_write_1"]) {
        let number = |column: &str| row[column].as_f64().unwrap_or_else(|| panic!("{column}"));
        assert_eq!(row["protocol"], protocol);
        let answered = number("acknowledged") + number("refused") + number("failed");
        assert!(number("sent") > 0.0 && number("sent") == answered, "{row}");
        assert!(number("peak_mb") >= 1.0 && number("p50_ms") > 0.0, "{row}");
        assert!(said.contains(protocol), "{said}");
    }
    let csv = std::fs::read_to_string(home.path().join("load.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let wrong = sage().args(["lab", "load", "--target", "nonsense"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(64));
}
