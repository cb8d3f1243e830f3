//! `[[act.helpers]]` and `[act.tls]`: which helper is asked about which node, and how it is reached.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};

/// `[[act.helpers]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Helper {
    /// The node, as metrics name it.
    pub node: String,
    /// Its socket, if it is on this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// `host:port`, if it is on another one. Needs `[act.tls]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The name its certificate must carry; the host of `address` when not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

impl Helper {
    /// A helper on this node.
    pub fn local(node: impl Into<String>, socket: impl Into<PathBuf>) -> Self {
        let (node, socket) = (node.into(), Some(socket.into()));
        Self { node, socket, address: None, server_name: None }
    }

    /// A helper on another node.
    pub fn remote(node: impl Into<String>, address: impl Into<String>) -> Self {
        let (node, address) = (node.into(), Some(address.into()));
        Self { node, socket: None, address, server_name: None }
    }

    /// Where it is, for people.
    pub(super) fn shown(&self) -> String {
        match (&self.socket, &self.address) {
            (Some(socket), _) => socket.display().to_string(),
            (None, address) => address.clone().unwrap_or_default(),
        }
    }

    /// The name its certificate must carry.
    pub(super) fn certified_name(&self) -> Result<ServerName<'static>, String> {
        let host = self.address.as_deref().and_then(|a| a.rsplit_once(':')).map(|(host, _)| host);
        let name = self.server_name.as_deref().or(host).unwrap_or_default();
        let name = name.trim_start_matches('[').trim_end_matches(']');
        ServerName::try_from(name.to_string())
            .map_err(|_| format!("{name:?} is neither a DNS name nor an address"))
    }

    /// Names what is wrong, each with its key in front.
    pub(super) fn faults(&self, has_tls: bool, fault: &mut dyn FnMut(&str, String)) {
        match (&self.socket, &self.address) {
            (Some(_), None) if self.server_name.is_some() => {
                fault("server_name", "means nothing with a socket".into());
            }
            (Some(_), None) => {}
            (None, Some(address)) => {
                let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
                if !matches!(port, Some(Ok(1..))) {
                    fault("address", format!("{address:?} is not host:port"));
                } else if let Err(why) = self.certified_name() {
                    fault("server_name", why);
                }
                if !has_tls {
                    fault("address", "needs [act.tls]: helpers elsewhere speak TLS only".into());
                }
            }
            _ => fault("socket", "needs either socket or address".into()),
        }
    }
}

/// `[act.tls]`: who we are to helpers on other nodes, and which of them we believe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The authority of the helpers' certificates.
    pub ca_file: PathBuf,
    /// Our certificate, and those that vouch for it.
    pub cert_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
}

impl Tls {
    /// Reads the files. TLS 1.3 only: both ends are ours.
    ///
    /// # Errors
    /// What is wrong with which of them.
    pub(super) fn read(&self) -> Result<Arc<ClientConfig>, String> {
        let Self { ca_file, cert_file, key_file } = self;
        let at =
            |key: &str, path: &Path, why: String| format!("tls.{key} = {}: {why}", path.display());
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca_file).map_err(|e| at("ca_file", ca_file, e))? {
            let added = roots.add(certificate);
            added.map_err(|e| at("ca_file", ca_file, format!("not an authority: {e}")))?;
        }
        let chain = certificates(cert_file).map_err(|e| at("cert_file", cert_file, e))?;
        let at_key = |why: String| at("key_file", key_file, why);
        let key = PrivateKeyDer::from_pem_file(key_file)
            .map_err(|e| at_key(format!("not a private key in PEM form: {e}")))?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| at_key(e.to_string()))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|e| at_key(format!("does not go with act.tls.cert_file: {e}")))?;
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|e| format!("not certificates in PEM form: {e}"))?;
    if found.is_empty() { Err("holds no certificate".into()) } else { Ok(found) }
}
