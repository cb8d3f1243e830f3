//! Load, check, build, run, stop in order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::access::{grpc_need, http_need, otlp_need};
use super::error::Error;
use super::signals::{Request, Signals};
use super::views::unready;
use super::wiring::{Part, Pipeline, ReloadRequest, build};
use crate::config::{Config, load};
use crate::data::QosTarget;
use crate::http::{Form, Listener, Security};
use crate::memory::{self, Resident};

/// Time each part has to finish once the part before it has.
const STOP_EACH: Duration = Duration::from_secs(5);
/// Between two looks at whether Sage is ready, on behalf of those who watch its health.
const READINESS_LOOK: Duration = Duration::from_millis(200);

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
    reload: mpsc::Sender<ReloadRequest>,
    parts: Vec<Part>,
}

/// Starts everything; ports are bound before it returns. `path` is read again on reload.
///
/// # Errors
/// [`Error`]: a port or the data directory cannot be had.
pub async fn start(config: &Config, path: Option<PathBuf>) -> Result<Running, Error> {
    start_with(config, path, memory::resident()).await
}

/// As [`start`]; `resident` tells how much memory the process takes.
///
/// # Errors
/// As [`start`].
pub async fn start_with(
    config: &Config,
    path: Option<PathBuf>,
    resident: Resident,
) -> Result<Running, Error> {
    // Ports first: with one taken, nothing else should have happened.
    let http = Listener::bind("http", config.listen.http).await?;
    let otlp_grpc = Listener::bind("otlp_grpc", config.listen.otlp_grpc).await?;
    let otlp_http = Listener::bind("otlp_http", config.listen.otlp_http).await?;
    let pipeline: Pipeline = build(config)?;
    let (listen, limits) = (&config.listen, config.listen.limits());
    let security =
        Security::load(listen.tls.as_ref(), listen.auth.as_ref(), pipeline.listen.clone())?;
    let guarded = |listener: Listener| listener.with(limits, &security, &pipeline.listen);
    let (http, otlp_grpc, otlp_http) = (guarded(http), guarded(otlp_grpc), guarded(otlp_http));
    let router = security.protect(pipeline.http, "http", Form::Api, http_need);
    let grpc = security.protect(pipeline.otlp_grpc, "otlp_grpc", Form::Grpc, grpc_need);
    let otlp = security.protect(pipeline.otlp_http, "otlp_http", Form::Otlp, otlp_need);
    let (stop, stopped) = watch::channel(false);
    let addresses = (http.address(), otlp_grpc.address(), otlp_http.address());
    let reload = reload_on_request(
        pipeline.reloads,
        pipeline.targets,
        security.clone(),
        path,
        stopped.clone(),
    );
    let readiness = tell_readiness(
        unready(&pipeline.is_ready, &pipeline.pressure),
        pipeline.is_serving.clone(),
        stopped.clone(),
    );
    let memory = memory::watch(
        pipeline.limits,
        resident,
        pipeline.pressure,
        pipeline.relieve,
        pipeline.memory,
        stopped.clone(),
    );
    let mut parts = vec![
        ("http listener", tokio::spawn(http.serve(router, stopped.clone()))),
        ("gRPC listener", tokio::spawn(otlp_grpc.serve(grpc, stopped.clone()))),
        ("OTLP listener", tokio::spawn(otlp_http.serve(otlp, stopped.clone()))),
        ("readiness", tokio::spawn(readiness)),
        ("memory", tokio::spawn(memory)),
        ("certificates", tokio::spawn(security.follow(stopped))),
        ("reload", tokio::spawn(reload)),
    ];
    parts.extend(pipeline.tasks);
    pipeline.is_ready.store(true, Ordering::Relaxed);
    pipeline.is_serving.send_replace(true);
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
        reload: pipeline.reload,
        parts,
    })
}

impl Running {
    /// Stops in order: no new requests, open ones finish, the queue is emptied into the windows,
    /// closed frames and diagnoses reach the disk.
    pub async fn stop(self) {
        self.is_ready.store(false, Ordering::Relaxed);
        self.stop.send_replace(true);
        for (name, mut part) in self.parts {
            match tokio::time::timeout(STOP_EACH, &mut part).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(part = name, %error, "did not stop cleanly"),
                Err(_) => {
                    tracing::warn!(part = name, "did not stop in time; it is cut off");
                    part.abort();
                }
            }
        }
        tracing::info!("stopped");
    }

    /// Reads the configuration again, as `POST /-/reload` does.
    async fn reload(&self) {
        let (answer, heard) = oneshot::channel();
        // The part that reads it lives as long as this.
        drop(self.reload.send(answer).await);
        if let Ok(Err(faults)) = heard.await {
            tracing::error!(faults, "the configuration is not reloaded");
        }
    }
}

/// Waits until a part ends, and takes it out of the list. While nobody has asked for a stop, that is
/// a failure: the others would go on for nothing.
async fn first_end(parts: &mut Vec<Part>) -> Error {
    let (at, result) = std::future::poll_fn(|cx| {
        for (at, (_, part)) in parts.iter_mut().enumerate() {
            if let Poll::Ready(result) = Pin::new(part).poll(cx) {
                return Poll::Ready((at, result));
            }
        }
        Poll::Pending
    })
    .await;
    let (part, _) = parts.remove(at);
    let why = result.map_or_else(|error| error.to_string(), |()| "nothing left to do".into());
    Error::Ended { part, why }
}

/// Serves until SIGTERM or SIGINT; SIGHUP reads the configuration again.
///
/// # Errors
/// [`Error`]: it does not start, or a part of it ends by itself.
pub async fn serve(config: &Config, path: Option<PathBuf>) -> Result<(), Error> {
    // Before anybody can hear that it is ready, and send one.
    let mut signals = Signals::catch().map_err(Error::Signals)?;
    let mut running = start(config, path).await?;
    let end = loop {
        tokio::select! {
            request = signals.next() => match request {
                Request::Stop => break Ok(()),
                Request::Reload => running.reload().await,
            },
            error = first_end(&mut running.parts) => break Err(error),
        }
    };
    match &end {
        Ok(()) => tracing::info!("stopping"),
        Err(error) => tracing::error!(%error, "stopping"),
    }
    running.stop().await;
    end
}

/// Tells those who watch whether Sage is ready, until the stop; which ends their streams.
async fn tell_readiness(
    unready: Arc<dyn Fn() -> Option<&'static str> + Send + Sync>,
    is_serving: watch::Sender<bool>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            _ = stopped.wait_for(|s| *s) => break,
            () = tokio::time::sleep(READINESS_LOOK) => {}
        }
        let now = unready().is_none();
        is_serving.send_if_modified(|was| std::mem::replace(was, now) != now);
    }
    is_serving.send_replace(false);
}

/// Answers `/-/reload` until the stop.
async fn reload_on_request(
    mut requests: mpsc::Receiver<ReloadRequest>,
    targets: watch::Sender<Vec<QosTarget>>,
    security: Security,
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
        drop(answer.send(reload(path.as_deref(), &targets, &security)));
    }
}

/// Reads the file again and puts the part that can change at run time into effect.
fn reload(
    path: Option<&Path>,
    targets: &watch::Sender<Vec<QosTarget>>,
    security: &Security,
) -> Result<String, String> {
    let path = path.ok_or("started without a configuration file; there is nothing to reload")?;
    let config = load(path).map_err(|faults| faults.to_string())?;
    security.reload().map_err(|error| error.to_string())?;
    let count = config.qos.len();
    targets.send_replace(config.qos);
    tracing::info!(targets = count, "QoS targets, certificates and credentials reloaded");
    Ok(format!(
        "{count} QoS targets are in effect, certificates and credentials are read again; other keys \
         take effect at the next start"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_dies_is_named_with_its_last_words() {
        let mut parts: Vec<Part> = vec![
            ("windows", tokio::spawn(std::future::pending())),
            ("model", tokio::spawn(async { panic!("out of luck") })),
        ];
        let text = first_end(&mut parts).await.to_string();
        assert!(text.contains("\"model\"") && text.contains("out of luck"), "{text}");
        assert_eq!(parts.len(), 1);
    }
}
