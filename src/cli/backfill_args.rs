//! What may be said to `sage backfill`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::backfill::Endpoint;
use crate::client::Login;
use crate::data::EventTime;
use crate::secret::Secret;

/// `sage backfill`
#[derive(Debug, Args)]
pub struct BackfillArgs {
    /// Prometheus-compatible query API to read samples from, with its path prefix if it has one
    #[arg(long, value_name = "URL", value_parser = url, required_unless_present = "jaeger")]
    pub prometheus: Option<String>,
    /// Jaeger's query API to read spans from
    #[arg(long, value_name = "URL", value_parser = url)]
    pub jaeger: Option<String>,
    /// First moment: RFC 3339, or how long ago, as in 24h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub from: Moment,
    /// First moment not wanted any more: RFC 3339, or how long ago
    #[arg(long, value_name = "TIME", value_parser = moment, default_value = "0s")]
    pub to: Moment,
    /// HTTP listener of the sidecar
    #[arg(long, value_name = "URL", value_parser = url, default_value = "http://127.0.0.1:7243")]
    pub target: String,
    /// OTLP/HTTP listener of the sidecar
    #[arg(long, value_name = "URL", value_parser = url, default_value = "http://127.0.0.1:4318")]
    pub otlp: String,
    /// Configuration file of the sidecar: its interval, its feature table, its data directory
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Keeps how far the backfill has come; default: sage-backfill.json in the data directory
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Time between two samples of a series; default: half an interval
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub step: Option<Duration>,
    /// Traces Jaeger is asked for at once
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..))]
    pub limit: u32,
    /// Spans and samples sent in a second
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// Bearer token for Prometheus
    #[arg(long, value_name = "FILE", conflicts_with = "prometheus_user")]
    pub prometheus_token_file: Option<PathBuf>,
    /// User at Prometheus
    #[arg(long, value_name = "NAME", requires = "prometheus_password_file")]
    pub prometheus_user: Option<String>,
    /// Password of that user
    #[arg(long, value_name = "FILE", requires = "prometheus_user")]
    pub prometheus_password_file: Option<PathBuf>,
    /// Bearer token for Jaeger
    #[arg(long, value_name = "FILE", conflicts_with = "jaeger_user")]
    pub jaeger_token_file: Option<PathBuf>,
    /// User at Jaeger
    #[arg(long, value_name = "NAME", requires = "jaeger_password_file")]
    pub jaeger_user: Option<String>,
    /// Password of that user
    #[arg(long, value_name = "FILE", requires = "jaeger_user")]
    pub jaeger_password_file: Option<PathBuf>,
    /// Bearer token for the sidecar
    #[arg(long, value_name = "FILE", conflicts_with = "target_user")]
    pub target_token_file: Option<PathBuf>,
    /// User at the sidecar
    #[arg(long, value_name = "NAME", requires = "target_password_file")]
    pub target_user: Option<String>,
    /// Password of that user
    #[arg(long, value_name = "FILE", requires = "target_user")]
    pub target_password_file: Option<PathBuf>,
}

/// A moment, or so long before now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Whatever the clock says.
    At(EventTime),
    /// Before the clock.
    Ago(Duration),
}

impl Moment {
    pub(super) fn when(self, now: EventTime) -> EventTime {
        match self {
            Self::At(t) => t,
            Self::Ago(d) => now.minus(d),
        }
    }
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}; it should hold the secret alone", path = path.display())]
pub(super) struct Unreadable {
    path: PathBuf,
    source: std::io::Error,
}

impl BackfillArgs {
    /// The two sources, and who we are to the sidecar.
    pub(super) fn logins(&self) -> Result<[Login; 3], Unreadable> {
        Ok([
            login(
                self.prometheus_token_file.as_deref(),
                self.prometheus_user.as_deref(),
                self.prometheus_password_file.as_deref(),
            )?,
            login(
                self.jaeger_token_file.as_deref(),
                self.jaeger_user.as_deref(),
                self.jaeger_password_file.as_deref(),
            )?,
            login(
                self.target_token_file.as_deref(),
                self.target_user.as_deref(),
                self.target_password_file.as_deref(),
            )?,
        ])
    }
}

pub(super) fn endpoint(url: &str, login: Login) -> Endpoint {
    Endpoint { url: url.trim_end_matches('/').into(), login }
}

fn login(
    token: Option<&Path>,
    user: Option<&str>,
    password: Option<&Path>,
) -> Result<Login, Unreadable> {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path);
        text.map(|t| Secret::new(t.trim()))
            .map_err(|source| Unreadable { path: path.into(), source })
    };
    match (token, user, password) {
        (Some(token), _, _) => Ok(Login::Token(read(token)?)),
        (None, Some(user), Some(password)) => Ok(Login::User(user.into(), read(password)?)),
        _ => Ok(Login::None),
    }
}

fn url(text: &str) -> Result<String, String> {
    let uri: axum::http::Uri = text.parse().map_err(|e| format!("{e}"))?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some() && uri.query().is_none() => Ok(text.into()),
        _ => Err("must be http://host[:port][/path] or https://host[:port][/path]".into()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let signed: jiff::SignedDuration =
        text.parse().map_err(|e| format!("not a duration like \"15s\": {e}"))?;
    Duration::try_from(signed).map_err(|_| "must not be negative".into())
}

fn moment(text: &str) -> Result<Moment, String> {
    duration(text).map(Moment::Ago).or_else(|_| {
        let at = EventTime::parse_rfc3339(text).map(Moment::At);
        at.map_err(|e| format!("neither like 2026-08-01T10:00:00Z nor like 24h: {e}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_so_long_ago() {
        let now = EventTime(100_000_000);
        assert_eq!(moment("1h").unwrap().when(now), EventTime(96_400_000));
        assert_eq!(moment("1970-01-01T00:00:05Z").unwrap().when(now), EventTime(5000));
        assert!(moment("yesterday").is_err());
        assert!(url("prometheus:9090").is_err());
    }
}
