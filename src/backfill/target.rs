//! The sidecar that is filled: its ordinary listeners, at a measured pace.

use std::time::Duration;

use axum::http::{Method, StatusCode, header};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use super::counts::Counts;
use super::encode::{export, writes};
use super::error::Error;
use super::jaeger_json::Placed;
use super::plan::{Options, Range};
use crate::client::{Answer, Call, Client, Failure};
use crate::data::{EventTime, Series};

const WHO: &str = "the sidecar";
const CURE: &str = "is it running, and are --target, --otlp and their credentials right?";
const TIMEOUT: Duration = Duration::from_secs(60);
const ANSWER_MAX: usize = 64 << 20;
/// Spans or samples in one request.
const BATCH: usize = 5000;
/// Attempts while there is no answer at all.
const ATTEMPTS: u32 = 6;
/// Attempts while the other side says that it is overloaded.
const OVERLOADED_ATTEMPTS: u32 = 100;
/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// In the sidecar's words: these came too late.
const OLD: &str = "older than the oldest open interval";

/// Calls again while that may help, pausing as long as the other side asks.
pub(super) async fn patiently(client: &Client, call: &Call<'_>) -> Result<Answer, Failure> {
    let mut pause = Duration::from_millis(500);
    let mut attempt = 1;
    loop {
        let (asked, last) = match client.call(call.clone()).await {
            Ok(answer) => {
                let failure = answer.refusal();
                if answer.status.is_success() || !failure.is_passing() {
                    return Ok(answer);
                }
                let is_busy = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS]
                    .contains(&answer.status);
                let attempts = if is_busy { OVERLOADED_ATTEMPTS } else { ATTEMPTS };
                if attempt >= attempts {
                    return Ok(answer);
                }
                (retry_after(&answer), failure)
            }
            Err(failure) if failure.is_passing() && attempt < ATTEMPTS => (None, failure),
            Err(failure) => return Err(failure),
        };
        let wait = asked.unwrap_or(pause).min(PAUSE_MAX);
        tracing::warn!(failure = %last, attempt, pause_ms = wait.as_millis() as u64, "trying again");
        sleep(wait).await;
        attempt += 1;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn retry_after(answer: &Answer) -> Option<Duration> {
    let text = answer.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// A running sidecar.
pub(super) struct Target {
    http: Client,
    otlp: Client,
    rate: f64,
    not_before: Instant,
}

impl Target {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            http: Client::new(&options.target.url, &options.target.login),
            otlp: Client::new(&options.otlp.url, &options.otlp.login),
            rate: f64::from(options.rate.max(1)),
            not_before: Instant::now(),
        }
    }

    /// Refuses to begin at `start` when the sidecar has closed later intervals already.
    pub(super) async fn check(&self, start: i64) -> Result<(), Error> {
        let path = "/api/v1/frames?limit=1";
        let (method, body) = (Method::GET, Bytes::new());
        let (answer_max, timeout) = (ANSWER_MAX, TIMEOUT);
        let call = Call { method, path, headers: &[], body, answer_max, timeout };
        let answer = patiently(&self.http, &call).await.map_err(fault)?;
        if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status) {
            // A credential for ingest cannot read; what is too late will be counted.
            tracing::warn!(status = %answer.status, "the sidecar's history cannot be looked at");
            return Ok(());
        }
        let bytes = answer.success().map_err(fault)?;
        let unreadable =
            |why: String| Error::Unreadable { who: WHO, url: self.http.url(path), why };
        let frames: Value =
            serde_json::from_slice(&bytes).map_err(|e| unreadable(format!("not JSON: {e}")))?;
        match frames.pointer("/data/0/interval/end").and_then(Value::as_str) {
            None => Ok(()),
            Some(end) => match EventTime::parse_rfc3339(end).map_err(unreadable)? {
                until if until.0 > start => Err(Error::Closed { until }),
                _ => Ok(()),
            },
        }
    }

    /// Waits until `items` more may be sent.
    async fn pace(&mut self, items: usize) {
        sleep_until(self.not_before).await;
        let worth = Duration::from_secs_f64(items as f64 / self.rate);
        self.not_before = self.not_before.max(Instant::now()) + worth;
    }

    /// Sends spans, in the order they ended.
    pub(super) async fn spans(
        &mut self,
        mut spans: Vec<Placed>,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        while !spans.is_empty() {
            let rest = spans.split_off(spans.len().min(BATCH));
            let batch = std::mem::replace(&mut spans, rest);
            let sent = batch.len() as u64;
            self.pace(batch.len()).await;
            let headers = [("content-type", "application/x-protobuf")];
            let answer = send(&self.otlp, "/v1/traces", &headers, export(batch)).await?;
            let bytes = answer.success().map_err(fault)?;
            let answer = ExportTraceServiceResponse::decode(bytes).unwrap_or_default();
            let partial = answer.partial_success.unwrap_or_default();
            let rejected = u64::try_from(partial.rejected_spans).unwrap_or(0).min(sent);
            let old = old_of(&partial.error_message).min(rejected);
            counts.spans += sent - rejected;
            counts.too_old += old;
            if rejected > old {
                counts.refuse(rejected - old, &partial.error_message);
            }
        }
        Ok(())
    }

    /// Sends what of `series` lies in `slice`.
    pub(super) async fn samples(
        &mut self,
        series: &[Series],
        slice: Range,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let headers = [
            ("content-type", "application/x-protobuf"),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", "0.1.0"),
            ("user-agent", "sage-backfill"),
        ];
        for (body, sent) in writes(series, slice, BATCH) {
            self.pace(usize::try_from(sent).unwrap_or(BATCH)).await;
            let answer = send(&self.http, "/api/v1/write", &headers, body).await?;
            let is_taken = answer.status.is_success();
            // 400: what is good was kept, the rest will never be.
            if !is_taken && answer.status != StatusCode::BAD_REQUEST {
                return Err(fault(answer.refusal()));
            }
            let said = answer.headers.get("x-prometheus-remote-write-samples-written");
            let said = said.and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
            let written = said.unwrap_or(if is_taken { sent } else { 0 }).min(sent);
            counts.samples += written;
            // To senders of 1.0 the sidecar does not complain about what is only late.
            let why = String::from_utf8_lossy(&answer.body);
            let old = if is_taken { sent - written } else { old_of(&why).min(sent - written) };
            counts.too_old += old;
            if sent - written > old {
                counts.refuse(sent - written - old, &why);
            }
        }
        Ok(())
    }
}

/// How many of the dropped were too old, by the text of a complaint.
fn old_of(text: &str) -> u64 {
    let part = text.split(';').find(|part| part.contains(OLD));
    part.and_then(|p| p.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

async fn send(
    client: &Client,
    path: &str,
    headers: &[(&'static str, &str)],
    body: Vec<u8>,
) -> Result<Answer, Error> {
    let (method, body) = (Method::POST, body.into());
    let call = Call { method, path, headers, body, answer_max: ANSWER_MAX, timeout: TIMEOUT };
    patiently(client, &call).await.map_err(fault)
}

fn fault(failure: Failure) -> Error {
    Error::Call { who: WHO, failure, cure: CURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_old_is_told_from_what_is_wrong() {
        let both = "3 spans dropped: older than the oldest open interval (2026-01-01T00:00:00.000Z); \
                    2 spans dropped: bad trace or span id, or no start or end time";
        assert_eq!(old_of(both), 3);
        assert_eq!(old_of("2 spans dropped: bad trace or span id"), 0);
        assert_eq!(old_of(""), 0);
    }
}
