//! Bytes that real senders wrote are taken, all of them, and counted right.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use sage::config::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Sidecar, fixture, grpc, raw_http};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Captures lie ahead of a clock that is wrong.
fn any_time(config: &mut Config) {
    config.receive.future_seconds_max = u32::MAX;
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_write_of_every_sender_is_taken() {
    // (capture, samples, native histograms, exemplars)
    const CAPTURES: &[(&str, u32, u32, u32)] = &[
        ("rw1-prometheus-2.42.0-metadata-only", 0, 0, 0),
        ("rw1-prometheus-2.42.0-rules-exemplars", 483, 0, 17),
        ("rw1-prometheus-2.42.0-samples-exemplars", 482, 0, 18),
        ("rw1-prometheus-2.42.0-stale-marker", 489, 0, 11),
        ("rw1-prometheus-3.5.3-native-histograms", 479, 4, 17),
        ("rw1-prometheus-3.5.3-small", 56, 0, 18),
        ("rw1-vmagent-1.79.5-snappy", 57, 0, 0),
        ("rw2-prometheus-3.5.3-native-histograms-exemplars", 481, 6, 13),
        ("rw2-prometheus-3.5.3-partial-batch", 327, 4, 13),
        ("rw2-prometheus-3.5.3-stale-marker", 487, 0, 13),
        ("vmproto-vmagent-1.145.0-zstd", 58, 0, 0),
    ];
    for (name, samples, histograms, exemplars) in CAPTURES {
        let home = tempfile::tempdir().unwrap();
        let sage = Sidecar::start(home.path(), any_time).await;
        let head = fixture(&format!("remote_write/{name}.head"));
        let body = fixture(&format!("remote_write/{name}.body"));
        let answer = raw_http(sage.running.http, &head, &body).await;
        assert_eq!(answer.status, 204, "{name}: {}", answer.text());
        // Without these Prometheus counts every sample of a 2.0 request as failed.
        let written = |what| answer.header(&format!("x-prometheus-remote-write-{what}-written"));
        assert_eq!(written("samples"), samples.to_string(), "{name}");
        assert_eq!(written("histograms"), histograms.to_string(), "{name}");
        assert_eq!(written("exemplars"), exemplars.to_string(), "{name}");
        let taken = sage.count("sage_receive_samples_total").await
            + sage.count("sage_receive_histograms_total").await
            + sage.count("sage_receive_samples_ignored_total").await;
        assert_eq!(taken, f64::from(samples + histograms), "{name}");
        assert_eq!(sage.count("sage_receive_samples_dropped_total").await, 0.0, "{name}");
        sage.running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn otlp_over_http_of_every_sender_is_taken() {
    const CAPTURES: &[(&str, u32)] = &[
        ("go-caddy-http-caddy", 3),
        ("node-http-checkout-json", 6),
        ("node-http-frontend-json", 6),
        ("node-http-inventory-json", 3),
        ("node-http-proto-checkout", 6),
        ("node-http-proto-frontend", 6),
        ("node-http-proto-inventory", 3),
        ("python-http-checkout", 9),
        ("python-http-frontend", 9),
        ("python-http-inventory", 9),
        ("python-http-gzip-checkout", 9),
        ("python-http-gzip-frontend", 9),
        ("python-http-gzip-inventory", 9),
    ];
    for (name, spans) in CAPTURES {
        let home = tempfile::tempdir().unwrap();
        let sage = Sidecar::start(home.path(), any_time).await;
        let head = fixture(&format!("otlp/{name}.head"));
        let body = fixture(&format!("otlp/{name}.body"));
        let answer = raw_http(sage.running.otlp_http, &head, &body).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        // The answer speaks the language of the request, and says nothing when all is well.
        let is_json = name.ends_with("json");
        let kind = if is_json { "application/json" } else { "application/x-protobuf" };
        assert_eq!(answer.header("content-type"), kind, "{name}");
        assert_eq!(answer.text(), if is_json { "{}" } else { "" }, "{name}");
        let taken = sage.count("sage_receive_spans_total").await;
        assert_eq!(taken, f64::from(*spans), "{name}");
        sage.running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn otlp_over_grpc_of_every_sender_is_taken() {
    const CAPTURES: &[(&str, u32)] = &[
        ("envoy-grpc", 5),
        ("go-caddy-grpc", 3),
        ("go-prometheus-3.5.3-grpc", 24),
        ("node-grpc-checkout", 6),
        ("node-grpc-frontend", 6),
        ("node-grpc-inventory", 3),
        ("python-grpc-checkout", 9),
        ("python-grpc-frontend", 9),
        ("python-grpc-inventory", 9),
        ("rotel-grpc", 15),
    ];
    for (name, spans) in CAPTURES {
        let home = tempfile::tempdir().unwrap();
        let sage = Sidecar::start(home.path(), any_time).await;
        let message = fixture(&format!("otlp/{name}.pb"));
        let status = grpc(sage.running.otlp_grpc, EXPORT, &message).await;
        assert_eq!(status, (0, String::new()), "{name}");
        let taken = sage.count("sage_receive_spans_total").await;
        assert_eq!(taken, f64::from(*spans), "{name}");
        sage.running.stop().await;
    }
}

/// Whole connections: preface, settings, window updates and, from Rotel, gzip inside gRPC.
#[tokio::test(flavor = "multi_thread")]
async fn captured_http2_connections_are_understood() {
    const CONNECTIONS: &[(&str, f64)] = &[
        ("python-grpc.c01", 10.0),
        ("python-grpc.c02", 10.0),
        ("python-grpc.c03", 10.0),
        ("rotel-grpc.c01", 45.0),
        ("go-prometheus-3.5.3-grpc.c01", 33.0),
    ];
    for (name, spans) in CONNECTIONS {
        let home = tempfile::tempdir().unwrap();
        let sage = Sidecar::start(home.path(), any_time).await;
        let mut stream = TcpStream::connect(sage.running.otlp_grpc).await.unwrap();
        let bytes = fixture(&format!("otlp/wire/{name}.c2s.bin"));
        stream.write_all(&bytes).await.unwrap();
        let mut answer = [0; 1024];
        assert!(stream.read(&mut answer).await.unwrap() > 0, "{name}");
        sage.until("sage_receive_spans_total", |n| n == *spans).await;
        sage.running.stop().await;
    }
}

/// Three processes, each with a batch of its own: callers and callees find each other.
#[tokio::test(flavor = "multi_thread")]
async fn spans_of_three_python_services_become_an_rpc_graph() {
    // The inventory of the Python services asks a database, which sends no spans itself.
    for (sender, rpcs) in [("python-grpc", 4), ("node-grpc", 3)] {
        let home = tempfile::tempdir().unwrap();
        let sage = Sidecar::start(home.path(), any_time).await;
        for minutes in [0, 2] {
            // Callees first, and again two minutes later, so that the first interval closes.
            for service in ["inventory", "checkout", "frontend"] {
                let message = fixture(&format!("otlp/{sender}-{service}.pb"));
                let later = shifted(&message, minutes);
                let status = grpc(sage.running.otlp_grpc, EXPORT, &later).await;
                assert_eq!(status, (0, String::new()));
            }
        }
        sage.until("sage_window_frames_total", |n| n > 0.0).await;
        let graph = |v: &serde_json::Value| {
            let has = |caller: &str, callee: &str| {
                let edges = v["rpcs"].as_array()?;
                edges.iter().find(|e| e["caller"] == caller && e["callee"] == callee).map(|_| ())
            };
            has("user", "frontend")?;
            has("frontend", "checkout")?;
            has("checkout", "inventory").map(|()| v.clone())
        };
        let graph = sage.api.wait("the graph", "/api/v1/graph", 30, &graph).await.unwrap();
        assert_eq!(graph["rpcs"].as_array().unwrap().len(), rpcs, "{graph:#}");
        sage.running.stop().await;
    }
}

/// The same spans `minutes` later, as other traces.
fn shifted(message: &[u8], minutes: u64) -> Vec<u8> {
    let mut request = ExportTraceServiceRequest::decode(message).unwrap();
    let scopes = request.resource_spans.iter_mut().flat_map(|r| &mut r.scope_spans);
    for span in scopes.flat_map(|s| &mut s.spans) {
        span.start_time_unix_nano += minutes * 60_000_000_000;
        span.end_time_unix_nano += minutes * 60_000_000_000;
        span.trace_id[0] ^= minutes as u8;
    }
    request.encode_to_vec()
}
