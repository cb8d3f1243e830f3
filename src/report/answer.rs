//! Prometheus' JSON envelope, and query parameters with clear complaints.

use std::collections::HashMap;

use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use crate::data::EventTime;

/// Seconds after which whoever hears 503 should come again.
pub(super) const RETRY_S: &str = "1";

/// An error of the API.
#[derive(Debug)]
pub(super) struct Problem {
    code: StatusCode,
    kind: &'static str,
    text: String,
}

impl Problem {
    /// The request is wrong.
    pub(super) fn bad_data(text: impl Into<String>) -> Self {
        Self { code: StatusCode::BAD_REQUEST, kind: "bad_data", text: text.into() }
    }

    /// There is no such thing.
    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self { code: StatusCode::NOT_FOUND, kind: "not_found", text: text.into() }
    }

    /// Not now.
    pub(super) fn unavailable(text: impl Into<String>) -> Self {
        Self { code: StatusCode::SERVICE_UNAVAILABLE, kind: "unavailable", text: text.into() }
    }

    /// It is under way already.
    pub(super) fn conflict(text: impl Into<String>) -> Self {
        Self { code: StatusCode::CONFLICT, kind: "conflict", text: text.into() }
    }

    /// The path is right, the method is not.
    pub(super) fn wrong_method() -> Self {
        Self {
            code: StatusCode::METHOD_NOT_ALLOWED,
            kind: "method_not_allowed",
            text: "not with this method; see the header Allow".into(),
        }
    }

    /// A bug.
    pub(super) fn internal(text: impl Into<String>) -> Self {
        Self { code: StatusCode::INTERNAL_SERVER_ERROR, kind: "internal", text: text.into() }
    }
}

impl From<PathRejection> for Problem {
    fn from(r: PathRejection) -> Self {
        Self { code: r.status(), kind: "bad_data", text: r.body_text() }
    }
}

impl From<BytesRejection> for Problem {
    fn from(r: BytesRejection) -> Self {
        Self { code: r.status(), kind: "bad_data", text: r.body_text() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({"status": "error", "errorType": self.kind, "error": self.text});
        let mut response = json_response(self.code, &body);
        if self.code == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_S));
        }
        response
    }
}

/// An answer or a problem.
pub(super) type Answer = Result<Response, Problem>;

/// `{"status":"success","data":…}`
pub(super) fn success(data: impl Serialize) -> Answer {
    with_code(StatusCode::OK, data)
}

#[derive(Serialize)]
struct Envelope<T> {
    status: &'static str,
    data: T,
}

/// The same with another code.
pub(super) fn with_code(code: StatusCode, data: impl Serialize) -> Answer {
    let body = serde_json::to_vec(&Envelope { status: "success", data });
    Ok(json_text(code, body.map_err(|e| Problem::internal(e.to_string()))?))
}

/// Any JSON.
pub(super) fn json_response(code: StatusCode, body: &Value) -> Response {
    json_text(code, body.to_string().into_bytes())
}

fn json_text(code: StatusCode, body: Vec<u8>) -> Response {
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (code, kind, body).into_response()
}

/// Query parameters as they were given.
#[derive(Debug)]
pub(super) struct Given(HashMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Given {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        query.map(|Query(given)| Self(given)).map_err(|r| Problem::bad_data(r.body_text()))
    }
}

/// Query parameters; unknown ones are refused, so that a typo is not an empty answer.
#[derive(Debug)]
pub(super) struct Parameters(HashMap<String, String>);

impl Parameters {
    /// Checks the names.
    pub(super) fn new(Given(given): Given, known: &[&str]) -> Result<Self, Problem> {
        for name in given.keys() {
            if !known.contains(&name.as_str()) {
                let known = known.join(", ");
                return Err(Problem::bad_data(format!(
                    "unknown parameter {name:?}; known: {known}"
                )));
            }
        }
        Ok(Self(given))
    }

    /// A parameter as it was given.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|t| !t.is_empty())
    }

    /// A moment: RFC 3339, or milliseconds, or seconds since the epoch.
    pub(super) fn time(&self, name: &str) -> Result<Option<EventTime>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        parse_time(text)
            .map(Some)
            .map_err(|e| Problem::bad_data(format!("{name}={text:?}: not a time: {e}")))
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<usize>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let fail = |e: std::num::ParseIntError| {
            Problem::bad_data(format!("{name}={text:?}: not a number: {e}"))
        };
        text.parse().map(Some).map_err(fail)
    }
}

/// Numbers up to here are seconds, beyond milliseconds: the year 5138, or March 1973.
const SECONDS_MAX: f64 = 1e11;

fn parse_time(text: &str) -> Result<EventTime, String> {
    match text.parse::<f64>() {
        Ok(n) if n.is_finite() => {
            let ms = if n.abs() < SECONDS_MAX { n * 1000.0 } else { n };
            Ok(EventTime(ms as i64))
        }
        _ => EventTime::parse_rfc3339(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_text_seconds_and_milliseconds() {
        for text in ["2026-08-01T10:00:00Z", "1785578400", "1785578400.0", "1785578400000"] {
            assert_eq!(parse_time(text).unwrap().0, 1_785_578_400_000, "{text}");
        }
        assert!(parse_time("yesterday").is_err());
    }

    #[test]
    fn a_misspelt_parameter_is_named() {
        let given = Given(HashMap::from([("limt".to_string(), "3".to_string())]));
        let problem = Parameters::new(given, &["limit"]).unwrap_err();
        assert!(problem.text.contains("\"limt\"") && problem.text.contains("limit"));
    }
}
