//! From a culprit to a ladder: which knob, how far, on which node, and why. Pure.
//!
//! The order is the paper's (section 4.3): first what can be adjusted on the offending node, a small step
//! before a larger one, then more replicas.

use super::config::Config;
use super::inventory::Inventory;
use super::ladder::{Draft, freeze_neighbours, lower_neighbours, lower_shared, raise, resize};
use crate::data::{ActMode, ActionKind, Diagnosis, Knob, Outside, Resource, RootCause, Rung};

/// What could be done about one culprit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Rungs, the first to be tried first. Empty when nothing can be done.
    pub rungs: Vec<Rung>,
    /// What could have been a rung and is none, with the reason.
    pub left_out: Vec<String>,
    /// Why there is no rung at all.
    pub none_because: Option<String>,
}

/// Plans. `id`: what helpers will know its changes by.
pub fn plan(
    id: &str,
    diagnosis: &Diagnosis,
    cause: &RootCause,
    inventory: &Inventory,
    config: &Config,
) -> Plan {
    let none = |why: String| Plan { none_because: Some(why), ..Plan::default() };
    let Some(resource) = cause.resource else {
        return none(format!(
            "no resource of {} is short, so no knob helps: look for a software bug, a lock, a pool \
             that is too small, a bad release",
            cause.service
        ));
    };
    if !config.may_help(&cause.service) {
        return none(format!("{} is not in act.services", cause.service));
    }
    let mut draft = Draft::new(id, &cause.service, config, inventory);
    for unknown in inventory.unknown.iter().chain(&inventory.outlook.left_out) {
        draft.leave_out(unknown.clone());
    }
    match resource {
        Resource::Cpu => cpu(&mut draft, cause),
        Resource::Memory => memory(&mut draft),
        Resource::Disk => disk(&mut draft),
        Resource::Network => {
            let why = "traffic of best-effort work on the same node takes the network";
            lower_neighbours(&mut draft, Resource::Network, why);
        }
    }
    scale_out(&mut draft, diagnosis, inventory.outlook.scale.as_ref());
    let (rungs, left_out) = draft.finish();
    let none_because = rungs.is_empty().then(|| match left_out.as_slice() {
        [] => format!("nothing is known that could give {} more {resource}", cause.service),
        reasons => reasons.join("; "),
    });
    Plan { rungs, left_out, none_because }
}

/// A quota that throttles is the cause itself. Without throttling somebody else takes the processors, and
/// those who do best-effort work give them back first.
fn cpu(draft: &mut Draft<'_>, cause: &RootCause) {
    let throttled = cause.metrics.iter().find(|m| m.name.contains("throttled"));
    let steps = draft.config.cpu_steps.clone();
    let weights = draft.config.weight_steps.clone();
    let why = match throttled {
        Some(m) => format!(
            "{} is {:.2}, normally {:.2}: its own quota holds it back",
            m.name, m.observed, m.normal
        ),
        None => "it is short of processor time, and its quota is what it can be given".into(),
    };
    let neighbours = |draft: &mut Draft<'_>| {
        lower_neighbours(
            draft,
            Resource::Cpu,
            "best-effort work on the same node competes for processors",
        );
        lower_shared(draft);
        freeze_neighbours(draft);
    };
    if throttled.is_none() {
        neighbours(draft);
    }
    // Where kubelet or the engine sets the quota it is theirs to change: they would undo what others set.
    resize(draft, ActionKind::Cpu, &steps, &why);
    raise(draft, ActionKind::Cpu, Knob::CpuQuota, &steps, &why);
    if throttled.is_none() {
        raise(
            draft,
            ActionKind::Cpu,
            Knob::CpuWeight,
            &weights,
            "a larger share where processors are contended",
        );
    } else {
        neighbours(draft);
    }
}

fn memory(draft: &mut Draft<'_>) {
    let steps = draft.config.memory_steps.clone();
    resize(draft, ActionKind::Memory, &steps, "it is at its memory limit");
    // The softer limit first: it is what makes the kernel reclaim.
    raise(
        draft,
        ActionKind::Memory,
        Knob::MemoryHigh,
        &steps,
        "the kernel reclaims beyond this limit",
    );
    raise(draft, ActionKind::Memory, Knob::MemoryMax, &steps, "it is at its memory limit");
    freeze_neighbours(draft);
}

fn disk(draft: &mut Draft<'_>) {
    let steps = draft.config.weight_steps.clone();
    lower_neighbours(
        draft,
        Resource::Disk,
        "best-effort work on the same node competes for the disk",
    );
    raise(
        draft,
        ActionKind::Disk,
        Knob::IoWeight,
        &steps,
        "a larger share where the disk is contended",
    );
    freeze_neighbours(draft);
}

fn scale_out(
    draft: &mut Draft<'_>,
    diagnosis: &Diagnosis,
    scale: Option<&Result<Outside, String>>,
) {
    let service = draft.service.to_string();
    if draft.config.mode_of(ActionKind::ScaleOut) == ActMode::Observe {
        return;
    }
    if !draft.config.may_scale_out(&service) {
        draft.leave_out(format!("scale_out: {service} is not in act.scale_out_services"));
        return;
    }
    let entry = diagnosis.qos.as_ref().map_or("the entry", |q| q.service.as_str());
    let why = format!("what its nodes can give was not enough for {entry}");
    match scale {
        Some(Ok(change)) => {
            let what = change.edits.iter().map(|e| {
                format!(
                    "one more replica of {service}: {} {} from {} to {}",
                    change.object, e.at, e.from, e.to
                )
            });
            let what = what.collect::<Vec<_>>().join(", ");
            draft.push_outside(ActionKind::ScaleOut, vec![change.clone()], what, why);
        }
        Some(Err(cannot)) => draft.leave_out(format!("scale_out: {cannot}")),
        None if draft.config.scale_out_command.is_empty() => draft.leave_out(format!(
            "scale_out: there is neither an [[act.workloads]] for {service} nor an \
             act.scale_out_command"
        )),
        None => {
            let what = format!("one more replica of {service}");
            draft.push(ActionKind::ScaleOut, Vec::new(), what, why);
        }
    }
}
