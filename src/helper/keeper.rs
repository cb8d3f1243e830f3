//! Keeps fixes: applies, renews, reverts, and lets nothing stay changed without a lease.
//!
//! The order is always: journal, then kernel; kernel back, then journal. Time is an argument.

use std::time::Duration;

use super::asker::Asker;
use super::check::{CheckedFix, check, check_change, check_lease, refuse};
use super::clock::Now;
use super::error::Error;
use super::host::Host;
use super::inspect::inspect;
use super::journal::{Journal, Record};
use super::knob::Fault;
use super::lease::{Lease, Leases, unknown};
use super::place::Found;
use super::policy::Policy;
use super::undo::{Holds, Left, look, put_back};
use crate::data::{Fix, FixId, Knob, Value};
use crate::wire::{
    Answer, Code, EndedView, Ending, LeaseView, Listing, Pong, Refusal, Request, Which,
};

/// Everything that decides and acts.
#[derive(Debug)]
pub(crate) struct Keeper {
    policy: Policy,
    host: Host,
    journal: Journal,
    leases: Leases,
    is_stopping: bool,
    /// Groups of ours that nobody needs could not be removed; said once.
    is_littered: bool,
}

impl Keeper {
    /// A keeper with nothing in force yet. Call [`recover`](Self::recover) before anything else.
    pub(crate) fn new(policy: Policy, host: Host, journal: Journal) -> Self {
        Self {
            policy,
            host,
            journal,
            leases: Leases::default(),
            is_stopping: false,
            is_littered: false,
        }
    }

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

    /// Fixes that are in force, or over and not undone yet.
    pub(crate) fn held(&self) -> usize {
        self.leases.held.len()
    }

    /// Answers one request.
    pub(crate) fn answer(&mut self, request: Request, asker: &Asker, now: Now) -> Answer {
        let answer = match request {
            Request::Apply(fix) => self.apply(fix, asker, now).map(Answer::Lease),
            Request::Renew { fix, lease, value } => {
                self.renew(&fix, lease, value.as_ref(), now).map(Answer::Lease)
            }
            Request::Revert(Which::Fix(fix)) => {
                self.revert(&fix, now).map(|ended| Answer::Ended(vec![ended]))
            }
            Request::Revert(Which::All) => {
                self.revert_all(Ending::Reverted, now).map(Answer::Ended)
            }
            Request::List {} => Ok(Answer::List(self.list(now))),
            Request::Inspect { target } => {
                inspect(&self.policy, &self.host, &target).map(Answer::Inspected)
            }
            Request::Ping {} => Ok(Answer::Pong(self.pong())),
        };
        answer.unwrap_or_else(|refusal| {
            tracing::info!(%asker, code = refusal.code.name(), reason = refusal.reason, "refused");
            Answer::Refused(refusal)
        })
    }

    /// Everything in force, and what ended last.
    pub(crate) fn list(&self, now: Now) -> Listing {
        Listing {
            leases: self.leases.held.values().map(|lease| lease.view(now)).collect(),
            ended: self.leases.ended().cloned().collect(),
        }
    }

    fn pong(&self) -> Pong {
        let held = &self.leases.held;
        Pong {
            program: env!("CARGO_PKG_VERSION").into(),
            leases: held.len(),
            stuck: held.values().filter(|lease| lease.stuck.is_some()).count(),
        }
    }

    fn apply(&mut self, fix: Fix, asker: &Asker, now: Now) -> Result<LeaseView, Refusal> {
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
    fn write(&mut self, id: &FixId, new: &str, now: Now) -> Result<(), Refusal> {
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

    fn view(&self, id: &FixId, now: Now) -> Result<LeaseView, Refusal> {
        self.leases.held.get(id).map(|lease| lease.view(now)).ok_or_else(|| unknown(id))
    }

    fn forget(&self, id: &FixId) {
        if let Err(error) = self.journal.remove(id) {
            // The entry says what is there already; the next start finds nothing to do.
            tracing::warn!(%error, fix = %id, "cannot remove a journal entry");
        }
    }

    fn renew(
        &mut self,
        id: &FixId,
        lease: Duration,
        value: Option<&Value>,
        now: Now,
    ) -> Result<LeaseView, Refusal> {
        check_lease(&self.policy, lease)?;
        // Whatever has become of it is found out first.
        self.watch_one(id, now);
        let Some(held) = self.leases.held.get_mut(id) else {
            return Err(self.leases.ending_refusal(id));
        };
        if held.stuck.is_some() {
            let reason = format!("fix {id} is over, but could not be undone yet");
            return Err(Refusal::new(Code::LeaseEnded, reason, "ask for the list"));
        }
        held.until = now.since_boot + lease;
        match value {
            Some(value) => self.change(id, value, now)?,
            None => self.refresh(id),
        }
        self.view(id, now)
    }

    /// Sees to what has come to the target of a fix meanwhile. If that fails, the fix is as good as before.
    fn refresh(&self, id: &FixId) {
        let Some(lease) = self.leases.held.get(id) else { return };
        let done = match lease.record.place.open(&self.host) {
            Ok(Found::Here(open)) => open.refresh(),
            Ok(Found::Gone) => Ok(()),
            Err(fault) => Err(fault),
        };
        if let Err(error) = done {
            tracing::warn!(fix = %id, %error, "what has come to the target meanwhile is not covered");
        }
    }

    /// Another value for a fix in force. The journal knows both until the new one is read back.
    fn change(&mut self, id: &FixId, value: &Value, now: Now) -> Result<(), Refusal> {
        let lease = self.leases.held.get_mut(id).ok_or_else(|| unknown(id))?;
        let Ok(Found::Here(open)) = lease.record.place.open(&self.host) else {
            return Err(unknown(id));
        };
        let (place, old) = (&lease.record.place, &lease.record.old);
        let new = check_change(&self.policy, &self.host, place, &open, old, value)?;
        if lease.record.written == [new.clone()] {
            return Ok(());
        }
        let mut next = lease.record.clone();
        next.written.push(new.clone());
        next.settled = false;
        self.journal.put(&next).map_err(|e| journal_refusal(&e))?;
        lease.record = next;
        self.write(id, &new, now)?;
        tracing::info!(fix = %id, new, "changed");
        Ok(())
    }

    fn revert(&mut self, id: &FixId, now: Now) -> Result<EndedView, Refusal> {
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
    fn watch_one(&mut self, id: &FixId, now: Now) {
        let Some(lease) = self.leases.held.get(id) else { return };
        match look(&self.host, &lease.record) {
            Ok(Holds::Ours) => {}
            Ok(Holds::Not(_)) => self.end(id, Ending::Overridden, now),
            Err(error) => tracing::warn!(fix = %id, %error, "cannot look after a fix"),
        }
    }

    /// Puts the old value back if ours is still there, and then forgets the fix. If the kernel does not
    /// take it, the fix is stuck and is tried again.
    fn end(&mut self, id: &FixId, how: Ending, now: Now) {
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

fn journal_refusal(error: &std::io::Error) -> Refusal {
    let reason = format!("the old value could not be made safe: {error}");
    Refusal::new(Code::Journal, reason, "make room in state.dir")
}
