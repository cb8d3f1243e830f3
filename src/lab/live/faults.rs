//! What goes wrong, for real: somebody squeezes a quota, somebody else's work runs in a service's group, memory
//! or the disk get scarce, code holds a lock for too long or has too few threads, a link lets too little through.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::exporter::read;
use super::groups::{Groups, Limit, PERIOD_US};
use super::net::Wires;
use super::procs::Process;
use super::schedule::{Fault, Kind};

/// Least quota, microseconds of a period.
const QUOTA_LEAST_US: f64 = 1500.0;
/// Share of its use that a squeezed service keeps.
const SQUEEZED: f64 = 0.6;
/// Memory beside what no limit can take away, bytes.
const MEMORY_LEFT: f64 = (4 << 20) as f64;
/// Least bytes a second that a throttled service may read.
const READS_LEAST: f64 = 65_536.0;
/// How long a service may take to hear about a fault of its code.
const TELL: Duration = Duration::from_secs(5);
/// How long a lock is held, microseconds.
const HELD_US: f64 = 25_000.0;
/// Share of what is sent to a service that reaches it over a squeezed link.
const THROUGH: f64 = 0.95;
/// Least bytes a second of a link.
const LINK_LEAST: f64 = 4096.0;
/// Threads that are left.
const THREADS: u32 = 2;
/// How many times as many requests come as they have time for.
const CROWD: f64 = 1.5;

/// What a service has used so far, or uses in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Use {
    /// Processor time, seconds.
    pub(super) cpu: f64,
    /// Bytes read from disks.
    pub(super) read: f64,
    /// Bytes received, where it has a network of its own.
    pub(super) received: f64,
}

/// Where faults are made.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    /// Cgroups.
    pub(super) groups: &'a Groups,
    /// The network, if there is one.
    pub(super) wires: Option<&'a Wires>,
    /// stress-ng.
    pub(super) stress_ng: &'a Path,
    /// For what it says.
    pub(super) log: PathBuf,
    /// Where the service listens.
    pub(super) address: SocketAddr,
    /// What the service uses in calm.
    pub(super) used: Use,
    /// Requests that reach it in a second.
    pub(super) asked: f64,
}

/// A fault in force.
#[derive(Debug)]
pub(super) struct Injected {
    service: String,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A limit, what it was and what it is, in the kernel's words.
    Set { limit: Limit, before: String, during: String },
    /// Work that ends when this is dropped.
    Work(#[allow(dead_code, reason = "held for its end")] Process),
    /// Code, told otherwise at the end.
    Code,
    /// A link, and what packets pass on it, in the kernel's words.
    Link { during: String },
}

impl Fault {
    /// Makes it so.
    ///
    /// # Errors
    /// Those of the kernel, and of the service.
    pub(super) fn begin(&self, at: &Surroundings<'_>) -> io::Result<Injected> {
        let what = match self.kind {
            Kind::Squeeze => {
                // At strength 1 what is left is SQUEEZED of the use; at 0 it is four times the use.
                let share = 4.0 + (SQUEEZED - 4.0) * self.strength.sqrt();
                let quota = (at.used.cpu * share * PERIOD_US as f64).max(QUOTA_LEAST_US);
                self.set(at, Limit::Cpu, quota)?
            }
            Kind::Contention => {
                // Other people's work has been in memory for long: what its start reads is not the fault.
                std::fs::read(at.stress_ng)?;
                Command::new(at.stress_ng).arg("--version").stdout(Stdio::null()).status()?;
                let mut command = Command::new(at.stress_ng);
                let load = (100.0 * self.strength).clamp(10.0, 100.0);
                command.args(["--quiet", "--cpu", "1", "--cpu-load", &format!("{load:.0}")]);
                What::Work(Process::start(&command, &at.log, (at.groups, &self.service))?)
            }
            Kind::Memory => {
                let kept = anonymous_bytes(at.groups, &self.service);
                self.set(at, Limit::Memory, kept + MEMORY_LEFT / self.strength.powi(2))?
            }
            Kind::Disk => {
                let reads = at.used.read * SQUEEZED / self.strength.powi(2);
                self.set(at, Limit::DiskRead, reads.max(READS_LEAST))?
            }
            Kind::Lock => {
                tell(at.address, &format!("lock/{}", (HELD_US * self.strength.powi(2)) as u32))?;
                What::Code
            }
            Kind::Pool => {
                let kept_s = f64::from(THREADS) * CROWD / at.asked.max(1.0);
                let kept_us = (kept_s * 1e6 * self.strength.powi(2)) as u32;
                tell(at.address, &format!("pool/{THREADS}/{kept_us}"))?;
                What::Code
            }
            Kind::Network => {
                let wires = wires(at)?;
                // As with the quota, four times the use is no fault.
                let share = 4.0 + (THROUGH - 4.0) * self.strength.sqrt();
                wires.squeeze(&self.service, (at.used.received * share).max(LINK_LEAST))?;
                What::Link { during: wires.queue(&self.service)? }
            }
        };
        Ok(Injected { service: self.service.clone(), what })
    }

    fn set(&self, at: &Surroundings<'_>, limit: Limit, value: f64) -> io::Result<What> {
        let before = at.groups.get(&self.service, limit)?;
        at.groups.set(&self.service, limit, Some(value as u64))?;
        let during = at.groups.get(&self.service, limit)?;
        Ok(What::Set { limit, before, during })
    }
}

impl Injected {
    /// Whose it is.
    pub(super) fn service(&self) -> &str {
        &self.service
    }

    /// Makes it as it was. A limit that is not as we left it is somebody else's now and stays.
    ///
    /// # Errors
    /// Those of the kernel and of the service, and what was found instead of what we left.
    pub(super) fn end(self, at: &Surroundings<'_>) -> io::Result<()> {
        let service = self.service.as_str();
        let is_ours = |what: &str, found: String, during: &str| match found == during {
            true => Ok(()),
            false => Err(io::Error::other(format!(
                "{what} of {service} is {found:?} and not {during:?}, as the fault left it; not touched"
            ))),
        };
        match self.what {
            What::Set { limit, before, during } => {
                is_ours(&format!("{limit:?}"), at.groups.get(service, limit)?, &during)?;
                at.groups.put_back(service, limit, &before)
            }
            What::Link { during } => {
                let wires = wires(at)?;
                is_ours("link", wires.queue(service)?, &during)?;
                wires.release(service)
            }
            What::Work(work) => {
                drop(work);
                Ok(())
            }
            What::Code => {
                ["lock/0", "pool/0/0"].into_iter().try_for_each(|what| tell(at.address, what))
            }
        }
    }
}

fn wires<'a>(at: &Surroundings<'a>) -> io::Result<&'a Wires> {
    at.wires.ok_or_else(|| io::Error::other("services have no network of their own here"))
}

/// Memory that no limit can take away: what is not a copy of a file.
fn anonymous_bytes(groups: &Groups, service: &str) -> f64 {
    let text = std::fs::read_to_string(groups.file(service, "memory", "memory.stat"));
    let text = text.unwrap_or_default();
    let name = if groups.is_two() { "anon" } else { "total_rss" };
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let bytes = lines.find(|(word, _)| *word == name).and_then(|(_, n)| n.trim().parse().ok());
    bytes.unwrap_or((64 << 20) as f64)
}

/// Tells the code of a service what to do wrong.
fn tell(address: SocketAddr, what: &str) -> io::Result<()> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect_timeout(&address, TELL)?;
    stream.set_read_timeout(Some(TELL))?;
    stream.set_write_timeout(Some(TELL))?;
    let head = format!("POST /-/{what} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.contains(" 200 ") {
        true => Ok(()),
        false => Err(io::Error::other(format!("{address} does not take {what}"))),
    }
}

/// What a service has used so far.
pub(super) fn used(groups: &Groups, wires: Option<&Wires>, service: &str) -> Use {
    let mut readings = read(groups, service);
    readings.extend(wires.map(|wires| wires.readings(service)).unwrap_or_default());
    let get = |name| readings.iter().find(|((n, _), _)| *n == name).map_or(0.0, |(_, v)| *v);
    Use {
        cpu: get("container_cpu_usage_seconds_total"),
        read: get("container_fs_reads_bytes_total"),
        received: get("container_network_receive_bytes_total"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> (tempfile::TempDir, Groups) {
        let root = tempfile::tempdir().unwrap();
        for controller in ["cpu", "cpuacct", "memory", "blkio"] {
            std::fs::create_dir(root.path().join(controller)).unwrap();
            std::fs::write(root.path().join(controller).join("cgroup.procs"), "").unwrap();
        }
        let groups = Groups::find(root.path(), "8:0").unwrap();
        groups.begin().unwrap();
        groups.make("a").unwrap();
        groups.set("a", Limit::Cpu, Some(50_000)).unwrap();
        (root, groups)
    }

    fn surroundings(groups: &Groups) -> Surroundings<'_> {
        Surroundings {
            groups,
            wires: None,
            stress_ng: Path::new("stress-ng"),
            log: "log".into(),
            address: SocketAddr::from(([127, 0, 0, 1], 9)),
            used: Use { cpu: 0.1, ..Use::default() },
            asked: 10.0,
        }
    }

    fn begin(groups: &Groups, kind: Kind) -> io::Result<Injected> {
        let fault = Fault { kind, service: "a".into(), strength: 1.0 };
        fault.begin(&surroundings(groups))
    }

    #[test]
    fn a_squeezed_quota_comes_back() {
        let (_root, groups) = groups();
        let injected = begin(&groups, Kind::Squeeze).unwrap();
        assert_eq!(groups.get("a", Limit::Cpu).unwrap(), "6000");
        injected.end(&surroundings(&groups)).unwrap();
        assert_eq!(groups.get("a", Limit::Cpu).unwrap(), "50000");
    }

    #[test]
    fn what_somebody_else_has_set_meanwhile_stays() {
        let (_root, groups) = groups();
        let injected = begin(&groups, Kind::Squeeze).unwrap();
        groups.set("a", Limit::Cpu, Some(24_000)).unwrap();
        let error = injected.end(&surroundings(&groups)).unwrap_err();
        assert!(error.to_string().contains("24000"), "{error}");
        assert_eq!(groups.get("a", Limit::Cpu).unwrap(), "24000");
    }

    #[test]
    fn without_a_network_of_their_own_no_link_is_squeezed() {
        let (_root, groups) = groups();
        let error = begin(&groups, Kind::Network).unwrap_err();
        assert!(error.to_string().contains("network of their own"), "{error}");
    }
}
