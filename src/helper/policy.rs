//! The policy: hard bounds that no request can exceed. One TOML file, read strictly.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::{Table, Value};

use super::bound::Bound;
use super::pattern::Patterns;
use super::remote::TcpPolicy;
use crate::data::Knob;
use crate::toml_file::{Faults, Reader};

/// Everything the policy says.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Who may talk to the helper, and how.
    pub socket: SocketPolicy,
    /// The same for sidecars of other nodes.
    pub tcp: TcpPolicy,
    /// Where old values are kept.
    pub state: State,
    /// What it takes from itself.
    pub sandbox: Sandbox,
    /// Where the kernel's files are.
    pub roots: Roots,
    /// How much at once.
    pub limits: Limits,
    /// What may be changed where. Nothing else may.
    pub rules: Vec<Rule>,
}

/// `[socket]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SocketPolicy {
    /// The Unix socket; its directory must exist.
    pub path: PathBuf,
    /// Permission bits of the socket, in octal.
    #[serde(deserialize_with = "octal")]
    pub mode: u32,
    /// Group of the socket, by number; the helper's own when not set.
    pub group: Option<u32>,
    /// Users that are listened to, by number, checked by the kernel's word and not by the bits.
    pub allowed_uids: Vec<u32>,
    /// Connections at a time.
    pub connections_max: usize,
    /// Longest request.
    pub line_bytes_max: usize,
    /// A request must be here within this time, and the next one begin.
    #[serde(with = "crate::duration")]
    pub idle_timeout: Duration,
}

impl Default for SocketPolicy {
    fn default() -> Self {
        Self {
            path: "/run/sage-helper/helper.sock".into(),
            mode: 0o660,
            group: None,
            allowed_uids: vec![0],
            connections_max: 8,
            line_bytes_max: 16_384,
            idle_timeout: Duration::from_secs(60),
        }
    }
}

/// `[state]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// The journal of old values; made if missing, must belong to the helper's user alone.
    pub dir: PathBuf,
}

impl Default for State {
    fn default() -> Self {
        Self { dir: "/var/lib/sage-helper".into() }
    }
}

/// `[sandbox]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sandbox {
    /// Whether system calls are filtered.
    pub seccomp: bool,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self { seccomp: true }
    }
}

/// `[roots]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Roots {
    /// Where cgroups are mounted: version 2, version 1, or both.
    pub cgroup: PathBuf,
    /// procfs.
    pub proc: PathBuf,
    /// CPUs in sysfs.
    pub cpu: PathBuf,
    /// Network interfaces in sysfs.
    pub net: PathBuf,
    /// Where resctrl is mounted, if it is.
    pub resctrl: PathBuf,
    /// The `tc` program.
    pub tc: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            cgroup: "/sys/fs/cgroup".into(),
            proc: "/proc".into(),
            cpu: "/sys/devices/system/cpu".into(),
            net: "/sys/class/net".into(),
            resctrl: "/sys/fs/resctrl".into(),
            tc: "/usr/sbin/tc".into(),
        }
    }
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Fixes in force at a time.
    pub fixes_max: usize,
    /// Fixes in force at a time for one cgroup, or for the node.
    pub fixes_per_target_max: usize,
    /// Longest lease.
    #[serde(with = "crate::duration")]
    pub lease_max: Duration,
    /// How often it is looked whether somebody else changed what a fix holds.
    #[serde(with = "crate::duration")]
    pub watch: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fixes_max: 16,
            fixes_per_target_max: 4,
            lease_max: Duration::from_secs(600),
            watch: Duration::from_secs(1),
        }
    }
}

/// `[[allow]]`: some cgroups or devices, and what may be changed there.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Cgroups, by path.
    pub cgroups: Patterns,
    /// Devices, cpufreq policies and interfaces, by name.
    pub devices: Patterns,
    /// What may be changed, and how far.
    pub knobs: BTreeMap<Knob, Bound>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRule {
    cgroups: Vec<String>,
    devices: Vec<String>,
    knobs: Table,
}

impl Policy {
    /// Reads a file.
    ///
    /// # Errors
    /// All faults at once, the file's absence among them.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let fail = |faults| Faults { path: Some(path.into()), faults };
        let text = std::fs::read_to_string(path).map_err(|e| fail(vec![e.to_string()]))?;
        Self::parse(&text).map_err(|f| fail(f.faults))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// All faults at once.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let mut reader = Reader::new(text)?;
        let mut policy = Self {
            socket: reader.section("socket"),
            tcp: reader.section("tcp"),
            state: reader.section("state"),
            sandbox: reader.section("sandbox"),
            roots: reader.section("roots"),
            limits: reader.section("limits"),
            rules: Vec::new(),
        };
        for (i, table) in reader.tables("allow").into_iter().enumerate() {
            policy.rules.push(rule(&mut reader, &format!("allow[{i}]"), table));
        }
        policy.faults(&mut reader);
        let faults =
            reader.finish(&["socket", "tcp", "state", "sandbox", "roots", "limits", "allow"]);
        if faults.is_empty() { Ok(policy) } else { Err(Faults { path: None, faults }) }
    }

    fn faults(&self, reader: &mut Reader) {
        self.tcp.faults(&mut |fault| reader.fault(fault));
        let (socket, limits) = (&self.socket, &self.limits);
        let mut must = |holds: bool, fault: &str| {
            if !holds {
                reader.fault(fault.into());
            }
        };
        for (name, path) in [
            ("socket.path", &socket.path),
            ("state.dir", &self.state.dir),
            ("roots.cgroup", &self.roots.cgroup),
            ("roots.proc", &self.roots.proc),
            ("roots.cpu", &self.roots.cpu),
            ("roots.net", &self.roots.net),
            ("roots.resctrl", &self.roots.resctrl),
            ("roots.tc", &self.roots.tc),
        ] {
            must(path.is_absolute(), &format!("{name} = {path:?}: must be an absolute path"));
        }
        must(socket.mode & !0o777 == 0, "socket.mode: must be permission bits, such as \"0660\"");
        must(socket.mode & 0o002 == 0, "socket.mode: must not let everybody in");
        must(!socket.allowed_uids.is_empty(), "socket.allowed_uids: must name at least one user");
        must(
            (1..=256).contains(&socket.connections_max),
            "socket.connections_max: must be 1 to 256 (default 8)",
        );
        must(
            (1024..=1 << 20).contains(&socket.line_bytes_max),
            "socket.line_bytes_max: must be 1024 to 1048576 (default 16384)",
        );
        let second = Duration::from_secs(1);
        must(socket.idle_timeout >= second, "socket.idle_timeout: must be at least 1s");
        must((1..=1024).contains(&limits.fixes_max), "limits.fixes_max: must be 1 to 1024");
        must(limits.fixes_per_target_max >= 1, "limits.fixes_per_target_max: must be at least 1");
        must(limits.lease_max >= second, "limits.lease_max: must be at least 1s");
        must(
            limits.lease_max <= Duration::from_secs(86_400),
            "limits.lease_max: must be at most 24h; a change that stays belongs in your configuration",
        );
        let watch = Duration::from_millis(100)..=Duration::from_secs(60);
        must(watch.contains(&limits.watch), "limits.watch: must be 100ms to 1m (default 1s)");
    }

    /// Whether any rule lets this knob be changed.
    pub fn allows(&self, is_wanted: impl Fn(Knob) -> bool) -> bool {
        self.rules.iter().any(|rule| rule.knobs.keys().any(|knob| is_wanted(*knob)))
    }
}

fn rule(reader: &mut Reader, name: &str, table: Table) -> Rule {
    let raw: RawRule = reader.keys(name, table);
    let mut patterns = |key: &str, texts: &[String]| {
        Patterns::new(texts).unwrap_or_else(|faults| {
            faults.iter().for_each(|f| reader.fault(format!("{name}.{key}: {f}")));
            Patterns::default()
        })
    };
    let cgroups = patterns("cgroups", &raw.cgroups);
    let devices = patterns("devices", &raw.devices);
    for pattern in raw.cgroups.iter().filter(|p| !p.starts_with('/')) {
        reader.fault(format!("{name}.cgroups: {pattern:?} must start with /"));
    }
    let mut knobs = BTreeMap::new();
    for (key, value) in raw.knobs {
        let at = format!("{name}.knobs.{key}");
        let (knob, table) = match (Value::String(key).try_into::<Knob>(), value) {
            (Ok(knob), Value::Table(table)) => (knob, table),
            (Ok(_), other) => {
                reader.fault(format!("{at}: must be a table, not {}", other.type_str()));
                continue;
            }
            (Err(_), _) => {
                let known: Vec<_> = Knob::ALL.iter().map(|k| k.name()).collect();
                reader.fault(format!("{at}: unknown knob; known: {}", known.join(", ")));
                continue;
            }
        };
        let bound: Bound = reader.keys(&at, table);
        bound.faults(knob, &mut |fault| reader.fault(format!("{at}{fault}")));
        if knob.is_of_cgroup() && raw.cgroups.is_empty() {
            reader.fault(format!("{at}: allow.cgroups must say where"));
        }
        // The interface of a replica is found.
        let is_found = knob == Knob::NetworkRate && !raw.cgroups.is_empty();
        if knob.needs_device() && raw.devices.is_empty() && !is_found {
            reader.fault(format!("{at}: allow.devices must say which"));
        }
        knobs.insert(knob, bound);
    }
    if knobs.is_empty() {
        reader.fault(format!("{name}.knobs: must allow at least one knob"));
    }
    Rule { cgroups, devices, knobs }
}

fn octal<'de, D: serde::Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    let text = String::deserialize(d)?;
    u32::from_str_radix(&text, 8)
        .map_err(|_| serde::de::Error::custom(format!("{text:?} is no octal number like \"0660\"")))
}
