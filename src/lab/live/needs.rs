//! What has to be there. Everything that is missing is found at once; nothing is installed.

use std::path::{Path, PathBuf};

use super::groups::Groups;
use super::net::Tools;
use super::schedule::Able;
use super::spec::{App, Kind};

/// Programs of other people, where they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Programs {
    /// Prometheus.
    pub(super) prometheus: PathBuf,
    /// Alertmanager.
    pub(super) alertmanager: PathBuf,
    /// Node exporter.
    pub(super) node_exporter: PathBuf,
    /// stress-ng.
    pub(super) stress_ng: PathBuf,
    /// Redis, where the application has one.
    pub(super) redis: PathBuf,
    /// Memcached, likewise.
    pub(super) memcached: PathBuf,
    /// This program.
    pub(super) sage: PathBuf,
    /// The helper.
    pub(super) helper: PathBuf,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Needs {
    /// Programs.
    pub(super) programs: Programs,
    /// Cgroups.
    pub(super) groups: Groups,
    /// Whether the files are on a block device that can be throttled.
    pub(super) has_disk: bool,
    /// What makes networks, if that is possible here.
    pub(super) network: Option<Tools>,
    left_out: Vec<String>,
}

impl Needs {
    /// Which faults can be had.
    pub(super) fn able(&self) -> Able {
        Able { disk: self.has_disk, network: self.network.is_some() }
    }
}

impl Needs {
    /// Faults that cannot be had here, and why; a line each.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }
}

/// Where to look.
#[derive(Clone, Debug)]
pub struct Places<'a> {
    /// Directories with programs, in the form of `PATH`.
    pub path: &'a str,
    /// Where cgroups are.
    pub cgroup: &'a Path,
    /// This program.
    pub sage: &'a Path,
    /// Where files will be.
    pub work: &'a Path,
    /// Whether we are root.
    pub is_root: bool,
}

fn find(path: &str, names: &[&str]) -> Option<PathBuf> {
    let dirs = || std::env::split_paths(path);
    names.iter().find_map(|name| dirs().map(|d| d.join(name)).find(|file| file.is_file()))
}

/// `major:minor` of the disk below a directory, for cgroups; `None` when it is in memory or elsewhere.
fn device(dir: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let dev = std::fs::metadata(dir).ok()?.dev();
    let number = format!("{}:{}", rustix::fs::major(dev), rustix::fs::minor(dev));
    let entry = std::fs::canonicalize(Path::new("/sys/dev/block").join(&number)).ok()?;
    // A partition cannot be throttled, its disk can.
    let disk = if entry.join("partition").exists() { entry.parent()? } else { &entry };
    Some(std::fs::read_to_string(disk.join("dev")).ok()?.trim().to_string())
}

/// What makes networks. Without it a run is as good, less the fault that needs it.
fn network(path: &str) -> Result<Tools, String> {
    let mut packages = Vec::new();
    let mut program = |names: &[&str], package: &'static str| {
        find(path, names).unwrap_or_else(|| {
            packages.push(package);
            PathBuf::new()
        })
    };
    let tools = Tools {
        unshare: program(&["unshare"], "util-linux"),
        nsenter: program(&["nsenter"], "util-linux"),
        ip: program(&["ip"], "iproute2"),
        tc: program(&["tc"], "iproute2"),
        blackbox: program(
            &["prometheus-blackbox-exporter", "blackbox_exporter"],
            "prometheus-blackbox-exporter",
        ),
    };
    packages.dedup();
    if !packages.is_empty() {
        return Err(format!("apt-get install --no-install-recommends {}", packages.join(" ")));
    }
    tools.try_out().map(|()| tools)
}

/// Finds everything.
///
/// # Errors
/// Everything that is missing, one line each, with what to do about it.
pub fn find_all(app: &App, places: &Places<'_>) -> Result<Needs, Vec<String>> {
    let mut missing = Vec::new();
    if !places.is_root {
        missing.push(
            "root: only root can make cgroups and let the helper change them; use sudo".into(),
        );
    }
    let device = device(places.work);
    let groups = match Groups::find(places.cgroup, device.as_deref().unwrap_or("0:0")) {
        Ok(groups) => Some(groups),
        Err(why) => {
            missing.push(why);
            None
        }
    };
    let mut program = |names: &[&str], package: &str| {
        find(places.path, names).unwrap_or_else(|| {
            missing
                .push(format!("{}: apt-get install --no-install-recommends {package}", names[0]));
            PathBuf::new()
        })
    };
    let mut programs = Programs {
        prometheus: program(&["prometheus"], "prometheus"),
        alertmanager: program(
            &["prometheus-alertmanager", "alertmanager"],
            "prometheus-alertmanager",
        ),
        node_exporter: program(
            &["prometheus-node-exporter", "node_exporter"],
            "prometheus-node-exporter",
        ),
        stress_ng: program(&["stress-ng"], "stress-ng"),
        sage: places.sage.into(),
        ..Programs::default()
    };
    if app.has(Kind::Redis) {
        programs.redis = program(&["redis-server"], "redis-server");
    }
    if app.has(Kind::Memcached) {
        programs.memcached = program(&["memcached"], "memcached");
    }
    programs.helper = places.sage.with_file_name("sage-helper");
    if !programs.helper.is_file() {
        missing.push(format!(
            "{}: cargo build --release --locked builds it",
            programs.helper.display()
        ));
    }
    match groups {
        Some(groups) if missing.is_empty() => {
            let (has_disk, network) = (device.is_some(), network(places.path));
            let no_disk = (!has_disk).then(|| {
                format!(
                    "memory, disk: {} is on no disk that can be throttled",
                    places.work.display()
                )
            });
            let no_network = network.as_ref().err().map(|why| format!("network: {why}"));
            let left_out = no_disk.into_iter().chain(no_network).collect();
            Ok(Needs { programs, groups, has_disk, network: network.ok(), left_out })
        }
        _ => Err(missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::live::spec::app;

    #[test]
    fn without_programs_for_networks_their_packages_are_named_once() {
        let empty = tempfile::tempdir().unwrap();
        let why = network(empty.path().to_str().unwrap()).unwrap_err();
        assert!(why.ends_with("util-linux iproute2 prometheus-blackbox-exporter"), "{why}");
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let empty = tempfile::tempdir().unwrap();
        let places = Places {
            path: empty.path().to_str().unwrap(),
            cgroup: empty.path(),
            sage: &empty.path().join("sage"),
            work: empty.path(),
            is_root: false,
        };
        let chain = find_all(&app("chain").unwrap(), &places).unwrap_err();
        for word in ["root", "cgroup", "prometheus:", "alertmanager", "node-exporter", "stress-ng"]
        {
            assert!(chain.iter().any(|line| line.contains(word)), "{word}: {chain:#?}");
        }
        assert!(!chain.iter().any(|line| line.contains("redis")), "{chain:#?}");
        let social = find_all(&app("social-network").unwrap(), &places).unwrap_err();
        assert!(social.iter().any(|line| line.contains("redis-server")), "{social:#?}");
        assert!(social.iter().any(|line| line.contains("memcached")), "{social:#?}");
        assert_eq!(social.len(), chain.len() + 2);
    }
}
