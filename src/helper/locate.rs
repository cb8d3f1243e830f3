//! From the name of a replica to its cgroup.

use procfs::process::Process;

use super::host::{Base, Host};
use super::root::RelPath;
use crate::data::Target;
use crate::wire::{Code, Refusal};

/// Directories looked at in a search, at most; a node has a few thousand cgroups.
const DIRECTORIES_MAX: usize = 50_000;
/// How deep a search goes. Kubernetes is at 6.
const DEPTH_MAX: usize = 16;
/// Processes looked at in a search.
const PROCESSES_MAX: usize = 100_000;

/// The cgroup of `target` in one tree.
///
/// # Errors
/// A refusal when there is none, or more than one.
pub(crate) fn locate(host: &Host, target: &Target, base: Base) -> Result<RelPath, Refusal> {
    match target {
        Target::Cgroup(path) => RelPath::parse(path).map_err(|e| not_found(target, &e)),
        Target::Pid(pid) => of_process(host, target, *pid, base),
        Target::Process(name) => of_processes(host, target, name, base),
        Target::Container(id) => {
            let is_id = id.len() >= 12 && id.bytes().all(|b| b.is_ascii_hexdigit());
            if !is_id {
                let why = "a container id has 12 to 64 hexadecimal digits";
                return Err(not_found(target, why));
            }
            search(host, target, base, |name| is_container(name, id))
        }
        Target::Pod(uid) => search(host, target, base, |name| is_pod(name, uid)),
        Target::Unit(unit) => search(host, target, base, |name| name == unit),
        Target::Node => {
            Err(not_found(target, "this knob belongs to a cgroup; the node is not one"))
        }
    }
}

/// `docker-<id>.scope`, `cri-containerd-<id>.scope`, `libpod-<id>`, or `<id>`.
fn is_container(name: &str, id: &str) -> bool {
    let stem = name.strip_suffix(".scope").unwrap_or(name);
    let last = stem.rsplit('-').next().unwrap_or(stem);
    last.len() == 64 && last.bytes().all(|b| b.is_ascii_hexdigit()) && last.starts_with(id)
}

/// `pod<uid>`, or `kubepods-burstable-pod<uid with _>.slice`.
fn is_pod(name: &str, uid: &str) -> bool {
    let stem = name.strip_suffix(".slice").unwrap_or(name);
    let found = match stem.rsplit_once("-pod") {
        Some((kubepods, rest)) if kubepods.starts_with("kubepods") => rest.replace('_', "-"),
        _ => stem.strip_prefix("pod").unwrap_or_default().to_string(),
    };
    !uid.is_empty() && found == uid
}

fn not_found(target: &Target, why: &str) -> Refusal {
    Refusal::new(
        Code::TargetNotFound,
        format!("{target}: {why}"),
        "look whether it still runs on this node, and under which name",
    )
}

fn ambiguous(target: &Target, first: &RelPath, second: &RelPath) -> Refusal {
    Refusal::new(
        Code::TargetAmbiguous,
        format!("{target} is both {first} and {second}"),
        "name the container, the unit or the cgroup",
    )
}

fn of_process(host: &Host, target: &Target, pid: u32, base: Base) -> Result<RelPath, Refusal> {
    match host.cgroup_of(pid, base) {
        Ok(Some(path)) => Ok(path),
        Ok(None) => Err(not_found(target, &format!("in no cgroup of {base}"))),
        Err(why) => Err(not_found(target, &why)),
    }
}

fn of_processes(host: &Host, target: &Target, name: &str, base: Base) -> Result<RelPath, Refusal> {
    let mut found: Option<RelPath> = None;
    let entries = std::fs::read_dir(&host.proc).map_err(|e| not_found(target, &e.to_string()))?;
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids.take(PROCESSES_MAX) {
        if !is_called(host, pid, name) {
            continue;
        }
        // It may end while we look.
        let Ok(Some(path)) = host.cgroup_of(pid, base) else { continue };
        match &found {
            Some(first) if *first != path => return Err(ambiguous(target, first, &path)),
            _ => found = Some(path),
        }
    }
    found.ok_or_else(|| not_found(target, "no process of that name in any cgroup"))
}

/// By the first word of the command line, without its directory; names in the kernel are cut short.
fn is_called(host: &Host, pid: u32, name: &str) -> bool {
    let Ok(process) = Process::new_with_root(host.proc.join(pid.to_string())) else {
        return false;
    };
    let Ok(words) = process.cmdline() else { return false };
    words.first().is_some_and(|word| word.rsplit('/').next() == Some(name))
}

fn search(
    host: &Host,
    target: &Target,
    base: Base,
    is_it: impl Fn(&str) -> bool,
) -> Result<RelPath, Refusal> {
    let root = host.root(base).ok_or_else(|| not_found(target, "no such hierarchy"))?;
    let start = RelPath::parse("/").map_err(|e| not_found(target, &e))?;
    let (mut waiting, mut found, mut left) = (vec![(start, 0)], None, DIRECTORIES_MAX);
    while let Some((path, depth)) = waiting.pop() {
        // Cgroups come and go while we look.
        let Ok(names) = root.dir(&path).and_then(|dir| dir.directories(left)) else { continue };
        left -= names.len();
        for name in names {
            let child = path.child(&name);
            if is_it(&name) {
                match &found {
                    Some(first) => return Err(ambiguous(target, first, &child)),
                    // What is below it belongs to it.
                    None => found = Some(child),
                }
            } else if depth < DEPTH_MAX {
                waiting.push((child, depth + 1));
            }
        }
        if left == 0 {
            return Err(not_found(target, "there are too many cgroups to search"));
        }
    }
    found.ok_or_else(|| not_found(target, &format!("no cgroup of that name in {base}")))
}
