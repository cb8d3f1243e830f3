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
#[cfg(feature = "sidecar")]
pub mod act;
#[cfg(feature = "sidecar")]
pub mod diagnose;
#[cfg(feature = "sidecar")]
pub mod graph;
#[cfg(feature = "sidecar")]
pub mod model;
#[cfg(feature = "sidecar")]
pub mod receive;
#[cfg(feature = "sidecar")]
pub mod report;
#[cfg(feature = "sidecar")]
pub mod store;
#[cfg(feature = "sidecar")]
pub mod window;

// Beyond the privilege border: a program of its own.
#[cfg(feature = "helper")]
pub mod helper;

// The rim.
#[cfg(feature = "sidecar")]
pub mod app;
#[cfg(feature = "sidecar")]
pub mod backfill;
#[cfg(feature = "sidecar")]
pub mod cli;
#[cfg(feature = "sidecar")]
pub mod config;

// The proving ground.
#[cfg(feature = "sidecar")]
pub mod demo;
#[cfg(feature = "sidecar")]
pub mod lab;

// Ground: small, used by many, uses nothing above.
#[cfg(feature = "sidecar")]
pub mod client;
pub mod data;
#[cfg(feature = "sidecar")]
pub mod delivery;
pub mod duration;
pub mod hash;
#[cfg(feature = "sidecar")]
pub mod http;
#[cfg(feature = "sidecar")]
pub mod memory;
#[cfg(feature = "sidecar")]
pub mod observe;
#[cfg(feature = "sidecar")]
pub mod parallel;
#[cfg(feature = "sidecar")]
pub mod queue;
#[cfg(feature = "sidecar")]
pub mod secret;
#[cfg(feature = "sidecar")]
pub mod stats;
pub mod toml_file;
pub mod wire;
