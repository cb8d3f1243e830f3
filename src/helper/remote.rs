//! Sidecars on other nodes: which certificates they must show, and which we show them.
//!
//! The files are read before privileges are dropped, and again when they have changed. Who has an old
//! certificate is cut off then: whoever is not believed any more must not go on.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use serde::Deserialize;

use super::error::Error;

/// `[tcp]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TcpPolicy {
    /// Where sidecars of other nodes connect; nowhere when not set.
    pub listen: Option<SocketAddr>,
    /// Our certificate, and those that vouch for it.
    pub cert_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
    /// The authority of the clients' certificates.
    pub client_ca_file: PathBuf,
    /// Clients that are listened to: a DNS name or an address that their certificate must carry.
    pub client_names: Vec<String>,
    /// Connections at a time.
    pub connections_max: usize,
    /// From the first byte to the end of the handshake.
    #[serde(with = "crate::duration")]
    pub handshake_timeout: Duration,
    /// How long a connection is served: its certificate is looked at in the handshake only.
    #[serde(with = "crate::duration")]
    pub connection_age_max: Duration,
}

impl Default for TcpPolicy {
    fn default() -> Self {
        Self {
            listen: None,
            cert_file: "/etc/sage/helper.pem".into(),
            key_file: "/etc/sage/helper.key".into(),
            client_ca_file: "/etc/sage/clients.pem".into(),
            client_names: Vec::new(),
            connections_max: 8,
            handshake_timeout: Duration::from_secs(5),
            connection_age_max: Duration::from_secs(3600),
        }
    }
}

impl TcpPolicy {
    /// Names what is wrong.
    pub(super) fn faults(&self, fault: &mut dyn FnMut(String)) {
        let files = [
            ("cert_file", &self.cert_file),
            ("key_file", &self.key_file),
            ("client_ca_file", &self.client_ca_file),
        ];
        for (name, path) in files.into_iter().filter(|(_, path)| !path.is_absolute()) {
            fault(format!("tcp.{name} = {}: must be an absolute path", path.display()));
        }
        if self.listen.is_some() && self.client_names.is_empty() {
            fault("tcp.client_names: must name at least one client".into());
        }
        for name in &self.client_names {
            if ServerName::try_from(name.clone()).is_err() {
                fault(format!("tcp.client_names: {name:?} is neither a DNS name nor an address"));
            }
        }
        if !(1..=256).contains(&self.connections_max) {
            fault("tcp.connections_max: must be 1 to 256 (default 8)".into());
        }
        let time = Duration::from_millis(100)..=Duration::from_secs(60);
        if !time.contains(&self.handshake_timeout) {
            fault("tcp.handshake_timeout: must be 100ms to 1m (default 5s)".into());
        }
        let age = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
        if !age.contains(&self.connection_age_max) {
            fault("tcp.connection_age_max: must be 1s to 24h (default 1h)".into());
        }
    }
}

/// The listener for other nodes, opened while there are privileges.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) listener: TcpListener,
    pub(crate) identity: Identity,
}

impl Remote {
    /// Opens it, if the policy wants it.
    ///
    /// # Errors
    /// When a file is not what it should be, or the address is taken.
    pub(crate) fn open(policy: &TcpPolicy) -> Result<Option<Self>, Error> {
        let Some(listen) = policy.listen else { return Ok(None) };
        let identity = Identity::load(policy)?;
        let listener = TcpListener::bind(listen)
            .map_err(|source| Error::Listen { path: listen.to_string().into(), source })?;
        Ok(Some(Self { listener, identity }))
    }
}

/// What tells one state of a file from another.
type Stamp = Option<(u64, u64, i64, i64)>;

/// What a connection rests on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admission {
    /// Which edition of our files its certificate was checked with.
    edition: u64,
    /// When its certificate must be shown again, since boot.
    until: Duration,
}

/// Certificates as they are in use; they can be read again.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) policy: TcpPolicy,
    names: Vec<(String, ServerName<'static>)>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// How often they were read.
    edition: u64,
    /// The files as they were when they were last looked at.
    stamps: [Stamp; 3],
}

impl Identity {
    fn load(policy: &TcpPolicy) -> Result<Self, Error> {
        let named = |name: &String| {
            let server = ServerName::try_from(name.clone()).ok()?;
            Some((name.clone(), server))
        };
        let names = policy.client_names.iter().filter_map(named).collect();
        let stamps = stamps(policy);
        let current = Current { config: server_config(policy)?, edition: 1, stamps };
        Ok(Self { policy: policy.clone(), names, current: Mutex::new(current) })
    }

    /// Reads the files again, if they have changed or `is_told`. What is in use stays in use when one of
    /// them is faulty.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn look(&self, is_told: bool) -> Result<bool, Error> {
        let stamps = stamps(&self.policy);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if stamps == current.stamps && !is_told {
            return Ok(false);
        }
        // Half of them may be written yet; the next look is after the other half.
        current.stamps = stamps;
        current.config = server_config(&self.policy)?;
        current.edition += 1;
        Ok(true)
    }

    /// A session with the newest certificates, begun `now`, and what it rests on.
    ///
    /// # Errors
    /// When there can be none.
    pub(crate) fn session(
        &self,
        now: Duration,
    ) -> Result<(ServerConnection, Admission), rustls::Error> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let until = now + self.policy.connection_age_max;
        let admission = Admission { edition: current.edition, until };
        Ok((ServerConnection::new(Arc::clone(&current.config))?, admission))
    }

    /// Whether whoever was admitted like that is served `now`.
    pub(crate) fn is_current(&self, admission: Admission, now: Duration) -> bool {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.edition == admission.edition && now < admission.until
    }

    /// Which of the listed clients a certificate belongs to. Its authority has been checked before.
    pub(crate) fn name_of(&self, chain: Option<&[CertificateDer<'_>]>) -> Option<&str> {
        let parsed = ParsedCertificate::try_from(chain?.first()?).ok()?;
        let carries = |name: &ServerName<'_>| verify_server_name(&parsed, name).is_ok();
        self.names.iter().find(|(_, name)| carries(name)).map(|(text, _)| text.as_str())
    }
}

fn stamps(policy: &TcpPolicy) -> [Stamp; 3] {
    let stamp = |path: &PathBuf| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
    };
    [&policy.cert_file, &policy.key_file, &policy.client_ca_file].map(stamp)
}

/// TLS 1.3 only: both ends are ours. No tickets: a session must not outlive the certificates.
fn server_config(policy: &TcpPolicy) -> Result<Arc<ServerConfig>, Error> {
    let fail = |path: &Path, why: String| Error::Certificate { path: path.into(), why };
    for path in [&policy.cert_file, &policy.key_file, &policy.client_ca_file] {
        super::start::check_owner(path)?;
    }
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    let authority = &policy.client_ca_file;
    for certificate in certificates(authority)? {
        roots.add(certificate).map_err(|e| fail(authority, format!("not an authority: {e}")))?;
    }
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|e| fail(authority, e.to_string()))?;
    let chain = certificates(&policy.cert_file)?;
    let at_key = |why: String| fail(&policy.key_file, why);
    let key = PrivateKeyDer::from_pem_file(&policy.key_file)
        .map_err(|e| at_key(format!("not a private key in PEM form: {e}")))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| at_key(e.to_string()))?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .map_err(|e| at_key(format!("does not go with tcp.cert_file: {e}")))?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let fail = |why: String| Error::Certificate { path: path.into(), why };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|e| fail(format!("not certificates in PEM form: {e}")))?;
    if found.is_empty() {
        return Err(fail("holds no certificate".into()));
    }
    Ok(found)
}
