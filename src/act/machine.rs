//! One fix, from proposal to end, as a pure state machine.
//!
//! ```text
//! proposed ─▶ approved ─▶ applying ─▶ watching ─▶ holding ◀─▶ relaxing ─▶ reverting ─▶ done
//!     ▲                      │ refused    │ does not help                     │
//!     └──────── next rung ◀──┴────────────┴──────────── reverting ◀───────────┘ failed, reverted
//! ```

mod time;

pub(super) use time::is_stuck;

use std::time::Duration;

use super::config::Config;
use super::event::{Command, Means, Order, Word};
use super::ladder::whole;
use crate::data::{
    ActMode, ActionKind, Afterwards, AlertStatus, Change, EventTime, FixProblem, FixRecord,
    FixState, FixStep, Frame, Value,
};

/// Lines of history kept of one fix; those in the middle go.
const STEPS_MAX: usize = 64;
/// Attempts at one rung whose lease was lost, and at undoing what a command did.
const ATTEMPTS_MAX: usize = 3;
/// A fix that was needed when it was taken back is held this many times longer at most.
const PATIENCE_MAX: usize = 8;

/// A fix with what its next step depends on.
pub(super) struct Machine<'a> {
    pub(super) fix: &'a mut FixRecord,
    pub(super) config: &'a Config,
    /// The wall clock.
    pub(super) now: EventTime,
}

fn since(then: Option<EventTime>, now: EventTime) -> Duration {
    let ms = then.map_or(0, |then| now.0.saturating_sub(then.0));
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

impl Machine<'_> {
    /// Comes to a state, and says why.
    fn go(&mut self, state: FixState, what: impl Into<String>) {
        let fix = &mut *self.fix;
        (fix.state, fix.reason, fix.updated_at) = (state, what.into(), self.now);
        fix.steps.push(FixStep { at: self.now, state, what: fix.reason.clone() });
        if fix.steps.len() > STEPS_MAX {
            fix.steps.remove(STEPS_MAX / 2);
        }
    }

    /// Says why it stays where it is. That is no step: it may change with every interval.
    pub(super) fn wait(&mut self, why: String) {
        if self.fix.reason != why {
            (self.fix.reason, self.fix.updated_at) = (why, self.now);
        }
    }

    fn order(&self) -> Order {
        let FixRecord { id, diagnosis, service, resource, .. } = &*self.fix;
        let rung = self.fix.current();
        Order {
            fix: id.clone(),
            diagnosis: diagnosis.clone(),
            service: service.clone(),
            resource: *resource,
            rung: self.fix.rung,
            kind: rung.map_or(ActionKind::ScaleOut, |r| r.kind),
            changes: rung.map(|r| r.changes.clone()).unwrap_or_default(),
            outside: rung.map(|r| r.outside.clone()).unwrap_or_default(),
            note: format!("{service}: diagnosis {diagnosis}").chars().take(200).collect(),
        }
    }

    fn is_outside(&self) -> bool {
        self.order().means() == Means::Outside
    }

    /// The helpers are asked. Everything that must hold for that has been found to hold.
    pub(super) fn begin(&mut self) -> Command {
        let what = self.fix.current().map(|r| r.what.clone()).unwrap_or_default();
        self.fix.was_applied = true;
        (self.fix.watch.normal, self.fix.watch.violating) = (0, 0);
        self.go(FixState::Applying, format!("asking for {what}"));
        Command::Apply(self.order())
    }

    /// Somebody approves.
    pub(super) fn approve(&mut self) -> Result<(), FixProblem> {
        let conflict = |why: String| Err(FixProblem::Conflict(why));
        let state = self.fix.state;
        if state != FixState::Proposed {
            return conflict(format!("it is {state}; only what is proposed can be approved"));
        }
        let mode = self.fix.current().map(|r| self.config.mode_of(r.kind));
        if !matches!(mode, Some(ActMode::Approve | ActMode::Auto)) {
            return conflict("act.mode lets it be suggested only".into());
        }
        self.go(FixState::Approved, "approved");
        Ok(())
    }

    /// Somebody wants it gone, or not to happen.
    pub(super) fn unwanted(&mut self, why: &str) -> Result<Option<Command>, FixProblem> {
        match self.fix.state {
            state if state.is_over() => Err(FixProblem::Conflict(format!("it is {state} already"))),
            FixState::Proposed | FixState::Approved => {
                self.go(FixState::Reverted, format!("{why}; nothing is changed"));
                Ok(None)
            }
            FixState::Applying => {
                self.fix.watch.is_unwanted = true;
                self.wait(format!("{why}; it is taken back once the helpers have answered"));
                Ok(None)
            }
            FixState::Reverting => {
                self.fix.watch.afterwards = Some(Afterwards::End(FixState::Reverted));
                self.wait(why.into());
                Ok(None)
            }
            _ => Ok(Some(self.take_back(Afterwards::End(FixState::Reverted), why))),
        }
    }

    /// Old values are to come back.
    fn take_back(&mut self, afterwards: Afterwards, why: impl Into<String>) -> Command {
        if afterwards != Afterwards::Again {
            self.fix.watch.attempts = 0;
        }
        self.fix.watch.afterwards = Some(afterwards);
        self.go(FixState::Reverting, why);
        Command::Revert(self.order())
    }

    /// A command has ended.
    pub(super) fn word(&mut self, word: Word) -> Option<Command> {
        let state = self.fix.state;
        match (state, word) {
            (FixState::Applying, Word::InForce) if self.fix.watch.is_unwanted => {
                Some(self.take_back(Afterwards::End(FixState::Reverted), "reverted on request"))
            }
            (FixState::Applying, Word::InForce) => {
                let watch = &mut self.fix.watch;
                (watch.applied_at, watch.renewed_at) = (Some(self.now), Some(self.now));
                (watch.normal, watch.violating, watch.looked_at) = (0, 0, None);
                watch.needed = self.config.normal_intervals;
                let what = self.fix.current().map(|r| r.what.clone()).unwrap_or_default();
                self.go(FixState::Watching, format!("in force: {what}"));
                None
            }
            (FixState::Applying, Word::Refused(why) | Word::Unheard(why)) => {
                let then = if self.fix.watch.is_unwanted {
                    Afterwards::End(FixState::Reverted)
                } else {
                    Afterwards::NextRung
                };
                Some(self.take_back(then, why))
            }
            (FixState::Relaxing, Word::Refused(why)) => {
                let why = format!("there is no half way ({why}); it is taken back whole");
                Some(self.take_back(Afterwards::End(FixState::Done), why))
            }
            (FixState::Reverting, Word::Reverted(note)) => {
                if !note.is_empty() {
                    self.fix.reason = format!("{}; {note}", self.fix.reason);
                }
                self.go_on();
                None
            }
            (FixState::Reverting, Word::NotReverted(why)) => {
                self.fix.watch.attempts += 1;
                self.wait(format!("not undone yet: {why}"));
                None
            }
            (FixState::Applying, Word::Lost { .. }) if self.fix.watch.is_unwanted => {
                Some(self.take_back(Afterwards::End(FixState::Reverted), "reverted on request"))
            }
            (FixState::Applying, Word::Lost { why, .. }) if self.is_outside() => {
                // Only a sidecar that is back asks that. It may have ended before it had written anything:
                // then it is nobody else who set the old value.
                Some(self.lost(false, &format!("the sidecar ended while it was asking ({why})")))
            }
            (_, Word::Lost { is_foreign, why }) if state.is_in_flight() => {
                (state != FixState::Reverting).then(|| self.lost(is_foreign, &why))
            }
            (_, Word::InForce) if state.is_in_force() => {
                self.fix.watch.renewed_at = Some(self.now);
                None
            }
            _ => None,
        }
    }

    /// A lease is over. Where the old value is back, the same may be tried again; somebody else's value is
    /// let alone.
    fn lost(&mut self, is_foreign: bool, why: &str) -> Command {
        if is_foreign {
            return self.take_back(Afterwards::End(FixState::Failed), format!("let go: {why}"));
        }
        self.fix.watch.attempts += 1;
        if self.fix.watch.attempts > ATTEMPTS_MAX {
            let why = format!("the lease was lost {} times: {why}", ATTEMPTS_MAX + 1);
            return self.take_back(Afterwards::End(FixState::Failed), why);
        }
        self.take_back(Afterwards::Again, format!("the lease was lost: {why}"))
    }

    /// Old values are back: what now?
    fn go_on(&mut self) {
        let reason = self.fix.reason.clone();
        let watch = &mut self.fix.watch;
        (watch.is_unwanted, watch.applied_at, watch.renewed_at) = (false, None, None);
        let resolved = self.fix.alert == AlertStatus::Resolved;
        match self.fix.watch.afterwards.take() {
            Some(Afterwards::End(state)) => self.go(state, reason),
            _ if resolved => {
                self.go(FixState::Reverted, format!("{reason}; the alert has resolved meanwhile"));
            }
            Some(Afterwards::Again) => {
                self.go(FixState::Proposed, format!("{reason}; the same may be tried again"));
            }
            Some(Afterwards::NextRung) | None => self.next_rung(&reason),
        }
    }

    fn next_rung(&mut self, reason: &str) {
        self.fix.rung += 1;
        self.fix.watch.attempts = 0;
        match self.fix.current().map(|r| r.what.clone()) {
            Some(next) => self.go(FixState::Proposed, format!("{reason}; next: {next}")),
            None => {
                self.fix.rung = self.fix.rungs.len().saturating_sub(1);
                let tried = self.fix.rungs.len();
                let why = format!("{reason}; given up: that was the last of {tried} rungs");
                self.go(FixState::Failed, why);
            }
        }
    }

    /// The alert has ended.
    pub(super) fn resolved(&mut self) {
        self.fix.alert = AlertStatus::Resolved;
        self.fix.updated_at = self.now;
        if matches!(self.fix.state, FixState::Proposed | FixState::Approved) {
            let state = if self.fix.was_applied { FixState::Reverted } else { FixState::Done };
            self.go(state, "the alert has resolved; nothing is changed any more");
        }
    }

    /// An interval has closed. Frames and diagnoses come on ways of their own, so it may be one from before
    /// the violation.
    pub(super) fn frame(&mut self, frame: &Frame) -> Option<Command> {
        if self.fix.watch.horizon.is_some_and(|horizon| frame.interval.end <= horizon) {
            return None;
        }
        let is_violated = self.fix.qos.as_ref().and_then(|q| q.is_violated(frame))?;
        let watch = &mut self.fix.watch;
        (watch.horizon, watch.looked_at) = (Some(frame.interval.end), Some(self.now));
        (watch.normal, watch.violating) =
            if is_violated { (0, watch.violating + 1) } else { (watch.normal + 1, 0) };
        let (normal, violating) = (watch.normal, watch.violating);
        let resolved = self.fix.alert == AlertStatus::Resolved;
        match self.fix.state {
            FixState::Proposed | FixState::Approved if normal >= self.config.normal_intervals => {
                self.go(
                    FixState::Done,
                    format!("the target is met for {normal} intervals without it"),
                );
                None
            }
            FixState::Watching if !is_violated => {
                self.go(FixState::Holding, "the target is met again");
                None
            }
            // The interval under way when it was applied is not held against it.
            FixState::Watching | FixState::Holding if violating > self.config.recover_within => {
                let why = format!("the target is missed for {violating} intervals with it");
                Some(self.take_back(Afterwards::NextRung, why))
            }
            FixState::Holding if resolved && normal >= self.fix.watch.needed => Some(self.relax()),
            FixState::Relaxing if is_violated => {
                let watch = &mut self.fix.watch;
                let most = self.config.normal_intervals * PATIENCE_MAX;
                watch.needed = (watch.needed * 2).min(most);
                self.go(FixState::Holding, "half of it is not enough yet; it is whole again");
                Some(Command::Set(self.order()))
            }
            FixState::Relaxing => {
                let why = "the target is met with half of it, and the alert has resolved";
                Some(self.take_back(Afterwards::End(FixState::Done), why))
            }
            _ => None,
        }
    }

    /// The first step back: half the way, where there is one.
    fn relax(&mut self) -> Command {
        let normal = self.fix.watch.normal;
        let why = format!("the alert has resolved and the target is met for {normal} intervals");
        let order = self.order();
        let halves: Option<Vec<Change>> = order.changes.iter().map(half_way).collect();
        match halves.filter(|changes| !changes.is_empty()) {
            Some(changes) => {
                self.go(FixState::Relaxing, format!("{why}; half of it is taken back"));
                Command::Set(Order { changes, ..order })
            }
            None => self.take_back(Afterwards::End(FixState::Done), why),
        }
    }
}

/// The same change, half as far; none where there is no half.
fn half_way(change: &Change) -> Option<Change> {
    match (&change.from, &change.to) {
        (Some(Value::Amount(from)), Value::Amount(to)) => {
            let middle = f64::midpoint(*from, *to);
            let is_small = *from < 100.0 && *to < 100.0;
            let middle = if change.knob.is_of_group() {
                whole(change.knob, middle)
            } else if is_small {
                (middle * 100.0).round() / 100.0
            } else {
                middle.round()
            };
            let differs = middle != *from && middle != *to;
            differs.then(|| Change { to: Value::Amount(middle), ..change.clone() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{FixId, Knob, Target};

    #[test]
    fn half_way_is_something_that_the_knob_can_be_set_to() {
        let half = |knob: Knob, from: f64, to: f64| {
            let change = Change {
                id: FixId::new("f").unwrap(),
                node: "n1".into(),
                target: Target::Unit("batch.service".into()),
                knob,
                device: None,
                from: Some(Value::Amount(from)),
                to: Value::Amount(to),
            };
            half_way(&change).map(|change| change.to)
        };
        for (knob, from, to, expected) in [
            (Knob::CpuQuota, 1.5, 2.25, Some(1.88)),
            (Knob::LlcWays, 11.0, 6.0, Some(9.0)),
            (Knob::LlcWays, 3.0, 2.0, None),
            (Knob::MemoryBandwidth, 100.0, 30.0, Some(70.0)),
            (Knob::MemoryBandwidth, 40.0, 30.0, None),
        ] {
            assert_eq!(half(knob, from, to), expected.map(Value::Amount), "{knob}");
        }
    }
}
