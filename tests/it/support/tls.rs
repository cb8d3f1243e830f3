//! Certificates made on the spot, and clients that speak TLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::raw::{Answer, exchange, request_bytes};

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// An authority of its own, below `home`.
pub(crate) struct Authority {
    home: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub(crate) file: PathBuf,
}

impl Authority {
    pub(crate) fn new(home: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // Of the same name as what it issues, it would be taken for self-signed.
        params.distinguished_name.push(DnType::CommonName, format!("{name} authority"));
        let key = KeyPair::generate().unwrap();
        let file = home.join(format!("{name}-ca.pem"));
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { home: home.into(), issuer: Issuer::new(params, key), file }
    }

    /// A certificate for `names`, as `file`.pem and `file`.key.
    pub(crate) fn issue(&self, file: &str, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name.push(DnType::CommonName, file);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let [at, key_at] = ["pem", "key"].map(|e| self.home.join(format!("{file}.{e}")));
        std::fs::write(&at, cert.pem()).unwrap();
        std::fs::write(&key_at, key.serialize_pem()).unwrap();
        Pair { cert: at, key: key_at }
    }

    /// A client that believes this authority and shows a certificate, or none.
    pub(crate) fn client(&self, own: Option<&Pair>) -> TlsClient {
        self.client_of(own, rustls::ALL_VERSIONS)
    }

    pub(crate) fn client_of(
        &self,
        own: Option<&Pair>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsClient {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.file).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(Pair { cert, key }) => {
                let chain = vec![CertificateDer::from_pem_file(cert).unwrap()];
                let key = PrivateKeyDer::from_pem_file(key).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        TlsClient(config)
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
