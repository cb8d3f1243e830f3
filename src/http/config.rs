//! `[listen.tls]`, `[listen.auth]` and the limits of `[listen]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::keys::Keys;
use super::tls::Identity;

/// Credentials told apart; every request is compared with all of them.
const CREDENTIALS_MAX: usize = 64;

/// How much one listener serves at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections; more are closed at once.
    pub connections_max: usize,
    /// Requests in flight on one HTTP/2 connection; its client is told.
    pub streams_max: u32,
    /// A connection without a request for this long is closed.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let idle_timeout = Duration::from_secs(5 * 60);
        Self { connections_max: 1024, streams_max: 256, idle_timeout }
    }
}

impl Limits {
    /// Appends what is wrong.
    pub fn faults(&self, faults: &mut Vec<String>) {
        let d = Self::default();
        let mut at_least = |is_enough: bool, key: &str, value: String, what: String| {
            if !is_enough {
                faults.push(format!("listen.{key} = {value}: must be {what}"));
            }
        };
        let (connections, streams) = (self.connections_max, self.streams_max);
        at_least(
            (8..=65_536).contains(&connections),
            "connections_max",
            connections.to_string(),
            format!("between 8 and 65536 (default {})", d.connections_max),
        );
        at_least(
            (1..=65_536).contains(&streams),
            "streams_max",
            streams.to_string(),
            format!("between 1 and 65536 (default {})", d.streams_max),
        );
        at_least(
            self.idle_timeout >= Duration::from_secs(1),
            "idle_timeout",
            format!("{:?}", self.idle_timeout),
            "at least 1s (default 5m)".into(),
        );
    }
}

/// `[listen.tls]`: TLS on all listeners; with a client authority, mutual TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain, PEM, own certificate first.
    pub cert_file: PathBuf,
    /// Private key, PEM.
    pub key_file: PathBuf,
    /// Authorities of client certificates, PEM. Clients without one are then refused.
    #[serde(default)]
    pub client_ca_file: Option<PathBuf>,
    /// DNS names or IP addresses of which a client certificate must have one; empty: any.
    #[serde(default)]
    pub client_names: Vec<String>,
}

impl Tls {
    /// Appends what is wrong, in the files as well.
    pub fn faults(&self, faults: &mut Vec<String>) {
        if self.client_ca_file.is_none() && !self.client_names.is_empty() {
            faults.push("listen.tls.client_names: needs client_ca_file".into());
        } else if let Err(error) = Identity::load(self) {
            faults.push(error.to_string());
        }
    }
}

/// What a credential is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sends spans, samples and alerts.
    Ingest,
    /// Reads: API, page, Grafana, metrics.
    Read,
    /// Everything, what changes Sage included.
    Admin,
}

/// `[listen.auth]`: who may use the listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Whether `/metrics` is shown to everybody.
    pub is_metrics_open: bool,
    /// `[[listen.auth.credentials]]`
    pub credentials: Vec<Credential>,
}

/// A token, or a user with a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// What it is good for.
    pub role: Role,
    /// Bearer tokens, one a line.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Name for basic authentication.
    #[serde(default)]
    pub user: Option<String>,
    /// Password of that user.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

impl Auth {
    /// Appends what is wrong, in the files as well.
    pub fn faults(&self, faults: &mut Vec<String>) {
        let before = faults.len();
        if self.credentials.is_empty() {
            faults
                .push("listen.auth: has no [[listen.auth.credentials]], so nobody gets in".into());
        }
        if self.credentials.len() > CREDENTIALS_MAX {
            let n = self.credentials.len();
            faults
                .push(format!("listen.auth.credentials: {n} of them, more than {CREDENTIALS_MAX}"));
        }
        for (i, one) in self.credentials.iter().enumerate() {
            let mut fault = |what| faults.push(format!("listen.auth.credentials[{i}]: {what}"));
            match (&one.token_file, &one.user, &one.password_file) {
                (Some(_), None, None) => {}
                (None, Some(user), Some(_)) if user.is_empty() || user.contains(':') => {
                    fault("user: must not be empty nor contain a colon");
                }
                (None, Some(_), Some(_)) => {}
                _ => fault("set either token_file, or user and password_file"),
            }
        }
        if faults.len() == before
            && let Err(error) = Keys::load(self)
        {
            faults.push(error.to_string());
        }
    }
}
