//! Looks after fixes while nobody asks: what an earlier helper left, what is over, what others changed.

use std::time::Duration;

use super::super::clock::Now;
use super::super::error::Error;
use super::super::lease::Lease;
use super::super::undo::{Holds, look};
use super::answer::Keeper;
use crate::data::{FixId, Knob};
use crate::wire::Ending;

impl Keeper {
    /// Puts back what an earlier helper left behind, and says of how many fixes. What the kernel does not
    /// take yet stays in force as stuck, and is tried again: see [`held`](Self::held).
    ///
    /// # Errors
    /// When an entry cannot be read; after all others have been undone.
    pub(crate) fn recover(&mut self, now: Now) -> Result<usize, Error> {
        let (records, unreadable) = self.journal.read()?;
        let count = records.len();
        for record in records {
            let fix = record.fix.clone();
            let lease = Lease { record, until: now.since_boot, stuck: None };
            self.leases.held.insert(fix.clone(), lease);
            self.end(&fix, Ending::Recovered, now);
        }
        self.sweep();
        match unreadable.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(count - self.held()),
        }
    }

    /// Ends what is over, and finds out what others changed. Returns when to come again, since boot.
    pub(crate) fn tick(&mut self, now: Now) -> Duration {
        let ids: Vec<_> = self.leases.held.keys().cloned().collect();
        for id in &ids {
            match self.leases.held.get(id).and_then(|lease| lease.due(now)) {
                Some(how) => self.end(id, how, now),
                None => self.watch_one(id, now),
            }
        }
        self.sweep();
        let watch = now.since_boot + self.policy.limits.watch;
        self.leases.held.values().map(Lease::next).min().map_or(watch, |next| next.min(watch))
    }

    /// Removes resource groups of ours that no fix needs: nobody but us gives names like that.
    fn sweep(&mut self) {
        if !self.policy.allows(Knob::is_of_group) {
            return;
        }
        let places = self.leases.held.values().map(|lease| &lease.record.place);
        let needed = places.filter(|place| place.knob.is_of_group()).map(|place| place.identity);
        match self.host.groups.sweep(needed) {
            Ok(0) => self.is_littered = false,
            Ok(count) => tracing::warn!(count, "removed resource groups that no fix needs"),
            Err(_) if self.is_littered => {}
            Err(error) => {
                self.is_littered = true;
                tracing::error!(%error, "resource groups that no fix needs cannot be removed yet");
            }
        }
    }

    /// Ends a fix that somebody else overrode, or whose place has gone.
    pub(super) fn watch_one(&mut self, id: &FixId, now: Now) {
        let Some(lease) = self.leases.held.get(id) else { return };
        match look(&self.host, &lease.record) {
            Ok(Holds::Ours) => {}
            Ok(Holds::Not(_)) => self.end(id, Ending::Overridden, now),
            Err(error) => tracing::warn!(fix = %id, %error, "cannot look after a fix"),
        }
    }
}
