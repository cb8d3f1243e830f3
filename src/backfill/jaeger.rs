//! Reads traces from Jaeger's query API, in answers of bounded size.

use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;

use super::counts::Counts;
use super::error::Error;
use super::jaeger_json::{Trace, services, traces};
use super::pending::Pending;
use super::plan::{Endpoint, Range};
use super::target::patiently;
use super::text::form;
use crate::client::{Call, Client, Failure};

const WHO: &str = "Jaeger";
const CURE: &str = "check --jaeger, its credentials, and for https SSL_CERT_FILE";
const TIMEOUT: Duration = Duration::from_secs(120);
/// Bytes of one answer.
const ANSWER_MAX: usize = 64 << 20;
/// Services asked for.
const SERVICES_MAX: usize = 10_000;
/// Where a query that found too much is cut in two, in milliseconds.
const GRID: i64 = 10;

/// A source of spans.
pub(super) struct Jaeger {
    client: Client,
    services: Vec<String>,
    limit: u32,
}

impl Jaeger {
    /// Asks for the services.
    pub(super) async fn new(endpoint: &Endpoint, limit: u32) -> Result<Self, Error> {
        let client = Client::new(&endpoint.url, &endpoint.login);
        let path = "/api/services";
        let bytes = ask(&client, path).await.map_err(fault)?;
        let mut services = services(&bytes).map_err(|why| unreadable(&client, path, why))?;
        services.sort();
        services.truncate(SERVICES_MAX);
        Ok(Self { client, services, limit })
    }

    /// Reads every trace that has a span beginning in `stretch`.
    pub(super) async fn read(
        &self,
        stretch: Range,
        pending: &mut Pending,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        for service in &self.services {
            let mut open = vec![stretch];
            while let Some(range) = open.pop() {
                let found = self.one(service, range).await?;
                let is_cut = found.as_ref().is_none_or(|(t, _)| t.len() >= self.limit as usize);
                // Of too many Jaeger chooses some: less is asked for until it are all.
                if is_cut && let Some([a, b]) = range.halves(GRID) {
                    open.extend([b, a]);
                    continue;
                }
                counts.cut += u64::from(is_cut);
                let Some((traces, invalid)) = found else { continue };
                counts.invalid += invalid;
                for trace in traces {
                    match pending.add(trace) {
                        Some(is_new) => counts.traces += u64::from(is_new),
                        None => counts.cut += 1,
                    }
                }
            }
        }
        Ok(())
    }

    /// None: the answer is too large.
    async fn one(&self, service: &str, range: Range) -> Result<Option<(Vec<Trace>, u64)>, Error> {
        // Both ends are inside, in microseconds.
        let (start, end) = (range.start * 1000, range.end * 1000 - 1);
        let query = form(&[
            ("service", service),
            ("start", &start.to_string()),
            ("end", &end.to_string()),
            ("limit", &self.limit.to_string()),
        ]);
        let path = format!("/api/traces?{query}");
        match ask(&self.client, &path).await {
            Ok(bytes) => {
                traces(&bytes).map(Some).map_err(|why| unreadable(&self.client, &path, why))
            }
            Err(Failure::TooLarge { .. }) => Ok(None),
            Err(failure) => Err(fault(failure)),
        }
    }
}

fn fault(failure: Failure) -> Error {
    Error::Call { who: WHO, failure, cure: CURE }
}

fn unreadable(client: &Client, path: &str, why: String) -> Error {
    Error::Unreadable { who: WHO, url: client.url(path), why }
}

async fn ask(client: &Client, path: &str) -> Result<Bytes, Failure> {
    let (method, body) = (Method::GET, Bytes::new());
    let call = Call { method, path, headers: &[], body, answer_max: ANSWER_MAX, timeout: TIMEOUT };
    patiently(client, &call).await?.success()
}
