//! Fixes end: asked for, or all at once; what was there is put back.

use super::super::clock::Now;
use super::super::lease::unknown;
use super::super::undo::{Left, put_back};
use super::answer::Keeper;
use crate::data::FixId;
use crate::wire::{EndedView, Ending, Refusal};

impl Keeper {
    pub(super) fn revert(&mut self, id: &FixId, now: Now) -> Result<EndedView, Refusal> {
        if !self.leases.held.contains_key(id) {
            // Asked twice, or expired meanwhile: the asker gets what it wants.
            return self.leases.ending(id).cloned().ok_or_else(|| unknown(id));
        }
        self.end(id, Ending::Reverted, now);
        match self.leases.held.get(id) {
            Some(lease) => Err(lease.refusal(now)),
            None => self.leases.ending(id).cloned().ok_or_else(|| unknown(id)),
        }
    }

    /// Ends all fixes.
    ///
    /// # Errors
    /// The first that is stuck, after all were tried.
    pub(crate) fn revert_all(&mut self, how: Ending, now: Now) -> Result<Vec<EndedView>, Refusal> {
        let ids: Vec<_> = self.leases.held.keys().cloned().collect();
        for id in &ids {
            self.end(id, how, now);
        }
        match self.leases.held.values().next() {
            Some(lease) => Err(lease.refusal(now)),
            None => Ok(ids.iter().filter_map(|id| self.leases.ending(id).cloned()).collect()),
        }
    }

    /// From now on nothing is applied; everything in force ends.
    pub(crate) fn stop(&mut self, now: Now) -> Result<Vec<EndedView>, Refusal> {
        self.is_stopping = true;
        self.revert_all(Ending::Stopped, now)
    }

    /// Puts the old value back if ours is still there, and then forgets the fix. If the kernel does not
    /// take it, the fix is stuck and is tried again.
    pub(super) fn end(&mut self, id: &FixId, how: Ending, now: Now) {
        let is_shared = self.leases.shares_group(id);
        let Some(lease) = self.leases.held.get_mut(id) else { return };
        let undone = put_back(&self.host, &lease.record, is_shared).map_err(|e| e.to_string());
        let undone = undone.and_then(|left| {
            self.journal.remove(id).map_err(|e| format!("journal: {e}"))?;
            Ok(left)
        });
        let record = &lease.record;
        let (how, left_at) = match undone {
            // Only we put old values back; if one is there while the fix runs, somebody else did.
            Ok(Left::Old) => (how, record.old.clone()),
            Ok(Left::Foreign(text)) => (Ending::Overridden, text),
            Ok(Left::Gone) => (Ending::Gone, String::new()),
            Err(trouble) => {
                let place = record.place.shown();
                tracing::error!(fix = %id, place, old = record.old, trouble, "cannot be undone yet");
                lease.stick(how, trouble, now);
                return;
            }
        };
        tracing::info!(fix = %id, place = record.place.shown(), ?how, left_at, "ended");
        self.leases.end(id, how, left_at, now);
    }
}
