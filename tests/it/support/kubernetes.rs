//! A minimal Kubernetes API server: TLS, a bearer token, objects by path, JSON patches. Shapes and answers
//! follow the API reference.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::authority::Pair;

/// What the service account is called here.
pub(crate) const TOKEN: &str = "token-of-the-service-account";

/// What it holds, and what was asked of it.
#[derive(Default)]
pub(crate) struct State {
    /// Objects by path; a subresource stands for itself.
    pub(crate) objects: BTreeMap<String, Value>,
    /// `group resource verb` of every request.
    pub(crate) used: BTreeSet<String>,
    /// Done before the next patch is looked at: somebody else is quicker.
    pub(crate) meanwhile: Option<(String, String, Value)>,
    /// The next patch is not answered,
    pub(crate) is_slow: bool,
    /// and carried out once somebody has looked whether it was.
    pub(crate) late: Option<(String, Vec<Value>)>,
    /// Objects that nobody may write: a quota or a webhook is in the way.
    pub(crate) guarded: BTreeSet<String>,
}

/// The server; it ends with the runtime.
#[derive(Clone)]
pub(crate) struct ApiServer {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<Mutex<State>>,
}

impl ApiServer {
    pub(crate) async fn start(pair: &Pair) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = vec![CertificateDer::from_pem_file(&pair.cert).unwrap()];
        let key = PrivateKeyDer::from_pem_file(&pair.key).unwrap();
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, state: Arc::default() };
        let serving = server.clone();
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (acceptor, serving) = (acceptor.clone(), serving.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(tcp).await else { return };
                    let answer = service_fn(move |request| {
                        let serving = serving.clone();
                        async move { Ok::<_, Infallible>(serving.answer(request).await) }
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    drop(http.serve_connection(TokioIo::new(stream), answer).await);
                });
            }
        });
        server
    }

    pub(crate) fn put(&self, path: &str, object: Value) {
        self.state.lock().unwrap().objects.insert(path.into(), object);
    }

    pub(crate) fn at(&self, path: &str, pointer: &str) -> Value {
        let state = self.state.lock().unwrap();
        state.objects[path].pointer(pointer).cloned().unwrap_or_default()
    }

    /// Somebody else sets a field.
    pub(crate) fn set(&self, path: &str, pointer: &str, value: Value) {
        let mut state = self.state.lock().unwrap();
        *state.objects.get_mut(path).unwrap().pointer_mut(pointer).unwrap() = value;
    }

    async fn answer(&self, request: Request<hyper::body::Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let text = |name| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if text(header::AUTHORIZATION) != format!("Bearer {TOKEN}") {
            return status(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized");
        }
        let path = parts.uri.path().to_string();
        let is_list = path.ends_with("/pods") || path.ends_with("/horizontalpodautoscalers");
        let verb = match (parts.method.as_str(), is_list) {
            ("GET", true) => "list",
            ("GET", false) => "get",
            ("PATCH", _) => "patch",
            _ => return status(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "no"),
        };
        self.state.lock().unwrap().used.extend(rule(&path, verb));
        if verb != "patch" {
            // A page of a list is an object of its own here.
            let query = parts.uri.query().unwrap_or_default();
            let page = query.split_once("continue=").map(|(_, token)| format!("?{token}"));
            return self.show(&(path + &page.unwrap_or_default()));
        }
        if text(header::CONTENT_TYPE) != "application/json-patch+json" {
            let why = "the body of the request was in an unknown format";
            return status(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", why);
        }
        let bytes = body.collect().await.unwrap().to_bytes();
        let patch: Vec<Value> = serde_json::from_slice(&bytes).unwrap();
        if std::mem::take(&mut self.state.lock().unwrap().is_slow) {
            self.state.lock().unwrap().late = Some((path, patch));
            return std::future::pending().await;
        }
        self.patch(&path, &patch)
    }

    fn show(&self, path: &str) -> Response<Body> {
        let mut state = self.state.lock().unwrap();
        let shown = match state.objects.get(path) {
            Some(object) => answer(StatusCode::OK, object),
            None => status(StatusCode::NOT_FOUND, "NotFound", &format!("{path} not found")),
        };
        let late = state.late.take_if(|(of, _)| *of == path);
        drop(state);
        if let Some((of, patch)) = late {
            assert_eq!(self.patch(&of, &patch).status(), StatusCode::OK);
        }
        shown
    }

    fn patch(&self, path: &str, patch: &[Value]) -> Response<Body> {
        let mut state = self.state.lock().unwrap();
        if state.guarded.contains(path) {
            return status(StatusCode::FORBIDDEN, "Forbidden", "exceeded quota: compute");
        }
        if let Some((of, pointer, value)) = state.meanwhile.take() {
            *state.objects.get_mut(&of).unwrap().pointer_mut(&pointer).unwrap() = value;
        }
        let Some(object) = state.objects.get_mut(path) else {
            return status(StatusCode::NOT_FOUND, "NotFound", &format!("{path} not found"));
        };
        let mut next = object.clone();
        for operation in patch {
            let field = next.pointer_mut(operation["path"].as_str().unwrap());
            let done = match (operation["op"].as_str().unwrap(), field) {
                ("test", Some(field)) => *field == operation["value"],
                ("replace", Some(field)) => {
                    *field = operation["value"].clone();
                    true
                }
                _ => false,
            };
            if !done {
                let why = "the server rejected our request due to an error in our request";
                return status(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", why);
            }
        }
        *object = next;
        answer(StatusCode::OK, object)
    }
}

/// `group resource verb` as a Role has it; nothing for what everybody may do.
fn rule(path: &str, verb: &str) -> Option<String> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (group, below) = match parts.as_slice() {
        ["api", "v1", "namespaces", _, below @ ..] => ("\"\"", below),
        ["apis", group, _, "namespaces", _, below @ ..] => (*group, below),
        _ => return None,
    };
    let resource = match below {
        [resource, _, sub] => format!("{resource}/{sub}"),
        [resource, ..] => (*resource).to_string(),
        [] => return None,
    };
    Some(format!("{group} {resource} {verb}"))
}

fn answer(status: StatusCode, body: &Value) -> Response<Body> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Body::from(body.to_string())).unwrap()
}

/// A failure as the API has it.
fn status(code: StatusCode, reason: &str, message: &str) -> Response<Body> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16()});
    answer(code, &body)
}
