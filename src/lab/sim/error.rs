//! Why an application cannot be simulated.

use thiserror::Error;

/// What is wrong with an [`AppSpec`](super::AppSpec).
#[derive(Clone, Debug, PartialEq, Error)]
pub enum SpecError {
    /// Nobody ever invokes anything.
    #[error("{app}: no entry has a service, an operation and a positive weight")]
    NoEntry {
        /// Application.
        app: String,
    },
    /// A number of the application or of a service is out of its range.
    #[error("{place}: {what} = {value} is out of range")]
    OutOfRange {
        /// Application, service or operation.
        place: String,
        /// Which number.
        what: &'static str,
        /// The number.
        value: f64,
    },
    /// A call of something that does not exist.
    #[error("{place}: calls operation {op} of service {service}, which does not exist")]
    UnknownCallee {
        /// Operation that calls.
        place: String,
        /// Index of the service.
        service: usize,
        /// Index of the operation.
        op: usize,
    },
    /// An operation that, through others, calls itself: requests would never end.
    #[error("{place}: ends up calling itself")]
    Cycle {
        /// One operation of the cycle.
        place: String,
    },
    /// One request means more calls than a simulation can bear.
    #[error("{app}: {hops} calls per request, more than {max}")]
    TooManyHops {
        /// Application.
        app: String,
        /// Mean calls per request.
        hops: f64,
        /// Upper bound.
        max: f64,
    },
}
