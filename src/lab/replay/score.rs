//! Answers against labels.

use serde::Serialize;
use serde_json::Value;

use super::labels::Fault;
use crate::data::Resource;

/// One question and its answer.
#[derive(Clone, Debug)]
pub struct Row {
    /// The fault; `None` when nothing was injected.
    pub fault: Option<Fault>,
    /// Nothing was injected, but the recording's own tables show that something was wrong.
    pub is_odd: bool,
    /// When it was asked about, printed.
    pub at: String,
    /// Which target was violated most, and by which factor.
    pub violated: String,
    /// Outcome of the diagnosis.
    pub outcome: String,
    /// First named service.
    pub service: Option<String>,
    /// Its resource.
    pub resource: Option<Resource>,
    /// The whole answer.
    pub diagnosis: Value,
}

/// What comes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Resource faults asked about.
    pub faults: usize,
    /// First named service is right.
    pub service_top1: usize,
    /// First named service and resource are right.
    pub service_resource_top1: usize,
    /// Resource faults during which no target was violated; they count as wrong.
    pub not_violated: usize,
    /// Code faults asked about.
    pub code_faults: usize,
    /// No resource was blamed for them.
    pub code_faults_without_resource: usize,
    /// Quiet minutes asked about.
    pub quiet: usize,
    /// Somebody was blamed in them.
    pub false_alarms: usize,
    /// Minutes without a label that look wrong; not scored.
    pub odd: usize,
    /// Somebody was blamed in those.
    pub odd_blamed: usize,
}

impl Row {
    /// Reads the answer.
    pub fn new(
        fault: Option<Fault>,
        is_odd: bool,
        at: String,
        violated: String,
        diagnosis: &Value,
    ) -> Self {
        let first = &diagnosis["root_causes"][0];
        Self {
            fault,
            is_odd,
            at,
            violated,
            outcome: diagnosis["outcome"].as_str().unwrap_or("failed").to_string(),
            service: first["service"].as_str().map(Into::into),
            resource: serde_json::from_value(first["resource"].clone()).unwrap_or_default(),
            diagnosis: diagnosis.clone(),
        }
    }

    /// Whether the service is right; nobody for a quiet minute.
    pub fn is_service_right(&self) -> bool {
        match &self.fault {
            Some(fault) => self.service.as_deref() == Some(&fault.service),
            None => self.service.is_none(),
        }
    }

    /// Whether service and resource are right; no resource for a fault in the code.
    pub fn is_right(&self) -> bool {
        match &self.fault {
            Some(Fault { resource: None, .. }) => self.resource.is_none(),
            Some(fault) => self.is_service_right() && self.resource == fault.resource,
            None => self.is_odd || self.is_service_right(),
        }
    }
}

impl Summary {
    /// Counts.
    pub fn of(rows: &[Row]) -> Self {
        let mut s = Self::default();
        for row in rows {
            match &row.fault {
                Some(Fault { resource: Some(_), .. }) => {
                    s.faults += 1;
                    s.service_top1 += usize::from(row.is_service_right());
                    s.service_resource_top1 += usize::from(row.is_right());
                    s.not_violated += usize::from(row.outcome == "qos_met");
                }
                Some(_) => {
                    s.code_faults += 1;
                    s.code_faults_without_resource += usize::from(row.is_right());
                }
                None if row.is_odd => {
                    s.odd += 1;
                    s.odd_blamed += usize::from(row.service.is_some());
                }
                None => {
                    s.quiet += 1;
                    s.false_alarms += usize::from(!row.is_right());
                }
            }
        }
        s
    }
}
