//! One half of an RPC as a tracing system reports it.

use super::name::Name;

/// Which half of which kind of exchange a span describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// Work inside a service; matters only as a bridge between halves.
    Internal,
    /// The callee's half of a request.
    Server,
    /// The caller's half of a request.
    Client,
    /// The sender's half of a message.
    Producer,
    /// The receiver's half of a message.
    Consumer,
}

/// What the other side of a client span is, when its attributes say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerKind {
    /// A database or cache: sends no spans of its own.
    Database,
    /// Any named peer.
    Service,
}

/// The other side of a client span, from its attributes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Name of the peer.
    pub name: Name,
    /// What it is.
    pub kind: PeerKind,
}

/// A span, reduced to what pairing needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Trace id.
    pub trace: u128,
    /// Span id, not zero.
    pub id: u64,
    /// Parent span id, zero for a root.
    pub parent: u64,
    /// Kind of span.
    pub half: Half,
    /// Start, nanoseconds since the epoch, on the sender's clock.
    pub start_ns: u64,
    /// End, nanoseconds since the epoch, on the sender's clock.
    pub end_ns: u64,
    /// `service.name`.
    pub service: Name,
    /// Replica of the service, empty when unknown.
    pub replica: Name,
    /// Host of the replica, empty when unknown.
    pub node: Name,
    /// Span name.
    pub op: Name,
    /// Peer of a client or producer span.
    pub peer: Option<Peer>,
    /// Whether the status is ERROR.
    pub failed: bool,
    /// Requests that this one stands for, at least 1, if its sampler says so.
    pub weight: Option<f32>,
}

impl Span {
    /// Duration in nanoseconds; zero when the clock ran backwards.
    pub fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}
