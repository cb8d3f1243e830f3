//! The real Prometheus, Alertmanager and OpenTelemetry SDK, with TLS and credentials.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sage::http::{Auth, Credential, Role, Tls};

use crate::opentelemetry::{call_services, python};
use crate::security::secret;
use crate::support::{Authority, Peer, Sidecar, TlsClient, free_address, has, send};

const TOKEN: &str = "a-token-of-more-than-sixteen";
/// Looks at a counter, 50 ms apart; nothing is asserted about how long anything takes.
const LOOKS: usize = 1800;

/// A sidecar with everything turned on, and a client that may read its metrics.
async fn secure_sidecar(home: &Path) -> (Sidecar, Authority, TlsClient) {
    let authority = Authority::new(home, "own");
    let own = authority.issue("sage", &["127.0.0.1", "localhost"]);
    let tls = Tls {
        cert_file: own.cert,
        key_file: own.key,
        client_ca_file: None,
        client_names: Vec::new(),
    };
    let by_token = Credential {
        role: Role::Ingest,
        token_file: Some(secret(home, "token", TOKEN)),
        user: None,
        password_file: None,
    };
    let by_password = Credential {
        role: Role::Ingest,
        token_file: None,
        user: Some("prometheus".into()),
        password_file: Some(secret(home, "password", "swordfish")),
    };
    let auth = Auth { is_metrics_open: true, credentials: vec![by_token, by_password] };
    let sage = Sidecar::start(home, |c| {
        (c.listen.tls, c.listen.auth) = (Some(tls), Some(auth));
    })
    .await;
    let client = authority.client(None);
    (sage, authority, client)
}

async fn until_counted(client: &TlsClient, http: SocketAddr, sample: &str) {
    for _ in 0..LOOKS {
        if client.sample(http, &[], sample).await > 0.0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{sample} stays at zero");
}

fn unauthorized(listener: &str, reason: &str) -> String {
    format!("sage_listen_unauthorized_total{{listener=\"{listener}\",reason=\"{reason}\"}}")
}

/// It scrapes itself and sends that twice: with the right password and with a wrong one.
#[tokio::test(flavor = "multi_thread")]
async fn prometheus_writes_with_tls_and_a_password() {
    if !has("prometheus") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (sage, authority, client) = secure_sidecar(home.path()).await;
    let (http, own) = (sage.running.http, free_address());
    let wrong = secret(home.path(), "wrong", "herring");
    let remote = |file: &Path| {
        format!(
            "  - url: https://{http}/api/v1/write\n    queue_config: {{batch_send_deadline: 1s}}\n    \
             basic_auth: {{username: prometheus, password_file: {}}}\n    \
             tls_config: {{ca_file: {}}}\n",
            file.display(),
            authority.file.display()
        )
    };
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: prometheus\n    \
         static_configs: [{{targets: ['{own}']}}]\nremote_write:\n{}{}    name: wrong\n",
        remote(&home.path().join("password")),
        remote(&wrong)
    );
    let file = home.path().join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", home.path().join("tsdb").display()))
        .arg(format!("--web.listen-address={own}"))
        .arg("--storage.remote.flush-deadline=1s");
    let _prometheus = Peer::start(&mut command, &home.path().join("prometheus.log"));
    until_counted(&client, http, "sage_receive_samples_total").await;
    until_counted(&client, http, &unauthorized("http", "wrong")).await;
    sage.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alertmanager_calls_with_tls_and_a_token() {
    if !has("prometheus-alertmanager") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (sage, authority, client) = secure_sidecar(home.path()).await;
    let (http, own) = (sage.running.http, free_address());
    let config = format!(
        "route: {{receiver: sage, group_wait: 1s}}\nreceivers:\n  - name: sage\n    webhook_configs:\n      \
         - url: https://{http}/webhook/alertmanager\n        http_config:\n          \
         authorization: {{credentials_file: {}}}\n          tls_config: {{ca_file: {}}}\n",
        home.path().join("token").display(),
        authority.file.display()
    );
    let file = home.path().join("alertmanager.yml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new("prometheus-alertmanager");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.path={}", home.path().join("alertmanager").display()))
        .arg(format!("--web.listen-address={own}"))
        .arg("--cluster.listen-address=");
    let _alertmanager = Peer::start(&mut command, &home.path().join("alertmanager.log"));
    for _ in 0..LOOKS {
        if tokio::net::TcpStream::connect(own).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let alert = br#"[{"labels": {"alertname": "Slow", "service": "web"}}]"#;
    let json = [("content-type", "application/json")];
    let answer = send(own, "POST", "/api/v2/alerts", &json, alert).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    until_counted(&client, http, "sage_receive_alerts_total").await;
    assert_eq!(client.sample(http, &[], &unauthorized("http", "missing")).await, 0.0);
    sage.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_opentelemetry_sdk_exports_with_tls_and_a_token() {
    let Some(python) = python() else { return };
    let home = tempfile::tempdir().unwrap();
    let (sage, authority, client) = secure_sidecar(home.path()).await;
    let http = sage.running.http;
    let grpc = format!("https://{}", sage.running.otlp_grpc);
    let over_http = format!("https://{}/v1/traces", sage.running.otlp_http);
    let ca = authority.file.display().to_string();
    let mut requests = 0;
    for (protocol, endpoint) in [("grpc", grpc), ("http", over_http)] {
        let (python, ca) = (python.clone(), ca.clone());
        let call = move || {
            let header = format!("authorization=Bearer%20{TOKEN}");
            let environment =
                [("OTEL_EXPORTER_OTLP_CERTIFICATE", &ca), ("OTEL_EXPORTER_OTLP_HEADERS", &header)];
            call_services(&python, protocol, &endpoint, &environment.map(|(k, v)| (k, &v[..])))
        };
        requests += tokio::task::spawn_blocking(call).await.unwrap();
    }
    // Every request leaves 8 spans, and none is lost.
    assert!(requests > 20, "{requests} requests");
    let spans = client.sample(http, &[], "sage_receive_spans_total").await;
    assert_eq!(spans, 8.0 * requests as f64);
    sage.running.stop().await;
}
