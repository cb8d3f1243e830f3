//! Fixes in force, and how they ended. No kernel, no disk.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::clock::Now;
use super::journal::Record;
use super::place::Place;
use super::policy::Limits;
use crate::data::FixId;
use crate::wire::{Code, EndedView, Ending, LeaseState, LeaseView, Refusal};

/// Ended fixes remembered for those who ask.
const ENDED_MAX: usize = 64;
/// Longest wait between two tries to put an old value back.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// A fix in force.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) record: Record,
    /// When it ends unless renewed, since boot.
    pub(crate) until: Duration,
    /// Set once it is over but not undone.
    pub(crate) stuck: Option<Stuck>,
}

/// A fix that is over, whose old value the kernel does not take.
#[derive(Debug)]
pub(crate) struct Stuck {
    /// How it ended.
    how: Ending,
    trouble: String,
    tries: u32,
    /// When it is tried again, since boot.
    next: Duration,
}

impl Lease {
    /// Notes another failed try to undo it.
    pub(crate) fn stick(&mut self, how: Ending, trouble: String, now: Now) {
        let tries = self.stuck.as_ref().map_or(0, |s| s.tries) + 1;
        let wait = Duration::from_secs(1 << tries.min(6)).min(RETRY_MAX);
        self.stuck = Some(Stuck { how, trouble, tries, next: now.since_boot + wait });
    }

    /// How it should be ended now, if so.
    pub(crate) fn due(&self, now: Now) -> Option<Ending> {
        match &self.stuck {
            Some(stuck) => (now.since_boot >= stuck.next).then_some(stuck.how),
            None => (now.since_boot >= self.until).then_some(Ending::Expired),
        }
    }

    /// When something must be done about it next, since boot.
    pub(crate) fn next(&self) -> Duration {
        self.stuck.as_ref().map_or(self.until, |stuck| stuck.next)
    }

    /// For whoever asks.
    pub(crate) fn view(&self, now: Now) -> LeaseView {
        let record = &self.record;
        LeaseView {
            fix: record.fix.clone(),
            state: if self.stuck.is_some() { LeaseState::Stuck } else { LeaseState::Active },
            knob: record.place.knob,
            place: record.place.shown(),
            device: record.place.device.clone(),
            old: record.old.clone(),
            now: record.now().into(),
            left: self.until.saturating_sub(now.since_boot),
            since: record.since.to_string(),
            uid: record.uid,
            peer: record.peer.clone(),
            note: record.note.clone(),
            trouble: self.stuck.as_ref().map(|s| s.trouble.clone()),
        }
    }
}

impl Lease {
    /// Why somebody cannot have it undone now.
    pub(crate) fn refusal(&self, now: Now) -> Refusal {
        let LeaseView { knob, place, old, trouble, .. } = self.view(now);
        let trouble = trouble.unwrap_or_default();
        let reason = format!("{knob} of {place} cannot be set back to {old:?} yet: {trouble}");
        Refusal::new(Code::Kernel, reason, "it is tried again; by hand: see docs/helper.md")
    }
}

/// There is no such fix.
pub(crate) fn unknown(id: &FixId) -> Refusal {
    let cure = "ask for the list; a restart of the helper ends all fixes";
    Refusal::new(Code::UnknownFix, format!("there is no fix {id}"), cure)
}

/// All fixes in force, and the last that ended.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    pub(crate) held: BTreeMap<FixId, Lease>,
    ended: VecDeque<EndedView>,
}

impl Leases {
    /// Whether there is room for one more, at this place.
    ///
    /// # Errors
    /// A refusal.
    pub(crate) fn check_room(&self, place: &Place, limits: &Limits) -> Result<(), Refusal> {
        let wait = "wait until one has ended, or revert one";
        let places = || self.held.values().map(|lease| &lease.record.place);
        if let Some(other) = self.held.values().find(|l| l.record.place.is_same(place)) {
            let reason =
                format!("fix {} holds {} of {}", other.record.fix, place.knob, place.shown());
            return Err(Refusal::new(Code::Busy, reason, wait));
        }
        if self.held.len() >= limits.fixes_max {
            let reason = format!("{} fixes are in force, limits.fixes_max", limits.fixes_max);
            return Err(Refusal::new(Code::TooManyFixes, reason, wait));
        }
        let here = places().filter(|other| other.shares_target(place)).count();
        if here >= limits.fixes_per_target_max {
            let reason = format!(
                "{here} fixes are in force for {}, limits.fixes_per_target_max",
                place.path
            );
            return Err(Refusal::new(Code::TooManyOnTarget, reason, wait));
        }
        Ok(())
    }

    /// Whether another fix in force is in the same resource group.
    pub(crate) fn shares_group(&self, id: &FixId) -> bool {
        let Some(lease) = self.held.get(id) else { return false };
        let mut others = self.held.values().filter(|other| other.record.fix != *id);
        others.any(|other| other.record.place.shares_group(&lease.record.place))
    }

    /// Takes a fix out of force.
    pub(crate) fn end(&mut self, fix: &FixId, how: Ending, left_at: String, now: Now) {
        let Some(lease) = self.held.remove(fix) else { return };
        self.note_end(&lease.record, how, left_at, now);
    }

    /// Remembers how a fix ended.
    pub(crate) fn note_end(&mut self, record: &Record, how: Ending, left_at: String, now: Now) {
        let ended = EndedView {
            fix: record.fix.clone(),
            how,
            knob: record.place.knob,
            place: record.place.shown(),
            left_at,
            at: now.wall.to_string(),
        };
        self.ended.push_front(ended);
        self.ended.truncate(ENDED_MAX);
    }

    /// How a fix ended, if it is remembered.
    pub(crate) fn ending(&self, fix: &FixId) -> Option<&EndedView> {
        self.ended.iter().find(|ended| ended.fix == *fix)
    }

    /// Why a fix that is not in force cannot be renewed.
    pub(crate) fn ending_refusal(&self, id: &FixId) -> Refusal {
        match self.ending(id) {
            Some(ended) => {
                let reason = format!("fix {id} has ended ({:?}) at {}", ended.how, ended.at);
                Refusal::new(Code::LeaseEnded, reason, "diagnose again before the next fix")
            }
            None => unknown(id),
        }
    }

    /// Ended fixes, newest first.
    pub(crate) fn ended(&self) -> impl Iterator<Item = &EndedView> {
        self.ended.iter()
    }
}
