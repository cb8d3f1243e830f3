//! `sage lab live`: services as processes, and what is left of a run when it is killed.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::helper::until;
use crate::support::{Sidecar, missing_peer, sage, send};

/// A service of the live application; killed when dropped.
struct Service(Child, SocketAddr);

impl Service {
    fn start(orders: &Value) -> Self {
        let mut command = sage();
        command.args(["lab", "live-service"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(orders.to_string().as_bytes()).unwrap();
        drop(stdin);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap_or_else(|e| panic!("{line:?}: {e}"));
        Self(child, address)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn orders(name: &str, steps: &Value, sidecar: SocketAddr, places: &Value, dir: &Path) -> Value {
    json!({
        "service": {"name": name, "kind": "Logic", "ops": [{"name": "Work", "steps": steps}]},
        "node": "here", "listen": "127.0.0.1", "otlp": sidecar, "places": places, "dir": dir,
    })
}

/// Two processes, one calling the other: the sidecar learns from their spans who calls whom.
#[tokio::test(flavor = "multi_thread")]
async fn services_pass_the_trace_on_and_report_spans() {
    let home = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(home.path(), |config| {
        config.window.interval = Duration::from_secs(1);
        config.window.lateness = Duration::from_millis(500);
    })
    .await;
    let to = sidecar.running.otlp_grpc;
    let back = Service::start(&orders("back", &json!([{"Cpu": 200}]), to, &json!({}), home.path()));
    let steps = json!([{"Cpu": 100}, {"Call": {"service": "back", "op": "Work"}}]);
    let places = json!({"back": {"kind": "Logic", "address": back.1}});
    let front = Service::start(&orders("front", &steps, to, &places, home.path()));
    let missing = send(front.1, "GET", "/Play", &[], b"").await;
    assert_eq!(missing.status, 404);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    // Intervals close when later spans come, so users go on until it is seen.
    let mut seen = Value::Null;
    for _ in 0..600 {
        let answer = send(front.1, "GET", "/Work", &[("traceparent", trace)], b"").await;
        assert_eq!(answer.status, 200);
        seen = sidecar.api.get("/api/v1/graph").await.unwrap();
        if seen.to_string().contains("back") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let text = seen.to_string();
    assert!(text.contains("front") && text.contains("back") && text.contains("Work"), "{seen:#}");
    // A lock is a fault in the code; everything else is refused.
    for (path, status) in
        [("/-/lock/10", 200), ("/-/lock/x", 404), ("/-/pool/1", 404), ("/-/pool/2/100", 200)]
    {
        assert_eq!(send(front.1, "POST", path, &[], b"").await.status, status, "{path}");
    }
    assert_eq!(send(front.1, "GET", "/Work", &[], b"").await.status, 200);
    drop(back);
    assert_eq!(send(front.1, "GET", "/Work", &[], b"").await.status, 503);
    sidecar.running.stop().await;
}

/// Spans wait for others for a quarter of a second: a service that is told to end sends those that still do.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_sends_its_last_spans() {
    let home = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(home.path(), |_| {}).await;
    let to = sidecar.running.otlp_grpc;
    let mut service =
        Service::start(&orders("last", &json!([{"Cpu": 10}]), to, &json!({}), home.path()));
    for _ in 0..3 {
        assert_eq!(send(service.1, "GET", "/Work", &[], b"").await.status, 200);
    }
    let pid = rustix::process::Pid::from_child(&service.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = tokio::task::spawn_blocking(move || service.0.wait().unwrap()).await.unwrap();
    assert_eq!(ended.code(), Some(0));
    let status = sidecar.api.get("/api/v1/status").await.unwrap();
    let counts = status["counts"].as_object().unwrap();
    let spans = counts.iter().filter(|(name, _)| name.starts_with("sage_receive_spans_total"));
    assert_eq!(spans.map(|(_, n)| n.as_f64().unwrap()).sum::<f64>(), 3.0, "{status:#}");
    sidecar.running.stop().await;
}

#[test]
fn everything_that_is_missing_is_named_and_nothing_is_started() {
    let output = sage().args(["lab", "live", "--app", "shop"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    // Without root, at least that is missing; with root and all programs, nothing is.
    let output = sage().args(["lab", "live", "--check"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => assert!(rustix::process::geteuid().is_root(), "{said}"),
        code => {
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains("what is missing"), "{said}");
        }
    }
}

/// The cgroup of a run, in either version.
fn group() -> &'static Path {
    let is_two = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    Path::new(if is_two { "/sys/fs/cgroup/sage-live" } else { "/sys/fs/cgroup/cpu/sage-live" })
}

/// Whether a run is possible here; the reason is printed if not.
fn can_run() -> bool {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can make cgroups");
        return false;
    }
    let output = sage().args(["lab", "live", "--check"]).output().unwrap();
    if !output.status.success() {
        missing_peer(&String::from_utf8_lossy(&output.stderr));
        return false;
    }
    if group().exists() {
        missing_peer(
            "no other live run at the same time; `sage lab live --clean` removes what one has left",
        );
        return false;
    }
    true
}

/// A run under way, with files below a directory of its own.
struct Live {
    child: Child,
    work: tempfile::TempDir,
}

impl Live {
    fn start(words: &[&str]) -> Self {
        let work = tempfile::tempdir().unwrap();
        let mut command = sage();
        command.args(["lab", "live"]).args(words).env("TMPDIR", work.path());
        let log = std::fs::File::create(work.path().join("said")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self { child: command.spawn().unwrap(), work }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.work.path().join("said")).unwrap()
    }

    /// Directories of runs.
    fn homes(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.work.path()).unwrap().map(|e| e.unwrap().path());
        entries.filter(|p| p.is_dir()).collect()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits until its services serve.
    fn serves(&self) {
        let is_member = |service: &str| {
            let procs = group().join(service).join("cgroup.procs");
            std::fs::read_to_string(procs).is_ok_and(|text| !text.is_empty())
        };
        until("all services", || is_member("chain-5") && is_member("chain-1"));
    }

    /// The network of each service that serves.
    fn networks(&self) -> BTreeSet<PathBuf> {
        let services = std::fs::read_dir(group()).unwrap().flatten();
        let members = services.filter(|e| e.file_name().to_string_lossy().starts_with("chain-"));
        let pids = members.map(|e| std::fs::read_to_string(e.path().join("cgroup.procs")).unwrap());
        let pids: Vec<String> = pids.filter_map(|p| p.lines().next().map(Into::into)).collect();
        let network = |pid| std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        pids.into_iter().map(network).collect()
    }

    fn is_gone(&self) -> bool {
        !group().exists() && self.homes().is_empty()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Networks that somebody is in.
fn networks() -> BTreeSet<PathBuf> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes.filter_map(|e| std::fs::read_link(e.path().join("ns/net")).ok()).collect()
}

/// Whether our own network has anything of a run.
fn is_touched() -> bool {
    let devices = std::fs::read_to_string("/proc/net/dev").unwrap();
    let mut names = devices.lines().filter_map(|line| line.split_once(':')).map(|(n, _)| n.trim());
    // The subnet of a run, as the kernel writes it: 10.77.0.0.
    let routes = std::fs::read_to_string("/proc/net/route").unwrap();
    names.any(|n| n == "services" || n.starts_with("to-")) || routes.contains("00004D0A")
}

/// Interrupted it sweeps up itself; killed, its watchman does; and a whole run leaves everything as it was.
#[test]
fn whatever_ends_a_run_nothing_is_left_behind() {
    if !can_run() {
        return;
    }
    let mut run = Live::start(&[]);
    run.serves();
    run.signal("-INT");
    assert_eq!(run.child.wait().unwrap().code(), Some(1), "{}", run.said());
    assert!(run.said().contains("interrupted"), "{}", run.said());
    assert!(run.is_gone(), "{:?}", run.homes());

    let mut run = Live::start(&[]);
    run.serves();
    let inside = run.networks();
    // Where the kernel has no networks, all are in ours.
    let has_networks = inside.len() > 1;
    assert!(!has_networks || inside.len() == 5, "{inside:?}");
    assert!(!is_touched());
    run.signal("-KILL");
    run.child.wait().unwrap();
    until("the watchman has swept", || run.is_gone());
    if has_networks {
        until("its networks are gone", || networks().is_disjoint(&inside));
    }

    // What Sage makes of it depends on how busy the machine is; that everything is put back does not.
    let mut run = Live::start(&["--intervals", "25", "--faults", "quota,network"]);
    run.child.wait().unwrap();
    let said = run.said();
    assert!(said.contains("quota squeezed"), "{said}");
    let all = if has_networks { "2 of 2" } else { "1 of 1" };
    assert!(said.contains("link squeezed of") == has_networks, "{said}");
    assert!(said.contains(&format!("everything as before {all}")), "{said}");
    assert!(run.is_gone() && !is_touched(), "{:?}", run.homes());
}
