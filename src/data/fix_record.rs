//! What became of a diagnosis on the nodes: one record a culprit, as the journal and the API have it.
//! Field names are part of the outside contract.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::alert::AlertStatus;
use super::feature::Resource;
use super::fix::{FixId, Knob, Target, Value};
use super::outside::Outside;
use super::qos::QosTarget;
use super::time::EventTime;

/// What kind of action something is: each has a mode of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// More processor time for the culprit.
    Cpu,
    /// More memory for it.
    Memory,
    /// A larger share of disks for it.
    Disk,
    /// Less of a resource for best-effort work on the culprit's node.
    Neighbour,
    /// More replicas, by what runs them or by the operator's own command.
    ScaleOut,
}

impl ActionKind {
    /// All there are.
    pub const ALL: [Self; 5] =
        [Self::Cpu, Self::Memory, Self::Disk, Self::Neighbour, Self::ScaleOut];

    /// Its name in the configuration, the API and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Neighbour => "neighbour",
            Self::ScaleOut => "scale_out",
        }
    }
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much is done without asking.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum ActMode {
    /// Nothing, not even a plan.
    #[default]
    Observe,
    /// A plan is shown and never applied.
    Suggest,
    /// A plan waits until somebody approves.
    Approve,
    /// A plan is applied.
    Auto,
}

/// How far a fix has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FixState {
    /// Nothing can be done, and `reason` says why.
    Declined,
    /// Planned; `reason` says what it waits for.
    Proposed,
    /// Somebody approved it; `reason` says what it still waits for.
    Approved,
    /// The helpers are being asked.
    Applying,
    /// In force; does it help?
    Watching,
    /// It helped, and is kept.
    Holding,
    /// Half of it is taken back, to see whether the rest is still needed.
    Relaxing,
    /// Old values are being put back.
    Reverting,
    /// Over before it had come to its end, by somebody's wish or for want of a reason to go on.
    Reverted,
    /// Nothing helped, or it was taken from our hands.
    Failed,
    /// The target is met again without it.
    Done,
}

impl FixState {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::Declined,
        Self::Proposed,
        Self::Approved,
        Self::Applying,
        Self::Watching,
        Self::Holding,
        Self::Relaxing,
        Self::Reverting,
        Self::Reverted,
        Self::Failed,
        Self::Done,
    ];

    /// Its name in the API and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Declined => "declined",
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Applying => "applying",
            Self::Watching => "watching",
            Self::Holding => "holding",
            Self::Relaxing => "relaxing",
            Self::Reverting => "reverting",
            Self::Reverted => "reverted",
            Self::Failed => "failed",
            Self::Done => "done",
        }
    }

    /// Whether something may be changed on a node because of it.
    pub fn is_in_flight(self) -> bool {
        matches!(
            self,
            Self::Applying | Self::Watching | Self::Holding | Self::Relaxing | Self::Reverting
        )
    }

    /// Whether a lease is to be kept for it.
    pub fn is_in_force(self) -> bool {
        matches!(self, Self::Watching | Self::Holding | Self::Relaxing)
    }

    /// Whether nothing will come of it any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Declined | Self::Reverted | Self::Failed | Self::Done)
    }
}

impl fmt::Display for FixState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One knob of one place, and where it is to go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The helper's name for it.
    pub id: FixId,
    /// Whose helper is asked.
    pub node: String,
    /// Whom it is for.
    pub target: Target,
    /// What is changed.
    pub knob: Knob,
    /// Of several devices which one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What it was at when this was planned, where that can be seen.
    pub from: Option<Value>,
    /// What it is set to.
    pub to: Value,
}

/// One step of the ladder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// What kind of action.
    pub kind: ActionKind,
    /// How much is done without asking.
    pub mode: ActMode,
    /// What is changed by helpers of nodes.
    pub changes: Vec<Change>,
    /// What is changed by what runs the containers. With neither it is the operator's command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outside: Vec<Outside>,
    /// The same in words.
    pub what: String,
    /// Why this one, at this place of the ladder.
    pub why: String,
}

/// One line of a fix's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FixStep {
    /// When, on the wall clock.
    pub at: EventTime,
    /// The state it came to.
    pub state: FixState,
    /// What happened.
    pub what: String,
}

/// What follows once the old values are back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Afterwards {
    /// The next rung.
    NextRung,
    /// The same rung once more.
    Again,
    /// The end, in this state.
    End(FixState),
}

/// What has been seen since the last change of state; what the next one rests on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// Intervals in a row that met the target.
    pub normal: usize,
    /// Intervals in a row that missed it.
    pub violating: usize,
    /// Intervals in a row that must meet it before anything is taken back.
    pub needed: usize,
    /// End of the newest interval that was looked at.
    pub horizon: Option<EventTime>,
    /// When that was, on the wall clock.
    pub looked_at: Option<EventTime>,
    /// When the rung came into force, on the wall clock.
    pub applied_at: Option<EventTime>,
    /// When all leases were last known to be in force.
    pub renewed_at: Option<EventTime>,
    /// Attempts at the same rung after its lease was lost, or to put old values back.
    pub attempts: usize,
    /// When putting old values back was last asked for again.
    pub tried_at: Option<EventTime>,
    /// What follows once the old values are back.
    pub afterwards: Option<Afterwards>,
    /// Somebody wants it gone while it is being applied.
    pub is_unwanted: bool,
}

/// The repair of one culprit of one diagnosis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FixRecord {
    /// Identity; a function of the diagnosis and the service.
    pub id: String,
    /// The diagnosis it comes from.
    pub diagnosis: String,
    /// The culprit.
    pub service: String,
    /// Its resource.
    pub resource: Option<Resource>,
    /// How far it has come.
    pub state: FixState,
    /// Why it is where it is.
    pub reason: String,
    /// The target that is to be met again.
    pub qos: Option<QosTarget>,
    /// Latency when it was diagnosed, milliseconds.
    pub observed_ms: Option<f64>,
    /// Latency had the culprit been normal, milliseconds: what the fix is expected to bring.
    pub predicted_ms: f64,
    /// Probability of meeting the target then.
    pub probability: f64,
    /// Whether the alert still fires.
    pub alert: AlertStatus,
    /// The ladder.
    pub rungs: Vec<Rung>,
    /// Where on it, from 0.
    pub rung: usize,
    /// What could have been on the ladder and is not, with the reason.
    pub left_out: Vec<String>,
    /// Whether anything was ever changed because of it.
    pub was_applied: bool,
    /// What is being counted.
    pub watch: Watch,
    /// When it was planned, on the wall clock.
    pub created_at: EventTime,
    /// When it last changed, on the wall clock.
    pub updated_at: EventTime,
    /// What happened, oldest first.
    pub steps: Vec<FixStep>,
}

impl FixRecord {
    /// The rung it stands on.
    pub fn current(&self) -> Option<&Rung> {
        self.rungs.get(self.rung)
    }
}

/// What an operator says about a fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixWish {
    /// Do it.
    Approve,
    /// Undo it, or do not do it.
    Revert,
}

/// Why a wish is not granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FixProblem {
    /// There is no such fix.
    Unknown(String),
    /// Not as things stand.
    Conflict(String),
    /// It cannot be made safe on disk.
    Journal(String),
}
