//! `POST /webhook/alertmanager`: 200 once the alerts are on disk; the diagnosis follows.
//!
//! Alertmanager retries 5xx only; every 4xx loses the alert for good.

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::sync::oneshot;

use super::decode::decode_webhook;
use crate::data::Alert;
use crate::delivery::AlertDelivery;
use crate::receive::body::collect;
use crate::receive::error::Rejection;
use crate::receive::intake::Intake;

const PROTOCOL: &str = "webhook";
/// The journal answers within this time or the delivery is refused.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The webhook route.
pub fn router(intake: Intake) -> Router {
    Router::new().route("/webhook/alertmanager", post(receive)).with_state(intake)
}

async fn receive(State(intake): State<Intake>, request: Request) -> Response {
    match accept(&intake, request).await {
        Ok(ids) => {
            intake.metrics.accept(PROTOCOL);
            answer(
                StatusCode::OK,
                &serde_json::json!({"status": "success", "data": {"diagnoses": ids}}),
            )
        }
        Err((code, kind, text)) => {
            intake.metrics.reject(PROTOCOL, kind);
            answer(code, &serde_json::json!({"status": "error", "errorType": kind, "error": text}))
        }
    }
}

async fn accept(
    intake: &Intake,
    request: Request,
) -> Result<Vec<String>, (StatusCode, &'static str, String)> {
    let unavailable =
        |text: &str| (StatusCode::SERVICE_UNAVAILABLE, "overloaded", text.to_string());
    let alerts = read(intake, request).await.map_err(|r| refusal(&r))?;
    let count = alerts.len() as u64;
    let (journalled, safe) = oneshot::channel();
    intake
        .alerts
        .try_send(AlertDelivery { alerts, journalled })
        .map_err(|_| unavailable("too many alerts are waiting to be journalled"))?;
    let ids = tokio::time::timeout(JOURNAL_TIMEOUT, safe)
        .await
        .map_err(|_| unavailable("the journal does not answer"))?
        .map_err(|_| unavailable("shutting down"))?
        .map_err(|e| unavailable(&format!("not journalled: {e}")))?;
    intake.metrics.alerts.inc_by(count);
    Ok(ids)
}

async fn read(intake: &Intake, request: Request) -> Result<Vec<Alert>, Rejection> {
    let mut share = intake.budget.share();
    let bytes = collect(request.into_body(), intake.config.body_bytes_max, &mut share).await?;
    decode_webhook(&bytes)
}

fn refusal(rejection: &Rejection) -> (StatusCode, &'static str, String) {
    let code = match rejection {
        Rejection::Overloaded(_) | Rejection::Crowded { .. } | Rejection::Incomplete(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Rejection::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    };
    (code, rejection.reason(), rejection.to_string())
}

fn answer(code: StatusCode, body: &serde_json::Value) -> Response {
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let mut response = (code, kind, body.to_string()).into_response();
    if code == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
