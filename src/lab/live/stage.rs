//! Everything that runs: started in order, ended in order, and swept up whatever happens.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};
use std::time::Duration;

use super::Failure;
use super::door::Door;
use super::groups::{Groups, Limit};
use super::helper::Helper;
use super::load::Load;
use super::needs::Needs;
use super::net::Wires;
use super::procs::Process;
use super::service::{Orders, Place, fill};
use super::settings::{NODE, Ports};
use super::spec::{App, Kind, Service};
use crate::lab::wire::Api;

/// Quota of each service in calm, microseconds of a period: a multiple of what it uses, and little enough for
/// somebody else's work to use it up.
const QUOTA_US: u64 = 30_000;
/// Memory limit of each service in calm.
const MEMORY_BYTES: u64 = 256 << 20;
/// Shares of contended processors: our groups against the rest of the machine, then among themselves. Whoever
/// measures comes first, whoever computes in the background last.
const WEIGHTS: [(&str, u64); 4] = [("", 10_000), (LAB, 1000), (TOOLS, 20), (SERVICE, 200)];
pub(super) const LAB: &str = "lab";
pub(super) const TOOLS: &str = "tools";
const SERVICE: &str = "service";
/// How long a program may take to be ready.
pub(super) const READY: Duration = Duration::from_secs(30);
/// How long one may take to end.
pub(super) const END: Duration = Duration::from_secs(5);
/// Pause between looks.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// An application at work, and what watches it.
#[derive(Debug)]
pub struct Stage {
    /// The application.
    pub(super) app: App,
    /// What was found on the machine.
    pub(super) needs: Needs,
    /// Where everything listens.
    pub(super) ports: Ports,
    /// Cables of the services, if they have networks of their own.
    pub(super) wires: Option<Wires>,
    /// Listens for visitors of the page outside of our network, until somebody takes them in.
    pub(super) door: Option<TcpListener>,
    /// Where the page is for people.
    pub(super) page: SocketAddr,
    /// Users, once there are any.
    pub(super) load: Option<Load>,
    /// Where each service listens.
    pub(super) places: BTreeMap<String, Place>,
    home: tempfile::TempDir,
    /// Ended in this order.
    pub(super) sidecar: Option<Process>,
    pub(super) helper: Option<Process>,
    pub(super) tools: Vec<Process>,
    services: Vec<Process>,
    /// Whether the cgroups are ours: only then are they swept.
    has_groups: bool,
    /// Where this process was before.
    came_from: Option<PathBuf>,
    /// Closes with us, and the watchman sweeps.
    watchman: Option<ChildStdin>,
}

impl Stage {
    /// Makes the groups, and starts the application in them; in networks of their own behind a `door`.
    ///
    /// # Errors
    /// Leftovers of another run, and whatever does not start.
    pub fn start(
        app: &App,
        needs: Needs,
        door: Option<Door>,
        work: &Path,
    ) -> Result<Self, Failure> {
        if needs.groups.exist() {
            return Err(format!(
                "there are cgroups called {} already: another run is under way, or one has left them behind; \
                 `sage lab live --clean` removes them with everything in them",
                super::groups::NAME
            )
            .into());
        }
        let home = tempfile::Builder::new().prefix(super::clean::PREFIX).tempdir_in(work)?;
        let watchman = watch_over(&needs.programs.sage, home.path())?;
        let (door, wires) = match door {
            Some(Door { page, tools }) => (Some(page), Some(Wires::new(tools, app))),
            None => (None, None),
        };
        let ports = Ports::free(wires.as_ref().map_or(Ipv4Addr::LOCALHOST, |_| Wires::bridge()))?;
        let page = door.as_ref().map_or(Ok(ports.http), TcpListener::local_addr)?;
        let mut stage = Self {
            app: app.clone(),
            ports,
            wires,
            door,
            page,
            load: None,
            places: BTreeMap::new(),
            home,
            sidecar: None,
            helper: None,
            tools: Vec::new(),
            services: Vec::new(),
            has_groups: false,
            came_from: None,
            watchman: Some(watchman),
            needs,
        };
        stage.make_groups()?;
        for service in &app.services {
            stage.start_service(service)?;
        }
        Ok(stage)
    }

    /// Cgroups.
    pub(super) fn groups(&self) -> &Groups {
        &self.needs.groups
    }

    /// Files of this run.
    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A client of the sidecar.
    pub(super) fn api(&self) -> Api {
        Api::new(self.ports.http)
    }

    /// A client of the helper.
    pub(super) fn helper(&self) -> Helper {
        Helper::new(self.home().join("helper.sock"))
    }

    /// Where a service listens.
    pub(super) fn address(&self, service: &str) -> SocketAddr {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
        self.places.get(service).map_or(nowhere, |place| place.address)
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.home().join(format!("{name}.log"))
    }

    fn make_groups(&mut self) -> Result<(), Failure> {
        let groups = &self.needs.groups;
        let weight = |name: &str| WEIGHTS.iter().find(|(n, _)| *n == name).map(|(_, w)| *w);
        groups.begin()?;
        self.has_groups = true;
        groups.set("", Limit::Weight, weight(""))?;
        for name in [LAB, TOOLS] {
            groups.make(name)?;
            groups.set(name, Limit::Weight, weight(name))?;
        }
        for service in &self.app.services {
            groups.make(&service.name)?;
            groups.set(&service.name, Limit::Weight, weight(SERVICE))?;
            groups.set(&service.name, Limit::Cpu, Some(QUOTA_US))?;
            groups.set(&service.name, Limit::Memory, Some(MEMORY_BYTES))?;
        }
        self.came_from = groups.enter(LAB)?;
        Ok(())
    }

    fn start_service(&mut self, service: &Service) -> Result<(), Failure> {
        let address = match service.kind {
            Kind::Logic => self.start_logic(service)?,
            kind => self.start_store(service, kind)?,
        };
        self.places.insert(service.name.clone(), Place { kind: service.kind, address });
        Ok(())
    }

    /// At which address a service listens.
    fn ip(&self, service: &str) -> Ipv4Addr {
        self.wires.as_ref().map_or(Ipv4Addr::LOCALHOST, |wires| wires.address(service))
    }

    fn start_logic(&mut self, service: &Service) -> Result<SocketAddr, Failure> {
        let dir = self.home().join(&service.name);
        std::fs::create_dir(&dir)?;
        let orders = Orders {
            service: service.clone(),
            node: NODE.into(),
            listen: self.ip(&service.name).into(),
            otlp: self.ports.otlp_grpc,
            places: self.places.clone(),
            dir,
        };
        let mut command = Command::new(&self.needs.programs.sage);
        command.args(["lab", "live-service"]);
        let (orders, log) = (serde_json::to_vec(&orders)?, self.log(&service.name));
        let place = (&self.needs.groups, service.name.as_str());
        let wires = &mut self.wires;
        let mut command = wires.as_ref().map(|wires| wires.apart(&command)).unwrap_or(command);
        let plug = |pid| wires.as_mut().map_or(Ok(()), |wires| wires.plug(&service.name, pid));
        let told = (orders.as_slice(), plug);
        let (process, said) = Process::start_told(&mut command, told, &log, place)?;
        self.services.push(process);
        Ok(said.parse()?)
    }

    fn start_store(&mut self, service: &Service, kind: Kind) -> Result<SocketAddr, Failure> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = SocketAddr::from((self.ip(&service.name), port));
        let mut command = self.store(kind, port);
        if let Some(wires) = &self.wires {
            command = wires.apart(&command);
        }
        let place = (self.groups(), service.name.as_str());
        let process = Process::start(&command, &self.log(&service.name), place)?;
        if let Some(wires) = &mut self.wires {
            wires.plug(&service.name, process.id())?;
        }
        self.services.push(process);
        let mut tries = READY.as_millis() / LOOK.as_millis();
        while let Err(error) = fill(kind, address) {
            tries -= 1;
            if tries == 0 {
                return Err(format!("{} does not answer: {error}", service.name).into());
            }
            std::thread::sleep(LOOK);
        }
        Ok(address)
    }

    /// A store that listens at a port.
    fn store(&self, kind: Kind, port: u16) -> Command {
        // A network of its own has no address yet when the store begins, and nobody else in it.
        let ip = if self.wires.is_some() { "0.0.0.0" } else { "127.0.0.1" };
        let port = port.to_string();
        match kind {
            Kind::Redis => {
                let mut command = Command::new(&self.needs.programs.redis);
                command.args(["--port", &port, "--bind", ip, "--protected-mode", "no"]);
                command.args(["--save", "", "--dir"]).arg(self.home());
                command
            }
            _ => {
                let mut command = Command::new(&self.needs.programs.memcached);
                command.args(["-u", "root", "-l", ip, "-p", &port, "-t", "1", "-U", "0"]);
                command
            }
        }
    }

    /// Starts users.
    ///
    /// # Errors
    /// When there can be no thread for them.
    pub(super) fn start_load(&mut self, rate: f64, seed: u64) -> Result<(), Failure> {
        let mix = self.app.entries.iter().map(|(call, share)| (call.op.clone(), *share)).collect();
        let entry = self.address(self.app.entry());
        self.load = Some(Load::start(entry, mix, rate, seed)?);
        Ok(())
    }

    /// A program that has ended by itself, if there is one.
    pub(super) fn ended(&mut self) -> Option<String> {
        let watched = [("sage", &mut self.sidecar), ("sage-helper", &mut self.helper)];
        let ended = watched.into_iter().find_map(|(name, process)| {
            process.as_mut().is_some_and(Process::has_ended).then(|| name.to_string())
        });
        ended.or_else(|| {
            let others = self.services.iter_mut().chain(&mut self.tools);
            let mut ended = others.filter_map(|p| p.has_ended().then(|| p.id()));
            ended.next().map(|pid| format!("process {pid}"))
        })
    }

    /// Copies logs and configurations to `dir`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn keep_logs(&self, dir: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        for entry in std::fs::read_dir(self.home())?.flatten() {
            let name = entry.file_name();
            let kinds = ["log", "toml", "yml"];
            let is_text =
                Path::new(&name).extension().is_some_and(|e| kinds.iter().any(|kind| e == *kind));
            if is_text {
                std::fs::copy(entry.path(), dir.join(name))?;
            }
        }
        Ok(())
    }

    /// Ends everything in order: users, helper (which puts back what it changed), sidecar, and the rest.
    ///
    /// # Errors
    /// A cgroup that cannot be removed.
    pub fn close(&mut self) -> std::io::Result<()> {
        self.load = None;
        for process in [self.helper.take(), self.sidecar.take()].iter_mut().flatten() {
            process.stop(END);
        }
        self.tools.clear();
        self.services.clear();
        if let Some(place) = self.came_from.take() {
            Groups::leave(&place)?;
        }
        let swept = if self.has_groups { self.groups().sweep() } else { Ok(()) };
        if swept.is_ok() {
            // The watchman takes the directory for the sign that there is something to sweep.
            drop(std::fs::remove_dir_all(self.home()));
        }
        self.watchman = None;
        swept
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The watchman sweeps what is left here.
        drop(self.close());
    }
}

/// Starts the process that sweeps when this one is gone.
fn watch_over(sage: &Path, home: &Path) -> Result<ChildStdin, Failure> {
    let mut command = Command::new(sage);
    command.args(["lab", "live-sweep"]).arg(home);
    Ok(Process::watchman(&mut command)?)
}
