//! What the keeper is, and what it says to each request.

use super::super::asker::Asker;
use super::super::clock::Now;
use super::super::host::Host;
use super::super::inspect::inspect;
use super::super::journal::Journal;
use super::super::lease::{Leases, unknown};
use super::super::policy::Policy;
use crate::data::FixId;
use crate::wire::{Answer, Ending, LeaseView, Listing, Pong, Refusal, Request, Which};

/// Everything that decides and acts.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(super) policy: Policy,
    pub(super) host: Host,
    pub(super) journal: Journal,
    pub(super) leases: Leases,
    pub(super) is_stopping: bool,
    /// Groups of ours that nobody needs could not be removed; said once.
    pub(super) is_littered: bool,
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

    pub(super) fn view(&self, id: &FixId, now: Now) -> Result<LeaseView, Refusal> {
        self.leases.held.get(id).map(|lease| lease.view(now)).ok_or_else(|| unknown(id))
    }
}
