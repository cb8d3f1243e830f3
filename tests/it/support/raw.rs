//! Requests byte for byte as a sender wrote them.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::http::{HeaderMap, Request};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A file below `tests/fixtures`.
pub(crate) fn fixture(path: &str) -> Vec<u8> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path);
    std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header, empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.head
            .lines()
            .filter_map(|l| l.split_once(": "))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map_or("", |(_, v)| v)
    }
}

/// Sends a captured request head and its body on a connection of its own.
pub(crate) async fn raw_http(address: SocketAddr, head: &[u8], body: &[u8]) -> Answer {
    let head = String::from_utf8(head.to_vec()).unwrap().replace("\r\n", "\n");
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let mut bytes = Vec::new();
    for line in head.lines().filter(|l| !l.is_empty() && !l.starts_with("Connection:")) {
        bytes.extend_from_slice(format!("{line}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"Connection: close\r\n\r\n");
    if is_chunked {
        bytes.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(b"\r\n0\r\n\r\n");
    } else {
        bytes.extend_from_slice(body);
    }
    let stream = TcpStream::connect(address).await.unwrap();
    exchange(stream, &bytes).await.expect("a whole response head")
}

/// Sends bytes and reads all that is answered; `None` when that is not even a whole response head.
pub(crate) async fn exchange<S>(mut stream: S, bytes: &[u8]) -> Option<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // A server that refuses early may close before it has read everything.
    drop(stream.write_all(bytes).await);
    drop(stream.flush().await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Some(Answer { status, head, body: answer[end + 4..].to_vec() })
}

/// A request on a connection that ends with it.
pub(crate) fn request_bytes(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    [head.as_bytes(), body].concat()
}

/// A request with headers of our own.
pub(crate) async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    raw_http(address, head.as_bytes(), body).await
}

/// One unary gRPC call with a message that is encoded already; `grpc-status` and `grpc-message`.
pub(crate) async fn grpc(address: SocketAddr, path: &str, message: &[u8]) -> (i32, String) {
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(message);
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from(framed)))
        .unwrap();
    let response = client.request(request).await.unwrap();
    let head = response.headers().clone();
    let trailers = response.into_body().collect().await.unwrap().trailers().cloned();
    let find = |name: &str| {
        let of = |h: &HeaderMap| h.get(name).map(|v| v.to_str().unwrap().to_string());
        of(&head).or_else(|| trailers.as_ref().and_then(of))
    };
    let status = find("grpc-status").expect("a gRPC status").parse().unwrap();
    (status, find("grpc-message").unwrap_or_default())
}
