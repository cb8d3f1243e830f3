//! A small client of the sidecar's HTTP side.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::remote_write::encode_write;
use crate::data::{EventTime, Series};

/// Samples in one request, as Prometheus batches them.
const BATCH: usize = 2000;
/// Attempts while the sidecar says that it is overloaded.
pub(super) const ATTEMPTS: usize = 60;
/// Pause before another one.
pub(super) const OVERLOADED: Duration = Duration::from_millis(500);
/// Pause between looks at something that is under way.
const POLL: Duration = Duration::from_millis(50);

/// The sidecar did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody answers.
    #[error("no answer from the sidecar: {0}")]
    Unreachable(String),
    /// It says no.
    #[error("the sidecar refused: {0}")]
    Refused(String),
    /// It did not come to an end.
    #[error("{what} did not happen within {seconds} s")]
    TooLate {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
}

/// What is waited for, and how to tell that it has happened.
pub type Gate<'a> = &'a dyn Fn(&Value) -> Option<Value>;

/// The HTTP listener of a sidecar.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client<HttpConnector, Body>,
    address: SocketAddr,
}

impl Api {
    /// A client of the sidecar at `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), address }
    }

    /// One request; status and body.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<(StatusCode, Bytes), ApiError> {
        let fail = |e: &dyn std::fmt::Display| ApiError::Unreachable(format!("{path}: {e}"));
        let mut request =
            Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(HeaderName::from_static(name), *value);
        }
        let request = request.body(Body::from(body.into())).map_err(|e| fail(&e))?;
        let response = self.client.request(request).await.map_err(|e| fail(&e))?;
        let status = response.status();
        let bytes = response.into_body().collect().await.map_err(|e| fail(&e))?.to_bytes();
        Ok((status, bytes))
    }

    /// Posts, and comes again when told to, as every real sender does.
    async fn deliver(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), ApiError> {
        let mut attempt = 0;
        loop {
            let answer = self.call(Method::POST, path, headers, body.clone()).await?;
            if answer.0 != StatusCode::SERVICE_UNAVAILABLE || attempt == ATTEMPTS {
                return Ok(answer);
            }
            attempt += 1;
            tokio::time::sleep(OVERLOADED).await;
        }
    }

    /// `data` of a JSON answer.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn get(&self, path: &str) -> Result<Value, ApiError> {
        let (status, bytes) = self.call(Method::GET, path, &[], Bytes::new()).await?;
        data(path, status, &bytes)
    }

    /// Sends series by remote write, and comes again while the sidecar is overloaded.
    ///
    /// # Errors
    /// Any answer but 2xx, and too many 503.
    pub async fn write(&self, series: &[Series]) -> Result<(), ApiError> {
        let headers = [
            ("content-type", "application/x-protobuf"),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", "0.1.0"),
            ("user-agent", "sage-lab"),
        ];
        for batch in series.chunks(BATCH) {
            let body: Bytes = encode_write(batch).into();
            let path = "/api/v1/write";
            let (status, text) = self.deliver(path, &headers, body).await?;
            if !status.is_success() {
                let text = String::from_utf8_lossy(&text).into_owned();
                return Err(ApiError::Refused(format!("{path}: {status} {text}")));
            }
        }
        Ok(())
    }

    /// Posts the webhook Alertmanager would post; returns the ids of the diagnoses.
    ///
    /// # Errors
    /// When it is not accepted.
    pub async fn alert(&self, alerts: &[Value]) -> Result<Vec<String>, ApiError> {
        let firing = alerts.iter().any(|a| a["status"] == "firing");
        let body = json!({
            "version": "4", "groupKey": "{}:{alertname=\"QosViolation\"}", "truncatedAlerts": 0,
            "status": if firing { "firing" } else { "resolved" }, "receiver": "sage",
            "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
            "externalURL": "http://alertmanager:9093", "alerts": alerts,
        });
        let path = "/webhook/alertmanager";
        let headers = [("content-type", "application/json")];
        let (status, bytes) = self.deliver(path, &headers, body.to_string().into()).await?;
        let ids = data(path, status, &bytes)?["diagnoses"].clone();
        serde_json::from_value(ids).map_err(|e| ApiError::Refused(format!("{path}: {e}")))
    }

    /// Asks `path` again and again until `gate` lets the answer through.
    ///
    /// # Errors
    /// [`ApiError::TooLate`] after `seconds`.
    pub async fn wait(
        &self,
        what: &str,
        path: &str,
        seconds: u64,
        gate: Gate<'_>,
    ) -> Result<Value, ApiError> {
        let polling = async {
            loop {
                if let Some(value) = gate(&self.get(path).await?) {
                    return Ok(value);
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let late = |_| ApiError::TooLate { what: what.into(), seconds };
        tokio::time::timeout(Duration::from_secs(seconds), polling).await.map_err(late)?
    }

    /// Waits for the answer to an alert.
    ///
    /// # Errors
    /// As [`Api::wait`].
    pub async fn diagnosis(&self, id: &str) -> Result<Value, ApiError> {
        let path = format!("/api/v1/diagnoses/{id}");
        self.wait("a diagnosis", &path, 60, &|d| (d["state"] != "running").then(|| d.clone())).await
    }
}

fn data(path: &str, status: StatusCode, bytes: &[u8]) -> Result<Value, ApiError> {
    if !status.is_success() {
        let text = String::from_utf8_lossy(bytes).into_owned();
        return Err(ApiError::Refused(format!("{path}: {status} {text}")));
    }
    let mut answer: Value = serde_json::from_slice(bytes)
        .map_err(|e| ApiError::Refused(format!("{path}: not JSON: {e}")))?;
    Ok(answer["data"].take())
}

/// One alert of a webhook body.
pub fn alert_json(
    labels: &[(&str, &str)],
    starts_at: EventTime,
    ends_at: Option<EventTime>,
) -> Value {
    let labels: serde_json::Map<String, Value> =
        labels.iter().map(|(n, v)| ((*n).to_string(), json!(v))).collect();
    json!({
        "status": if ends_at.is_some() { "resolved" } else { "firing" },
        "labels": labels, "annotations": {}, "startsAt": starts_at,
        "endsAt": ends_at.map_or_else(|| json!("0001-01-01T00:00:00Z"), |t| json!(t)),
        "generatorURL": "", "fingerprint": "",
    })
}
