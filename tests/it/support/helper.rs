//! The real `sage-helper` on a node made of files, or on this one.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A node made of files: one cgroup `/apps/redis` of version 1, one interface `eth0`.
pub(crate) struct Node {
    home: tempfile::TempDir,
}

/// What `cpu.cfs_quota_us` is at first. Values of these tests have six digits: a plain file keeps what a
/// shorter one leaves behind.
pub(crate) const QUOTA: &str = "150000";

impl Node {
    pub(crate) fn new() -> Self {
        let node = Self { home: tempfile::tempdir().unwrap() };
        for (file, text) in [
            ("cgroup/cpu/apps/redis/cpu.cfs_quota_us", QUOTA),
            ("cgroup/cpu/apps/redis/cpu.cfs_period_us", "100000"),
            ("cgroup/freezer/apps/redis/freezer.state", "THAWED"),
            ("proc/sys/kernel/random/boot_id", "this-boot"),
            ("net/eth0/ifindex", "2"),
        ] {
            let path = node.path(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        let tc = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tc/tc");
        std::os::unix::fs::symlink(tc, node.path("tc")).unwrap();
        node
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.home.path().join(below)
    }

    /// Writes a policy with the roots of this node and these rules.
    pub(crate) fn policy(&self, socket: &str, rules: &str) -> PathBuf {
        let home = self.home.path().display();
        let text = format!(
            "[socket]\npath = \"{home}/sock\"\n{socket}\n[state]\ndir = \"{home}/state\"\n[roots]\n\
             cgroup = \"{home}/cgroup\"\nproc = \"{home}/proc\"\ncpu = \"{home}/cpu\"\n\
             net = \"{home}/net\"\ntc = \"{home}/tc\"\n{rules}"
        );
        self.write_policy(&text)
    }

    pub(crate) fn write_policy(&self, text: &str) -> PathBuf {
        let path = self.path("helper.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub(crate) fn quota(&self) -> String {
        first_line(&self.path("cgroup/cpu/apps/redis/cpu.cfs_quota_us"))
    }

    pub(crate) fn freezer(&self) -> String {
        first_line(&self.path("cgroup/freezer/apps/redis/freezer.state"))
    }

    pub(crate) fn is_rated(&self) -> bool {
        self.path("tc.json").exists()
    }

    /// Entries of the journal by fix, those only that count.
    pub(crate) fn journal(&self) -> Vec<Value> {
        journal(&self.path("state"))
    }
}

/// Entries of a journal.
pub(crate) fn journal(state: &Path) -> Vec<Value> {
    let entries = fs::read_dir(state).unwrap().map(|e| e.unwrap().path());
    let entries = entries.filter(|path| path.extension().is_some_and(|e| e == "json"));
    entries.map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect()
}

pub(crate) fn first_line(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().next().unwrap_or_default().trim().into()
}

/// The rules of most tests. The user of the tests is the one that is listened to.
pub(crate) const RULES: &str = r#"
[[allow]]
cgroups = ["/apps/*"]
[allow.knobs.cpu_quota]
min = 1.0
max = 3.0
[allow.knobs.freeze]
"#;

pub(crate) const NETWORK_RULE: &str = r#"
[[allow]]
devices = ["eth0"]
[allow.knobs.network_rate]
min = 1000000
max = 1000000000
"#;

/// `socket` keys that let this user in.
pub(crate) fn me() -> String {
    format!("allowed_uids = [{}]", rustix::process::geteuid().as_raw())
}

/// The `sage-helper` command.
pub(crate) fn sage_helper() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sage-helper"));
    command.env("NO_COLOR", "1");
    command
}

/// A running `sage-helper`; killed when dropped.
pub(crate) struct Helper {
    child: Child,
    pub(crate) socket: PathBuf,
    /// Where it listens to other nodes, if it does.
    pub(crate) tcp: Option<SocketAddr>,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Helper {
    /// Runs until it says that it serves.
    pub(crate) fn start(policy: &Path) -> Self {
        let mut child = sage_helper()
            .arg("--policy")
            .arg(policy)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut so_far = String::new();
        while !so_far.contains(" serving ") {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "it ended early:\n{so_far}");
            so_far.push_str(&line);
        }
        let (_, tcp) = so_far.split_once("tcp=").unwrap_or_default();
        let tcp = tcp.split_whitespace().next().and_then(|address| address.parse().ok());
        let kept = Arc::new(Mutex::new(so_far));
        let keeping = Arc::clone(&kept);
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            while log.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                keeping.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        let socket = policy.with_file_name("sock");
        Self { child, socket, tcp, log: kept, reader: Some(reader) }
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.socket)
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(&self, request: Value) -> Value {
        self.client().ask(request)
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Tells it to end, and waits: exit code and everything it logged.
    pub(crate) fn stop(mut self) -> (Option<i32>, String) {
        self.signal(rustix::process::Signal::TERM);
        let code = self.child.wait().unwrap().code();
        self.reader.take().unwrap().join().unwrap();
        (code, self.log())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A connection to a helper.
pub(crate) struct Client(BufReader<UnixStream>);

impl Client {
    pub(crate) fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(BufReader::new(stream))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// The next answer; `None` when the connection ends.
    pub(crate) fn answer(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(n) if n > 0 => serde_json::from_str(&line).ok(),
            _ => None,
        }
    }

    /// What is asked, with the version put in, and its answer.
    pub(crate) fn ask(&mut self, request: Value) -> Value {
        self.try_ask(request).expect("an answer")
    }

    /// The same of a helper that may die.
    pub(crate) fn try_ask(&mut self, mut request: Value) -> Option<Value> {
        request["v"] = json!(1);
        self.send(format!("{request}\n").as_bytes()).ok()?;
        self.answer()
    }
}

/// A fix of `/apps/redis` for a minute.
pub(crate) fn apply(id: &str, knob: &str, value: Value) -> Value {
    let (target, device) = if knob == "network_rate" {
        (json!("node"), json!("eth0"))
    } else {
        (json!({"cgroup": "/apps/redis"}), Value::Null)
    };
    let mut request = json!({"apply": {
        "id": id, "target": target, "knob": knob, "device": device, "lease": "60s"
    }});
    request["apply"]["value"] = value;
    request
}

/// Waits until something holds.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
