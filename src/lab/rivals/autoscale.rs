//! Autoscaling by processor utilisation (paper 6.1.2): *Strict* scales every tier above 50 %,
//! *Relax* every tier above 70 %, as the policies of cloud providers do.
//!
//! Utilisation is the mean over the replicas of a tier, as a share of what it is allotted. Where no
//! metric tells the allotment, it is taken as the smallest whole number of cores that the tier's
//! busiest replica has never exceeded.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rival::{Accused, Past, Rival};
use crate::data::{
    FeatureWindow, Frame, Name, Resource, Role, Scale, Scope, ServiceWindow, Signal,
};

/// An autoscaler.
#[derive(Debug)]
pub(super) struct Autoscale {
    name: &'static str,
    threshold: f64,
    /// Cores of a replica, by service.
    cores: BTreeMap<Name, f64>,
}

impl Autoscale {
    /// Scales above 50 %.
    pub(super) fn strict(past: &Past<'_>) -> Self {
        Self { name: "Autoscale Strict", threshold: 0.5, cores: cores(past.frames) }
    }

    /// Scales above 70 %.
    pub(super) fn relax(past: &Past<'_>) -> Self {
        Self { name: "Autoscale Relax", threshold: 0.7, cores: cores(past.frames) }
    }

    fn utilisation(&self, service: &ServiceWindow) -> Option<f64> {
        let is_share = |f: &&FeatureWindow| f.role == Role::Cpu && f.scale == Scale::Headroom;
        if let Some(share) = service.features.iter().find(is_share) {
            return mean(share);
        }
        let cores = self.cores.get(&service.service).copied().unwrap_or(1.0);
        Some(mean(usage(service)?)? / cores)
    }
}

impl Rival for Autoscale {
    fn name(&self) -> &'static str {
        self.name
    }

    fn accuse(&self, frames: &[Arc<Frame>]) -> Accused {
        let Some(now) = frames.last() else { return Vec::new() };
        let mut above: Vec<(&Name, f64)> = now
            .services
            .iter()
            .filter_map(|s| Some((&s.service, self.utilisation(s)?)))
            .filter(|(_, utilisation)| *utilisation > self.threshold)
            .collect();
        above.sort_by(|a, b| b.1.total_cmp(&a.1));
        above.into_iter().map(|(s, _)| (s.to_string(), Some(Resource::Cpu))).collect()
    }
}

/// Processor time used, in cores.
fn usage(service: &ServiceWindow) -> Option<&FeatureWindow> {
    service.features.iter().find(|f| {
        f.role == Role::Cpu
            && f.signal == Signal::Usage
            && f.scale == Scale::Log
            && f.scope == Scope::Service
    })
}

fn mean(feature: &FeatureWindow) -> Option<f64> {
    let values = || feature.by_replica.iter().flatten();
    match values().count() {
        0 => None,
        count => Some(values().sum::<f64>() / count as f64),
    }
}

fn cores(frames: &[Arc<Frame>]) -> BTreeMap<Name, f64> {
    /// Scrapes are never exactly as far apart as they say, so that usage may seem to exceed a limit.
    const TOLERANCE: f64 = 1.02;
    let mut cores: BTreeMap<Name, f64> = BTreeMap::new();
    for service in frames.iter().flat_map(|f| &f.services) {
        let Some(usage) = usage(service) else { continue };
        let most = cores.entry(service.service.clone()).or_insert(1.0);
        *most = (usage.percentiles[2] / TOLERANCE).ceil().max(*most);
    }
    cores
}
