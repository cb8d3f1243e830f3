//! The protocol between the sidecar and the node helper: one JSON object a line, each way.
//!
//! A request is `{"v":1,"<what>":{…}}`, its answer `{"v":1,"<what came of it>":{…}}`, in order. The
//! first version is 1; a helper refuses every other, so that nothing is guessed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::data::{Fix, FixId, Knob, Target, Value};

/// The version of the protocol.
pub const VERSION: u64 = 1;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Change a knob. Answer: `lease`. The same fix again is not applied twice, only renewed.
    Apply(Fix),
    /// Keep a fix for `lease` from now on, with another value if one is given. Answer: `lease`.
    Renew {
        /// Which.
        fix: FixId,
        /// How long from now.
        #[serde(with = "crate::duration")]
        lease: Duration,
        /// What the knob is set to from now on; bounds are those of the first value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
    },
    /// Put old values back: `{"fix":"id"}` or `"all"`. Answer: `ended`.
    Revert(Which),
    /// All fixes there are, and the last that ended. Answer: `list`.
    List {},
    /// Values and room of a target. Answer: `inspected`.
    Inspect {
        /// Of whom.
        target: Target,
    },
    /// Is anybody there? Answer: `pong`.
    Ping {},
}

/// Which fixes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// This one.
    Fix(FixId),
    /// All.
    All,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The fix is in force.
    Lease(LeaseView),
    /// These have ended.
    Ended(Vec<EndedView>),
    /// What there is.
    List(Listing),
    /// What a target has.
    Inspected(Inspection),
    /// Here.
    Pong(Pong),
    /// No; nothing was changed.
    Refused(Refusal),
}

/// A fix in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaseView {
    /// Which.
    pub fix: FixId,
    /// `active`, or `stuck` when its old value could not be put back yet.
    pub state: LeaseState,
    /// What is changed.
    pub knob: Knob,
    /// Where, as a path a person can look at.
    pub place: String,
    /// Of several devices which one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What was there before, in the kernel's words.
    pub old: String,
    /// What is there now, in the kernel's words.
    pub now: String,
    /// How long until the old value comes back.
    #[serde(with = "crate::duration")]
    pub left: Duration,
    /// When it was applied, RFC 3339.
    pub since: String,
    /// Who asked: a user of the node,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// or, by the name in its certificate, a sidecar of another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Why, as the asker said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Why it is stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// Whether a lease is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseState {
    /// In force.
    Active,
    /// Over, but the kernel does not take the old value back yet. Tried again and again.
    Stuck,
}

/// A fix that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndedView {
    /// Which.
    pub fix: FixId,
    /// How it ended.
    pub how: Ending,
    /// What was changed.
    pub knob: Knob,
    /// Where.
    pub place: String,
    /// What the knob is at since.
    pub left_at: String,
    /// When, RFC 3339.
    pub at: String,
}

/// How a fix ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// On request; the old value is back.
    Reverted,
    /// Nobody renewed it; the old value is back.
    Expired,
    /// Found after a crash; the old value is back.
    Recovered,
    /// The helper was stopped; the old value is back.
    Stopped,
    /// Somebody else set the knob meanwhile; theirs stays.
    Overridden,
    /// The cgroup, policy or interface is not there any more.
    Gone,
}

/// Everything in force and what ended last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// In force.
    pub leases: Vec<LeaseView>,
    /// Over, newest first.
    pub ended: Vec<EndedView>,
}

/// What a target has, uses and may get.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// Its cgroup, by hierarchy.
    pub cgroups: BTreeMap<String, String>,
    /// Its knobs that exist, without those of single devices.
    pub knobs: Vec<KnobView>,
    /// What it uses: `memory_bytes`, `cpu_periods`, `cpu_periods_throttled`, `processes`.
    pub usage: BTreeMap<String, f64>,
    /// What the node has left: `cpus`, `load1`, `memory_available_bytes`, `memory_total_bytes`.
    pub node: BTreeMap<String, f64>,
}

/// One knob of a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnobView {
    /// Which.
    pub knob: Knob,
    /// What it is at, in the kernel's words.
    pub now: String,
    /// The same in the unit of requests, or `"max"`.
    pub value: Value,
    /// Whether the policy lets it be changed here.
    pub allowed: bool,
    /// Bounds of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Bounds of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// The answer to `ping`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pong {
    /// Version of the program.
    pub program: String,
    /// Fixes in force.
    pub leases: usize,
    /// Of those, stuck ones.
    pub stuck: usize,
}

/// A refusal: a code for programs, two sentences for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable.
    pub code: Code,
    /// What is wrong.
    pub reason: String,
    /// What can be done about it.
    pub cure: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: Code, reason: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), cure: cure.into() }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.code.name(), self.reason, self.cure)
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// Why something is refused. Names are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Code {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $name,)+
        }

        impl Code {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its name on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

codes! {
    /// Not a request.
    BadRequest = "bad_request",
    /// Another version of the protocol.
    Version = "version",
    /// A line beyond `socket.line_bytes_max`.
    LineTooLong = "line_too_long",
    /// A user that the policy does not name.
    Peer = "peer",
    /// More connections than `socket.connections_max`.
    TooManyConnections = "too_many_connections",
    /// The helper is about to end.
    Stopping = "stopping",
    /// No fix of that name.
    UnknownFix = "unknown_fix",
    /// The fix has ended already.
    LeaseEnded = "lease_ended",
    /// The same name for two different fixes.
    IdConflict = "id_conflict",
    /// A lease beyond `limits.lease_max`, or below one second.
    LeaseLength = "lease_length",
    /// Nobody of that name, or a path that is not one.
    TargetNotFound = "target_not_found",
    /// More than one of that name.
    TargetAmbiguous = "target_ambiguous",
    /// No rule of the policy covers it.
    TargetNotAllowed = "target_not_allowed",
    /// The helper's own cgroup, one above it, or the root.
    OwnCgroup = "own_cgroup",
    /// The rule for this target does not allow the knob.
    KnobNotAllowed = "knob_not_allowed",
    /// The kernel has no such knob here.
    KnobAbsent = "knob_absent",
    /// A device is missing, superfluous or not one.
    Device = "device",
    /// Not a value for this knob.
    BadValue = "bad_value",
    /// Beyond `min` or `max`.
    OutOfBounds = "out_of_bounds",
    /// Further from the old value than `factor_max`.
    FactorExceeded = "factor_exceeded",
    /// Less memory than is in use.
    BelowUsage = "below_usage",
    /// It is so already.
    NothingToDo = "nothing_to_do",
    /// `limits.fixes_max` are in force.
    TooManyFixes = "too_many_fixes",
    /// `limits.fixes_per_target_max` are in force for this target.
    TooManyOnTarget = "too_many_on_target",
    /// Another fix holds this knob of this target.
    Busy = "busy",
    /// Somebody else's queueing discipline is on the interface.
    ForeignQdisc = "foreign_qdisc",
    /// A thread of the target is in a resource group of somebody else.
    ForeignGroup = "foreign_group",
    /// All resource groups that the processor can have are in use.
    NoGroupLeft = "no_group_left",
    /// The kernel said no, or did something else.
    Kernel = "kernel",
    /// The old value could not be made safe on disk.
    Journal = "journal",
}

/// Reads a request.
///
/// # Errors
/// A refusal to send back.
pub fn parse_request(line: &[u8]) -> Result<Request, Refusal> {
    let cure = "see docs/helper.md for the requests there are";
    let bad = |e: &dyn std::fmt::Display| {
        Refusal::new(Code::BadRequest, format!("not a request: {e}"), cure)
    };
    let mut map: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(line).map_err(|e| bad(&e))?;
    match map.remove("v").map(|v| v.as_u64()) {
        Some(Some(VERSION)) => {}
        Some(_) => {
            let reason = format!("this helper speaks version {VERSION} only");
            return Err(Refusal::new(Code::Version, reason, "use a sidecar of the same release"));
        }
        None => return Err(bad(&"\"v\" is missing")),
    }
    serde_json::from_value(serde_json::Value::Object(map)).map_err(|e| bad(&e))
}

/// Reads an answer.
///
/// # Errors
/// When it is none, or one of another version.
pub fn parse_answer(line: &[u8]) -> Result<Answer, String> {
    let mut map: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(line).map_err(|e| e.to_string())?;
    if map.remove("v").and_then(|v| v.as_u64()) != Some(VERSION) {
        return Err(format!("the helper does not speak version {VERSION}"));
    }
    serde_json::from_value(serde_json::Value::Object(map)).map_err(|e| e.to_string())
}

/// One line, its end included.
///
/// # Panics
/// Never: requests and answers are plain data.
pub fn line<T: Serialize>(message: &T) -> String {
    #[derive(Serialize)]
    struct Versioned<'a, T> {
        v: u64,
        #[serde(flatten)]
        message: &'a T,
    }
    let mut text = serde_json::to_string(&Versioned { v: VERSION, message })
        .expect("plain data with text keys");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_as_the_docs_write_them() {
        let apply = br#"{"v":1,"apply":{"id":"f-1","target":{"container":"0123456789ab"},
            "knob":"cpu_quota","value":1.5,"lease":"1m"}}"#;
        let Ok(Request::Apply(fix)) = parse_request(apply) else { panic!("not an apply") };
        assert_eq!((fix.value, fix.lease), (Value::Amount(1.5), Duration::from_secs(60)));
        for (text, wanted) in [
            (r#"{"v":1,"revert":"all"}"#, Request::Revert(Which::All)),
            (
                r#"{"v":1,"revert":{"fix":"f-1"}}"#,
                Request::Revert(Which::Fix(FixId::new("f-1").unwrap())),
            ),
            (r#"{"v":1,"list":{}}"#, Request::List {}),
            (r#"{"v":1,"inspect":{"target":"node"}}"#, Request::Inspect { target: Target::Node }),
        ] {
            assert_eq!(parse_request(text.as_bytes()).unwrap(), wanted);
            assert_eq!(parse_request(line(&wanted).as_bytes()).unwrap(), wanted);
        }
    }

    #[test]
    fn what_is_not_a_request_is_refused_with_a_reason() {
        for (text, code) in [
            ("", Code::BadRequest),
            ("[1]", Code::BadRequest),
            (r#"{"list":{}}"#, Code::BadRequest),
            (r#"{"v":2,"list":{}}"#, Code::Version),
            (r#"{"v":"1","list":{}}"#, Code::Version),
            (r#"{"v":1}"#, Code::BadRequest),
            (r#"{"v":1,"list":{},"ping":{}}"#, Code::BadRequest),
            (r#"{"v":1,"list":{"all":1}}"#, Code::BadRequest),
            (r#"{"v":1,"revert":{"fix":"../../etc"}}"#, Code::BadRequest),
            (r#"{"v":1,"renew":{"fix":"f","lease":"-5s"}}"#, Code::BadRequest),
        ] {
            assert_eq!(parse_request(text.as_bytes()).unwrap_err().code, code, "{text}");
        }
    }

    #[test]
    fn codes_are_named_alike_on_the_wire_and_in_words() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
        for knob in Knob::ALL {
            assert_eq!(serde_json::to_value(knob).unwrap(), knob.name());
        }
    }
}
