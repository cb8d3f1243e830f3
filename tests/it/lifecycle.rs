//! Starting, stopping, dying and coming back.

use std::io::BufRead as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use sage::lab::wire::{Api, SpanSender};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{Process, Sidecar, Traffic, sage, span};

/// Everything closed is there again after `kill -9`; at most the open interval is lost.
#[tokio::test(flavor = "multi_thread")]
async fn closed_intervals_survive_kill_9() {
    let home = tempfile::tempdir().unwrap();
    let config = Process::configure(home.path(), "");
    let first = Process::start(&config);
    let mut traffic = Traffic::new(first.http, first.otlp_grpc, 5).await;
    traffic.everyday(12).await;
    let written = |v: &serde_json::Value| {
        let n = v["counts"]["sage_store_writes_total{what=\"frame\"}"].as_f64()?;
        (n >= 10.0 && v["intervals"]["closed"] == n).then(|| v.clone())
    };
    Api::new(first.http).wait("frames on disk", "/api/v1/status", 60, &written).await.unwrap();
    let before = Api::new(first.http).get("/api/v1/frames?limit=10").await.unwrap();
    first.signal("-KILL");
    assert_eq!(first.wait().0, None);

    let second = Process::start(&config);
    let after = Api::new(second.http).get("/api/v1/frames").await.unwrap();
    let (before, after) = (before.as_array().unwrap(), after.as_array().unwrap());
    assert!(before.len() >= 10);
    for frame in before {
        assert!(after.contains(frame), "a closed interval is gone: {frame}");
    }
    // It goes on where it was: new intervals follow, none is counted twice.
    traffic.reconnect(second.http, second.otlp_grpc).await;
    traffic.everyday(4).await;
    let more = after.len() + 2;
    let grown = |v: &serde_json::Value| {
        (v["intervals"]["in_history"].as_u64()? >= more as u64).then(|| v.clone())
    };
    Api::new(second.http).wait("new frames", "/api/v1/status", 60, &grown).await.unwrap();
    let frames = Api::new(second.http).get("/api/v1/frames").await.unwrap();
    let starts: Vec<&str> = frames
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["interval"]["start"].as_str().unwrap())
        .collect();
    assert!(starts.windows(2).all(|w| w[0] < w[1]), "{starts:?}");
    second.signal("-TERM");
    assert_eq!(second.wait().0, Some(0));
}

/// SIGTERM while senders push as hard as they can: what was acknowledged is counted, the exit is
/// clean, and the senders see no answer but success or "come again".
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_ends_cleanly() {
    let home = tempfile::tempdir().unwrap();
    let config = Process::configure(home.path(), "");
    let process = Process::start(&config);
    let is_over = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicU64::new(0));
    let senders: Vec<_> = (0..4_u64)
        .map(|sender| {
            let (over, sent, address) = (is_over.clone(), sent.clone(), process.otlp_grpc);
            tokio::spawn(async move {
                let mut to = SpanSender::connect(address).await.unwrap();
                let mut at = sage::data::EventTime(1_700_000_000_000);
                while !over.load(Ordering::Relaxed) {
                    let trace = |i: u64| u128::from(sender) << 96 | u128::from(at.0 as u64 + i);
                    let batch: Vec<_> =
                        (1..500).map(|i| span("cart", trace(i), i, at, 5)).collect();
                    if to.send(&batch).await.is_err() {
                        return;
                    }
                    sent.fetch_add(499, Ordering::Relaxed);
                    at = at.plus(Duration::from_secs(1));
                }
            })
        })
        .collect();
    while sent.load(Ordering::Relaxed) < 50_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process.signal("-TERM");
    let end = tokio::task::spawn_blocking(move || process.wait());
    let (code, log) =
        tokio::time::timeout(Duration::from_secs(60), end).await.expect("it ends").unwrap();
    is_over.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.abort();
    }
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopped") && !log.contains("panic"), "{log}");
}

/// Clients that stop half-way cost the drain time, and nobody's data.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_with_stalled_clients_ends_cleanly() {
    let home = tempfile::tempdir().unwrap();
    let config = Process::configure(home.path(), "");
    let process = Process::start(&config);
    let mut traffic = Traffic::new(process.http, process.otlp_grpc, 5).await;
    traffic.everyday(2).await;
    let half = b"POST /api/v1/write HTTP/1.1\r\nHost: sage\r\nContent-Length: 9\r\n\r\nhalf";
    let mut clients = Vec::new();
    for said in [&half[..], b"POST /api", b""] {
        let mut client = TcpStream::connect(process.http).await.unwrap();
        client.write_all(said).await.unwrap();
        clients.push(client);
    }
    // An answer on a later connection: the earlier ones are being served by now.
    Api::new(process.http).get("/api/v1/status").await.unwrap();
    process.signal("-TERM");
    let end = tokio::task::spawn_blocking(move || process.wait());
    let (code, log) =
        tokio::time::timeout(Duration::from_secs(20), end).await.expect("it ends").unwrap();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopped") && !log.contains("did not stop"), "{log}");
    drop(clients);
}

/// Whoever starts a sidecar for itself, as `sage lab load` does, leaves none behind, however it ends.
#[test]
fn a_sidecar_ends_with_the_process_that_has_started_it() {
    const PATIENCE: Duration = Duration::from_secs(20);
    let home = tempfile::tempdir().unwrap();
    let config = Process::configure(home.path(), "");
    // A shell is the parent, and says which process the sidecar is.
    let mut shell = std::process::Command::new("sh")
        .args(["-c", "\"$0\" serve --config \"$1\" --parent $$ & echo $!; wait"])
        .args([sage().get_program(), config.as_os_str()])
        .envs([("NO_COLOR", "1"), ("RUST_LOG", "info")])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(shell.stdout.take().unwrap()).lines();
    let sidecar = said.next().unwrap().unwrap();
    let log = std::io::BufReader::new(shell.stderr.take().unwrap());
    let (lines, logged) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        log.lines().map_while(Result::ok).try_for_each(|line| lines.send(line))
    });
    let is_ready = |line: &String| line.contains("sage is ready");
    let starts = std::iter::from_fn(|| logged.recv_timeout(PATIENCE).ok()).any(|l| is_ready(&l));
    shell.kill().unwrap();
    shell.wait().unwrap();
    // Nobody has the log open any more when the last that could write to it has ended.
    let end = std::iter::repeat_with(|| logged.recv_timeout(PATIENCE)).find_map(Result::err);
    if end == Some(RecvTimeoutError::Timeout) {
        drop(std::process::Command::new("kill").args(["-KILL", &sidecar]).status());
    }
    assert!(starts);
    assert_eq!(end, Some(RecvTimeoutError::Disconnected), "the sidecar goes on");
}

#[test]
fn a_sidecar_refuses_a_parent_that_has_not_started_it() {
    let home = tempfile::tempdir().unwrap();
    let config = Process::configure(home.path(), "");
    let other = std::process::id() + 1;
    let serve = ["serve", "--parent", &other.to_string(), "--config"];
    let refused = sage().args(serve).arg(config).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("process {other} has not started this one")), "{said}");
}

/// Ctrl-C during the demo leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_demo_ends_at_once_and_cleans_up() {
    let home = tempfile::tempdir().unwrap();
    let mut child = sage()
        .args(["demo", "--intervals", "4999"])
        .env("TMPDIR", home.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("Social Network")));
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let end = tokio::task::spawn_blocking(move || child.wait());
    let code = tokio::time::timeout(Duration::from_secs(20), end).await.expect("it ends");
    assert_eq!(code.unwrap().unwrap().code(), Some(1));
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

/// Overload is said to be overload, and every acknowledged span reaches the windows.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_under_overload() {
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |c| c.receive.queue_items_max = 1000).await;
    let at = sage::data::EventTime(1_700_000_000_000);
    let senders: Vec<_> = (0..16_u64)
        .map(|sender| {
            let address = sage.running.otlp_grpc;
            tokio::spawn(async move {
                let mut to = SpanSender::connect(address).await.unwrap();
                for round in 0..20_u64 {
                    let trace = |i: u64| u128::from(sender) << 96 | u128::from(round * 1000 + i);
                    let batch: Vec<_> =
                        (1..=400).map(|i| span("cart", trace(i), i, at, 5)).collect();
                    assert_eq!(to.send(&batch).await.unwrap(), 0);
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let total = f64::from(16 * 20 * 400);
    assert_eq!(sage.count("sage_receive_spans_total").await, total);
    sage.until("sage_window_spans_waiting", |n| n == total).await;
    assert_eq!(sage.count("sage_window_dropped_total").await, 0.0);
    sage.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_cannot_share_a_data_directory() {
    let home = tempfile::tempdir().unwrap();
    let config = Process::configure(home.path(), "");
    let first = Process::start(&config);
    let second = sage().args(["serve", "--config"]).arg(&config).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let text = String::from_utf8(second.stderr).unwrap();
    assert!(text.contains("another") && text.contains("data"), "{text}");
    drop(first);
    // The lock of one that was killed does not outlive it.
    drop(Process::start(&config));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_and_a_closed_directory_are_explained() {
    let home = tempfile::tempdir().unwrap();
    let first = Sidecar::start(home.path(), |_| {}).await;
    let other = tempfile::tempdir().unwrap();
    let taken = first.running.http;
    let error = Sidecar::try_start(other.path(), |c| c.listen.http = taken).await.err().unwrap();
    assert!(error.contains(&taken.to_string()) && error.contains("another"), "{error}");
    // Not a directory at all: root may write everywhere else.
    std::fs::write(other.path().join("data"), "").unwrap();
    let error = Sidecar::try_start(other.path(), |_| {}).await.err().unwrap();
    assert!(error.contains(&other.path().join("data").display().to_string()), "{error}");
    first.running.stop().await;
}

/// Targets change without a restart, and a faulty file changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn reload_takes_new_targets_and_refuses_faults() {
    let home = tempfile::tempdir().unwrap();
    let config = Process::configure(home.path(), "");
    let process = Process::start(&config);
    let api = Api::new(process.http);
    let reload = || async {
        let post = axum::http::Method::POST;
        api.call(post, "/-/reload", &[], bytes::Bytes::new()).await.unwrap()
    };
    let text = std::fs::read_to_string(&config).unwrap();
    let with = |extra: &str| std::fs::write(&config, format!("{text}\n{extra}")).unwrap();
    with("[[qos]]\nservice = \"cart\"\nquantile = 0.99\ntarget_ms = 20.0");
    assert_eq!(reload().await.0, 200);
    assert_eq!(api.get("/api/v1/status").await.unwrap()["qos"][0]["service"], "cart");
    with("[[qos]]\nservice = \"cart\"\nquantile = 7\ntarget_ms = 20.0");
    let (status, body) = reload().await;
    let body = String::from_utf8_lossy(&body).into_owned();
    assert!(status == 400 && body.contains("quantile"), "{status} {body}");
    assert_eq!(api.get("/api/v1/status").await.unwrap()["qos"][0]["quantile"], 0.99);
    with("[[qos]]\nservice = \"cart\"\nquantile = 0.5\ntarget_ms = 20.0");
    process.signal("-HUP");
    let is_taken = |v: &serde_json::Value| (v["qos"][0]["quantile"] == 0.5).then(|| v.clone());
    api.wait("a reload by SIGHUP", "/api/v1/status", 20, &is_taken).await.unwrap();
    process.signal("-TERM");
    assert_eq!(process.wait().0, Some(0));
}
