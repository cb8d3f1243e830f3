//! TLS, client certificates and credentials on the real listeners.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use sage::config::Config;
use sage::http::{Auth, Credential, Role, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::support::{Answer, Authority, Pair, Process, Sidecar, TlsClient, request_bytes, send};

const INGEST: &str = "ingest-0123456789abcdef";
const READ: &str = "read-0123456789abcdef";
const ADMIN: &str = "admin-0123456789abcdef";

fn tls(own: &Pair, client_ca: Option<&Path>, client_names: &[&str]) -> Option<Tls> {
    Some(Tls {
        cert_file: own.cert.clone(),
        key_file: own.key.clone(),
        client_ca_file: client_ca.map(Into::into),
        client_names: client_names.iter().map(ToString::to_string).collect(),
    })
}

pub(crate) fn secret(home: &Path, name: &str, text: &str) -> PathBuf {
    let file = home.join(name);
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn token(home: &Path, role: Role, text: &str) -> Credential {
    let file = secret(home, text, text);
    Credential { role, token_file: Some(file), user: None, password_file: None }
}

/// One credential of each role, and a user who may read.
fn auth(home: &Path) -> Option<Auth> {
    let reader = Credential {
        role: Role::Read,
        token_file: None,
        user: Some("grafana".into()),
        password_file: Some(secret(home, "password", "swordfish\n")),
    };
    let credentials = vec![
        token(home, Role::Ingest, INGEST),
        token(home, Role::Read, READ),
        token(home, Role::Admin, ADMIN),
        reader,
    ];
    Some(Auth { is_metrics_open: true, credentials })
}

async fn export(channel: Channel, token: Option<&str>) -> Result<(), Code> {
    let mut request = Request::new(ExportTraceServiceRequest::default());
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    let result = TraceServiceClient::new(channel).export(request).await;
    result.map(drop).map_err(|status| status.code())
}

fn failed(reason: &str) -> String {
    format!("sage_listen_handshakes_failed_total{{listener=\"http\",reason=\"{reason}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_listener_speaks_tls_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path(), "own");
    let own = authority.issue("sage", &["127.0.0.1"]);
    let sage = Sidecar::start(home.path(), |c| c.listen.tls = tls(&own, None, &[])).await;
    let running = &sage.running;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = authority.client_of(None, &[version]);
        assert_eq!(client.get(running.http, "/-/ready").await.unwrap().status, 200);
        let json = [("content-type", "application/json")];
        let answer = client.send(running.otlp_http, "POST", "/v1/traces", &json, b"{}").await;
        assert_eq!(answer.unwrap().text(), "{}");
        export(client.channel(running.otlp_grpc).await.unwrap(), None).await.unwrap();
    }
    // Who speaks in the clear is told so, in words he understands, and counted.
    let client = authority.client(None);
    let answer = send(running.http, "GET", "/-/ready", &[], b"").await;
    assert!(answer.status == 400 && answer.text().contains("https"), "{}", answer.text());
    assert_eq!(client.sample(running.http, &[], &failed("not_tls")).await, 1.0);
    // Who does not believe our authority ends the handshake.
    let stranger = Authority::new(home.path(), "other").client(None);
    assert!(stranger.get(running.http, "/-/ready").await.is_none());
    assert_eq!(client.sample(running.http, &[], &failed("failed")).await, 1.0);
    sage.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_must_show_a_certificate_of_the_right_authority_and_name() {
    let home = tempfile::tempdir().unwrap();
    let (authority, clients) =
        (Authority::new(home.path(), "own"), Authority::new(home.path(), "clients"));
    let own = authority.issue("sage", &["127.0.0.1"]);
    let names = ["prometheus.monitoring", "10.0.0.7"];
    let sage = Sidecar::start(home.path(), |c| {
        c.listen.tls = tls(&own, Some(&clients.file), &names);
    })
    .await;
    let http = sage.running.http;
    let by_name = clients.issue("by-name", &["prometheus.monitoring"]);
    let by_address = clients.issue("by-address", &["else.where", "10.0.0.7"]);
    for good in [&by_name, &by_address] {
        let client = authority.client(Some(good));
        assert_eq!(client.get(http, "/-/ready").await.unwrap().status, 200, "{good:?}");
        export(client.channel(sage.running.otlp_grpc).await.unwrap(), None).await.unwrap();
    }
    let wrong_name = clients.issue("wrong-name", &["grafana.monitoring"]);
    let wrong_authority = authority.issue("wrong-authority", &["prometheus.monitoring"]);
    for bad in [None, Some(&wrong_name), Some(&wrong_authority)] {
        let client = authority.client(bad);
        assert!(client.get(http, "/-/ready").await.is_none(), "{bad:?}");
        // With TLS 1.3 the client hears of it when it first uses the connection.
        if let Ok(channel) = client.channel(sage.running.otlp_grpc).await {
            assert!(export(channel, None).await.is_err(), "{bad:?}");
        }
    }
    let client = authority.client(Some(&by_name));
    assert_eq!(client.sample(http, &[], &failed("client_certificate")).await, 3.0);
    sage.running.stop().await;
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    authorization: Option<&str>,
    kind: &str,
) -> Answer {
    let mut headers = vec![("content-type", kind)];
    headers.extend(authorization.map(|a| ("authorization", a)));
    send(address, method, path, &headers, b"{}").await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_gets_what_it_needs_over_http_and_no_more() {
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |c| c.listen.auth = auth(home.path())).await;
    let (http, otlp) = (sage.running.http, sage.running.otlp_http);
    // "grafana:swordfish"
    let user = "Basic Z3JhZmFuYTpzd29yZGZpc2g=";
    let (ingest, read, admin) = (&bearer(INGEST)[..], &bearer(READ)[..], &bearer(ADMIN)[..]);
    let json = "application/json";
    // What everybody may ask, then: path, and who is let in.
    for path in ["/-/healthy", "/-/ready", "/metrics"] {
        assert_eq!(ask(http, "GET", path, None, json).await.status, 200, "{path}");
    }
    let cases: &[(SocketAddr, &str, &str, &[&str])] = &[
        (http, "GET", "/", &[read, user, admin]),
        (http, "GET", "/api/v1/status", &[read, user, admin]),
        (http, "POST", "/grafana/search", &[read, user, admin]),
        (http, "POST", "/-/reload", &[admin]),
        (http, "POST", "/api/v1/model/train", &[admin]),
        (http, "POST", "/api/v1/write", &[ingest, admin]),
        (http, "POST", "/webhook/alertmanager", &[ingest, admin]),
        (otlp, "POST", "/v1/traces", &[ingest, admin]),
        (otlp, "POST", "/v1/logs", &[ingest, admin]),
    ];
    for (address, method, path, allowed) in cases {
        for credential in [ingest, read, user, admin] {
            let status = ask(*address, method, path, Some(credential), json).await.status;
            let is_in = status != 401 && status != 403;
            assert_eq!(is_in, allowed.contains(&credential), "{path} by {credential}: {status}");
            assert!(is_in || status == 403, "{path} by {credential}: {status}");
        }
        for stranger in [None, Some("Bearer ingest-0123456789abcdeF"), Some("Basic ???")] {
            let answer = ask(*address, method, path, stranger, json).await;
            assert_eq!(answer.status, 401, "{path} by {stranger:?}");
            let challenge = answer.header("www-authenticate");
            assert!(challenge.contains("Bearer") && challenge.contains("Basic"), "{challenge}");
        }
    }
    let answer = ask(http, "GET", "/api/v1/status", None, json).await;
    assert!(answer.text().contains(r#""errorType":"unauthorized""#), "{}", answer.text());
    // OTLP has its own form of refusals: google.rpc.Status, UNAUTHENTICATED.
    let answer = ask(otlp, "POST", "/v1/traces", None, json).await;
    assert!(answer.text().contains(r#""code":16"#), "{}", answer.text());
    let answer = ask(otlp, "POST", "/v1/traces", None, "application/x-protobuf").await;
    assert_eq!(&answer.body[..2], [0x08, 16]);
    let metrics = send(http, "GET", "/metrics", &[], b"").await.text();
    for (listener, reason, count) in
        [("http", "missing", 8), ("http", "wrong", 14), ("otlp_http", "missing", 4)]
    {
        let sample = format!(
            "sage_listen_unauthorized_total{{listener=\"{listener}\",reason=\"{reason}\"}} {count}"
        );
        assert!(metrics.contains(&sample), "{sample} is not in\n{metrics}");
    }
    sage.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_answers_with_its_own_codes_and_metrics_can_be_closed() {
    let home = tempfile::tempdir().unwrap();
    let tune = |c: &mut Config| {
        let auth = auth(home.path()).unwrap();
        c.listen.auth = Some(Auth { is_metrics_open: false, ..auth });
    };
    let sage = Sidecar::start(home.path(), tune).await;
    let address = format!("http://{}", sage.running.otlp_grpc);
    let channel = Channel::from_shared(address).unwrap().connect().await.unwrap();
    let cases = [
        (None, Err(Code::Unauthenticated)),
        (Some("ingest-0123456789abcdeF"), Err(Code::Unauthenticated)),
        (Some(READ), Err(Code::PermissionDenied)),
        (Some(INGEST), Ok(())),
        (Some(ADMIN), Ok(())),
    ];
    for (token, expected) in cases {
        assert_eq!(export(channel.clone(), token).await, expected, "{token:?}");
    }
    let http = sage.running.http;
    assert_eq!(ask(http, "GET", "/metrics", None, "").await.status, 401);
    assert_eq!(ask(http, "GET", "/metrics", Some(&bearer(READ)), "").await.status, 200);
    sage.running.stop().await;
}

/// A configuration with TLS and one administrator, for a process of its own.
fn secure_process(home: &Path, own: &Pair, token: &Path) -> Process {
    let extra = format!(
        "[listen.tls]\ncert_file = {:?}\nkey_file = {:?}\n[[listen.auth.credentials]]\n\
         role = \"admin\"\ntoken_file = {token:?}",
        own.cert, own.key
    );
    Process::start(&Process::configure(home, &extra))
}

async fn reload(client: &TlsClient, http: SocketAddr, token: &str) -> Option<Answer> {
    let bearer = bearer(token);
    client.send(http, "POST", "/-/reload", &[("authorization", &bearer)], b"").await
}

/// Certificates and tokens are exchanged while clients are connected.
#[tokio::test(flavor = "multi_thread")]
async fn reload_takes_new_certificates_and_tokens_and_refuses_faulty_ones() {
    let home = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(home.path(), "old"), Authority::new(home.path(), "new"));
    let own = old.issue("sage", &["127.0.0.1"]);
    let file = secret(home.path(), "token", ADMIN);
    let process = secure_process(home.path(), &own, &file);
    let http = process.http;
    let (old, of_new) = (old.client(None), new.client(None));
    let mut open = old.connect(http, b"http/1.1").await.unwrap();
    open.write_all(b"GET /-/ready HTTP/1.1\r\nHost: sage\r\n\r\n").await.unwrap();
    open.read_exact(&mut [0; 15]).await.unwrap();

    // A key that does not belong to the certificate: nothing changes.
    let good_key = std::fs::read(&own.key).unwrap();
    std::fs::copy(new.issue("stray", &["127.0.0.1"]).key, &own.key).unwrap();
    let answer = reload(&old, http, ADMIN).await.unwrap();
    assert!(answer.status == 400 && answer.text().contains("key_file"), "{}", answer.text());
    std::fs::write(&own.key, good_key).unwrap();

    new.issue("sage", &["127.0.0.1"]);
    std::fs::write(&file, format!("{ADMIN}-2")).unwrap();
    assert!(of_new.get(http, "/-/ready").await.is_none());
    assert_eq!(reload(&old, http, ADMIN).await.unwrap().status, 200);
    assert!(old.get(http, "/-/ready").await.is_none());
    assert_eq!(of_new.get(http, "/-/ready").await.unwrap().status, 200);
    assert_eq!(reload(&of_new, http, ADMIN).await.unwrap().status, 401);
    assert_eq!(reload(&of_new, http, &format!("{ADMIN}-2")).await.unwrap().status, 200);
    // Whoever was connected still is.
    open.write_all(&request_bytes(http, "GET", "/-/healthy", &[], b"")).await.unwrap();
    let mut rest = String::new();
    open.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("Sage is ready") && rest.ends_with("Sage is healthy.\n"), "{rest}");
    process.signal("-TERM");
    assert_eq!(process.wait().0, Some(0));
}

/// Clients that stop in the middle of a handshake do not hold up the stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_handshakes() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path(), "own");
    let own = authority.issue("sage", &["127.0.0.1"]);
    let token = secret(home.path(), "token", ADMIN);
    let process = secure_process(home.path(), &own, &token);
    let client = authority.client(None);
    let mut silent = Vec::new();
    // Nothing, a part of a ClientHello, and all of a handshake with nothing after it.
    for said in [&b""[..], &[22, 3, 1, 1, 0, 1]] {
        let mut stream = TcpStream::connect(process.http).await.unwrap();
        stream.write_all(said).await.unwrap();
        silent.push(stream);
    }
    let greeted = client.connect(process.http, b"h2").await.unwrap();
    assert_eq!(client.get(process.http, "/-/ready").await.unwrap().status, 200);
    process.signal("-TERM");
    let (code, log) = tokio::task::spawn_blocking(move || process.wait()).await.unwrap();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("did not stop") && !log.contains("cut off"), "{log}");
    drop((silent, greeted));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_closed_and_counted() {
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |c| c.listen.connections_max = 8).await;
    let otlp = sage.running.otlp_http;
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(otlp).await.unwrap();
        // It is being served once it has an answer.
        stream.write_all(b"GET / HTTP/1.1\r\nHost: sage\r\n\r\n").await.unwrap();
        stream.read_exact(&mut [0; 12]).await.unwrap();
        open.push(stream);
    }
    let mut late = TcpStream::connect(otlp).await.unwrap();
    assert_eq!(late.read(&mut [0; 1]).await.unwrap_or(0), 0);
    let full = "sage_listen_connections_closed_total{listener=\"otlp_http\",reason=\"full\"}";
    assert_eq!(sage.sample(full).await, 1.0);
    let now_open = "sage_listen_connections_open{listener=\"otlp_http\"}";
    assert_eq!(sage.sample(now_open).await, 8.0);
    drop(open);
    sage.until(now_open, |n| n == 0.0).await;
    assert_eq!(send(otlp, "GET", "/", &[], b"").await.status, 404);
    sage.running.stop().await;
}
