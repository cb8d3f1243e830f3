//! Certificates and credentials of all listeners together: loaded, read again, watched.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use tokio::sync::watch;

use super::access::{Doorman, Need, admit};
use super::config::{Auth, Tls};
use super::error::FileError;
use super::keys::{Keys, readable_by_all, secret_files};
use super::metrics::Metrics;
use super::refusal::Form;
use super::tls::Identity;

/// Between two looks at the files: certificates are exchanged days before they end.
const LOOK: Duration = Duration::from_secs(30);

/// What protects the listeners; nothing by default. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Security {
    tls: Option<Arc<Identity>>,
    auth: Option<Arc<(Auth, watch::Sender<Arc<Keys>>)>>,
    metrics: Metrics,
}

impl Security {
    /// Reads all files.
    ///
    /// # Errors
    /// [`FileError`] for the first one that is not what it should be.
    pub fn load(
        tls: Option<&Tls>,
        auth: Option<&Auth>,
        metrics: Metrics,
    ) -> Result<Self, FileError> {
        let tls = tls.map(Identity::load).transpose()?.map(Arc::new);
        let auth = match auth {
            None => None,
            Some(auth) => {
                let keys = watch::Sender::new(Arc::new(Keys::load(auth)?));
                Some(Arc::new((auth.clone(), keys)))
            }
        };
        let security = Self { tls, auth, metrics };
        for path in readable_by_all(&security.secrets()) {
            tracing::warn!(path = %path.display(), "everybody on this machine can read this secret");
        }
        Ok(security)
    }

    /// Reads all files again. New connections and requests see the new ones, open connections stay. When
    /// one file is faulty, nothing changes.
    ///
    /// # Errors
    /// [`FileError`] for that file.
    pub fn reload(&self) -> Result<(), FileError> {
        let read = || {
            let keys = self.auth.as_deref().map(|(auth, _)| Keys::load(auth)).transpose()?;
            self.tls.as_deref().map(Identity::reload).transpose()?;
            Ok(keys)
        };
        let keys = read().inspect_err(|_| self.metrics.reload_failed())?;
        if let (Some(keys), Some((_, current))) = (keys, self.auth.as_deref()) {
            current.send_replace(Arc::new(keys));
        }
        Ok(())
    }

    /// Reads the files again whenever they have changed, until the stop.
    pub async fn follow(self, mut stop: watch::Receiver<bool>) {
        let mut seen = self.stamps();
        loop {
            tokio::select! {
                _ = stop.wait_for(|s| *s) => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let now = self.stamps();
            if now == seen {
                continue;
            }
            match self.reload() {
                Ok(()) => tracing::info!("certificates and credentials are read again"),
                // Perhaps half of them are written; the next look is after the other half.
                Err(error) => tracing::error!(%error, "the old ones stay in use"),
            }
            seen = now;
        }
    }

    /// Puts the doorman before a router.
    pub fn protect(
        &self,
        router: Router,
        listener: &'static str,
        form: Form,
        need: fn(&Method, &str) -> Need,
    ) -> Router {
        let Some((_, keys)) = self.auth.as_deref() else { return router };
        let (keys, metrics) = (keys.subscribe(), self.metrics.clone());
        router.layer(from_fn_with_state(Doorman { listener, keys, need, form, metrics }, admit))
    }

    /// Warns when others than this machine reach a port that nothing protects.
    pub fn warn_if_exposed(&self, listener: &'static str, address: SocketAddr) {
        if address.ip().is_loopback() {
            return;
        }
        let missing = match (&self.tls, &self.auth) {
            (None, None) => "neither TLS nor credentials: whoever reaches it may read and send",
            (None, Some(_)) => "no TLS: credentials cross the network in the clear",
            (Some(tls), None) if !tls.asks_clients() => {
                "TLS, but no credentials: whoever reaches it may read and send"
            }
            (Some(_), _) => return,
        };
        tracing::warn!(listener, %address, "beyond loopback with {missing}; see docs/security.md");
    }

    pub(super) fn tls(&self) -> Option<Arc<Identity>> {
        self.tls.clone()
    }

    fn secrets(&self) -> Vec<PathBuf> {
        let mut all = self.auth.as_deref().map(|(auth, _)| secret_files(auth)).unwrap_or_default();
        all.extend(self.tls.as_deref().map(Identity::key_file));
        all
    }

    /// Of each file when it was written, and its size.
    fn stamps(&self) -> Vec<Option<(SystemTime, u64)>> {
        let mut files = self.secrets();
        files.extend(self.tls.iter().flat_map(|tls| tls.files()));
        let stamp = |path: PathBuf| {
            let about = std::fs::metadata(path).ok()?;
            Some((about.modified().ok()?, about.len()))
        };
        files.into_iter().map(stamp).collect()
    }
}
