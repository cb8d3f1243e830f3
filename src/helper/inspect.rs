//! What a target has and uses, and what the node has left: for whoever plans a fix.

use std::collections::BTreeMap;

use procfs::{FromRead as _, LoadAverage, Meminfo};

use super::host::{Base, Host};
use super::locate::locate;
use super::place::Place;
use super::policy::Policy;
use super::root::{Dir, RelPath};
use crate::data::{Knob, Target};
use crate::wire::{Code, Inspection, KnobView, Refusal};

/// Looks. Only at targets that the policy covers: the rest is nobody's business.
///
/// # Errors
/// When there is no such target, or no rule covers it.
pub(crate) fn inspect(
    policy: &Policy,
    host: &Host,
    target: &Target,
) -> Result<Inspection, Refusal> {
    let node = node(host);
    if *target == Target::Node {
        let nothing = BTreeMap::new();
        return Ok(Inspection { cgroups: nothing, knobs: vec![], usage: BTreeMap::new(), node });
    }
    let (mut cgroups, mut first_refusal) = (BTreeMap::new(), None);
    for base in host.cgroup_bases() {
        match locate(host, target, base) {
            Ok(path) if host.root(base).is_some_and(|root| root.dir(&path).is_ok()) => {
                cgroups.insert(base, path);
            }
            Ok(path) => drop(first_refusal.get_or_insert_with(|| absent(base, &path))),
            Err(refusal) => drop(first_refusal.get_or_insert(refusal)),
        }
    }
    cgroups.retain(|base, path| !host.is_own(*base, path) && is_covered(policy, path));
    if cgroups.is_empty() {
        return Err(first_refusal.unwrap_or_else(|| {
            let reason = format!("no rule of the policy covers {target}");
            let cure = "have the operator add it to the policy, if it should be seen";
            Refusal::new(Code::TargetNotAllowed, reason, cure)
        }));
    }
    let knobs = Knob::ALL.into_iter().filter_map(|knob| knob_view(policy, host, &cgroups, knob));
    Ok(Inspection {
        knobs: knobs.collect(),
        usage: usage(host, &cgroups),
        cgroups: cgroups.iter().map(|(b, p)| (b.to_string(), p.to_string())).collect(),
        node,
    })
}

fn absent(base: Base, path: &RelPath) -> Refusal {
    let reason = format!("there is no cgroup {base}:{path}");
    Refusal::new(Code::TargetNotFound, reason, "look whether it still runs on this node")
}

fn is_covered(policy: &Policy, path: &RelPath) -> bool {
    policy.rules.iter().any(|rule| rule.cgroups.matches(path.as_str()))
}

fn knob_view(
    policy: &Policy,
    host: &Host,
    cgroups: &BTreeMap<Base, RelPath>,
    knob: Knob,
) -> Option<KnobView> {
    if !knob.is_of_cgroup() || knob.needs_device() {
        return None;
    }
    let base = host.base_of(knob)?;
    let path = cgroups.get(&base)?;
    // A knob that is not there is not shown.
    let (_, open) = Place::find(host, base, path.clone(), knob, None).ok()?;
    let now = open.read().ok()?;
    let value = open.interface().amount(open.spot(), &now).ok()?.into();
    let mut rules = policy.rules.iter().filter(|rule| rule.cgroups.matches(path.as_str()));
    let bound = rules.find_map(|rule| rule.knobs.get(&knob));
    Some(KnobView {
        knob,
        now,
        value,
        allowed: bound.is_some(),
        min: bound.and_then(|b| b.min),
        max: bound.and_then(|b| b.max),
    })
}

fn usage(host: &Host, cgroups: &BTreeMap<Base, RelPath>) -> BTreeMap<String, f64> {
    let mut usage = BTreeMap::new();
    let mut note = |name: &str, value: Option<f64>| {
        if let Some(value) = value {
            usage.insert(name.to_string(), value);
        }
    };
    for (base, path) in cgroups {
        let Some(dir) = host.root(*base).and_then(|root| root.dir(path).ok()) else { continue };
        note("memory_bytes", number(&dir, "memory.current"));
        note("memory_bytes", number(&dir, "memory.usage_in_bytes"));
        note("cpu_periods", stat(&dir, "nr_periods"));
        note("cpu_periods_throttled", stat(&dir, "nr_throttled"));
        let processes = dir.read("cgroup.procs").ok();
        note("processes", processes.map(|text| text.lines().count() as f64));
    }
    usage
}

fn number(dir: &Dir, file: &str) -> Option<f64> {
    dir.read_line(file).ok()?.parse().ok()
}

fn stat(dir: &Dir, key: &str) -> Option<f64> {
    let text = dir.read("cpu.stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
}

fn node(host: &Host) -> BTreeMap<String, f64> {
    let mut node = BTreeMap::new();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    node.insert("cpus".into(), cpus as f64);
    if let Ok(load) = LoadAverage::from_file(host.proc.join("loadavg")) {
        node.insert("load1".into(), f64::from(load.one));
    }
    if let Ok(memory) = Meminfo::from_file(host.proc.join("meminfo")) {
        node.insert("memory_total_bytes".into(), memory.mem_total as f64);
        if let Some(available) = memory.mem_available {
            node.insert("memory_available_bytes".into(), available as f64);
        }
    }
    node
}
