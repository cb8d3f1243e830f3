//! The node helper as a process: how it starts, whom it listens to, and what death does to its fixes.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::helper::{
    Client, Helper, NETWORK_RULE, Node, QUOTA, RULES, apply, me, sage_helper, until,
};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `Cap…`, `NoNewPrivs` and `Seccomp` of every thread of a process.
fn rights(pid: u32) -> Vec<BTreeMap<String, u64>> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let status = |task: std::path::PathBuf| {
        let text = std::fs::read_to_string(task.join("status")).unwrap();
        let lines = text
            .lines()
            .filter(|l| ["Cap", "NoNewPrivs", "Seccomp:"].iter().any(|key| l.starts_with(key)));
        lines
            .map(|line| {
                let (key, value) = line.split_once(':').unwrap();
                (key.to_string(), u64::from_str_radix(value.trim(), 16).unwrap())
            })
            .collect()
    };
    tasks.map(|task| status(task.unwrap().path())).collect()
}

#[test]
fn it_starts_in_the_documented_order() {
    let node = Node::new();
    let (code, log) = Helper::start(&node.policy(&me(), RULES)).stop();
    assert_eq!(code, Some(0));
    let steps = [
        "policy read",
        "opened",
        "privileges dropped",
        "leftovers put back",
        "system calls filtered",
        "serving",
    ];
    let (_, doc) = include_str!("../../docs/helper.md").split_once("## How it starts").unwrap();
    for text in [&*log, doc] {
        let places: Vec<_> = steps.iter().map(|step| text.find(step)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}\n{text}");
    }
}

#[test]
fn it_serves_with_exactly_the_capabilities_that_the_policy_needs() {
    const DAC_OVERRIDE: u64 = 1 << 1;
    const NET_ADMIN: u64 = 1 << 12;
    let with_network = format!("{RULES}{NETWORK_RULE}");
    for (rules, needed, handed_on) in [
        (RULES, DAC_OVERRIDE, 0),
        (NETWORK_RULE, NET_ADMIN, NET_ADMIN),
        (&with_network, DAC_OVERRIDE | NET_ADMIN, NET_ADMIN),
        ("", 0, 0),
    ] {
        let node = Node::new();
        let helper = Helper::start(&node.policy(&me(), rules));
        // A connection is served by a thread of its own.
        let mut client = helper.client();
        client.ask(json!({"ping": {}}));
        let threads = rights(helper.pid());
        assert!(threads.len() >= 3, "{threads:?}");
        for thread in threads {
            assert_eq!(thread["NoNewPrivs"], 1);
            // A filter, on every thread.
            assert_eq!(thread["Seccomp"], 2);
            let mine = |set: u64| if is_root() { set } else { 0 };
            assert_eq!(thread["CapPrm"], mine(needed));
            assert_eq!(thread["CapEff"], mine(needed));
            assert_eq!(thread["CapInh"], mine(handed_on));
            assert_eq!(thread["CapAmb"], mine(handed_on));
            if is_root() {
                assert_eq!(thread["CapBnd"], needed);
            }
        }
    }
}

#[test]
fn a_fix_lasts_as_long_as_it_is_renewed() {
    let node = Node::new();
    let helper = Helper::start(&node.policy(&me(), RULES));
    let mut client = helper.client();
    let mut short = apply("f", "cpu_quota", json!(2.0));
    short["apply"]["lease"] = json!("2s");
    let answer = client.ask(short);
    assert_eq!(answer["lease"]["old"], QUOTA, "{answer}");
    assert_eq!(node.quota(), "200000");
    let renewed = client.ask(json!({"renew": {"fix": "f", "lease": "60s", "value": 2.5}}));
    assert_eq!(renewed["lease"]["now"], "250000", "{renewed}");
    // A lease that is as long and begins later ends: so would the first have.
    let mut later = apply("later", "freeze", json!(true));
    later["apply"]["lease"] = json!("2s");
    client.ask(later);
    let has_expired = |fix: &str| {
        let list = helper.ask(json!({"list": {}}));
        let ended = list["list"]["ended"].as_array().unwrap();
        ended.iter().any(|e| e["fix"] == fix && e["how"] == "expired")
    };
    until("the later lease ends", || has_expired("later"));
    assert_eq!(node.quota(), "250000");
    client.ask(json!({"renew": {"fix": "f", "lease": "1s"}}));
    until("the lease ends", || node.quota() == QUOTA);
    until("it is noted", || node.journal().is_empty());
    assert!(has_expired("f"));
}

#[test]
fn being_told_to_end_puts_everything_back() {
    let node = Node::new();
    let helper = Helper::start(&node.policy(&me(), RULES));
    helper.ask(apply("a", "cpu_quota", json!(2.0)));
    helper.ask(apply("b", "freeze", json!(true)));
    assert_eq!((node.quota(), node.freezer()), ("200000".into(), "FROZEN".into()));
    let (code, log) = helper.stop();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!((node.quota(), node.freezer()), (QUOTA.into(), "THAWED".into()));
    assert!(log.contains("everything is put back"), "{log}");
    assert!(!node.path("sock").exists());
}

fn code(answer: Option<Value>) -> String {
    let answer = answer.expect("an answer");
    let refused = &answer["refused"];
    for part in ["reason", "cure"] {
        assert!(refused[part].as_str().is_some_and(|text| text.len() > 5), "{answer}");
    }
    refused["code"].as_str().unwrap().into()
}

#[test]
fn a_hostile_client_gets_nothing_but_refusals() {
    let node = Node::new();
    let outside = node.path("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("cpu.cfs_quota_us"), "100000\n").unwrap();
    let link = node.path("cgroup/cpu/apps/link");
    std::os::unix::fs::symlink(&outside, link).unwrap();
    let socket = format!("{}\nline_bytes_max = 2048\nconnections_max = 3", me());
    let helper = Helper::start(&node.policy(&socket, RULES));

    let mut client = helper.client();
    for garbage in [&b"\n"[..], b"\xff\xfe\x00\n", b"GET / HTTP/1.1\r\n", b"{\"v\":1}\n", b"[[[[\n"]
    {
        client.send(garbage).unwrap();
        assert_eq!(code(client.answer()), "bad_request");
    }
    client.send(b"{\"v\":9,\"list\":{}}\n").unwrap();
    assert_eq!(code(client.answer()), "version");
    for path in ["/apps/../apps/redis", "/apps/redis\u{0}", "//apps/redis", "../../etc"] {
        let mut bad = apply("f", "cpu_quota", json!(2.0));
        bad["apply"]["target"] = json!({"cgroup": path});
        assert_eq!(code(client.try_ask(bad)), "target_not_found", "{path}");
    }
    let mut linked = apply("f", "cpu_quota", json!(1.5));
    linked["apply"]["target"] = json!({"cgroup": "/apps/link"});
    assert_eq!(code(client.try_ask(linked)), "knob_absent");
    let mut named = apply("f", "cpu_quota", json!(2.0));
    named["apply"]["id"] = json!("../../../etc/cron.d/x");
    assert_eq!(code(client.try_ask(named)), "bad_request");
    for value in [json!(1e308), json!(-1), json!("max"), json!(true), json!([2.0])] {
        let refused = client.try_ask(apply("f", "cpu_quota", value.clone()));
        assert!(!code(refused).is_empty(), "{value}");
    }

    // Too long ends the connection, with or without an end in sight.
    client.send(&[b'x'; 5000]).unwrap();
    assert_eq!(code(client.answer()), "line_too_long");
    assert_eq!(client.answer(), None);
    let deep = "[".repeat(2000) + "\n";
    let mut client = helper.client();
    client.send(deep.as_bytes()).unwrap();
    assert_eq!(code(client.answer()), "bad_request");
    drop(client);

    // More connections than there may be. Those that were closed are counted out in a moment.
    until("there is room", || helper.client().try_ask(json!({"ping": {}})).is_some());
    let open = || {
        let mut clients: Vec<Client> = (0..3).map(|_| helper.client()).collect();
        let is_in = |c: &mut Client| {
            c.try_ask(json!({"ping": {}})).is_some_and(|answer| answer["pong"].is_object())
        };
        clients.iter_mut().all(is_in).then_some(clients)
    };
    let three = std::cell::RefCell::new(None);
    until("three get in", || {
        three.replace(open());
        three.borrow().is_some()
    });
    assert_eq!(code(helper.client().answer()), "too_many_connections");
    drop(three);

    until("it still serves", || {
        helper.client().try_ask(json!({"ping": {}})).is_some_and(|p| p["pong"]["leases"] == 0)
    });
    assert_eq!(node.quota(), QUOTA);
    assert!(node.journal().is_empty());
    let outside = std::fs::read_to_string(outside.join("cpu.cfs_quota_us")).unwrap();
    assert_eq!(outside, "100000\n");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Another user may get through the permission bits, but the kernel says who it is.
#[test]
fn a_user_that_the_policy_does_not_name_is_refused() {
    if !is_root() {
        eprintln!("skipped: only root can be somebody else");
        return;
    }
    const NOBODY: u32 = 65_534;
    let node = Node::new();
    let socket = format!("{}\ngroup = {NOBODY}", me());
    let helper = Helper::start(&node.policy(&socket, RULES));
    let home = node.path("");
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o755)).unwrap();
    // A copy where that user can run it.
    let program = node.path("sage-helper");
    std::fs::copy(env!("CARGO_BIN_EXE_sage-helper"), &program).unwrap();
    let mut ask = std::process::Command::new(&program);
    ask.args(["list", "--socket"]).arg(&helper.socket).uid(NOBODY).gid(NOBODY);
    // Another test may be forking just now, with the copy still open for writing.
    let mut output = ask.output();
    while output.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::ExecutableFileBusy) {
        std::thread::sleep(Duration::from_millis(10));
        output = ask.output();
    }
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("peer: user 65534 is not in socket.allowed_uids"), "{said}");
}

fn run(args: &[&str]) -> Output {
    sage_helper().args(args).output().unwrap()
}

#[test]
fn an_operator_sees_and_undoes_everything() {
    let node = Node::new();
    let helper = Helper::start(&node.policy(&me(), RULES));
    let socket = helper.socket.to_str().unwrap();
    let said = |args: &[&str]| {
        let output = run(&[args, &["--socket", socket]].concat());
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    assert_eq!(said(&["list"]), (Some(0), "nothing is changed\n".into()));
    let mut noted = apply("slow-redis-1", "cpu_quota", json!(2.0));
    noted["apply"]["note"] = json!("p99 of frontend\u{1b}[2J");
    helper.ask(noted);
    helper.ask(apply("frozen-1", "freeze", json!(true)));
    let (_, list) = said(&["list"]);
    for part in [
        "slow-redis-1: cpu_quota of cpu:/apps/redis is \"200000\", was \"150000\"",
        "note: p99 of frontend\\u{1b}[2J",
        "frozen-1: freeze of freezer:/apps/redis is \"FROZEN\", was \"THAWED\"",
    ] {
        assert!(list.contains(part), "{part:?} is missing in:\n{list}");
    }
    let (_, inspected) = said(&["inspect", "/apps/redis"]);
    assert!(inspected.contains("\"cpu_quota\""), "{inspected}");
    let (exit, reverted) = said(&["revert", "slow-redis-1"]);
    assert!(exit == Some(0) && reverted.contains("slow-redis-1: reverted"), "{reverted}");
    assert_eq!(node.quota(), QUOTA);
    let (exit, _) = said(&["revert", "all"]);
    assert_eq!((exit, node.freezer()), (Some(0), "THAWED".into()));
    let (exit, refused) = said(&["revert", "nothing-1"]);
    assert!(exit == Some(1) && refused.contains("unknown_fix"), "{refused}");
    assert_eq!(said(&["ctl", "{\"ping\":{}}"]).0, Some(0));
    assert_eq!(said(&["ctl", "{\"pong\":{}}"]).0, Some(64));
}

#[test]
fn faults_of_a_policy_are_the_operators_and_all_at_once() {
    let node = Node::new();
    let bad = node.write_policy("[socket]\nmode = \"0666\"\n[limits]\nlease_max = \"3d\"\n");
    let bad = bad.to_str().unwrap();
    let checked = run(&["--check-policy", bad]);
    let said = text(&checked.stderr);
    assert_eq!(checked.status.code(), Some(64));
    assert!(said.contains("2 faults") && said.contains("lease_max"), "{said}");
    let served = run(&["--policy", bad]);
    assert_eq!((served.status.code(), text(&served.stderr)), (Some(64), said));
    let good = node.policy(&me(), RULES);
    let good_path = good.to_str().unwrap();
    assert_eq!(run(&["--check-policy", good_path]).status.code(), Some(0));
    // One that others can write is not taken.
    std::fs::set_permissions(&good, std::fs::Permissions::from_mode(0o666)).unwrap();
    let output = run(&["--policy", good_path]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("writable by nobody else"), "{output:?}");
    for (args, code) in [(&["--help"][..], 0), (&["--version"][..], 0), (&["--frob"][..], 64)] {
        assert_eq!(run(args).status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn recovery_can_be_had_without_serving() {
    let node = Node::new();
    let policy = node.policy(&me(), RULES);
    let mut helper = Helper::start(&policy);
    helper.ask(apply("f", "cpu_quota", json!(2.0)));
    helper.kill();
    assert_eq!(node.quota(), "200000");
    let output = run(&["--recover", "--policy", policy.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(node.quota(), QUOTA);
    assert!(node.journal().is_empty());
}

#[test]
fn a_stop_or_recovery_that_leaves_something_changed_is_a_failure() {
    let node = Node::new();
    let policy = node.policy(&me(), NETWORK_RULE);
    let recover = || run(&["--recover", "--policy", policy.to_str().unwrap()]);
    let helper = Helper::start(&policy);
    helper.ask(apply("n", "network_rate", json!(20_000_000)));
    std::fs::write(node.path("tc.broken"), "").unwrap();
    let (code, log) = helper.stop();
    assert!(code == Some(1) && log.contains("1 fixes could not be undone"), "{code:?}: {log}");
    let output = recover();
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("stuck=1"), "{output:?}");
    assert!(node.is_rated() && node.journal().len() == 1);
    std::fs::remove_file(node.path("tc.broken")).unwrap();
    assert_eq!(recover().status.code(), Some(0));
    assert!(!node.is_rated() && node.journal().is_empty());
}

/// Asks for changes until the helper dies, mostly such that succeed.
fn keep_asking(mut client: Client, mut dice: u64) {
    for _ in 0.. {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let request = match (dice >> 33) % 8 {
            0 | 1 => apply("q", "cpu_quota", json!(2.0)),
            2 => json!({"renew": {"fix": "q", "lease": "60s", "value": 2.5}}),
            3 => json!({"revert": {"fix": "q"}}),
            4 => apply("f", "freeze", json!(true)),
            5 => json!({"revert": "all"}),
            6 => apply("n", "network_rate", json!(20_000_000)),
            _ => json!({"revert": {"fix": "n"}}),
        };
        if client.try_ask(request).is_none() {
            return;
        }
    }
}

/// Whatever is not as it was has an entry with what it was.
fn assert_nothing_changed_without_a_lease(node: &Node, when: &str) {
    let journal = node.journal();
    let old = |fix: &str| journal.iter().find(|e| e["fix"] == fix).map(|e| e["old"].clone());
    if node.quota() != QUOTA {
        assert_eq!(old("q"), Some(json!(QUOTA)), "{when}");
    }
    if node.freezer() != "THAWED" {
        assert_eq!(old("f"), Some(json!("THAWED")), "{when}");
    }
    if node.is_rated() {
        assert_eq!(old("n"), Some(json!("max")), "{when}");
    }
}

#[test]
fn killed_at_any_moment_it_leaves_nothing_changed_without_a_lease() {
    const ROUNDS: u64 = 300;
    let node = Node::new();
    let policy = node.policy(&me(), &format!("{RULES}{NETWORK_RULE}"));
    let mut left_changed = 0;
    for round in 0..ROUNDS {
        let when = format!("round {round}");
        let mut helper = Helper::start(&policy);
        // What the last one left is put back before this one serves.
        assert_eq!((node.quota(), node.freezer()), (QUOTA.into(), "THAWED".into()), "{when}");
        assert!(!node.is_rated() && node.journal().is_empty(), "{when}");
        let client = helper.client();
        let asking = std::thread::spawn(move || keep_asking(client, round));
        // Spread over some dozen requests; the moment itself is chance.
        std::thread::sleep(Duration::from_micros(round * 7919 % 20_000));
        helper.kill();
        asking.join().unwrap();
        assert_nothing_changed_without_a_lease(&node, &when);
        left_changed += u64::from(!node.journal().is_empty());
    }
    let (_, log) = Helper::start(&policy).stop();
    assert!(log.contains("leftovers put back"), "{log}");
    assert_eq!((node.quota(), node.freezer()), (QUOTA.into(), "THAWED".into()));
    assert!(!node.is_rated() && node.journal().is_empty());
    // The test has seen what it is about.
    assert!(left_changed > ROUNDS / 4, "only {left_changed} of {ROUNDS} died with fixes in force");
}
