//! Who usually answers a call: what the caller's half says, joined with what came of earlier calls.
//!
//! A caller that gives up leaves its half alone, because the callee never ends its own. These calls are the
//! violation itself, and they are told apart by nothing but their caller's half.

use super::names::Id;
use super::rpcs::Key;
use super::traces::Waiting;
use crate::hash::HashMap;

/// Operations of a caller that are told apart for one kind of call.
const CALLER_OPS_MAX: usize = 16;
/// Calls in a row that one service must have answered: a name that many share answers for nobody.
const STEADY: u8 = 8;

#[derive(Clone, Copy, Debug)]
struct Answerer {
    caller_op: Id,
    callee: Id,
    /// The operation that answered last.
    op: Id,
    /// Calls in a row that this callee answered.
    steady: u8,
}

/// Who usually answers, by the caller, its name for the call and the peer it names.
#[derive(Debug)]
pub(super) struct Answerers {
    known: HashMap<(Id, Id, Id), Vec<Answerer>>,
    max: usize,
}

impl Answerers {
    /// Nothing is known yet. Of more than `max` kinds of calls all is learnt anew.
    pub(super) fn new(max: usize) -> Self {
        Self { known: HashMap::default(), max }
    }

    /// Notes that the call `client` became `key`.
    pub(super) fn learn(&mut self, client: &Waiting, key: &Key) {
        let call = (client.service, client.op, client.peer);
        if self.known.len() >= self.max && !self.known.contains_key(&call) {
            self.known.clear();
        }
        let known = self.known.entry(call).or_default();
        let Key { caller_op, callee, op, .. } = *key;
        match known.iter_mut().find(|a| a.caller_op == caller_op) {
            Some(a) if a.callee == callee => (a.op, a.steady) = (op, a.steady.saturating_add(1)),
            Some(a) => *a = Answerer { caller_op, callee, op, steady: 1 },
            None => {
                if known.len() >= CALLER_OPS_MAX {
                    known.remove(0);
                }
                known.push(Answerer { caller_op, callee, op, steady: 1 });
            }
        }
    }

    /// Whom `client` called, when there is no doubt; without `caller_op` whatever it may have served.
    pub(super) fn of(&self, client: &Waiting, caller_op: Option<Id>) -> Option<Key> {
        let known = self.known.get(&(client.service, client.op, client.peer))?;
        let mut fitting = known.iter().filter(|a| caller_op.is_none_or(|op| a.caller_op == op));
        let first = fitting.next()?;
        let mut usual = first;
        for other in fitting {
            if other.callee != first.callee {
                return None;
            }
            usual = if other.steady > usual.steady { other } else { usual };
        }
        let Answerer { caller_op, callee, op, steady } = *usual;
        (steady >= STEADY).then_some(Key { caller: client.service, caller_op, callee, op })
    }

    /// Every name that is remembered.
    pub(super) fn names(&self) -> impl Iterator<Item = Id> {
        self.known.iter().flat_map(|((service, op, peer), known)| {
            let answers = known.iter().flat_map(|a| [a.caller_op, a.callee, a.op]);
            [*service, *op, *peer].into_iter().chain(answers)
        })
    }
}
