//! Alerts on their way from the webhook to the journal, and the way back for "they are safe".

use tokio::sync::oneshot;

use crate::data::Alert;

/// Alerts of one webhook.
#[derive(Debug)]
pub struct AlertDelivery {
    /// The alerts, in body order.
    pub alerts: Vec<Alert>,
    /// Answered once they are on disk: diagnosis ids in the order of the alerts, or why not.
    pub journalled: oneshot::Sender<Result<Vec<String>, String>>,
}
