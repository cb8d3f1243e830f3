//! Between the stages and the disk, in the words of either.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::data::{Alert, Diagnosis, FixRecord, Frame, SavedModel};
use crate::diagnose;
use crate::model::Kept;
use crate::report::{Pushed, Remember};
use crate::store::Handle;

/// The journal of alerts.
pub(super) struct DiskJournal(pub(super) Handle);

impl diagnose::Journal for DiskJournal {
    fn write(
        &self,
        alerts: Vec<(String, Alert)>,
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(self.0.alerts(alerts))
    }
}

pub(super) async fn write_frames(mut frames: mpsc::Receiver<Arc<Frame>>, disk: Handle) {
    while let Some(frame) = frames.recv().await {
        if let Err(error) = disk.frame(frame).await {
            tracing::error!(%error, "a frame is not on disk");
        }
    }
}

/// Keeps what has been pushed to Grafana.
pub(super) fn remember(disk: Handle) -> Remember {
    Box::new(move |id, pushed| {
        let (disk, id) = (disk.clone(), id.to_string());
        Box::pin(async move {
            if let Err(error) = disk.annotation(&id, pushed.number, pushed.region).await {
                tracing::error!(%error, "an annotation id is not on disk");
            }
        })
    })
}

/// The journal of fixes.
pub(super) fn keep_fixes(
    disk: Handle,
) -> impl Fn(FixRecord) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync {
    move |fix| {
        let disk = disk.clone();
        Box::pin(async move { disk.fix(fix).await })
    }
}

/// What the last run pushed to Grafana, by diagnosis.
pub(super) fn pushed(annotations: Vec<(String, i64, i64)>) -> HashMap<String, Pushed> {
    annotations.into_iter().map(|(id, number, region)| (id, Pushed { number, region })).collect()
}

/// Alerts of the last run with the diagnoses they led to.
pub(super) fn pair_up(
    alerts: Vec<Alert>,
    diagnoses: &[Diagnosis],
) -> Vec<(Alert, Option<Diagnosis>)> {
    let of = |alert: &Alert| diagnoses.iter().find(|d| d.alert.key == alert.key).cloned();
    alerts.into_iter().map(|a| (a.clone(), of(&a))).collect()
}

pub(super) fn load_model(saved: &SavedModel) -> Option<Kept> {
    match Kept::load(saved) {
        Ok(kept) => Some(kept),
        Err(error) => {
            tracing::warn!(%error, "the saved model is not used; a new one will be trained");
            None
        }
    }
}
