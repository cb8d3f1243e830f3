//! From a diagnosis to a fix: finds the culprit's replicas, asks their helpers what there is, and plans.

use std::sync::Arc;

use super::client::Helpers;
use super::config::Config;
use super::inventory::{Inventory, Place, locate, neighbours, nothing_seen};
use super::outside;
use super::plan::plan;
use super::propose::{fix_id, propose};
use crate::data::{Diagnosis, EventTime, FixRecord, Frame, Target};
use crate::wire::{Answer, Inspection, Request};

/// Replicas that are asked about.
const PLACES_MAX: usize = 64;

/// What a plan is asked for.
pub(super) struct Question {
    pub(super) diagnosis: Diagnosis,
    /// Which of its root causes.
    pub(super) cause: usize,
    /// The newest frame: it knows the replicas.
    pub(super) newest: Option<Arc<Frame>>,
    pub(super) now: EventTime,
}

/// Looks, and plans.
pub(super) async fn survey(question: Question, config: &Config, helpers: &Helpers) -> FixRecord {
    let Question { diagnosis, cause, newest, now } = question;
    let cause = &diagnosis.root_causes[cause];
    let id = fix_id(&diagnosis.id, &cause.service);
    let inventory =
        if let (Some(resource), true) = (cause.resource, config.may_help(&cause.service)) {
            let window = newest.as_deref().and_then(|frame| frame.service(&cause.service));
            let seen = window.map(|w| w.replicas.as_slice()).unwrap_or_default();
            let (places, unknown) = locate(config, cause, seen);
            let (service, accused) = (cause.service.as_str(), cause.replicas.as_slice());
            let asked = outside::Question { service, resource, accused };
            let outlook = outside::look(asked, config).await;
            Inventory { outlook, ..take_stock(places, unknown, config, helpers).await }
        } else {
            Inventory::default()
        };
    propose(&diagnosis, cause, plan(&id, &diagnosis, cause, &inventory, config), now)
}

async fn take_stock(
    places: Vec<Place>,
    mut unknown: Vec<String>,
    config: &Config,
    helpers: &Helpers,
) -> Inventory {
    let mut inventory = Inventory::default();
    for place in places.iter().take(PLACES_MAX) {
        match inspect(helpers, &place.node, &place.target).await {
            Ok(seen) => inventory.replicas.push((place.clone(), seen)),
            Err(why) => unknown.push(format!("{}: {why}", place.name)),
        }
    }
    for work in neighbours(config, &places) {
        match inspect(helpers, &work.node, &work.target).await {
            Ok(seen) => inventory.neighbours.push((work.clone(), seen)),
            // Its interface can be limited without a look at its cgroup.
            Err(_) if work.interface.is_some() => {
                inventory.neighbours.push((work.clone(), nothing_seen()));
            }
            Err(why) => unknown.push(format!("best-effort {}: {why}", work.target)),
        }
    }
    inventory.unknown = unknown;
    inventory
}

async fn inspect(helpers: &Helpers, node: &str, target: &Target) -> Result<Inspection, String> {
    let request = Request::Inspect { target: target.clone() };
    match helpers.ask(node, request).await {
        Ok(Answer::Inspected(seen)) => Ok(seen),
        Ok(_) => Err(format!("the helper of {node} gives an answer to another question")),
        Err(error) => Err(error.to_string()),
    }
}
