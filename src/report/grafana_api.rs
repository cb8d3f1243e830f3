//! Calls of Grafana's HTTP API, with clear complaints.

use std::error::Error;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::secret::Secret;

/// Time one call may take, its answer included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 1 << 20;
/// Characters of a refusal that are shown.
const REFUSAL_SHOWN: usize = 200;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Nothing that is an answer has come.
    #[error("{url}: {why}")]
    NoAnswer { url: String, why: String },
    /// Grafana says no, or nothing that makes sense.
    #[error("{url}: {status} {why}")]
    Answer { url: String, status: StatusCode, why: String },
    /// There can be no such call.
    #[error("{url}: {why}")]
    Impossible { url: String, why: String },
}

impl Failure {
    /// Whether the same call may succeed later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Answer { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Impossible { .. } => false,
        }
    }

    /// Whether there is no such thing at Grafana's.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Answer { status, .. } if *status == StatusCode::NOT_FOUND)
    }
}

/// Grafana at one address.
pub(super) struct Api {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    base: String,
    token: Option<Secret>,
}

impl Api {
    pub(super) fn new(url: &str, token: Option<Secret>) -> Self {
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

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// One call; the JSON of its answer, and `null` for an answer that is none.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let url = self.url(path);
        let bytes = body.map_or_else(Bytes::new, |b| b.to_string().into());
        let mut request = Request::builder()
            .method(method)
            .uri(&url)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.reveal()));
        }
        let request = request
            .body(Body::from(bytes))
            .map_err(|e| Failure::Impossible { url: url.clone(), why: chain(&e) })?;
        let no_answer = |why: String| Failure::NoAnswer { url: url.clone(), why };
        let (status, bytes) = tokio::time::timeout(TIMEOUT, self.exchange(request))
            .await
            .map_err(|_| no_answer(format!("no answer within {} s", TIMEOUT.as_secs())))?
            .map_err(no_answer)?;
        if status.is_success() {
            return Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null));
        }
        let why = String::from_utf8_lossy(&bytes).chars().take(REFUSAL_SHOWN).collect();
        Err(Failure::Answer { url, status, why })
    }

    async fn exchange(&self, request: Request<Body>) -> Result<(StatusCode, Bytes), String> {
        let response = self.client.request(request).await.map_err(|e| chain(&e))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        Ok((status, body.map_err(|e| chain(&*e))?.to_bytes()))
    }
}

/// An error with its causes; hyper's own words end where it gets interesting.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text.push_str(&format!(": {e}"));
        cause = e.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refused_connection_is_said_to_be_one_and_where() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let api = Api::new(&format!("http://{free}/"), None);
        let failure = api.call(Method::GET, "/api/annotations", None).await.unwrap_err();
        let text = failure.to_string();
        assert!(failure.is_passing(), "{text}");
        assert!(text.starts_with(&format!("http://{free}/api/annotations: ")), "{text}");
        assert!(text.contains("refused"), "{text}");
    }

    #[test]
    fn only_the_status_says_that_something_is_not_there() {
        let answer = |status| Failure::Answer {
            url: "http://g/api/annotations/404".into(),
            status,
            why: "404".into(),
        };
        assert!(answer(StatusCode::NOT_FOUND).is_not_found());
        assert!(!answer(StatusCode::BAD_REQUEST).is_not_found());
    }
}
