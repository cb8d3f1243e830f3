//! Diagnoses become fixes: a real sidecar, a real helper, a node made of files.

use std::path::{Path, PathBuf};

use sage::data::EventTime;
use sage::lab::sim::{Fault, FaultKind};
use sage::lab::wire::{Api, alert_json};
use serde_json::{Value, json};

use crate::support::helper::{Helper, Node, QUOTA, RULES, first_line, me, until};
use crate::support::{INTERVAL, Process, Sidecar, Traffic, send};

/// Everyday intervals the model learns from.
const EVERYDAY: usize = 150;
/// Whose processors are taken away: the third service.
const VICTIM: usize = 2;
/// What its quota is found at: `150000` of a period of `100000`.
const CORES: f64 = 1.5;

fn config(home: &Path, node: &Node, mode: &str, lease: &str) -> PathBuf {
    let socket = node.path("sock");
    let act = format!(
        "[train]\nmin_intervals = {}\n[act]\nmode = \"{mode}\"\nservices = [\"chain-3\"]\n\
         lease = \"{lease}\"\ntimeout = \"1s\"\ncool_down = \"0s\"\nnormal_intervals = 2\n\
         [[act.helpers]]\nnode = \"here\"\nsocket = {socket:?}\n\
         [[act.targets]]\nservice = \"chain-3\"\nnode = \"here\"\n\
         target = {{ cgroup = \"/apps/redis\" }}\n\
         [[qos]]\nservice = \"chain-1\"\nquantile = 0.99\ntarget_ms = 150.0\n",
        EVERYDAY - 5
    );
    Process::configure(home, &act)
}

/// The sidecar as an operator meets it.
struct Seen {
    process: Process,
    api: Api,
}

impl Seen {
    fn start(config: &Path) -> Self {
        let process = Process::start(config);
        let api = Api::new(process.http);
        Self { process, api }
    }

    async fn fix(&self, what: &str, id: &str, state: &str) -> Value {
        let path = format!("/api/v1/fixes/{id}");
        let is_there = |f: &Value| (f["state"] == state).then(|| f.clone());
        match self.api.wait(what, &path, 60, &is_there).await {
            Ok(fix) => fix,
            Err(e) => panic!("{e}: {:#}", self.api.get(&path).await.unwrap()),
        }
    }

    async fn post(&self, id: &str, wish: &str) -> (u16, Value) {
        let path = format!("/api/v1/fixes/{id}/{wish}");
        let answer = send(self.process.http, "POST", &path, &[], b"").await;
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    async fn closed(&self, end: EventTime) {
        let is_closed = |s: &Value| {
            let horizon: EventTime = serde_json::from_value(s["horizon"].clone()).ok()?;
            (horizon >= end).then_some(Value::Null)
        };
        self.api.wait("the intervals", "/api/v1/status", 60, &is_closed).await.unwrap();
    }
}

/// Intervals with or without the fault; all but the last are closed when it returns.
async fn intervals(sage: &Seen, traffic: &mut Traffic, count: usize, is_faulty: bool) {
    let fault = Fault { service: VICTIM, kind: FaultKind::Cpu, strength: 3.0, replica: None };
    let faults = if is_faulty { vec![fault] } else { vec![] };
    let mut last = traffic.now();
    for _ in 0..count {
        last = traffic.now();
        traffic.interval(1.0, &faults).await;
    }
    sage.closed(last).await;
}

/// The alert of an episode that began then.
fn alert(began: EventTime, end: Option<EventTime>) -> Value {
    let mut alert = alert_json(&[("service", "chain-1")], began.plus(INTERVAL), end);
    alert["fingerprint"] = format!("{:016x}", began.0).into();
    alert
}

/// Trouble, an alert, a diagnosis, and the fix that is proposed for it.
async fn episode(sage: &Seen, traffic: &mut Traffic) -> (EventTime, Value) {
    intervals(sage, traffic, 4, false).await;
    let began = traffic.now();
    intervals(sage, traffic, 3, true).await;
    let ids = sage.api.alert(&[alert(began, None)]).await.unwrap();
    let d = sage.api.diagnosis(&ids[0]).await.unwrap();
    assert_eq!(d["root_causes"][0]["service"], "chain-3", "{d:#}");
    let path = format!("/api/v1/fixes?diagnosis={}", ids[0]);
    let is_planned = |list: &Value| list.get(0).cloned();
    let fix = sage.api.wait("a plan", &path, 60, &is_planned).await.unwrap();
    assert_eq!(
        (&fix["service"], &fix["state"]),
        (&json!("chain-3"), &json!("proposed")),
        "{fix:#}"
    );
    (began, fix)
}

/// What the kernel's file says once the first rung is in force.
fn goal(fix: &Value) -> String {
    let change = &fix["rungs"][0]["changes"][0];
    assert_eq!((&change["knob"], &change["from"]), (&json!("cpu_quota"), &json!(CORES)), "{fix:#}");
    format!("{:.0}", change["to"].as_f64().unwrap() * 100_000.0)
}

async fn approve(sage: &Seen, fix: &str) -> Value {
    let (status, answer) = sage.post(fix, "approve").await;
    assert_eq!((status, &answer["status"]), (202, &json!("success")), "{answer:#}");
    sage.fix("approved", fix, "watching").await
}

/// A node with a fix of it under way.
struct Tale {
    home: tempfile::TempDir,
    node: Node,
    helper: Helper,
    traffic: Traffic,
    goal: String,
}

impl Tale {
    fn start(&self, lease: &str) -> Seen {
        Seen::start(&config(self.home.path(), &self.node, "approve", lease))
    }

    /// A model, trouble, and a fix that is shown with what it would do, and does nothing.
    async fn begin() -> (Self, Seen, EventTime, String) {
        let (home, node) = (tempfile::tempdir().unwrap(), Node::new());
        let helper = Helper::start(&node.policy(&me(), RULES));
        let sage = Seen::start(&config(home.path(), &node, "approve", "60s"));
        let mut traffic = Traffic::new(sage.process.http, sage.process.otlp_grpc, 3).await;
        traffic.everyday(EVERYDAY).await;
        let is_over = |m: &Value| (m["trainings"] != 0).then_some(Value::Null);
        sage.api.wait("training", "/api/v1/model", 600, &is_over).await.unwrap();
        let (began, fix) = episode(&sage, &mut traffic).await;
        assert!(fix["predicted_ms"].as_f64() < fix["observed_ms"].as_f64(), "{fix:#}");
        assert!(fix["reason"].as_str().unwrap().starts_with("waits for approval"), "{fix:#}");
        assert_eq!(node.quota(), QUOTA);
        let id = fix["id"].as_str().unwrap().to_string();
        (Self { home, node, helper, traffic, goal: goal(&fix) }, sage, began, id)
    }

    /// The sidecar is killed, twice: back in time it goes on; away for longer it leaves nothing behind.
    async fn dies(&self, sage: Seen, id: &str) -> Seen {
        sage.process.signal("-KILL");
        assert_eq!(sage.process.wait().0, None);
        let sage = self.start("3s");
        let is_short = || {
            let list = self.helper.ask(json!({"list": {}}));
            let left = list["list"]["leases"][0]["left"].as_str().unwrap_or("1m").to_string();
            let seconds = left.split('s').next().and_then(|s| s.parse::<u64>().ok());
            !left.ends_with('m') && seconds.is_none_or(|s| s < 4)
        };
        until("it renews, for three seconds now", is_short);
        assert_eq!(self.node.quota(), self.goal);
        sage.fix("it goes on", id, "watching").await;
        sage.process.signal("-KILL");
        assert_eq!(sage.process.wait().0, None);
        until("the lease ends", || self.node.quota() == QUOTA);
        until("it is noted", || self.node.journal().is_empty());
        // Back again it finds the lease gone, and may be allowed to try again.
        let sage = self.start("60s");
        let again = sage.fix("the lease is found to be lost", id, "proposed").await;
        assert!(again["steps"].to_string().contains("the lease was lost"), "{again:#}");
        assert_eq!(self.node.quota(), QUOTA);
        sage
    }

    /// It helps, the alert resolves, and it is taken back in two steps.
    async fn recovers(&mut self, sage: &Seen, id: &str, began: EventTime) {
        self.traffic.reconnect(sage.process.http, sage.process.otlp_grpc).await;
        intervals(sage, &mut self.traffic, 3, false).await;
        sage.fix("it helps", id, "holding").await;
        let end = self.traffic.now();
        sage.api.alert(&[alert(began, Some(end))]).await.unwrap();
        let is_resolved = |f: &Value| (f["alert"] == "resolved").then_some(Value::Null);
        let path = format!("/api/v1/fixes/{id}");
        sage.api.wait("it resolves", &path, 60, &is_resolved).await.unwrap();
        intervals(sage, &mut self.traffic, 5, false).await;
        let done = sage.fix("it is released", id, "done").await;
        assert!(done["steps"].to_string().contains("\"relaxing\""), "{done:#}");
        assert_eq!(self.node.quota(), QUOTA);
        assert!(self.node.journal().is_empty());
    }

    /// Another episode, and its fix in force.
    async fn again(&mut self, sage: &Seen) -> String {
        let (_, fix) = episode(sage, &mut self.traffic).await;
        let id = fix["id"].as_str().unwrap().to_string();
        approve(sage, &id).await;
        assert_eq!(self.node.quota(), self.goal);
        id
    }

    /// Somebody else takes the knob: theirs stays, and it is said so.
    async fn is_overridden(&self, sage: Seen, id: &str) -> Seen {
        let file = self.node.path("cgroup/cpu/apps/redis/cpu.cfs_quota_us");
        std::fs::write(&file, "123456\n").unwrap();
        // Renewals are a third of a minute apart; the next start asks at once.
        sage.process.signal("-TERM");
        assert_eq!(sage.process.wait().0, Some(0));
        let sage = self.start("60s");
        let failed = sage.fix("it lets go", id, "failed").await;
        assert!(failed["reason"].as_str().unwrap().starts_with("let go"), "{failed:#}");
        assert_eq!(first_line(&file), "123456");
        sage
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fix_lives_through_approval_death_recovery_and_release() {
    let (mut tale, sage, began, id) = Tale::begin().await;
    assert_eq!(sage.post("fix-0", "approve").await.0, 404);
    let watched = approve(&sage, &id).await;
    assert_eq!(tale.node.quota(), tale.goal, "{watched:#}");
    assert_eq!(sage.post(&id, "approve").await.0, 409);
    let shown = send(sage.process.http, "GET", "/api/v1/annotations", &[], b"").await.text();
    assert!(shown.contains(&format!("Fix {id} for chain-3: watching")), "{shown}");
    let sage = tale.dies(sage, &id).await;
    approve(&sage, &id).await;
    assert_eq!(tale.node.quota(), tale.goal);
    tale.recovers(&sage, &id, began).await;

    let second = tale.again(&sage).await;
    let (status, answer) = sage.post(&second, "revert").await;
    assert_eq!(status, 202, "{answer:#}");
    sage.fix("it is reverted", &second, "reverted").await;
    assert_eq!(tale.node.quota(), QUOTA);
    assert_eq!(sage.post(&second, "revert").await.0, 409);

    let third = tale.again(&sage).await;
    let sage = tale.is_overridden(sage, &third).await;
    let list = sage.api.get("/api/v1/fixes?limit=2").await.unwrap();
    let ids: Vec<&str> =
        list.as_array().unwrap().iter().map(|f| f["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [third, second]);
    sage.process.signal("-TERM");
    let (code, log) = sage.process.wait();
    assert!(code == Some(0) && !log.contains("did not stop"), "{log}");
}

/// In the default mode nothing is planned, and the helper hears nothing.
#[tokio::test(flavor = "multi_thread")]
async fn by_default_there_are_no_fixes_and_wishes_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |_| {}).await;
    assert_eq!(sage.api.get("/api/v1/fixes").await.unwrap(), json!([]));
    for (method, path, status, hint) in [
        ("GET", "/api/v1/fixes?limt=3", 400, "unknown parameter"),
        ("GET", "/api/v1/fixes?limit=x", 400, "not a number"),
        ("GET", "/api/v1/fixes/fix-1", 404, "no fix"),
        ("POST", "/api/v1/fixes/fix-1/approve", 404, "no fix"),
        ("POST", "/api/v1/fixes/fix-1/revert", 404, "no fix"),
        ("GET", "/api/v1/fixes/fix-1/revert", 405, "Allow"),
        ("POST", "/api/v1/fixes/%FF/revert", 400, "UTF-8"),
    ] {
        let answer = send(sage.running.http, method, path, &[], b"").await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.text().contains(hint), "{path}: {}", answer.text());
    }
    sage.running.stop().await;
}
