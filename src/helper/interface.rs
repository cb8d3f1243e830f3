//! From a replica to the node's end of its veth.
//!
//! A replica's namespace is known by files below `/proc/<pid>/net`, which everybody may read; to follow
//! `/proc/<pid>/ns/net` would take `CAP_SYS_PTRACE`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::host::Host;
use super::locate::locate;
use super::members::processes;
use super::place::Replica;
use crate::data::Target;
use crate::wire::{Code, Refusal};

const CURE: &str = "name the interface in \"device\", with the target \"node\"";

/// The interface of the node that leads to `target` and to nobody else, and the cgroup of the target.
///
/// # Errors
/// A refusal when there is none, or more than one.
pub(crate) fn interface(host: &Host, target: &Target) -> Result<(String, Replica), Refusal> {
    let kernel = |e: &dyn std::fmt::Display| {
        Refusal::new(Code::Kernel, format!("{target}: {e}"), "ask again, or name the interface")
    };
    let none = |why: &str| Refusal::new(Code::Device, format!("{target} {why}"), CURE);
    let base = host.cgroup_bases().next().ok_or_else(|| none("has no cgroup"))?;
    let path = locate(host, target, base)?;
    let root = host.root(base).ok_or_else(|| none("has no cgroup"))?;
    let members = root.dir(&path).and_then(|dir| processes(&dir)).map_err(|e| kernel(&e))?;
    let own = netns(host, "self").ok_or_else(|| kernel(&"/proc/self/net is not there"))?;
    if netns(host, "1").is_some_and(|first| first != own) {
        let why = "cannot be followed: the helper is not in the node's network namespace";
        return Err(none(why));
    }
    let (pid, theirs) = one_namespace(host, target, members)?;
    if theirs == own {
        return Err(none("has no interface of its own, but the node's network"));
    }
    let links = host.links.all().map_err(|e| kernel(&e))?;
    let number = host.links.netns_of(pid).map_err(|e| kernel(&e))?;
    if netns(host, &pid.to_string()) != Some(theirs) {
        return Err(kernel(&"it ended while it was looked at"));
    }
    let is_end = |link: &&super::links::Link| {
        link.kind == "veth" && number.is_some() && link.peer_netns == number
    };
    let mut ends = links.iter().filter(is_end);
    match (ends.next(), ends.next()) {
        (Some(end), None) => Ok((end.name.clone(), Replica { base, path })),
        (Some(one), Some(two)) => {
            let reason = format!("both {} and {} lead to {target}", one.name, two.name);
            Err(Refusal::new(Code::TargetAmbiguous, reason, CURE))
        }
        (None, _) => Err(none("has a network of its own, but no veth of the node leads there")),
    }
}

/// Which network namespace a process is in, as files show it. They are the same only within one.
fn netns(host: &Host, process: &str) -> Option<(u64, u64)> {
    let meta = fs::metadata(host.proc.join(process).join("net/dev")).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// The namespace that all processes are in, and one of them.
fn one_namespace(
    host: &Host,
    target: &Target,
    members: impl IntoIterator<Item = u32>,
) -> Result<(u32, (u64, u64)), Refusal> {
    let mut found: Option<(u32, (u64, u64))> = None;
    for pid in members {
        // It may end while we look.
        let Some(netns) = netns(host, &pid.to_string()) else { continue };
        match found {
            Some((first, other)) if other != netns => {
                let reason = format!(
                    "processes {first} and {pid} of {target} are in two network namespaces"
                );
                return Err(Refusal::new(Code::TargetAmbiguous, reason, "name a container of it"));
            }
            _ => found = Some((pid, netns)),
        }
    }
    found.ok_or_else(|| {
        let cure = "look whether it still runs on this node";
        Refusal::new(Code::TargetNotFound, format!("no process runs in {target}"), cure)
    })
}
