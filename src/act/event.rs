//! What the controller hears, and what it asks for.

use std::sync::Arc;

use crate::data::{ActionKind, Change, FixRecord, Frame, Outside, Resource};

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// A plan was made for a culprit.
    Planned(Box<FixRecord>),
    /// The alert of a diagnosis has ended.
    Resolved {
        /// Which diagnosis.
        diagnosis: String,
    },
    /// An interval has closed.
    Frame(Arc<Frame>),
    /// A command has come to an end.
    Told {
        /// Of which fix.
        fix: String,
        /// The rung it stood on when that was asked.
        rung: usize,
        /// How.
        word: Word,
    },
    /// Time has passed.
    Tick,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// All changes are in force, as ordered.
    InForce,
    /// At least one is not; those that were made may still be there.
    Refused(String),
    /// None is in force any more; what is worth knowing about that.
    Reverted(String),
    /// Some may still be.
    NotReverted(String),
    /// Nobody answered; the leases run on.
    Unheard(String),
    /// A lease is over without our asking.
    Lost {
        /// Whether somebody else set the knob, or all that was changed is gone.
        is_foreign: bool,
        /// In words.
        why: String,
    },
}

/// What is asked of helpers, or of the operator's command.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make these changes.
    Apply(Order),
    /// Keep them.
    Renew(Order),
    /// Set them to other values.
    Set(Order),
    /// Undo them.
    Revert(Order),
}

impl Command {
    /// Whose it is.
    pub fn order(&self) -> &Order {
        match self {
            Self::Apply(o) | Self::Renew(o) | Self::Set(o) | Self::Revert(o) => o,
        }
    }
}

impl Order {
    /// Who carries it out.
    pub fn means(&self) -> Means {
        match (self.outside.is_empty(), self.kind) {
            (false, _) => Means::Outside,
            (true, ActionKind::ScaleOut) => Means::Command,
            (true, _) => Means::Helpers,
        }
    }
}

/// Who carries a rung out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// Helpers of nodes, under leases.
    Helpers,
    /// What runs the containers. Nothing ends by itself, but it can be seen how things stand.
    Outside,
    /// The operator's command. Nothing ends by itself, and nothing can be seen.
    Command,
}

/// The object of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The fix it belongs to.
    pub fix: String,
    /// The diagnosis that belongs to.
    pub diagnosis: String,
    /// The culprit.
    pub service: String,
    /// Its resource.
    pub resource: Option<Resource>,
    /// Its rung.
    pub rung: usize,
    /// What kind of action.
    pub kind: ActionKind,
    /// What is changed by helpers of nodes.
    pub changes: Vec<Change>,
    /// What is changed by what runs the containers.
    pub outside: Vec<Outside>,
    /// For people who read the helper's list.
    pub note: String,
}
