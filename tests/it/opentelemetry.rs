//! The real OpenTelemetry Python SDK in three processes, over gRPC and over HTTP.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Sidecar, missing_peer};

/// Time the services are called.
const SECONDS: &str = "4";

/// A Python that has the SDK: `SAGE_TEST_PYTHON`, or the one on the PATH.
pub(crate) fn python() -> Option<String> {
    let python = std::env::var("SAGE_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let import = "import opentelemetry.exporter.otlp.proto.grpc.trace_exporter, \
                  opentelemetry.exporter.otlp.proto.http.trace_exporter";
    let works =
        Command::new(&python).args(["-c", import]).output().is_ok_and(|o| o.status.success());
    if !works {
        missing_peer(&format!(
            "{python} has no OpenTelemetry SDK; pip install opentelemetry-sdk \
             opentelemetry-exporter-otlp-proto-grpc opentelemetry-exporter-otlp-proto-http, \
             and name that Python in SAGE_TEST_PYTHON"
        ));
    }
    works.then_some(python)
}

/// Runs the services, with these variables in their environment; the number of requests.
pub(crate) fn call_services(
    python: &str,
    protocol: &str,
    endpoint: &str,
    environment: &[(&str, &str)],
) -> u64 {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/three_services.py");
    let output = Command::new(python)
        .arg(script)
        .args([protocol, endpoint, SECONDS])
        .envs(environment.iter().copied())
        // The HTTP client of the SDK would prefer these to the certificate it is told to believe.
        .env_remove("REQUESTS_CA_BUNDLE")
        .env_remove("CURL_CA_BUNDLE")
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    said["requests"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_python_processes_become_an_rpc_graph() {
    let Some(python) = python() else { return };
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |c| {
        c.window.interval = Duration::from_secs(1);
        c.window.lateness = Duration::from_secs(1);
    })
    .await;
    let grpc = format!("http://{}", sage.running.otlp_grpc);
    let http = format!("http://{}/v1/traces", sage.running.otlp_http);
    let mut requests = 0;
    for (protocol, endpoint) in [("grpc", grpc), ("http", http)] {
        let python = python.clone();
        let call = move || call_services(&python, protocol, &endpoint, &[]);
        requests += tokio::task::spawn_blocking(call).await.unwrap();
    }
    // Every request leaves 3 SERVER, 3 INTERNAL and 2 CLIENT spans, and none is lost.
    assert!(requests > 20, "{requests} requests");
    assert_eq!(sage.count("sage_receive_spans_total").await, 8.0 * requests as f64);
    for protocol in ["otlp_grpc", "otlp_http"] {
        let taken = format!("sage_receive_requests_total{{protocol=\"{protocol}\"}}");
        assert!(sage.sample(&taken).await >= 3.0, "{protocol}");
    }
    let frames = sage.api.get("/api/v1/frames").await.unwrap();
    // An interval in the middle: all three processes were up all the time.
    let full = frames.as_array().unwrap().iter().max_by_key(|f| f["rpcs"][0]["count"].as_u64());
    let full = full.expect("closed intervals");
    let found: BTreeSet<String> = full["rpcs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| {
            let text = |k: &str| r[k].as_str().unwrap();
            format!("{}>{} {} {}", text("caller"), text("callee"), text("op"), text("kind"))
        })
        .collect();
    let expected = [
        "checkout>inventory GET /inventory paired",
        "frontend>checkout GET /checkout paired",
        "user>frontend GET /frontend server_only",
    ];
    assert_eq!(found, expected.map(String::from).into(), "{full:#}");
    for rpc in full["rpcs"].as_array().unwrap() {
        let [client, server] = ["client", "server"].map(|k| rpc[k][0].as_f64().unwrap());
        assert!(client >= server && server > 1.0, "callers wait at least as long: {rpc:#}");
    }
    assert!(full["completeness"].as_f64().unwrap() > 0.9, "{full:#}");
    sage.running.stop().await;
}
