//! What time alone does to a fix: leases are renewed, patience ends, undoing is tried again.

use std::time::Duration;

use super::super::event::{Command, Means};
use super::{ATTEMPTS_MAX, Machine, since};
use crate::data::{Afterwards, FixRecord, FixState};

/// Attempts at undoing what was changed outside of nodes before it counts as stuck: an API server may be
/// away for a while. With the default lease this is an hour.
const STUCK_FROM: usize = 180;
/// Time between two attempts from then on. It is never given up: nothing else takes it back.
const STUCK_PAUSE: Duration = Duration::from_secs(600);

/// Whether something cannot be taken back, and that for long: others need not wait for it.
pub(in super::super) fn is_stuck(fix: &FixRecord) -> bool {
    fix.state == FixState::Reverting && fix.watch.attempts >= STUCK_FROM
}

impl Machine<'_> {
    /// Time has passed. `is_asked`: a command of it has not ended yet.
    pub(in super::super) fn tick(&mut self, is_asked: bool) -> Option<Command> {
        match self.fix.state {
            FixState::Reverting => self.tick_reverting(is_asked),
            FixState::Applying if !is_asked => Some(self.take_up()),
            state if state.is_in_force() => self.tick_in_force(is_asked),
            _ => None,
        }
    }

    /// Nobody knows how far it came: the sidecar was away. Asking for renewal tells.
    fn take_up(&mut self) -> Command {
        if self.order().means() == Means::Command {
            let why = "the sidecar ended while the command ran; nobody knows what became of it";
            return self.take_back(Afterwards::End(FixState::Failed), why);
        }
        Command::Renew(self.order())
    }

    fn tick_in_force(&mut self, is_asked: bool) -> Option<Command> {
        let watch = self.fix.watch.clone();
        let order = self.order();
        let ended = Afterwards::End(FixState::Reverted);
        if since(watch.applied_at, self.now) > self.config.hold_max {
            let most = self.config.hold_max;
            let why =
                format!("in force for longer than act.hold_max ({most:?}): a person must look");
            return Some(self.take_back(ended, why));
        }
        if since(watch.looked_at.max(watch.applied_at), self.now) > self.config.blind_max {
            let most = self.config.blind_max;
            let why =
                format!("no interval with requests for {most:?}: nobody can tell whether it helps");
            return Some(self.take_back(ended, why));
        }
        let means = order.means();
        if means == Means::Command {
            return None;
        }
        if means == Means::Helpers && since(watch.renewed_at, self.now) > self.config.lease {
            let why = "no helper has answered for a whole lease, so it has ended";
            return Some(self.lost(false, why));
        }
        (!is_asked).then_some(Command::Renew(order))
    }

    fn tick_reverting(&mut self, is_asked: bool) -> Option<Command> {
        if is_asked {
            return None;
        }
        let order = self.order();
        let attempts = self.fix.watch.attempts;
        match order.means() {
            Means::Command if attempts >= ATTEMPTS_MAX => {
                let why = format!("{}; undo it by hand", self.fix.reason);
                self.go(FixState::Failed, why);
                None
            }
            Means::Outside if is_stuck(self.fix) && self.has_just_tried() => None,
            Means::Helpers if attempts > ATTEMPTS_MAX && self.is_lease_over() => {
                self.fix.reason.push_str("; its lease has ended by now, see `sage-helper list`");
                self.go_on();
                None
            }
            _ => {
                self.fix.watch.tried_at = Some(self.now);
                Some(Command::Revert(order))
            }
        }
    }

    fn has_just_tried(&self) -> bool {
        let tried_at = self.fix.watch.tried_at;
        tried_at.is_some() && since(tried_at, self.now) < STUCK_PAUSE
    }

    /// Nobody renews: a helper that cannot be reached undoes it by itself.
    fn is_lease_over(&self) -> bool {
        let asked_at = self.fix.watch.renewed_at.max(Some(self.fix.updated_at));
        since(asked_at, self.now) > self.config.lease
    }
}
