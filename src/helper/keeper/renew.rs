//! Fixes stay in force, as they are or with another value.

use std::time::Duration;

use super::super::check::{check_change, check_lease};
use super::super::clock::Now;
use super::super::lease::unknown;
use super::super::place::Found;
use super::answer::Keeper;
use super::apply::journal_refusal;
use crate::data::{FixId, Value};
use crate::wire::{Code, LeaseView, Refusal};

impl Keeper {
    pub(super) fn renew(
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
}
