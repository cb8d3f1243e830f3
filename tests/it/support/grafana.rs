//! The annotations API of Grafana as its documentation describes it. No package has the server.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use sage::http::Listener;
use serde_json::{Value, json};
use tokio::sync::watch;

pub(crate) const TOKEN: &str = "glsa_test";

#[derive(Default)]
struct Inner {
    annotations: BTreeMap<i64, Value>,
    /// Calls that will be answered 503.
    failing: usize,
    /// Creations that will be carried out and answered 502, as by a proxy that lost the answer.
    losing: usize,
    calls: usize,
}

#[derive(Clone)]
pub(crate) struct Grafana {
    inner: Arc<Mutex<Inner>>,
    pub(crate) address: SocketAddr,
    _stop: Arc<watch::Sender<bool>>,
}

type Shared = State<Arc<Mutex<Inner>>>;

impl Grafana {
    pub(crate) async fn start() -> Self {
        let inner = Arc::new(Mutex::new(Inner::default()));
        let router = Router::new()
            .route("/api/annotations", get(find).post(create))
            .route("/api/annotations/{id}", patch(update))
            .with_state(inner.clone());
        let listener = Listener::bind("grafana", "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.address();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(listener.serve(router, stopped));
        Self { inner, address, _stop: Arc::new(stop) }
    }

    pub(crate) fn fail(&self, calls: usize) {
        self.inner.lock().unwrap().failing = calls;
    }

    pub(crate) fn lose(&self, calls: usize) {
        self.inner.lock().unwrap().losing = calls;
    }

    pub(crate) fn calls(&self) -> usize {
        self.inner.lock().unwrap().calls
    }

    pub(crate) fn annotations(&self) -> Vec<Value> {
        self.inner.lock().unwrap().annotations.values().cloned().collect()
    }
}

/// Counts the call and says what keeps it from being carried out.
fn trouble(inner: &mut Inner, headers: &HeaderMap) -> Option<Response> {
    inner.calls += 1;
    let authorization = headers.get("authorization").and_then(|v| v.to_str().ok());
    if authorization != Some(&format!("Bearer {TOKEN}")) {
        return Some((StatusCode::UNAUTHORIZED, "no token").into_response());
    }
    if inner.failing > 0 {
        inner.failing -= 1;
        return Some((StatusCode::SERVICE_UNAVAILABLE, "starting").into_response());
    }
    None
}

async fn create(State(inner): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let mut inner = inner.lock().unwrap();
    if let Some(refusal) = trouble(&mut inner, &headers) {
        return refusal;
    }
    if body["text"].as_str().unwrap_or("").is_empty() {
        return (StatusCode::BAD_REQUEST, "text must not be empty").into_response();
    }
    let id = inner.annotations.len() as i64 + 1;
    inner.annotations.insert(id, body);
    if inner.losing > 0 {
        inner.losing -= 1;
        return (StatusCode::BAD_GATEWAY, "upstream gone").into_response();
    }
    json!({"message": "Annotation added", "id": id}).to_string().into_response()
}

async fn update(
    State(inner): Shared,
    Path(id): Path<i64>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let mut inner = inner.lock().unwrap();
    if let Some(refusal) = trouble(&mut inner, &headers) {
        return refusal;
    }
    let Some(annotation) = inner.annotations.get_mut(&id) else {
        return (StatusCode::NOT_FOUND, "no such annotation").into_response();
    };
    for (key, value) in body.as_object().unwrap() {
        annotation[key] = value.clone();
    }
    json!({"message": "Annotation patched"}).to_string().into_response()
}

async fn find(
    State(inner): Shared,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let mut inner = inner.lock().unwrap();
    if let Some(refusal) = trouble(&mut inner, &headers) {
        return refusal;
    }
    let tag = json!(query.get("tags"));
    let found: Vec<Value> = inner
        .annotations
        .iter()
        .filter(|(_, a)| a["tags"].as_array().unwrap().contains(&tag))
        .map(|(id, a)| {
            let mut found = a.clone();
            found["id"] = json!(id);
            found
        })
        .collect();
    json!(found).to_string().into_response()
}
