//! Sage finds out why an interactive microservice application misses its latency target.
//!
//! ```text
//!           OTLP spans ┐
//! remote-write samples ┼─▶ receive ─▶ window ─Frame─┬─▶ graph ─CausalNet─┬─▶ model ─Mechanism─┐
//!  Alertmanager alerts ┘      │                     │                    │                    ▼
//!                             └── AlertDelivery ────┼────────────────────┴──────────────▶ diagnose
//!                                                   ▼                                         │
//!                                                 store ◀────────────────────────────────── report
//! ```
//!
//! Stages meet only in [`data`] and [`graph`]; [`app`] wires them, [`lab`] and [`demo`] drive the whole
//! from outside. ARCHITECTURE.md is the map.

// The pipeline.
pub mod diagnose;
pub mod graph;
pub mod model;
pub mod receive;
pub mod report;
pub mod store;
pub mod window;

// The rim.
pub mod app;
pub mod cli;
pub mod config;

// The proving ground.
pub mod demo;
pub mod lab;

// Ground: small, used by many, uses nothing above.
pub mod data;
pub mod delivery;
pub mod duration;
pub mod http;
pub mod observe;
pub mod queue;
pub mod secret;
pub mod stats;
pub mod toml_file;
pub mod wire;
