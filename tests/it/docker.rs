//! Containers and Swarm services of a real Docker engine, in a network of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command as Program, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sage::act::{
    Command, Config, Docker, Metrics, Order, Question, Runs, Word, Workload, carry, look,
};
use sage::data::{ActionKind, Outside, Resource};
use sage::observe::Registry;

use crate::support::helper::until;
use crate::support::{has, missing_peer};

/// An engine with a container and a Swarm service, whose image is a busybox; ended when dropped.
struct Engine {
    home: tempfile::TempDir,
    child: Child,
}

/// All that an image needs.
fn busybox() -> Option<PathBuf> {
    let found = Program::new("sh").args(["-c", "command -v busybox"]).output().ok()?;
    found.status.success().then(|| String::from_utf8_lossy(&found.stdout).trim().into())
}

impl Engine {
    fn start() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can run a Docker engine");
            return None;
        }
        if !["dockerd", "docker", "unshare"].into_iter().all(has) {
            return None;
        }
        let Some(busybox) = busybox() else {
            missing_peer("busybox is not installed (Debian package busybox-static)");
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        let at = home.path().display();
        // A limit of its own: the engine's default is beyond what some machines allow.
        let words = format!(
            "ip link set lo up; exec dockerd --data-root {at}/data --exec-root {at}/exec \
             --pidfile {at}/pid -H unix://{at}/sock --iptables=false --bridge=none \
             --default-ulimit nofile=1024:1024 > {at}/log 2>&1"
        );
        let child = Program::new("unshare")
            .args(["-n", "-m", "sh", "-c", &words])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let engine = Self { home, child };
        until("the engine answers", || engine.try_docker(&["version"]).is_some());
        engine.furnish(&busybox);
        Some(engine)
    }

    fn try_docker(&self, words: &[&str]) -> Option<String> {
        let socket = format!("unix://{}/sock", self.home.path().display());
        let output = Program::new("docker").args(["-H", &socket]).args(words).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().into())
    }

    fn docker(&self, words: &[&str]) -> String {
        self.try_docker(words).unwrap_or_else(|| {
            let log = std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
            panic!("docker {words:?} failed; the engine says:\n{log}")
        })
    }

    fn furnish(&self, busybox: &Path) {
        let image = self.home.path().join("image.tar");
        let packed = Program::new("tar")
            .arg("-chf")
            .arg(&image)
            .arg("-C")
            .arg(busybox.parent().unwrap())
            .arg("busybox")
            .status();
        assert!(packed.unwrap().success());
        self.docker(&["import", image.to_str().unwrap(), "sage-test"]);
        let sleep = ["sage-test", "/busybox", "sleep", "100000"];
        let run =
            ["run", "-d", "--name", "redis", "--network", "none", "--cpus", "0.5", "-m", "64m"];
        self.docker(&[&run[..], &sleep].concat());
        self.docker(&["swarm", "init", "--advertise-addr", "127.0.0.1"]);
        let create = ["service", "create", "-d", "--name", "web", "--replicas", "1"];
        self.docker(&[&create[..], &["--network", "host"], &sleep].concat());
    }

    fn config(&self, runs: Runs) -> Config {
        let workload = Workload {
            service: "redis".into(),
            runs,
            container: None,
            replicas_max: 2,
            cpu_max: Some(1.0),
            memory_max: Some(1e9),
        };
        Config {
            docker: Some(Docker { socket: self.home.path().join("sock") }),
            workloads: vec![workload],
            timeout: Duration::from_secs(30),
            ..Config::default()
        }
    }

    /// A field of the container, as the engine has it.
    fn limit(&self, field: &str) -> String {
        self.docker(&["inspect", "redis", "--format", &format!("{{{{.HostConfig.{field}}}}}")])
    }

    fn replicas(&self) -> String {
        let form = "{{.Spec.Mode.Replicated.Replicas}}";
        self.docker(&["service", "inspect", "web", "--format", form])
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It takes its containers with it.
        kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        for _ in 0..600 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn does(config: &Config, change: &Outside, command: fn(Order) -> Command) -> Word {
    let order = Order {
        fix: "f".into(),
        diagnosis: "d".into(),
        service: "redis".into(),
        resource: Some(Resource::Cpu),
        rung: 0,
        kind: ActionKind::ScaleOut,
        changes: vec![],
        outside: vec![change.clone()],
        note: String::new(),
    };
    let metrics = Metrics::register(&mut Registry::default(), config);
    carry(&command(order.clone()), &order, config, &metrics).await
}

fn question(resource: Resource) -> Question<'static> {
    Question { service: "redis", resource, accused: &[] }
}

/// One engine for all of it: to start one takes longer than the rest.
#[tokio::test]
async fn containers_grow_and_services_scale_and_all_of_it_goes_back() {
    let Some(engine) = Engine::start() else { return };
    let config = engine.config(Runs::DockerContainer("redis".into()));
    for (resource, fields) in [
        (Resource::Cpu, &[("NanoCpus", "500000000", "750000000")][..]),
        (
            Resource::Memory,
            &[("Memory", "67108864", "100663296"), ("MemorySwap", "134217728", "167772160")],
        ),
    ] {
        let outlook = look(question(resource), &config).await;
        assert_eq!(outlook.left_out, Vec::<String>::new());
        let (change, _) = outlook.resizables[0].grow(1.5).unwrap();
        assert_eq!(does(&config, &change, Command::Apply).await, Word::InForce);
        fields.iter().for_each(|(field, _, to)| assert_eq!(engine.limit(field), *to));
        assert_eq!(does(&config, &change, Command::Renew).await, Word::InForce);
        assert_eq!(does(&config, &change, Command::Revert).await, Word::Reverted(String::new()));
        fields.iter().for_each(|(field, from, _)| assert_eq!(engine.limit(field), *from));
    }
    // Somebody else sets it while it is in force.
    let outlook = look(question(Resource::Cpu), &config).await;
    let (change, _) = outlook.resizables[0].grow(2.0).unwrap();
    assert_eq!(does(&config, &change, Command::Apply).await, Word::InForce);
    engine.docker(&["update", "--cpus", "0.25", "redis"]);
    let word = does(&config, &change, Command::Renew).await;
    assert!(matches!(word, Word::Lost { is_foreign: true, .. }), "{word:?}");
    let word = does(&config, &change, Command::Revert).await;
    assert!(matches!(&word, Word::Reverted(note) if note.contains("that stays")), "{word:?}");
    assert_eq!(engine.limit("NanoCpus"), "250000000");

    let config = engine.config(Runs::DockerService("web".into()));
    let change = look(question(Resource::Cpu), &config).await.scale.unwrap().unwrap();
    assert_eq!(does(&config, &change, Command::Apply).await, Word::InForce);
    assert_eq!(engine.replicas(), "2");
    let full = look(question(Resource::Cpu), &config).await.scale.unwrap().unwrap_err();
    assert!(full.contains("replicas_max is 2"), "{full}");
    // Anything else of the service may change in between.
    engine.docker(&["service", "update", "-d", "--label-add", "x=1", "web"]);
    assert_eq!(does(&config, &change, Command::Revert).await, Word::Reverted(String::new()));
    assert_eq!(engine.replicas(), "1");
    engine.docker(&["service", "rm", "web"]);
    let word = does(&config, &change, Command::Apply).await;
    assert!(matches!(&word, Word::Refused(why) if why.contains("not there")), "{word:?}");
    engine.docker(&["rm", "-f", "redis"]);
}
