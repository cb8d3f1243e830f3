//! The helper and sidecars of other nodes: certificates on both sides, and everybody who has none.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};

use crate::support::helper::{Helper, Node, QUOTA, RULES, apply, me, sage_helper, until};
use crate::support::{Authority, Pair, Sidecar, send};

/// Longer than anything takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two nodes' worth of certificates.
struct Keys {
    authority: Authority,
    sidecar: Pair,
}

impl Keys {
    /// Certificates in a directory of the node; the helper's is for 127.0.0.1.
    fn of(node: &Node) -> Self {
        let authority = Authority::new(&node.path(""), "nodes");
        authority.issue("helper", &["127.0.0.1"]);
        let sidecar = authority.issue("sidecar", &["sage.test"]);
        Self { authority, sidecar }
    }
}

/// A helper that listens to `sage.test` on a port of its own.
fn start(node: &Node, keys: &Keys, socket: &str, more: &str) -> Helper {
    Helper::start(&policy(node, keys, socket, more))
}

fn policy(node: &Node, keys: &Keys, socket: &str, more: &str) -> std::path::PathBuf {
    let path = |name: &str| node.path(name).display().to_string();
    let tcp = format!(
        "[tcp]\nlisten = \"127.0.0.1:0\"\ncert_file = {:?}\nkey_file = {:?}\nclient_ca_file = {:?}\n\
         client_names = [\"sage.test\"]\n{more}\n",
        path("helper.pem"),
        path("helper.key"),
        keys.authority.file.display().to_string(),
    );
    node.policy(&format!("{}\n{socket}", me()), &format!("{tcp}{RULES}"))
}

fn dial(address: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp
}

/// A TLS connection, used line by line.
struct Line(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Line {
    fn connect(address: SocketAddr, authority: &Authority, own: Option<&Pair>) -> Self {
        let config = authority.config(own, &[&rustls::version::TLS13]);
        let session = ClientConnection::new(Arc::new(config), address.ip().into()).unwrap();
        Self(BufReader::new(StreamOwned::new(session, dial(address))))
    }

    fn say(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)?;
        self.0.get_mut().flush()
    }

    fn answer(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok().filter(|n| *n > 0)?;
        serde_json::from_str(&line).ok()
    }

    fn ask(&mut self, mut request: Value) -> Option<Value> {
        request["v"] = json!(1);
        self.say(format!("{request}\n").as_bytes()).ok()?;
        self.answer()
    }

    fn ping(&mut self) -> bool {
        self.ask(json!({"ping": {}})).is_some_and(|answer| answer["pong"].is_object())
    }
}

fn code(answer: Option<Value>) -> Option<String> {
    Some(answer?["refused"]["code"].as_str()?.into())
}

#[test]
fn a_sidecar_elsewhere_is_served_like_a_user_and_known_by_its_name() {
    let node = Node::new();
    let keys = Keys::of(&node);
    let helper = start(&node, &keys, "", "");
    let address = helper.tcp.unwrap();
    let mut line = Line::connect(address, &keys.authority, Some(&keys.sidecar));
    let lease = line.ask(apply("far-1", "cpu_quota", json!(2.0))).unwrap();
    assert_eq!(
        (&lease["lease"]["peer"], &lease["lease"]["uid"]),
        (&json!("sage.test"), &Value::Null)
    );
    assert_eq!(node.quota(), "200000");
    assert_eq!(node.journal()[0]["peer"], "sage.test");
    let listed = sage_helper().args(["list", "--socket"]).arg(&helper.socket).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("far-1") && listed.contains(", for sage.test"), "{listed}");
    let out = line.ask(apply("far-2", "cpu_quota", json!(9.0)));
    assert_eq!(code(out).unwrap(), "out_of_bounds");
    line.ask(json!({"revert": {"fix": "far-1"}})).unwrap();
    assert_eq!(node.quota(), QUOTA);
}

#[test]
fn whoever_shows_no_certificate_or_a_wrong_one_is_not_served() {
    let node = Node::new();
    let keys = Keys::of(&node);
    let helper = start(&node, &keys, "", "");
    let address = helper.tcp.unwrap();
    let others = Authority::new(&node.path(""), "others");
    let foreign = others.issue("foreign", &["sage.test"]);
    let misnamed = keys.authority.issue("misnamed", &["grafana.test", "127.0.0.1"]);
    for (own, wanted) in [(None, None), (Some(&foreign), None), (Some(&misnamed), Some("peer"))] {
        let mut line = Line::connect(address, &keys.authority, own);
        assert_eq!(
            code(line.ask(apply("x", "cpu_quota", json!(2.0)))).as_deref(),
            wanted,
            "{own:?}"
        );
        assert_eq!(line.answer(), None, "{own:?}");
    }
    // Nor does anybody believe a helper of another authority.
    let mut line = Line::connect(address, &others, Some(&keys.sidecar));
    assert!(!line.ping());
    assert!(Line::connect(address, &keys.authority, Some(&keys.sidecar)).ping());
    assert_eq!((node.quota().as_str(), node.journal().len()), (QUOTA, 0));
    let (_, log) = helper.stop();
    assert!(log.contains("peer refused"), "{log}");
}

#[test]
fn garbage_before_and_after_the_handshake_ends_the_connection_and_nothing_else() {
    let node = Node::new();
    let keys = Keys::of(&node);
    let helper = start(&node, &keys, "line_bytes_max = 2048", "");
    let address = helper.tcp.unwrap();
    let mut well = Line::connect(address, &keys.authority, Some(&keys.sidecar));
    assert!(well.ping());
    let plain = b"{\"v\":1,\"revert\":\"all\"}\n";
    let record = b"\x16\x03\x01\xff\xff\x01\x00\xff\xff";
    for garbage in [&plain[..], b"GET / HTTP/1.1\r\n\r\n", record, &[0xff; 4096]] {
        let mut tcp = dial(address);
        // It may be closed before all is written.
        drop(tcp.write_all(garbage));
        drop(tcp.shutdown(std::net::Shutdown::Write));
        // A TLS alert at most, and the end.
        let mut rest = Vec::new();
        drop(tcp.read_to_end(&mut rest));
        assert!(!rest.contains(&b'{'), "{rest:?}");
    }
    let mut line = Line::connect(address, &keys.authority, Some(&keys.sidecar));
    for garbage in [&b"\n"[..], b"\xff\xfe\x00\n", b"[[[[\n", b"{\"v\":1}\n"] {
        line.say(garbage).unwrap();
        assert_eq!(code(line.answer()).unwrap(), "bad_request");
    }
    line.say(&[b'x'; 5000]).unwrap();
    assert_eq!(code(line.answer()).unwrap(), "line_too_long");
    assert_eq!(line.answer(), None);
    // Bytes that do not belong to the session.
    let mut line = Line::connect(address, &keys.authority, Some(&keys.sidecar));
    assert!(line.ping());
    line.0.get_ref().get_ref().write_all(&[0x17; 64]).unwrap();
    assert_eq!(line.answer(), None);
    assert!(well.ping());
}

#[test]
fn whoever_is_slow_is_cut_off_and_keeps_nobody_waiting() {
    let node = Node::new();
    let keys = Keys::of(&node);
    let helper = start(&node, &keys, "idle_timeout = \"1s\"", "handshake_timeout = \"1s\"");
    let address = helper.tcp.unwrap();
    // One says nothing, one a byte of a handshake now and then, one a byte of a request.
    let mut silent = dial(address);
    let trickle = |mut to: TcpStream, bytes: &'static [u8]| {
        std::thread::spawn(move || {
            for byte in bytes.iter().cycle() {
                if to.write_all(&[*byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        })
    };
    let hello = trickle(dial(address), b"\x16\x03\x01\x40\x00\x01\x00\x3f");
    let mut half = Line::connect(address, &keys.authority, Some(&keys.sidecar));
    half.say(b"{\"v\":1,").unwrap();
    assert!(Line::connect(address, &keys.authority, Some(&keys.sidecar)).ping());
    // A farewell at most, and the end.
    let mut rest = Vec::new();
    drop(silent.read_to_end(&mut rest));
    assert!(rest.len() < 16, "{rest:?}");
    assert_eq!(half.answer(), None);
    hello.join().unwrap();
    assert!(Line::connect(address, &keys.authority, Some(&keys.sidecar)).ping());
}

#[test]
fn there_are_so_many_connections_and_no_more_and_the_socket_has_its_own() {
    let node = Node::new();
    let keys = Keys::of(&node);
    let helper = start(&node, &keys, "", "connections_max = 2\nhandshake_timeout = \"60s\"");
    let address = helper.tcp.unwrap();
    let connect = || Line::connect(address, &keys.authority, Some(&keys.sidecar));
    let mut open = [connect(), connect()];
    assert!(open.iter_mut().all(Line::ping));
    assert_eq!(code(connect().answer()).unwrap(), "too_many_connections");
    // Strangers that say nothing: sixteen may stay, the rest is closed at once.
    let strangers: Vec<TcpStream> = (0..20).map(|_| dial(address)).collect();
    strangers.iter().for_each(|tcp| tcp.set_nonblocking(true).unwrap());
    let is_closed = |mut tcp: &TcpStream| match tcp.read(&mut [0; 64]) {
        Err(e) => e.kind() != std::io::ErrorKind::WouldBlock,
        Ok(n) => n == 0,
    };
    until("some are closed", || strangers.iter().any(is_closed));
    assert!(strangers.iter().filter(|tcp| is_closed(tcp)).count() < 8);
    assert!(open.iter_mut().all(Line::ping));
    assert!(helper.client().ask(json!({"ping": {}}))["pong"].is_object());
    drop(strangers);
    drop(open);
    until("there is room again", || connect().ping());
}

#[test]
fn exchanged_certificates_count_at_once_and_the_old_ones_no_more() {
    let node = Node::new();
    let keys = Keys::of(&node);
    let helper = start(&node, &keys, "", "");
    let address = helper.tcp.unwrap();
    let mut old = Line::connect(address, &keys.authority, Some(&keys.sidecar));
    assert!(old.ping());
    // A faulty file first: nothing changes.
    let good = std::fs::read(node.path("helper.key")).unwrap();
    std::fs::write(node.path("helper.key"), "half of a key").unwrap();
    helper.signal(Signal::HUP);
    until("it is seen", || helper.log().contains("the old certificates stay in use"));
    assert!(old.ping());
    std::fs::write(node.path("helper.key"), good).unwrap();
    let renewed = Keys { authority: Authority::new(&node.path(""), "renewed"), ..Keys::of(&node) };
    let sidecar = renewed.authority.issue("sidecar-2", &["sage.test"]);
    renewed.authority.issue("helper", &["127.0.0.1"]);
    std::fs::copy(&renewed.authority.file, &keys.authority.file).unwrap();
    helper.signal(Signal::HUP);
    until("the new one is believed", || {
        Line::connect(address, &renewed.authority, Some(&sidecar)).ping()
    });
    assert!(!old.ping(), "what is not believed any more is not served any more");
    assert!(!Line::connect(address, &renewed.authority, Some(&keys.sidecar)).ping());
    let (code, log) = helper.stop();
    assert!(code == Some(0) && log.contains("certificates are read again"), "{log}");
}

/// A certificate is looked at in the handshake only, so that comes again.
#[test]
fn a_connection_is_not_served_for_ever() {
    let node = Node::new();
    let keys = Keys::of(&node);
    let helper = start(&node, &keys, "", "connection_age_max = \"1s\"");
    let connect = || {
        let line = Line::connect(helper.tcp.unwrap(), &keys.authority, Some(&keys.sidecar));
        std::cell::RefCell::new(line)
    };
    let old = connect();
    until("it is closed, though it never was idle", || !old.borrow_mut().ping());
    until("whoever comes again is served", || connect().borrow_mut().ping());
}

fn fails(policy: &Path) -> (Option<i32>, String) {
    let output = sage_helper().arg("--policy").arg(policy).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn keys_are_read_before_privileges_are_dropped_and_must_be_safe() {
    use std::os::unix::fs::PermissionsExt as _;
    let node = Node::new();
    let keys = Keys::of(&node);
    let policy = policy(&node, &keys, "", "");
    let key = node.path("helper.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o666)).unwrap();
    let (code, log) = fails(&policy);
    assert!(code == Some(64) && log.contains("writable by nobody else"), "{log}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&key, "none").unwrap();
    let (code, log) = fails(&policy);
    assert!(code == Some(64) && log.contains("not a private key"), "{log}");
    assert!(log.contains("policy read") && !log.contains("privileges dropped"), "{log}");
    // What was left behind can be put back without any certificate.
    let mut recover = sage_helper();
    let recovered = recover.args(["--recover", "--policy"]).arg(&policy).output().unwrap();
    assert_eq!(recovered.status.code(), Some(0), "{recovered:?}");
}

/// The sidecar's own client, against the real helper.
#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_reaches_the_helper_of_another_node_and_believes_no_other() {
    let node = Node::new();
    let keys = Keys::of(&node);
    let helper = start(&node, &keys, "", "");
    let address = helper.tcp.unwrap().to_string();
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |c| {
        let far = sage::act::Helper::remote("far", &address);
        let server_name = Some("other.test".into());
        let other =
            sage::act::Helper { server_name, ..sage::act::Helper::remote("other", &address) };
        c.act.helpers = vec![far, other];
        c.act.tls = Some(sage::act::Tls {
            ca_file: keys.authority.file.clone(),
            cert_file: keys.sidecar.cert.clone(),
            key_file: keys.sidecar.key.clone(),
        });
        (c.act.lease, c.act.timeout) = (Duration::from_secs(6), Duration::from_secs(2));
    })
    .await;
    let up = async |node: &str| {
        let metrics = send(sage.running.http, "GET", "/metrics", &[], b"").await.text();
        metrics.contains(&format!("sage_act_helper_up{{node=\"{node}\"}} 1"))
    };
    let reached = async {
        while !up("far").await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("it is reached");
    // Both were asked at the same time, again and again.
    assert!(!up("other").await);
    sage.running.stop().await;
}
