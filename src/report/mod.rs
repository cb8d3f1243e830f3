//! The inside out: the API, the metrics, Grafana.
//!
//! In: news about diagnoses, and views of the other stages. Out: HTTP answers and Grafana
//! annotations. Absent on purpose: any decision; what is shown was decided elsewhere.

mod annotation;
mod answer;
mod api;
mod board;
mod config;
mod fixes;
mod gauges;
mod grafana;
mod grafana_api;
mod metrics;
mod simpod;
mod stream;
mod text;
mod views;

pub use annotation::{Annotation, annotation, tag_of};
pub use api::router;
pub use board::{Board, Filter, Room};
pub use config::Config;
pub use gauges::Gauges;
pub use grafana::{Pushed, Remember, run as push_to_grafana};
pub use metrics::Metrics;
pub use text::{describe, ms};
pub use views::{Progress, Views};
