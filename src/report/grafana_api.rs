//! Calls of Grafana's HTTP API: JSON there and back.

use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use serde_json::Value;

pub(super) use crate::client::Failure;
use crate::client::{Call, Client, Login};
use crate::secret::Secret;

/// Time one call may take, its answer included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 1 << 20;

/// Grafana at one address.
pub(super) struct Api {
    client: Client,
}

impl Api {
    pub(super) fn new(url: &str, token: Option<Secret>) -> Self {
        Self { client: Client::new(url, &token.map_or(Login::None, Login::Token)) }
    }

    pub(super) fn url(&self, path: &str) -> String {
        self.client.url(path)
    }

    /// One call; the JSON of its answer, and `null` for an answer that is none.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let call = Call {
            method,
            path,
            headers: &[("content-type", "application/json")],
            body: body.map_or_else(Bytes::new, |b| b.to_string().into()),
            answer_max: ANSWER_MAX,
            timeout: TIMEOUT,
        };
        let bytes = self.client.call(call).await?.success()?;
        Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
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
}
