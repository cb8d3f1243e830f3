//! What watches the application: helper, sidecar, exporters, Prometheus and Alertmanager.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tokio::net::TcpListener;

use super::Failure;
use super::door::let_in;
use super::exporter::{self, Sources};
use super::net::Wires;
use super::procs::Process;
use super::settings::{
    self, BLACKBOX_YML, NODE, Policy, RULES_YML, alertmanager_yml, helper_toml, prometheus_yml,
};
use super::stage::{END, LAB, LOOK, READY, Stage, TOOLS};
use crate::data::QosTarget;

/// What node exporter looks at: what the feature table knows.
const COLLECTORS: [&str; 6] = ["cpu", "diskstats", "netdev", "netstat", "pressure", "vmstat"];

impl Stage {
    /// Starts helper, sidecar, exporters, Prometheus and Alertmanager.
    ///
    /// # Errors
    /// Whatever does not start.
    pub(super) async fn start_watchers(
        &mut self,
        target: &QosTarget,
        train: usize,
    ) -> Result<(), Failure> {
        self.start_helper().await?;
        self.start_sidecar(target, (train, Policy::Sage)).await?;
        let services = self.app.services.iter().map(|s| s.name.clone()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let exporter = listener.local_addr()?;
        let (groups, node) = (self.groups().clone(), NODE.into());
        let pids = self.wires.as_ref().map(Wires::pids).unwrap_or_default();
        let sources = Sources { groups, pids, services, node };
        tokio::spawn(exporter::serve(listener, sources));
        self.start_peers(exporter)?;
        self.start_probes()?;
        if let Some(door) = self.door.take() {
            door.set_nonblocking(true)?;
            tokio::spawn(let_in(TcpListener::from_std(door)?, self.ports.http));
        }
        for (name, address) in
            [("Prometheus", self.ports.prometheus), ("Alertmanager", self.ports.alertmanager)]
        {
            wait(name, || std::net::TcpStream::connect(address).is_ok()).await?;
        }
        Ok(())
    }

    async fn start_helper(&mut self) -> Result<(), Failure> {
        let policy = self.home().join("helper.toml");
        let uid = rustix::process::geteuid().as_raw();
        write_private(&policy, &helper_toml(&self.app, self.home(), uid))?;
        let mut command = Command::new(&self.needs.programs.helper);
        command.arg("--policy").arg(&policy);
        let log = self.log("helper");
        self.helper = Some(Process::start(&command, &log, (self.groups(), TOOLS))?);
        let helper = self.helper();
        wait_for("sage-helper", &log, || helper.is_there()).await
    }

    /// Starts the sidecar, or starts it again with another policy; what it has learnt stays.
    ///
    /// # Errors
    /// When it is not ready in time.
    pub(super) async fn start_sidecar(
        &mut self,
        target: &QosTarget,
        how: (usize, Policy),
    ) -> Result<(), Failure> {
        if let Some(mut old) = self.sidecar.take() {
            old.stop(END);
        }
        let file = self.home().join("sage.toml");
        let place = (self.home(), &self.ports);
        std::fs::write(&file, settings::sage_toml(&self.app, place, target, how))?;
        let mut command = Command::new(&self.needs.programs.sage);
        command.args(["serve", "--config"]).arg(&file);
        let log = self.log("sage");
        self.sidecar = Some(Process::start(&command, &log, (self.groups(), TOOLS))?);
        let address = self.ports.http;
        wait_for("the sidecar", &log, || std::net::TcpStream::connect(address).is_ok()).await
    }

    /// Measures the ways to services, where there are such. It comes first, as everything that measures: a heartbeat
    /// that waits for a processor itself tells nothing.
    fn start_probes(&mut self) -> Result<(), Failure> {
        let Some(wires) = &self.wires else { return Ok(()) };
        let file = self.home().join("blackbox.yml");
        std::fs::write(&file, BLACKBOX_YML)?;
        let mut command = Command::new(&wires.tools().blackbox);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--web.listen-address={}", self.ports.blackbox))
            .arg("--log.level=error");
        let process = Process::start(&command, &self.log("blackbox"), (self.groups(), LAB))?;
        self.tools.push(process);
        Ok(())
    }

    fn start_peers(&mut self, exporter: SocketAddr) -> Result<(), Failure> {
        let home = self.home().to_path_buf();
        let write = |name: &str, text: &str| std::fs::write(home.join(name), text);
        let probed = self.wires.as_ref().map(Wires::addresses).unwrap_or_default();
        write("prometheus.yml", &prometheus_yml(&self.ports, exporter, &probed))?;
        write("rules.yml", RULES_YML)?;
        write("alertmanager.yml", &alertmanager_yml(&self.ports))?;
        let programs = &self.needs.programs;
        let mut prometheus = Command::new(&programs.prometheus);
        prometheus
            .arg(format!("--config.file={}", home.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", home.join("prometheus").display()))
            .arg(format!("--web.listen-address={}", self.ports.prometheus))
            .args(["--storage.remote.flush-deadline=1s", "--log.level=warn"]);
        let mut alertmanager = Command::new(&programs.alertmanager);
        alertmanager
            .arg(format!("--config.file={}", home.join("alertmanager.yml").display()))
            .arg(format!("--storage.path={}", home.join("alertmanager").display()))
            .arg(format!("--web.listen-address={}", self.ports.alertmanager))
            .args(["--cluster.listen-address=", "--log.level=warn"]);
        let mut node_exporter = Command::new(&programs.node_exporter);
        node_exporter
            .arg(format!("--web.listen-address={}", self.ports.node_exporter))
            .args(["--log.level=error", "--collector.disable-defaults"])
            .args(COLLECTORS.map(|name| format!("--collector.{name}")));
        for (name, command) in [
            ("node-exporter", node_exporter),
            ("alertmanager", alertmanager),
            ("prometheus", prometheus),
        ] {
            let process = Process::start(&command, &self.log(name), (self.groups(), TOOLS))?;
            self.tools.push(process);
        }
        Ok(())
    }
}

/// For us only, as the helper demands.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    options.open(path)?.write_all(text.as_bytes())
}

async fn wait(what: &str, is_ready: impl Fn() -> bool) -> Result<(), Failure> {
    for _ in 0..READY.as_millis() / LOOK.as_millis() {
        if is_ready() {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(format!("{what} is not ready after {READY:?}").into())
}

async fn wait_for(what: &str, log: &Path, is_ready: impl Fn() -> bool) -> Result<(), Failure> {
    wait(what, is_ready).await.map_err(|e| {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        format!("{e}; it said:\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n")).into()
    })
}
