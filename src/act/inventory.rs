//! Where the replicas of a culprit are, and what the helpers there see of them.

use std::collections::BTreeMap;

use super::config::{BestEffort, Config};
use super::outside::Outlook;
use crate::data::{Replica, RootCause, Target};
use crate::wire::Inspection;

/// Digits of a container id, short and long.
const CONTAINER_DIGITS: [usize; 2] = [12, 64];

/// A replica and the helper to ask about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The node of the helper.
    pub node: String,
    /// What the helper knows it by.
    pub target: Target,
    /// For people.
    pub name: String,
}

/// What there is to plan with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// Replicas of the culprit, each with what its helper says.
    pub replicas: Vec<(Place, Inspection)>,
    /// Best-effort work on the same nodes, likewise.
    pub neighbours: Vec<(BestEffort, Inspection)>,
    /// What could be done through what runs the containers.
    pub outlook: Outlook,
    /// Replicas that cannot be reached, and why.
    pub unknown: Vec<String>,
}

/// Replicas of the culprit that can be reached, and why the others cannot. `seen`: all replicas of the
/// service in the newest frame.
pub fn locate(config: &Config, cause: &RootCause, seen: &[Replica]) -> (Vec<Place>, Vec<String>) {
    let accused = |replica: &str| {
        cause.replicas.is_empty() || cause.replicas.iter().any(|name| name == replica)
    };
    let on_accused_node = |node: &str| {
        let known = |n: &String| config.helpers.iter().any(|h| h.node == *n);
        !cause.nodes.iter().any(known) || cause.nodes.iter().any(|n| n == node)
    };
    let configured: Vec<Place> = config
        .targets
        .iter()
        .filter(|t| t.service == cause.service)
        .filter(|t| t.replica.as_ref().map_or_else(|| on_accused_node(&t.node), |r| accused(r)))
        .map(|t| Place {
            node: t.node.clone(),
            target: t.target.clone(),
            name: t.replica.clone().unwrap_or_else(|| t.service.clone()),
        })
        .collect();
    if !configured.is_empty() {
        return (configured, Vec::new());
    }
    let (mut places, mut unknown) = (Vec::new(), Vec::new());
    for replica in seen.iter().filter(|r| accused(&r.name)) {
        match (node_of(config, replica), obvious_target(&replica.name)) {
            (Some(node), Some(target)) => {
                places.push(Place { node, target, name: replica.name.to_string() });
            }
            (None, _) => unknown.push(format!(
                "{}: no [[act.helpers]] for its node {:?}",
                replica.name, &*replica.node
            )),
            (_, None) => unknown.push(format!(
                "{}: its name does not say which cgroup it is; add it to [[act.targets]]",
                replica.name
            )),
        }
    }
    if places.is_empty() && unknown.is_empty() {
        unknown.push(format!("{}: no replica is known; add it to [[act.targets]]", cause.service));
    }
    (places, unknown)
}

/// The helper of a replica. Where the node is not known and there is one helper only, it is that one.
fn node_of(config: &Config, replica: &Replica) -> Option<String> {
    if replica.node.is_empty()
        && let [only] = config.helpers.as_slice()
    {
        return Some(only.node.clone());
    }
    config.helpers.iter().find(|h| h.node == *replica.node).map(|h| h.node.clone())
}

/// What a replica's name says by itself: a container's id, a pod's uid, a systemd unit, with or without a
/// path before it.
pub fn obvious_target(name: &str) -> Option<Target> {
    let last = name.rsplit('/').next().unwrap_or(name);
    let is_hex = |t: &str| t.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    // cAdvisor: `docker-<id>.scope`, `cri-containerd-<id>.scope`, `libpod-<id>.scope`.
    let bare = last.strip_suffix(".scope").unwrap_or(last);
    let bare = if bare == last { bare } else { bare.rsplit('-').next().unwrap_or(bare) };
    if CONTAINER_DIGITS.contains(&bare.len()) && is_hex(bare) {
        return Some(Target::Container(bare.into()));
    }
    if last.ends_with(".service") && !last.contains(char::is_whitespace) {
        return Some(Target::Unit(last.into()));
    }
    let parts: Vec<&str> = last.split('-').collect();
    let is_uid =
        parts.iter().map(|p| p.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(|p| is_hex(p));
    is_uid.then(|| Target::Pod(last.into()))
}

/// Best-effort work on the nodes of `places`.
pub(super) fn neighbours<'a>(config: &'a Config, places: &[Place]) -> Vec<&'a BestEffort> {
    let is_there =
        |work: &&BestEffort| places.iter().any(|p| p.node == work.node && p.target != work.target);
    config.best_effort.iter().filter(is_there).collect()
}

/// An inspection with nothing in it, for work of which only the interface counts.
pub(super) fn nothing_seen() -> Inspection {
    Inspection {
        cgroups: BTreeMap::new(),
        knobs: Vec::new(),
        usage: BTreeMap::new(),
        node: BTreeMap::new(),
    }
}
