//! Who we are, and whom we believe: certificates and keys from files, and the handshake.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme, client::danger::HandshakeSignatureValid,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::config::Tls;
use super::error::FileError;

/// From the first byte to the end of the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes under way on one listener; they are what costs processor time. More wait, within the
/// same time-out.
const HANDSHAKES_MAX: usize = 64;
/// The first byte of every TLS record of a handshake.
const HANDSHAKE_RECORD: u8 = 22;
/// What somebody who speaks HTTP is told, in the only words he understands.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Connection: close\r\nContent-Length: 41\r\n\r\nThis port speaks TLS; use https instead.\n";

/// Certificates as they are in use; they can be read again.
#[derive(Debug)]
pub(super) struct Identity {
    files: Tls,
    current: watch::Sender<Arc<ServerConfig>>,
}

impl Identity {
    /// # Errors
    /// [`FileError`] when a file is not what it should be.
    pub(super) fn load(files: &Tls) -> Result<Self, FileError> {
        let (current, _) = watch::channel(Arc::new(server_config(files)?));
        Ok(Self { files: files.clone(), current })
    }

    /// Reads the files again. What is in use stays in use when they are faulty.
    pub(super) fn reload(&self) -> Result<(), FileError> {
        self.current.send_replace(Arc::new(server_config(&self.files)?));
        Ok(())
    }

    /// The file that nobody else should read.
    pub(super) fn key_file(&self) -> PathBuf {
        self.files.key_file.clone()
    }

    /// Whether clients must show a certificate.
    pub(super) fn asks_clients(&self) -> bool {
        self.files.client_ca_file.is_some()
    }

    /// The files that make it up.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let Tls { cert_file, key_file, client_ca_file, .. } = &self.files;
        [cert_file, key_file].into_iter().chain(client_ca_file).cloned().collect()
    }

    /// Shakes hands; `None` when the client has left without a word.
    ///
    /// # Errors
    /// The label of the counter, and the complaint.
    pub(super) async fn shake_hands(
        &self,
        mut stream: TcpStream,
        places: &Semaphore,
    ) -> Result<Option<TlsStream<TcpStream>>, (&'static str, String)> {
        let shaking = async {
            let mut first = [0];
            // A place is for those who have begun to speak.
            if stream.peek(&mut first).await.map_err(failed)? == 0 {
                return Ok(None);
            }
            if first[0] != HANDSHAKE_RECORD {
                // He may be gone.
                drop(stream.write_all(SPEAK_TLS).await);
                return Err(("not_tls", "the client does not speak TLS".into()));
            }
            let _place = places.acquire().await.map_err(|e| ("failed", e.to_string()))?;
            let acceptor = TlsAcceptor::from(self.current.borrow().clone());
            acceptor.accept(stream).await.map(Some).map_err(failed)
        };
        let late = |_| ("timeout", "the client did not finish its handshake".to_string());
        tokio::time::timeout(HANDSHAKE_TIMEOUT, shaking).await.map_err(late)?
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: std::io::Error) -> (&'static str, String) {
    let cause = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    let reason = match cause {
        Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)) => {
            "client_certificate"
        }
        _ => "failed",
    };
    (reason, error.to_string())
}

/// TLS 1.2 and 1.3, HTTP/2 preferred to HTTP/1.1.
fn server_config(files: &Tls) -> Result<ServerConfig, FileError> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates("listen.tls.cert_file", &files.cert_file)?;
    let at_key = |why: String| FileError::new("listen.tls.key_file", &files.key_file, why);
    let key = PrivateKeyDer::from_pem_file(&files.key_file)
        .map_err(|e| at_key(format!("not a private key in PEM form: {e}")))?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| at_key(e.to_string()))?;
    let builder = match &files.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            builder.with_client_cert_verifier(client_verifier(path, &files.client_names, provider)?)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|e| at_key(format!("does not go with listen.tls.cert_file: {e}")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let fail = |why: String| FileError::new(key, path, why);
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|e| fail(format!("not certificates in PEM form: {e}")))?;
    if found.is_empty() {
        return Err(fail(
            "holds no certificate; one begins with -----BEGIN CERTIFICATE-----".into(),
        ));
    }
    Ok(found)
}

fn client_verifier(
    path: &Path,
    names: &[String],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, FileError> {
    let key = "listen.tls.client_ca_file";
    let fail = |why: String| FileError::new(key, path, why);
    let mut roots = RootCertStore::empty();
    for certificate in certificates(key, path)? {
        roots.add(certificate).map_err(|e| fail(format!("not an authority: {e}")))?;
    }
    let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| fail(e.to_string()))?;
    if names.is_empty() {
        return Ok(chain);
    }
    let names = names.iter().map(|name| {
        ServerName::try_from(name.clone()).map_err(|e| {
            FileError::new("listen.tls.client_names", name, format!("not a DNS name or IP: {e}"))
        })
    });
    Ok(Arc::new(Named { chain, names: names.collect::<Result<_, _>>()? }))
}

/// Believes a certificate when its authority is known and one of its names is wanted.
#[derive(Debug)]
struct Named {
    chain: Arc<dyn ClientCertVerifier>,
    names: Vec<ServerName<'static>>,
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        let parsed = ParsedCertificate::try_from(end_entity)?;
        if self.names.iter().any(|name| verify_server_name(&parsed, name).is_ok()) {
            return Ok(verified);
        }
        Err(CertificateError::NotValidForName.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// The most handshakes at once on one listener.
pub(super) fn handshake_places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(HANDSHAKES_MAX))
}
