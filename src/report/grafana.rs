//! Pushes one region annotation per diagnosis to Grafana: created, patched as it develops, closed at
//! resolve. Retried for as long as it takes, and nobody ever waits for it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::annotation::{Annotation, annotation, tag_of};
use super::config::Config;
use super::metrics::Metrics;
use crate::data::Diagnosis;
use crate::secret::Secret;

/// Diagnoses that may wait for Grafana; beyond it the oldest is given up.
const WAITING_MAX: usize = 1000;
/// Time one call may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pauses between attempts grow from the first to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 1 << 20;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Worth another attempt.
    #[error("{0}")]
    Passing(String),
    /// The same call will fail again.
    #[error("{0}")]
    Final(String),
}

/// Where annotation ids are kept.
pub type Remember = Box<dyn Fn(&str, i64) + Send + Sync>;

/// Pushes until the diagnoses end. `known`: annotation id by diagnosis, of the last run.
pub async fn run(
    config: Config,
    token: Option<Secret>,
    mut diagnoses: mpsc::Receiver<Diagnosis>,
    known: HashMap<String, i64>,
    remember: Remember,
    metrics: Metrics,
) {
    let Some(url) = config.url.clone() else {
        while diagnoses.recv().await.is_some() {}
        return;
    };
    let mut pusher = Pusher { api: Api::new(&url, token), config, known, remember, metrics };
    let mut waiting: BTreeMap<String, Annotation> = BTreeMap::new();
    let mut pause = BACK_OFF.0;
    let mut is_retry = false;
    loop {
        pusher.metrics.waiting.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
        let next = if waiting.is_empty() {
            diagnoses.recv().await
        } else {
            // News may arrive while Grafana is down; the newest state of each diagnosis is sent.
            let wait = if is_retry { pause } else { Duration::ZERO };
            match tokio::time::timeout(wait, diagnoses.recv()).await {
                Ok(news) => news,
                Err(_) => {
                    let Some((id, region)) = waiting.pop_first() else { continue };
                    match pusher.push(&id, &region, is_retry).await {
                        Ok(()) => (pause, is_retry) = (BACK_OFF.0, false),
                        Err(Failure::Passing(why)) => {
                            tracing::warn!(%why, retry_s = pause.as_secs(), "Grafana is not reachable");
                            pusher.metrics.retries.inc();
                            waiting.entry(id).or_insert(region);
                            if is_retry {
                                pause = (pause * 2).min(BACK_OFF.1);
                            }
                            is_retry = true;
                        }
                        Err(Failure::Final(why)) => {
                            tracing::error!(%why, "Grafana refuses an annotation");
                            pusher.metrics.refused.inc();
                        }
                    }
                    continue;
                }
            }
        };
        let Some(diagnosis) = next else { return };
        if let Some(region) = annotation(&diagnosis) {
            waiting.insert(diagnosis.id, region);
            if waiting.len() > WAITING_MAX {
                waiting.pop_first();
                pusher.metrics.given_up.inc();
            }
        }
    }
}

struct Pusher {
    api: Api,
    config: Config,
    known: HashMap<String, i64>,
    remember: Remember,
    metrics: Metrics,
}

impl Pusher {
    /// Creates or updates the region of a diagnosis. When an attempt may have succeeded without our
    /// hearing of it, Grafana is asked first, so that there is never a second one.
    async fn push(&mut self, id: &str, region: &Annotation, is_retry: bool) -> Result<(), Failure> {
        if !self.known.contains_key(id) && is_retry {
            let path = format!("/api/annotations?limit=1&tags={}", tag_of(id));
            let found = self.api.call(Method::GET, &path, None).await?;
            if let Some(number) = found.pointer("/0/id").and_then(Value::as_i64) {
                self.learn(id, number);
            }
        }
        let mut body = json!({
            "time": region.time, "timeEnd": region.time_end, "tags": region.tags,
            "text": format!("<b>{}</b><br>{}", region.title, region.text),
        });
        if let Some(number) = self.known.get(id) {
            let path = format!("/api/annotations/{number}");
            match self.api.call(Method::PATCH, &path, Some(&body)).await {
                // Somebody deleted it by hand: that is an answer, too.
                Err(Failure::Final(why)) if why.contains("404") => return Ok(()),
                other => other?,
            };
            self.metrics.updated.inc();
            return Ok(());
        }
        if let Some(uid) = &self.config.dashboard_uid {
            body["dashboardUID"] = json!(uid);
            body["panelId"] = json!(self.config.panel_id);
        }
        let answer = self.api.call(Method::POST, "/api/annotations", Some(&body)).await?;
        let number = answer.get("id").and_then(Value::as_i64);
        let number = number.ok_or_else(|| Failure::Final(format!("no id in {answer}")))?;
        self.metrics.created.inc();
        self.learn(id, number);
        Ok(())
    }

    fn learn(&mut self, id: &str, number: i64) {
        self.known.insert(id.to_string(), number);
        (self.remember)(id, number);
    }
}

struct Api {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    base: String,
    token: Option<Secret>,
}

impl Api {
    fn new(url: &str, token: Option<Secret>) -> Self {
        let connector = hyper_rustls::HttpsConnectorBuilder::new();
        // Without any root certificate https fails with a clear error at the first call.
        let connector = match connector.with_native_roots() {
            Ok(with_roots) => with_roots,
            Err(_) => hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(
                rustls::ClientConfig::builder()
                    .with_root_certificates(rustls::RootCertStore::empty())
                    .with_no_client_auth(),
            ),
        };
        let connector = connector.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { client, base: url.trim_end_matches('/').to_string(), token }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let bytes = body.map_or_else(Bytes::new, |b| b.to_string().into());
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.reveal()));
        }
        let request = request.body(Body::from(bytes)).map_err(|e| Failure::Final(e.to_string()))?;
        let passing = |e: &dyn std::fmt::Display| Failure::Passing(format!("{path}: {e}"));
        let response = tokio::time::timeout(TIMEOUT, self.client.request(request))
            .await
            .map_err(|_| passing(&"no answer in time"))?
            .map_err(|e| passing(&e))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        let bytes = body.map_err(|e| passing(&e))?.to_bytes();
        if status.is_success() {
            return Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null));
        }
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        let why = format!("{path}: {status} {text}");
        let is_passing = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        Err(if is_passing { Failure::Passing(why) } else { Failure::Final(why) })
    }
}
