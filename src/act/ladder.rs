//! Rungs of a ladder, from what helpers see of a node. Pure.

use super::config::{BestEffort, Config};
use super::inventory::{Inventory, Place};
use crate::data::{
    ActMode, ActionKind, Change, FixId, Knob, Outside, Resource, Rung, Target, Value,
};
use crate::wire::{Inspection, KnobView};

/// A step that changes less than this is none.
const LEAST_STEP: f64 = 1.02;
/// Share of the memory a node has left that one fix may take.
const MEMORY_SHARE: f64 = 0.5;

/// A ladder under construction.
pub(super) struct Draft<'a> {
    pub(super) config: &'a Config,
    pub(super) service: &'a str,
    id: &'a str,
    inventory: &'a Inventory,
    rungs: Vec<Rung>,
    left_out: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        id: &'a str,
        service: &'a str,
        config: &'a Config,
        inventory: &'a Inventory,
    ) -> Self {
        Self { config, service, id, inventory, rungs: Vec::new(), left_out: Vec::new() }
    }

    pub(super) fn leave_out(&mut self, why: String) {
        if !self.left_out.contains(&why) {
            self.left_out.push(why);
        }
    }

    pub(super) fn push(
        &mut self,
        kind: ActionKind,
        changes: Vec<Change>,
        what: String,
        why: String,
    ) {
        self.push_rung(kind, (changes, Vec::new()), what, why);
    }

    /// A rung that no helper of a node carries out.
    pub(super) fn push_outside(
        &mut self,
        kind: ActionKind,
        outside: Vec<Outside>,
        what: String,
        why: String,
    ) {
        self.push_rung(kind, (Vec::new(), outside), what, why);
    }

    fn push_rung(
        &mut self,
        kind: ActionKind,
        (changes, outside): (Vec<Change>, Vec<Outside>),
        what: String,
        why: String,
    ) {
        let mode = self.config.mode_of(kind);
        self.rungs.push(Rung { kind, mode, changes, outside, what, why });
    }

    pub(super) fn finish(self) -> (Vec<Rung>, Vec<String>) {
        (self.rungs, self.left_out)
    }

    /// Puts a rung on the ladder unless nothing would change or its kind is not wanted.
    fn add(&mut self, kind: ActionKind, changes: Vec<Change>, why: &str) {
        let most = self.config.changes_max;
        if changes.is_empty() || self.config.mode_of(kind) == ActMode::Observe {
            return;
        }
        if changes.len() > most {
            self.leave_out(format!("{} more changes than act.changes_max", changes.len() - most));
        }
        let changes: Vec<Change> = changes.into_iter().take(most).collect();
        let is_same = |r: &Rung| {
            let goals = |c: &[Change]| -> Vec<_> {
                c.iter().map(|c| (c.node.clone(), c.target.clone(), c.knob, c.to.clone())).collect()
            };
            goals(&r.changes) == goals(&changes)
        };
        if self.rungs.iter().any(is_same) {
            return;
        }
        let what: Vec<String> = changes.iter().map(words).collect();
        self.push(kind, changes, what.join(", "), why.into());
    }

    fn change(
        &self,
        at: usize,
        (node, target): (&str, &Target),
        (knob, device): (Knob, Option<&str>),
        from: Option<Value>,
        to: Value,
    ) -> Option<Change> {
        let id = FixId::new(format!("{}-{}-{at}", self.id, self.rungs.len())).ok()?;
        let device = device.map(Into::into);
        Some(Change { id, node: node.into(), target: target.clone(), knob, device, from, to })
    }
}

/// A change in words.
pub(super) fn words(change: &Change) -> String {
    let from = change.from.as_ref().map(|v| format!(" from {v}")).unwrap_or_default();
    let device = change.device.as_ref().map(|d| format!(" of {d}")).unwrap_or_default();
    let Change { knob, target, node, to, .. } = change;
    format!("{knob}{device} of {target} on {node}{from} to {to}")
}

fn view(seen: &Inspection, knob: Knob) -> Option<&KnobView> {
    seen.knobs.iter().find(|view| view.knob == knob)
}

/// How far up a knob may go on this node, whatever its factor.
fn ceiling(knob: Knob, now: f64, view: &KnobView, node: &Inspection) -> f64 {
    let physical = match knob {
        Knob::CpuQuota => node.node.get("cpus").copied(),
        Knob::MemoryMax | Knob::MemoryHigh => {
            node.node.get("memory_available_bytes").map(|left| now + left * MEMORY_SHARE)
        }
        _ => None,
    };
    view.max.unwrap_or(f64::INFINITY).min(physical.unwrap_or(f64::INFINITY))
}

/// Steps of memory bandwidth that every processor has, in percent.
const BANDWIDTH_STEP: f64 = 10.0;

/// What a knob can be set to, near `value`. Two digits of a core are 10 ms of a second; everything else comes in
/// whole units, memory bandwidth in coarse ones.
pub(super) fn whole(knob: Knob, value: f64) -> f64 {
    match knob {
        Knob::CpuQuota => (value * 100.0).round() / 100.0,
        Knob::MemoryBandwidth => (value / BANDWIDTH_STEP).ceil() * BANDWIDTH_STEP,
        _ => value.round(),
    }
}

/// Rungs that give the culprit more of something, one for each factor.
pub(super) fn raise(
    draft: &mut Draft<'_>,
    kind: ActionKind,
    knob: Knob,
    factors: &[f64],
    why: &str,
) {
    for factor in factors {
        let mut changes = Vec::new();
        for (place, seen) in &draft.inventory.replicas {
            match raised(knob, *factor, place, seen) {
                Ok((from, to)) => {
                    let to = Value::Amount(whole(knob, to));
                    let spot = (place.node.as_str(), &place.target);
                    let from = Some(Value::Amount(from));
                    changes.extend(draft.change(changes.len(), spot, (knob, None), from, to));
                }
                Err(why) => draft.leave_out(why),
            }
        }
        draft.add(kind, changes, why);
    }
}

fn raised(knob: Knob, factor: f64, place: &Place, seen: &Inspection) -> Result<(f64, f64), String> {
    let Place { name, node, .. } = place;
    let left_out = |why: &str| Err(format!("{knob} of {name} on {node}: {why}"));
    let Some(view) = view(seen, knob) else { return left_out("there is no such knob") };
    let Value::Amount(now) = view.value else {
        return left_out("it has no limit that could be raised");
    };
    if !view.allowed {
        return left_out("the helper's policy does not allow it");
    }
    let to = (now * factor).min(ceiling(knob, now, view, seen));
    if to < now * LEAST_STEP {
        return left_out("it is as far up as the policy and the node allow");
    }
    Ok((now, to))
}

/// Rungs that give the culprit's replicas more in place, through what runs them; one for each factor.
pub(super) fn resize(draft: &mut Draft<'_>, kind: ActionKind, factors: &[f64], why: &str) {
    let resizables = &draft.inventory.outlook.resizables;
    if resizables.is_empty() || draft.config.mode_of(kind) == ActMode::Observe {
        return;
    }
    let most = draft.config.changes_max;
    if resizables.len() > most {
        let more = resizables.len() - most;
        draft.leave_out(format!("{more} more changes than act.changes_max"));
    }
    for factor in factors {
        let (mut outside, mut whats) = (Vec::new(), Vec::new());
        for resizable in resizables.iter().take(most) {
            match resizable.grow(*factor) {
                Ok((change, what)) => {
                    outside.push(change);
                    whats.push(what);
                }
                Err(why) => draft.leave_out(why),
            }
        }
        let is_same = |rung: &Rung| rung.outside == outside;
        if !outside.is_empty() && !draft.rungs.iter().any(is_same) {
            draft.push_outside(kind, outside, whats.join(", "), why.into());
        }
    }
}

/// Rungs that take something from best-effort work on the culprit's nodes.
pub(super) fn lower_neighbours(draft: &mut Draft<'_>, resource: Resource, why: &str) {
    let factors = draft.config.weight_steps.clone();
    for factor in factors {
        let mut changes = Vec::new();
        for (work, seen) in &draft.inventory.neighbours {
            let lowered = match resource {
                Resource::Network => rate(work),
                Resource::Cpu => lowered(&[Knob::CpuQuota, Knob::CpuWeight], factor, seen),
                Resource::Disk => lowered(&[Knob::IoWeight], factor, seen),
                Resource::Memory => None,
            };
            let Some((knob, device, from, to)) = lowered else {
                draft.leave_out(format!(
                    "{} on {}: nothing of its {resource} can be lowered",
                    work.target, work.node
                ));
                continue;
            };
            let target = if work.interface.is_some() && knob == Knob::NetworkRate {
                &Target::Node
            } else {
                &work.target
            };
            let spot = (work.node.as_str(), target);
            changes.extend(draft.change(changes.len(), spot, (knob, device.as_deref()), from, to));
        }
        draft.add(ActionKind::Neighbour, changes, why);
    }
}

type Lowered = (Knob, Option<String>, Option<Value>, Value);

/// An interface belongs to the node; without one the helper finds that of the work.
fn rate(work: &BestEffort) -> Option<Lowered> {
    Some((Knob::NetworkRate, work.interface.clone(), None, Value::Amount(work.rate?)))
}

/// The first of `knobs` that may be lowered, by `factor` or as far as the policy allows.
fn lowered(knobs: &[Knob], factor: f64, seen: &Inspection) -> Option<Lowered> {
    knobs.iter().find_map(|knob| {
        let view = view(seen, *knob).filter(|view| view.allowed)?;
        let Value::Amount(now) = view.value else { return None };
        let to = whole(*knob, (now / factor).max(view.min.unwrap_or(0.0)));
        let (from, to_value) = (Some(Value::Amount(now)), Value::Amount(to));
        (to * LEAST_STEP < now).then_some((*knob, None, from, to_value))
    })
}

/// Rungs that take last-level cache and memory bandwidth from best-effort work on the culprit's nodes, where
/// processors can part them.
pub(super) fn lower_shared(draft: &mut Draft<'_>) {
    for factor in draft.config.weight_steps.clone() {
        let mut changes = Vec::new();
        for (work, seen) in &draft.inventory.neighbours {
            for knob in [Knob::LlcWays, Knob::MemoryBandwidth] {
                let Some((knob, device, from, to)) = lowered(&[knob], factor, seen) else {
                    continue;
                };
                let spot = (work.node.as_str(), &work.target);
                let knob = (knob, device.as_deref());
                changes.extend(draft.change(changes.len(), spot, knob, from, to));
            }
        }
        let why = "best-effort work on the same node takes cache and memory bandwidth, which all cores share";
        draft.add(ActionKind::Neighbour, changes, why);
    }
}

/// A rung that stops best-effort work on the culprit's nodes for a while.
pub(super) fn freeze_neighbours(draft: &mut Draft<'_>) {
    if !draft.config.freeze_neighbours {
        return;
    }
    let mut changes = Vec::new();
    for (work, seen) in &draft.inventory.neighbours {
        let view = view(seen, Knob::Freeze);
        if view.is_some_and(|v| v.allowed && v.value == Value::Flag(false)) {
            let (spot, from) = ((work.node.as_str(), &work.target), Some(Value::Flag(false)));
            let to = Value::Flag(true);
            changes.extend(draft.change(changes.len(), spot, (Knob::Freeze, None), from, to));
        }
    }
    draft.add(ActionKind::Neighbour, changes, "to slow it down was not enough");
}
