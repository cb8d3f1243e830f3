//! The Kubernetes API, as far as it is needed: one object read, some of its fields changed.
//!
//! A change is a JSON patch (RFC 6902) whose `test` operations compare with what was read, so the API
//! server itself refuses it when anybody else was quicker.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};

use super::carry::{Trouble, Way};
use super::config::Kubernetes;
use crate::client::{Answer, Call, Client, Failure, Login};
use crate::data::{Edit, Outside};
use crate::secret::Secret;

/// Longest answer that is read: a list of pods has some KiB a pod.
const ANSWER_BYTES_MAX: usize = 16 << 20;
const JSON: (&str, &str) = ("accept", "application/json");
const PATCH: (&str, &str) = ("content-type", "application/json-patch+json");

/// Token and authority are read each time, so that exchanged ones count at once.
fn client(at: &Kubernetes) -> Result<Client, String> {
    let read = |key: &str, path: &std::path::Path| {
        std::fs::read_to_string(path)
            .map_err(|e| format!("act.kubernetes.{key} = {}: {e}", path.display()))
    };
    let login = match &at.token_file {
        None => Login::None,
        Some(path) => Login::Token(Secret::new(read("token_file", path)?.trim())),
    };
    match &at.ca_file {
        None => Ok(Client::new(&at.url, &login)),
        Some(path) => {
            let pem = read("ca_file", path)?;
            Client::with_authority(&at.url, &login, pem.as_bytes())
                .map_err(|e| format!("act.kubernetes.ca_file = {}: {e}", path.display()))
        }
    }
}

async fn call(
    at: &Kubernetes,
    method: Method,
    path: &str,
    headers: &[(&'static str, &str)],
    body: Bytes,
    timeout: Duration,
) -> Result<Answer, String> {
    let call = Call { method, path, headers, body, answer_max: ANSWER_BYTES_MAX, timeout };
    client(at)?.call(call).await.map_err(|e| e.to_string())
}

/// An object; `None` where there is none.
///
/// # Errors
/// What is in the way, in words.
pub(super) async fn get(
    at: &Kubernetes,
    path: &str,
    timeout: Duration,
) -> Result<Option<Value>, String> {
    let answer = call(at, Method::GET, path, &[JSON], Bytes::new(), timeout).await?;
    match answer.success() {
        Ok(body) => serde_json::from_slice(&body).map(Some).map_err(|e| format!("{path}: {e}")),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(complaint(&failure)),
    }
}

/// Sets fields, if they and what identifies the object are still as they were read.
///
/// # Errors
/// Whether it has changed meanwhile, or what else is in the way.
pub(super) async fn patch(
    at: &Kubernetes,
    change: &Outside,
    object: &Value,
    edits: &[&Edit],
    way: Way,
    timeout: Duration,
) -> Result<(), Trouble> {
    let body = Bytes::from(operations(change, object, edits, way).to_string());
    let path = &change.object;
    let answer = call(at, Method::PATCH, path, &[JSON, PATCH], body, timeout).await;
    let answer = answer.map_err(Trouble::Failed)?;
    match answer.success() {
        Ok(_) => Ok(()),
        Err(failure) if failure.status() == Some(StatusCode::CONFLICT) => {
            Err(Trouble::Conflict(complaint(&failure)))
        }
        // A test that fails is answered like this; so is a value that is not allowed there. If it is the
        // former, the next look shows it.
        Err(failure) if failure.status() == Some(StatusCode::UNPROCESSABLE_ENTITY) => {
            let why = complaint(&failure);
            match get(at, path, timeout).await {
                Ok(now) if now.as_ref().map(|n| seen(n, change)) != Some(seen(object, change)) => {
                    Err(Trouble::Conflict(why))
                }
                _ => Err(Trouble::Failed(why)),
            }
        }
        Err(failure) => Err(Trouble::Failed(complaint(&failure))),
    }
}

/// The fields that matter, as they are.
fn seen<'a>(object: &'a Value, change: &Outside) -> Vec<Option<&'a Value>> {
    let facts = change.same.iter().map(|fact| &fact.at);
    let edits = change.edits.iter().map(|edit| &edit.at);
    facts.chain(edits).map(|at| object.pointer(at)).collect()
}

/// The operations of a JSON patch.
pub(super) fn operations(change: &Outside, object: &Value, edits: &[&Edit], way: Way) -> Value {
    let mut operations = Vec::new();
    for fact in &change.same {
        operations.push(json!({"op": "test", "path": fact.at, "value": fact.is}));
    }
    for edit in edits {
        // As it was read, to the letter: a server may write quantities in a form of its own.
        let now = object.pointer(&edit.at).unwrap_or(&Value::Null);
        operations.push(json!({"op": "test", "path": edit.at, "value": now}));
    }
    for edit in edits {
        operations.push(json!({"op": "replace", "path": edit.at, "value": way.goal(edit)}));
    }
    Value::Array(operations)
}

/// A failure with what helps.
fn complaint(failure: &Failure) -> String {
    match failure.status() {
        Some(StatusCode::UNAUTHORIZED) => format!("{failure}; see act.kubernetes.token_file"),
        Some(StatusCode::FORBIDDEN) => {
            format!("{failure}; see plugin-config/sage-rbac.yaml for what it must be allowed")
        }
        _ => failure.to_string(),
    }
}
