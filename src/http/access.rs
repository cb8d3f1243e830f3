//! What a request needs, and why it does not get it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::watch;

use super::config::Role;
use super::keys::Keys;
use super::metrics::Metrics;
use super::refusal::Form;

/// What a path needs of whoever asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Everybody may.
    Nothing,
    /// A credential that may send.
    Ingest,
    /// A credential that may read.
    Read,
    /// As [`Need::Read`], unless metrics are open.
    Metrics,
    /// A credential that may change Sage.
    Admin,
}

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// No credential came along.
    #[error("this needs a credential; send the header Authorization, see docs/security.md")]
    Missing,
    /// One nobody knows.
    #[error("the credential is not known here")]
    Wrong,
    /// One that is good for something else.
    #[error("the credential is not good for this; it needs role {0:?}")]
    Role(Role),
}

impl Refusal {
    fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Wrong => "wrong",
            Self::Role(_) => "role",
        }
    }
}

/// Stands before the router of one listener.
#[derive(Clone)]
pub(super) struct Doorman {
    pub(super) listener: &'static str,
    pub(super) keys: watch::Receiver<Arc<Keys>>,
    pub(super) need: fn(&Method, &str) -> Need,
    pub(super) form: Form,
    pub(super) metrics: Metrics,
}

/// Lets a request through, or answers it.
pub(super) async fn admit(State(door): State<Doorman>, request: Request, next: Next) -> Response {
    let keys = door.keys.borrow().clone();
    let need = (door.need)(request.method(), request.uri().path());
    match keys.check(request.headers(), need) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            door.metrics.unauthorized(door.listener, refusal.reason());
            let path = request.uri().path();
            tracing::debug!(listener = door.listener, path, %refusal, "not let in");
            door.form.refuse(request.headers(), &refusal, &keys.challenge)
        }
    }
}
