//! Names of services, operations, replicas and nodes, and the key of an RPC.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A shared, immutable name. Cloning copies a pointer.
pub type Name = Arc<str>;

/// The caller of requests that enter the application from outside.
pub const USER: &str = "user";

/// The name that stands for everything beyond a cardinality limit.
pub const OVERFLOW: &str = "__overflow__";

/// The operation that stands for all of a service, where a source does not tell them apart. Whatever is
/// invoked by it is invoked by every operation of that service.
pub const ANY_OP: &str = "*";

/// One RPC: a caller's operation that invokes a callee's operation.
///
/// Operations of one service are told apart because latency propagates along operations, not
/// along services: a slow `ReadTimeline` says nothing about `ComposePost`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RpcKey {
    /// Service that invokes.
    pub caller: Name,
    /// Operation the caller was serving when it invoked; empty when it served none.
    pub caller_op: Name,
    /// Service that is invoked.
    pub callee: Name,
    /// Operation that is invoked.
    pub op: Name,
}

impl RpcKey {
    /// Builds a key from plain strings; mostly for tests and configuration.
    pub fn new(caller: &str, caller_op: &str, callee: &str, op: &str) -> Self {
        Self {
            caller: caller.into(),
            caller_op: caller_op.into(),
            callee: callee.into(),
            op: op.into(),
        }
    }

    /// Whether the request enters the application here. A service may be called like the outside
    /// world, but it invokes while it serves something.
    pub fn is_entry(&self) -> bool {
        &*self.caller == USER && self.caller_op.is_empty()
    }
}

impl fmt::Display for RpcKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.caller_op.is_empty() {
            write!(f, "{} -> {} {}", self.caller, self.callee, self.op)
        } else {
            write!(f, "{} ({}) -> {} {}", self.caller, self.caller_op, self.callee, self.op)
        }
    }
}
