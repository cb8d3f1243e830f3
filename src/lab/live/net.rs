//! The network of a run: each service in a namespace of its own, with a cable to a bridge that stands where we are.
//!
//! Namespaces here have no names and last as long as somebody is in them: whoever ends the processes of a run has
//! removed its network with everything in it, and the host never sees any of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::exporter::{self, Readings};
use super::spec::App;

/// Programs that make networks, and the one that measures them.
#[derive(Clone, Debug)]
pub(super) struct Tools {
    /// util-linux.
    pub(super) unshare: PathBuf,
    /// util-linux.
    pub(super) nsenter: PathBuf,
    /// iproute2.
    pub(super) ip: PathBuf,
    /// iproute2.
    pub(super) tc: PathBuf,
    /// Blackbox exporter.
    pub(super) blackbox: PathBuf,
}

/// The first three numbers of every address.
const SUBNET: [u8; 3] = [10, 77, 0];
/// The last number of the first service. The bridge has 1.
const FIRST: u8 = 10;
/// The bridge.
const BRIDGE: &str = "services";
/// Makes it.
const BEGIN: &str = "link set lo up
link add services type bridge
addr add 10.77.0.1/24 dev services
link set services up
";
/// What a kernel must be able to make.
const TRIAL: &str = r#""$1" link add trial type bridge && "$1" link add trial-a type veth peer name trial-b &&
"$2" qdisc add dev trial-a root tbf rate 1mbit burst 2000 limit 9000"#;
/// Attempts to see a process in its namespace, and the pause between them.
const PATIENCE: (usize, Duration) = (500, Duration::from_millis(10));
/// Bytes that pass a squeezed cable at once: a whole packet must.
const BURST_BYTES: f64 = 1600.0;
/// How long a packet waits at most before a squeezed cable, seconds. What comes when so much waits is lost.
const QUEUE_S: f64 = 0.1;

/// Runs a program to its end; what it says. `input` is what it reads.
fn told(command: &mut Command, input: &str) -> io::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{name}: {e}"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(named)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that reads nothing has nothing to read.
        drop(stdin.write_all(input.as_bytes()));
    }
    let output = child.wait_with_output().map_err(named)?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().into()),
        false => Err(io::Error::other(format!("{name}: {}", said.trim()))),
    }
}

impl Tools {
    /// Whether the kernel plays along: tried where nobody sees it.
    ///
    /// # Errors
    /// What it says.
    pub(super) fn try_out(&self) -> Result<(), String> {
        let mut command = Command::new(&self.unshare);
        command.args(["--net", "--", "/bin/sh", "-c", TRIAL, "sh"]).arg(&self.ip).arg(&self.tc);
        let tried = told(&mut command, "");
        tried.map(drop).map_err(|e| {
            format!("this kernel makes no network namespace with bridge, veth and tbf ({e})")
        })
    }

    /// Makes the bridge, in the namespace where this process is.
    ///
    /// # Errors
    /// Those of the kernel.
    pub(super) fn begin(&self) -> io::Result<()> {
        told(Command::new(&self.ip).args(["-batch", "-"]), BEGIN).map(drop)
    }
}

/// The cables of a run.
#[derive(Debug)]
pub(super) struct Wires {
    tools: Tools,
    /// The last number of the address of each service.
    numbers: BTreeMap<String, u8>,
    /// A process in the namespace of each.
    pids: BTreeMap<String, u32>,
}

impl Wires {
    /// For the services of an application; none has its cable yet.
    pub(super) fn new(tools: Tools, app: &App) -> Self {
        let names = app.services.iter().map(|s| s.name.clone());
        Self { tools, numbers: names.zip(FIRST..).collect(), pids: BTreeMap::new() }
    }

    /// Where this process is for services.
    pub(super) fn bridge() -> Ipv4Addr {
        let [a, b, c] = SUBNET;
        Ipv4Addr::new(a, b, c, 1)
    }

    /// Programs.
    pub(super) fn tools(&self) -> &Tools {
        &self.tools
    }

    fn number(&self, service: &str) -> u8 {
        self.numbers.get(service).copied().unwrap_or_default()
    }

    /// Where a service is.
    pub(super) fn address(&self, service: &str) -> Ipv4Addr {
        let [a, b, c] = SUBNET;
        Ipv4Addr::new(a, b, c, self.number(service))
    }

    /// All services, with where they are.
    pub(super) fn addresses(&self) -> Vec<(String, Ipv4Addr)> {
        self.numbers.keys().map(|name| (name.clone(), self.address(name))).collect()
    }

    /// The end of the cable of a service at the bridge.
    fn device(&self, service: &str) -> String {
        format!("to-{}", self.number(service))
    }

    /// The same program, in a namespace of its own.
    pub(super) fn apart(&self, command: &Command) -> Command {
        let mut apart = Command::new(&self.tools.unshare);
        apart.args(["--net", "--"]).arg(command.get_program()).args(command.get_args());
        apart
    }

    /// Lays the cable of a service, whose process is `pid`.
    ///
    /// # Errors
    /// Those of the kernel; and when the process does not get into a namespace of its own.
    pub(super) fn plug(&mut self, service: &str, pid: u32) -> io::Result<()> {
        let place = PathBuf::from(format!("/proc/{pid}/ns/net"));
        let here = fs::read_link("/proc/self/ns/net")?;
        let mut tries = PATIENCE.0;
        while fs::read_link(&place)? == here {
            tries = tries.checked_sub(1).ok_or_else(|| {
                io::Error::other(format!("{service} stays in the network it comes from"))
            })?;
            std::thread::sleep(PATIENCE.1);
        }
        let (device, address) = (self.device(service), self.address(service));
        let ours = format!(
            "link add {device} type veth peer name eth0 netns {pid}\nlink set {device} master {BRIDGE} up\n"
        );
        told(Command::new(&self.tools.ip).args(["-batch", "-"]), &ours)?;
        let theirs = format!("link set lo up\naddr add {address}/24 dev eth0\nlink set eth0 up\n");
        let mut inside = Command::new(&self.tools.nsenter);
        inside.arg(format!("--net={}", place.display())).arg("--").arg(&self.tools.ip);
        told(inside.args(["-batch", "-"]), &theirs)?;
        self.pids.insert(service.into(), pid);
        Ok(())
    }

    /// A process in the namespace of each service.
    pub(super) fn pids(&self) -> BTreeMap<String, u32> {
        self.pids.clone()
    }

    /// What the kernel counts on the cable of a service.
    pub(super) fn readings(&self, service: &str) -> Readings {
        let pid = self.pids.get(service);
        pid.map(|pid| exporter::network(Path::new("/proc"), *pid)).unwrap_or_default()
    }

    /// What packets pass on their way to a service, in the kernel's words.
    ///
    /// # Errors
    /// Those of the kernel.
    pub(super) fn queue(&self, service: &str) -> io::Result<String> {
        let device = self.device(service);
        told(Command::new(&self.tools.tc).args(["qdisc", "show", "dev", &device]), "")
    }

    /// Lets only so many bytes a second to a service.
    ///
    /// # Errors
    /// Those of the kernel.
    pub(super) fn squeeze(&self, service: &str, bytes: f64) -> io::Result<()> {
        let words = words(&self.device(service), bytes);
        told(Command::new(&self.tools.tc).args(words.split(' ')), "").map(drop)
    }

    /// Lets everything to a service again.
    ///
    /// # Errors
    /// Those of the kernel.
    pub(super) fn release(&self, service: &str) -> io::Result<()> {
        let device = self.device(service);
        let words = ["qdisc", "del", "dev", &device, "root"];
        told(Command::new(&self.tools.tc).args(words), "").map(drop)
    }
}

/// What `tc` is told to let so many bytes a second through.
fn words(device: &str, bytes: f64) -> String {
    let limit = (bytes * QUEUE_S).max(2.0 * BURST_BYTES);
    format!(
        "qdisc add dev {device} root tbf rate {:.0}bit burst {BURST_BYTES:.0} limit {limit:.0}",
        bytes * 8.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::live::spec::{APPS, app};

    fn tools() -> Tools {
        let [unshare, nsenter, ip, tc, blackbox] =
            ["unshare", "nsenter", "ip", "tc", "blackbox"].map(PathBuf::from);
        Tools { unshare, nsenter, ip, tc, blackbox }
    }

    #[test]
    fn every_service_has_an_address_and_a_cable_of_its_own() {
        for name in APPS {
            let app = app(name).unwrap();
            let wires = Wires::new(tools(), &app);
            let mut addresses: Vec<Ipv4Addr> =
                wires.addresses().into_iter().map(|(_, address)| address).collect();
            addresses.push(Wires::bridge());
            let all = addresses.len();
            addresses.sort_unstable();
            addresses.dedup();
            assert_eq!((addresses.len(), all), (app.services.len() + 1, addresses.len()));
            // The kernel knows no longer names.
            assert!(app.services.iter().all(|s| wires.device(&s.name).len() < 16));
        }
    }

    /// A queue of a tenth of a second, but never shorter than two packets.
    #[test]
    fn a_squeezed_cable_holds_little_and_loses_the_rest() {
        let text = words("to-10", 100_000.0);
        assert_eq!(text, "qdisc add dev to-10 root tbf rate 800000bit burst 1600 limit 10000");
        assert!(words("to-10", 1000.0).ends_with("limit 3200"));
    }

    #[test]
    fn what_a_program_says_when_it_fails_is_the_error() {
        let error = told(Command::new("/bin/sh").args(["-c", "echo no such link >&2; exit 2"]), "");
        let error = error.unwrap_err().to_string();
        assert!(error.contains("/bin/sh") && error.contains("no such link"), "{error}");
        assert_eq!(told(&mut Command::new("/bin/cat"), " a \n").unwrap(), "a");
    }

    #[test]
    fn a_program_runs_in_a_namespace_of_its_own() {
        let wires = Wires::new(tools(), &app("chain").unwrap());
        let apart = wires.apart(Command::new("redis-server").args(["--port", "1"]));
        let words: Vec<_> = apart.get_args().map(|w| w.to_string_lossy()).collect();
        assert_eq!(apart.get_program(), "unshare");
        assert_eq!(words, ["--net", "--", "redis-server", "--port", "1"]);
    }
}
