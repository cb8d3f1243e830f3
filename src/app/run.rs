//! Load, check, build, run, stop in order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::error::StartError;
use super::wiring::{Pipeline, build};
use crate::config::{Config, load};
use crate::data::QosTarget;
use crate::http::Listener;

/// Time each part has to finish once the part before it has.
const STOP_EACH: Duration = Duration::from_secs(5);

/// A sidecar that serves.
#[derive(Debug)]
pub struct Running {
    /// Address of the HTTP listener.
    pub http: SocketAddr,
    /// Address of OTLP/gRPC.
    pub otlp_grpc: SocketAddr,
    /// Address of OTLP/HTTP.
    pub otlp_http: SocketAddr,
    stop: watch::Sender<bool>,
    is_ready: Arc<AtomicBool>,
    parts: Vec<(&'static str, JoinHandle<()>)>,
    store: std::thread::JoinHandle<()>,
}

/// Starts everything; ports are bound before it returns. `path` is read again on reload.
///
/// # Errors
/// [`StartError`]: a port or the data directory cannot be had.
pub async fn start(config: &Config, path: Option<PathBuf>) -> Result<Running, StartError> {
    // Ports first: with one taken, nothing else should have happened.
    let http = Listener::bind("http", config.listen.http).await?;
    let otlp_grpc = Listener::bind("otlp_grpc", config.listen.otlp_grpc).await?;
    let otlp_http = Listener::bind("otlp_http", config.listen.otlp_http).await?;
    let pipeline: Pipeline = build(config)?;
    let (stop, stopped) = watch::channel(false);
    let addresses = (http.address(), otlp_grpc.address(), otlp_http.address());
    let reload = reload_on_request(pipeline.reloads, pipeline.targets, path, stopped.clone());
    let mut parts = vec![
        ("http listener", tokio::spawn(http.serve(pipeline.http, stopped.clone()))),
        ("gRPC listener", tokio::spawn(otlp_grpc.serve(pipeline.otlp_grpc, stopped.clone()))),
        ("OTLP listener", tokio::spawn(otlp_http.serve(pipeline.otlp_http, stopped))),
        ("reload", tokio::spawn(reload)),
    ];
    parts.extend(pipeline.tasks);
    pipeline.is_ready.store(true, Ordering::Relaxed);
    tracing::info!(
        http = %addresses.0, otlp_grpc = %addresses.1, otlp_http = %addresses.2,
        data = %config.data.dir.display(), qos = config.qos.len(), "sage is ready"
    );
    Ok(Running {
        http: addresses.0,
        otlp_grpc: addresses.1,
        otlp_http: addresses.2,
        stop,
        is_ready: pipeline.is_ready,
        parts,
        store: pipeline.store,
    })
}

impl Running {
    /// Stops in order: no new requests, open ones finish, the queue is emptied into the windows,
    /// closed frames and diagnoses reach the disk.
    pub async fn stop(self) {
        self.is_ready.store(false, Ordering::Relaxed);
        self.stop.send_replace(true);
        for (name, mut part) in self.parts {
            if tokio::time::timeout(STOP_EACH, &mut part).await.is_err() {
                tracing::warn!(part = name, "did not stop in time; it is cut off");
                part.abort();
            }
        }
        let store = tokio::task::spawn_blocking(move || self.store.join());
        match tokio::time::timeout(STOP_EACH, store).await {
            Ok(Ok(Ok(()))) => tracing::info!("stopped"),
            _ => tracing::error!("the database writer did not stop cleanly"),
        }
    }
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// [`StartError`].
pub async fn serve(config: &Config, path: Option<PathBuf>) -> Result<(), StartError> {
    let running = start(config, path).await?;
    wait_for_signal().await;
    tracing::info!("stopping");
    running.stop().await;
    Ok(())
}

/// Returns at the first SIGTERM or SIGINT.
pub async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut wait = Vec::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        match signal(kind) {
            Ok(stream) => wait.push(stream),
            Err(error) => tracing::error!(%error, "cannot listen for a signal"),
        }
    }
    std::future::poll_fn(|cx| {
        let fired = wait.iter_mut().any(|s| s.poll_recv(cx).is_ready());
        if fired { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// Answers `/-/reload` until the stop.
async fn reload_on_request(
    mut requests: mpsc::Receiver<oneshot::Sender<Result<String, String>>>,
    targets: watch::Sender<Vec<QosTarget>>,
    path: Option<PathBuf>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let request = tokio::select! {
            _ = stopped.wait_for(|s| *s) => return,
            request = requests.recv() => request,
        };
        let Some(answer) = request else { return };
        // The requester may be gone; the reload counts all the same.
        drop(answer.send(reload(path.as_deref(), &targets)));
    }
}

/// Reads the file again and puts the part that can change at run time into effect.
fn reload(path: Option<&Path>, targets: &watch::Sender<Vec<QosTarget>>) -> Result<String, String> {
    let path = path.ok_or("started without a configuration file; there is nothing to reload")?;
    let config = load(path).map_err(|faults| faults.to_string())?;
    let count = config.qos.len();
    targets.send_replace(config.qos);
    tracing::info!(targets = count, "QoS targets reloaded");
    Ok(format!("{count} QoS targets are in effect; other keys take effect at the next start"))
}
