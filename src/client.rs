//! Calls of other programs' HTTP APIs, over TLS where the URL says so, with clear complaints.
//!
//! In: a base URL, a login, requests. Out: answers of bounded size. Absent on purpose: retries, which
//! depend on what is called, and what the answers mean.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::builderstates::WantsSchemes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client as Pool, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::net::UnixStream;

use crate::secret::Secret;

/// Characters of a refusal that are shown.
const REFUSAL_SHOWN: usize = 200;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nothing that is an answer has come.
    #[error("{url}: {why}")]
    NoAnswer {
        /// What was called.
        url: String,
        /// What happened instead.
        why: String,
    },
    /// The other side says no, or nothing that makes sense.
    #[error("{url}: {status} {why}")]
    Answer {
        /// What was called.
        url: String,
        /// The answer's status.
        status: StatusCode,
        /// Its first words.
        why: String,
    },
    /// The answer is longer than anybody wants to read.
    #[error("{url}: the answer has more than {max} bytes")]
    TooLarge {
        /// What was called.
        url: String,
        /// Bytes that would have been read.
        max: usize,
    },
    /// There can be no such call.
    #[error("{url}: {why}")]
    Impossible {
        /// What was to be called.
        url: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Failure {
    /// Whether the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Answer { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::TooLarge { .. } | Self::Impossible { .. } => false,
        }
    }

    /// The status, if there was an answer.
    pub fn status(&self) -> Option<StatusCode> {
        if let Self::Answer { status, .. } = self { Some(*status) } else { None }
    }

    /// Whether there is no such thing on the other side.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }
}

/// Who we are to the other side.
#[derive(Clone, Debug, Default)]
pub enum Login {
    /// Nobody in particular.
    #[default]
    None,
    /// A bearer token.
    Token(Secret),
    /// A user and the password.
    User(String, Secret),
}

impl Login {
    fn header(&self) -> Option<Secret> {
        match self {
            Self::None => None,
            Self::Token(token) => Some(Secret::new(format!("Bearer {}", token.reveal()))),
            Self::User(name, password) => {
                let pair = format!("{name}:{}", password.reveal());
                let pair = base64::engine::general_purpose::STANDARD.encode(pair);
                Some(Secret::new(format!("Basic {pair}")))
            }
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Its method.
    pub method: Method,
    /// What follows the base URL, query included.
    pub path: &'a str,
    /// Headers besides the credentials.
    pub headers: &'a [(&'static str, &'a str)],
    /// What is sent.
    pub body: Bytes,
    /// Bytes of the answer that are read.
    pub answer_max: usize,
    /// Time it may take, the answer included.
    pub timeout: Duration,
}

/// What came back, whatever the status says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The URL that was called.
    pub url: String,
    /// How it went.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body, if the call was a success.
    ///
    /// # Errors
    /// [`Failure::Answer`] for every other status.
    pub fn success(self) -> Result<Bytes, Failure> {
        if self.status.is_success() { Ok(self.body) } else { Err(self.refusal()) }
    }

    /// The answer as a complaint.
    pub fn refusal(&self) -> Failure {
        let why = String::from_utf8_lossy(&self.body).chars().take(REFUSAL_SHOWN).collect();
        Failure::Answer { url: self.url.clone(), status: self.status, why }
    }
}

/// How the other side is reached.
#[derive(Debug)]
enum Road {
    Pool(Box<Pool<HttpsConnector<HttpConnector>, Body>>),
    Socket(PathBuf),
}

/// A program at one address.
#[derive(Debug)]
pub struct Client {
    road: Road,
    base: String,
    authorization: Option<Secret>,
}

impl Client {
    /// Calls go to `url` and what follows it.
    pub fn new(url: &str, login: &Login) -> Self {
        let connector = HttpsConnectorBuilder::new();
        // Without any root certificate https fails with a clear error at the first call.
        let connector = match connector.with_native_roots() {
            Ok(with_roots) => with_roots,
            Err(_) => HttpsConnectorBuilder::new().with_tls_config(
                rustls::ClientConfig::builder()
                    .with_root_certificates(rustls::RootCertStore::empty())
                    .with_no_client_auth(),
            ),
        };
        Self::over(connector, url, login)
    }

    /// The same, believing certificates of these authorities (PEM) and of no others.
    ///
    /// # Errors
    /// When they are none.
    pub fn with_authority(url: &str, login: &Login, pem: &[u8]) -> Result<Self, String> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| format!("not in PEM form: {e}"))?;
            roots.add(certificate).map_err(|e| format!("not an authority: {e}"))?;
        }
        if roots.is_empty() {
            return Err("holds no certificate".into());
        }
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls);
        Ok(Self::over(connector, url, login))
    }

    fn over(connector: HttpsConnectorBuilder<WantsSchemes>, url: &str, login: &Login) -> Self {
        let connector = connector.https_or_http().enable_http1().build();
        let road = Road::Pool(Box::new(Pool::builder(TokioExecutor::new()).build(connector)));
        Self { road, base: url.trim_end_matches('/').to_string(), authorization: login.header() }
    }

    /// A program behind a Unix socket.
    pub fn unix(socket: &Path) -> Self {
        let base = format!("unix:{}", socket.display());
        Self { road: Road::Socket(socket.into()), base, authorization: None }
    }

    /// The whole URL of `path`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// One call.
    ///
    /// # Errors
    /// When there is no answer, or too much of it.
    pub async fn call(&self, call: Call<'_>) -> Result<Answer, Failure> {
        let url = self.url(call.path);
        let mut request = Request::builder().method(call.method);
        request = match &self.road {
            Road::Pool(_) => request.uri(&url),
            Road::Socket(_) => request.uri(call.path).header(header::HOST, "localhost"),
        };
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.reveal());
        }
        let request = request
            .body(Body::from(call.body))
            .map_err(|e| Failure::Impossible { url: url.clone(), why: chain(&e) })?;
        let exchange = self.exchange(request, &url, call.answer_max);
        tokio::time::timeout(call.timeout, exchange).await.map_err(|_| Failure::NoAnswer {
            url: url.clone(),
            why: format!("no answer within {} s", call.timeout.as_secs()),
        })?
    }

    async fn exchange(
        &self,
        request: Request<Body>,
        url: &str,
        max: usize,
    ) -> Result<Answer, Failure> {
        let no_answer = |why| Failure::NoAnswer { url: url.to_string(), why };
        let response = match &self.road {
            Road::Pool(pool) => pool.request(request).await.map_err(|e| no_answer(chain(&e)))?,
            Road::Socket(path) => over_socket(path, request).await.map_err(no_answer)?,
        };
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, max).collect().await.map_err(|e| {
            if e.is::<LengthLimitError>() {
                return Failure::TooLarge { url: url.to_string(), max };
            }
            no_answer(chain(&*e))
        })?;
        let (status, headers) = (parts.status, parts.headers);
        Ok(Answer { url: url.to_string(), status, headers, body: body.to_bytes() })
    }
}

/// One exchange on a connection of its own, which ends with its answer.
async fn over_socket(path: &Path, request: Request<Body>) -> Result<Response<Incoming>, String> {
    let stream = UnixStream::connect(path).await.map_err(|e| e.to_string())?;
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|e| chain(&e))?;
    // What becomes of the connection shows in the answer.
    tokio::spawn(async move { drop(connection.await) });
    sender.send_request(request).await.map_err(|e| chain(&e))
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

    #[test]
    fn a_login_is_sent_and_never_shown() {
        let login = Login::User("Aladdin".into(), Secret::new("open sesame"));
        let header = login.header().unwrap();
        // The example of RFC 7617.
        assert_eq!(header.reveal(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(!format!("{login:?}").contains("sesame"));
        assert_eq!(Login::Token(Secret::new("t")).header().unwrap().reveal(), "Bearer t");
    }
}
