//! News, handed to everybody whom they concern.

use std::pin::Pin;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::mpsc;

use crate::data::{Diagnosis, DiagnosisState, DiagnosisUpdate, Frame};
use crate::report::{self, Board};
use crate::store::Handle;

/// Hands each frame to every consumer. A consumer that has ended is left out.
pub(super) async fn fan_out(
    mut frames: mpsc::Receiver<Arc<Frame>>,
    consumers: Vec<mpsc::Sender<Arc<Frame>>>,
) {
    while let Some(frame) = frames.recv().await {
        for consumer in &consumers {
            drop(consumer.send(frame.clone()).await);
        }
    }
}

/// Puts news on the board before anybody may ask for them, and passes on those that are any, to every one
/// of `news`.
pub(super) fn tell(
    board: Board,
    news: Vec<mpsc::Sender<Diagnosis>>,
) -> impl Fn(DiagnosisUpdate) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync {
    move |update| {
        let (changed, news) = (board.apply(update), news.clone());
        Box::pin(async move {
            if let Some(diagnosis) = changed {
                for listener in &news {
                    // Only a stopping program has nobody to tell.
                    drop(listener.send(diagnosis.clone()).await);
                }
            }
        })
    }
}

/// Puts diagnoses that have changed on disk, in the log and on the way to Grafana.
pub(super) async fn post_news(
    mut changed: mpsc::Receiver<Diagnosis>,
    disk: Handle,
    grafana: mpsc::Sender<String>,
    metrics: report::Metrics,
) {
    let mut last = String::new();
    while let Some(diagnosis) = changed.recv().await {
        // A note of what is done about it is in the log of fixes already.
        let line = format!("{} {:?} {}", diagnosis.id, diagnosis.state, diagnosis.text);
        if line != last {
            log(&diagnosis);
            last = line;
        }
        let id = diagnosis.id.clone();
        if let Err(error) = disk.diagnosis(diagnosis).await {
            tracing::error!(%error, "a diagnosis is not on disk");
        }
        // Nobody waits for Grafana. What it has not heard of is offered again at the next start.
        if grafana.try_send(id).is_err() {
            metrics.given_up.inc();
        }
    }
}

fn log(diagnosis: &Diagnosis) {
    let Diagnosis { id, text, .. } = diagnosis;
    match diagnosis.state {
        DiagnosisState::Running => {}
        DiagnosisState::Done => {
            // In the words of the API.
            let outcome = json!(diagnosis.outcome);
            tracing::info!(id, outcome = outcome.as_str(), text, "diagnosis");
        }
        DiagnosisState::Failed => tracing::error!(id, text, "diagnosis failed"),
    }
}
