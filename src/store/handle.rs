//! The writer thread and the handle everybody else holds.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::db::Db;
use super::error::Error;
use super::metrics::{Metrics, WhatLabels};
use crate::data::{Alert, Diagnosis, FixRecord, Frame, SavedModel};

/// Writes that may wait. Frames come one an interval, so this is hours of a stuck disk.
const WAITING_MAX: usize = 1024;

enum Write {
    Frame(Arc<Frame>),
    Alerts(Vec<(String, Alert)>, oneshot::Sender<Result<(), String>>),
    Diagnosis(Box<Diagnosis>),
    Annotation { diagnosis: String, grafana_id: i64, region: i64, done: oneshot::Sender<()> },
    Model(Box<SavedModel>),
    Fix(Box<FixRecord>, oneshot::Sender<Result<(), String>>),
}

/// How much of each is kept.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Frames.
    pub frames: usize,
    /// What the frames that are read at the start may take in memory; on disk they stay.
    pub frames_bytes: u64,
    /// Diagnoses, alerts and annotations.
    pub diagnoses: usize,
    /// What the diagnoses that are read at the start may take in memory before they come short.
    pub diagnoses_bytes: u64,
    /// Fixes.
    pub fixes: usize,
}

/// Hands writes to the writer thread. The thread ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Handle {
    tx: mpsc::Sender<Write>,
}

/// What the last run left.
#[derive(Debug, Default)]
pub struct Restored {
    /// Frames, oldest first.
    pub frames: Vec<Frame>,
    /// Alerts in order of arrival.
    pub alerts: Vec<Alert>,
    /// Diagnoses in order of arrival.
    pub diagnoses: Vec<Diagnosis>,
    /// Diagnosis, Grafana's id and hash of the region of each annotation.
    pub annotations: Vec<(String, i64, i64)>,
    /// The newest model.
    pub model: Option<SavedModel>,
    /// Fixes in order of arrival.
    pub fixes: Vec<FixRecord>,
}

/// Opens the database in `dir`, reads what the last run left and starts the writer.
///
/// # Errors
/// [`Error`] when the directory cannot be used.
pub fn open(
    dir: &Path,
    kept: Kept,
    metrics: Metrics,
) -> Result<(Handle, Restored, JoinHandle<()>), Error> {
    let fail = |source| Error::Directory { path: dir.into(), source };
    std::fs::create_dir_all(dir).map_err(fail)?;
    let lock_path = dir.join("sage.lock");
    let lock = File::create(&lock_path).map_err(fail)?;
    lock.try_lock().map_err(|e| match e {
        TryLockError::WouldBlock => Error::Locked(lock_path),
        TryLockError::Error(source) => fail(source),
    })?;
    let db = Db::open(&dir.join("sage.db"))?;
    let restored = Restored {
        frames: db.frames(kept.frames, kept.frames_bytes)?,
        alerts: db.alerts(kept.diagnoses)?,
        diagnoses: db.diagnoses(kept.diagnoses, kept.diagnoses_bytes)?,
        annotations: db.annotations()?,
        model: db.newest_model()?,
        fixes: db.fixes()?,
    };
    let (tx, rx) = mpsc::channel(WAITING_MAX);
    let writer = Writer { db, metrics, kept, _lock: lock };
    let thread = std::thread::Builder::new()
        .name("store".into())
        .spawn(move || writer.run(rx))
        .map_err(fail)?;
    Ok((Handle { tx }, restored, thread))
}

impl Handle {
    /// Writes a closed frame. Waits while the disk is behind.
    ///
    /// # Errors
    /// [`Error::Stopped`] after the writer has gone.
    pub async fn frame(&self, frame: Arc<Frame>) -> Result<(), Error> {
        self.tx.send(Write::Frame(frame)).await.map_err(|_| Error::Stopped)
    }

    /// Journals alerts; returns once they are on the disk.
    ///
    /// # Errors
    /// The words of what went wrong.
    pub async fn alerts(&self, alerts: Vec<(String, Alert)>) -> Result<(), String> {
        let (done, safe) = oneshot::channel();
        let stopped = |_| Error::Stopped.to_string();
        self.tx.send(Write::Alerts(alerts, done)).await.map_err(|_| Error::Stopped.to_string())?;
        safe.await.map_err(stopped)?
    }

    /// Journals a fix; returns once it is on the disk.
    ///
    /// # Errors
    /// The words of what went wrong.
    pub async fn fix(&self, fix: FixRecord) -> Result<(), String> {
        let (done, safe) = oneshot::channel();
        let stopped = |_| Error::Stopped.to_string();
        let write = Write::Fix(Box::new(fix), done);
        self.tx.send(write).await.map_err(|_| Error::Stopped.to_string())?;
        safe.await.map_err(stopped)?
    }

    /// Writes a diagnosis.
    ///
    /// # Errors
    /// [`Error::Stopped`] after the writer has gone.
    pub async fn diagnosis(&self, diagnosis: Diagnosis) -> Result<(), Error> {
        self.tx.send(Write::Diagnosis(Box::new(diagnosis))).await.map_err(|_| Error::Stopped)
    }

    /// Writes a Grafana annotation's id and the hash of the region it shows; returns once that is
    /// on the disk, or has failed and been counted.
    ///
    /// # Errors
    /// [`Error::Stopped`] after the writer has gone.
    pub async fn annotation(
        &self,
        diagnosis: &str,
        grafana_id: i64,
        region: i64,
    ) -> Result<(), Error> {
        let (done, written) = oneshot::channel();
        let write = Write::Annotation { diagnosis: diagnosis.into(), grafana_id, region, done };
        self.tx.send(write).await.map_err(|_| Error::Stopped)?;
        written.await.map_err(|_| Error::Stopped)
    }

    /// Writes a model, from a thread that may block.
    ///
    /// # Errors
    /// [`Error::Stopped`] after the writer has gone.
    pub fn model_blocking(&self, model: SavedModel) -> Result<(), Error> {
        self.tx.blocking_send(Write::Model(Box::new(model))).map_err(|_| Error::Stopped)
    }
}

struct Writer {
    db: Db,
    metrics: Metrics,
    kept: Kept,
    /// Held as long as the writer lives.
    _lock: File,
}

impl Writer {
    fn run(mut self, mut rx: mpsc::Receiver<Write>) {
        while let Some(write) = rx.blocking_recv() {
            match write {
                Write::Frame(frame) => {
                    let result = self.db.put_frame(&frame, self.kept.frames);
                    self.note("frame", result);
                }
                Write::Alerts(alerts, done) => {
                    let result = self.db.put_alerts(&alerts, self.kept.diagnoses);
                    let answer = result.as_ref().map_err(ToString::to_string).copied();
                    self.note("alert", result);
                    // Nobody waits any more when the request timed out; the alert is safe anyway.
                    drop(done.send(answer));
                }
                Write::Diagnosis(diagnosis) => {
                    let result = self.db.put_diagnosis(&diagnosis, self.kept.diagnoses);
                    self.note("diagnosis", result);
                }
                Write::Annotation { diagnosis, grafana_id, region, done } => {
                    let result = self.db.put_annotation(&diagnosis, grafana_id, region);
                    self.note("annotation", result);
                    // A stopping program does not wait for it.
                    let _gone = done.send(());
                }
                Write::Model(model) => {
                    let result = self.db.put_model(&model);
                    self.note("model", result);
                }
                Write::Fix(fix, done) => {
                    let result = self.db.put_fix(&fix, self.kept.fixes);
                    let answer = result.as_ref().map_err(ToString::to_string).copied();
                    self.note("fix", result);
                    // A stopping program does not wait for it.
                    drop(done.send(answer));
                }
            }
        }
    }

    fn note(&self, what: &'static str, result: Result<(), Error>) {
        let labels = WhatLabels { what };
        match result {
            Ok(()) => self.metrics.writes.get_or_create(&labels).inc(),
            Err(error) => {
                tracing::error!(what, %error, "cannot write to the database");
                self.metrics.failures.get_or_create(&labels).inc()
            }
        };
    }
}
