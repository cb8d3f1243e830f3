//! Clients that speak TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::authority::{Authority, Pair};
use super::raw::{Answer, exchange, request_bytes};

impl Authority {
    /// A client that believes this authority and shows a certificate, or none.
    pub(crate) fn client(&self, own: Option<&Pair>) -> TlsClient {
        self.client_of(own, rustls::ALL_VERSIONS)
    }

    pub(crate) fn client_of(
        &self,
        own: Option<&Pair>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsClient {
        TlsClient(self.config(own, versions))
    }
}

/// A client of 127.0.0.1.
#[derive(Clone)]
pub(crate) struct TlsClient(ClientConfig);

impl TlsClient {
    /// A connection on which `alpn` was agreed.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        alpn: &[u8],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = self.0.clone();
        config.alpn_protocols = vec![alpn.to_vec()];
        let tcp = TcpStream::connect(address).await?;
        let name = address.ip().into();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
        Ok(stream)
    }

    /// One request on a connection of its own; `None` when there is no answer.
    pub(crate) async fn send(
        &self,
        address: SocketAddr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Answer> {
        let stream = self.connect(address, b"http/1.1").await.ok()?;
        exchange(stream, &request_bytes(address, method, path, headers, body)).await
    }

    pub(crate) async fn get(&self, address: SocketAddr, path: &str) -> Option<Answer> {
        self.send(address, "GET", path, &[], b"").await
    }

    /// A channel for gRPC, over one connection.
    pub(crate) async fn channel(&self, address: SocketAddr) -> Result<Channel, String> {
        let client = self.clone();
        let connector = tower::service_fn(move |_| {
            let client = client.clone();
            async move { client.connect(address, b"h2").await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://sage.test");
        endpoint.connect_with_connector(connector).await.map_err(|e| format!("{e:?}"))
    }

    /// One sample of `/metrics`.
    pub(crate) async fn sample(
        &self,
        address: SocketAddr,
        headers: &[(&str, &str)],
        name: &str,
    ) -> f64 {
        let answer = self.send(address, "GET", "/metrics", headers, b"").await.unwrap();
        let text = answer.text();
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }
}
