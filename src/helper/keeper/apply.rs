//! Fixes come into force: checked, in the journal, written, read back.

use super::super::asker::Asker;
use super::super::check::{CheckedFix, check, refuse};
use super::super::clock::Now;
use super::super::journal::Record;
use super::super::knob::Fault;
use super::super::lease::{Lease, unknown};
use super::super::place::Found;
use super::answer::Keeper;
use crate::data::{Fix, FixId, Knob};
use crate::wire::{Code, Ending, LeaseView, Refusal};

impl Keeper {
    pub(super) fn apply(
        &mut self,
        fix: Fix,
        asker: &Asker,
        now: Now,
    ) -> Result<LeaseView, Refusal> {
        if self.is_stopping {
            let cure = "wait until it is back";
            return Err(Refusal::new(Code::Stopping, "the helper is about to end", cure));
        }
        if let Some(lease) = self.leases.held.get(&fix.id) {
            return self.apply_again(&fix, lease.record.place.knob, now);
        }
        let checked = check(&self.policy, &self.host, fix)?;
        self.leases.check_room(checked.place(), &self.policy.limits)?;
        self.enforce(&checked, asker, now)
    }

    /// The asker did not hear our answer and asks again: that renews. Another fix of the same name is a
    /// mistake.
    fn apply_again(&mut self, fix: &Fix, knob: Knob, now: Now) -> Result<LeaseView, Refusal> {
        let conflict = || {
            let reason = format!("fix {} is in force with another knob, device or value", fix.id);
            Refusal::new(Code::IdConflict, reason, "give every fix a name of its own")
        };
        let lease = self.leases.held.get(&fix.id).ok_or_else(conflict)?;
        let place = &lease.record.place;
        let is_found = fix.seeks_interface() && place.replica.is_some();
        if knob != fix.knob || (place.device != fix.device && !is_found) {
            return Err(conflict());
        }
        let Ok(Found::Here(open)) = place.open(&self.host) else { return Err(conflict()) };
        match open.interface().encode(open.spot(), &fix.value) {
            Ok(text) if text == lease.record.now() => self.renew(&fix.id, fix.lease, None, now),
            _ => Err(conflict()),
        }
    }

    /// Journal, look once more, write, read back.
    fn enforce(&mut self, fix: &CheckedFix, asker: &Asker, now: Now) -> Result<LeaseView, Refusal> {
        let place = fix.place().clone();
        let mut record =
            Record::new(fix.id().clone(), place, fix.old().into(), fix.new_value().into());
        record.boot.clone_from(&self.host.boot);
        record.since = now.wall;
        (record.uid, record.peer) = (asker.uid(), asker.peer());
        record.note = fix.note().into();
        self.journal.put(&record).map_err(|e| journal_refusal(&e))?;
        match fix.open().read() {
            Ok(text) if text == fix.old() => {}
            // Somebody was quicker; nothing was written.
            Ok(text) => {
                self.forget(fix.id());
                let reason = format!("it changed from {:?} to {text:?} meanwhile", fix.old());
                return Err(Refusal::new(Code::Kernel, reason, "ask again"));
            }
            Err(fault) => {
                self.forget(fix.id());
                return Err(refuse(fault));
            }
        }
        let until = now.since_boot + fix.lease();
        let (id, new) = (fix.id().clone(), fix.new_value().to_string());
        self.leases.held.insert(id.clone(), Lease { record, until, stuck: None });
        self.write(&id, &new, now)?;
        let view = self.view(&id, now)?;
        tracing::info!(
            fix = %id, place = view.place, knob = %view.knob, old = view.old, new = view.now, %asker,
            lease = ?fix.lease(), "applied"
        );
        Ok(view)
    }

    /// Writes a value that the journal knows of. If that fails, the fix ends here.
    pub(super) fn write(&mut self, id: &FixId, new: &str, now: Now) -> Result<(), Refusal> {
        let lease = self.leases.held.get_mut(id).ok_or_else(|| unknown(id))?;
        let done = match lease.record.place.open(&self.host) {
            Ok(Found::Here(open)) => open.write(new).and_then(|()| open.read()).map(|text| {
                let is_close = open.are_close(&text, new);
                (text, is_close)
            }),
            Ok(Found::Gone) => Err(Fault::Absent(lease.record.place.shown())),
            Err(fault) => Err(fault),
        };
        let refusal = match done {
            Ok((text, true)) => {
                let is_exact = text == new && lease.record.written.len() == 1;
                lease.record.written = vec![text];
                lease.record.settled = true;
                if is_exact {
                    // What the journal says is what is there.
                    return Ok(());
                }
                match self.journal.put(&lease.record) {
                    Ok(()) => return Ok(()),
                    Err(e) => journal_refusal(&e),
                }
            }
            Ok((text, false)) => Refusal::new(
                Code::Kernel,
                format!("{new:?} was written, but it is {text:?}"),
                "the kernel clamps it, or somebody else holds this knob",
            ),
            Err(fault) => refuse(fault),
        };
        self.end(id, Ending::Reverted, now);
        Err(refusal)
    }

    fn forget(&self, id: &FixId) {
        if let Err(error) = self.journal.remove(id) {
            // The entry says what is there already; the next start finds nothing to do.
            tracing::warn!(%error, fix = %id, "cannot remove a journal entry");
        }
    }
}

pub(super) fn journal_refusal(error: &std::io::Error) -> Refusal {
    let reason = format!("the old value could not be made safe: {error}");
    Refusal::new(Code::Journal, reason, "make room in state.dir")
}
