//! An alert as Alertmanager delivers it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::time::EventTime;

/// Whether the alert still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertStatus {
    /// It holds.
    Firing,
    /// It has ended.
    Resolved,
}

/// What makes two deliveries the same alert: HA pairs and repeats send it again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertKey {
    /// Alertmanager's hash of the labels.
    pub fingerprint: String,
    /// When the alert began to fire.
    pub starts_at: EventTime,
}

/// One alert of a webhook body.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Identity.
    #[serde(flatten)]
    pub key: AlertKey,
    /// Firing or resolved.
    pub status: AlertStatus,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Annotations; some carry the QoS target.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// When it ended, once resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<EventTime>,
}

impl Alert {
    /// A label, or else an annotation, of that name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.labels.get(name).or_else(|| self.annotations.get(name)).map(String::as_str)
    }
}
