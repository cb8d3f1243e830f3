//! Sage finds out why an interactive microservice application misses its latency target.

pub mod app;
pub mod cli;
pub mod config;
pub mod data;
pub mod delivery;
pub mod demo;
pub mod diagnose;
pub mod duration;
pub mod graph;
pub mod http;
pub mod lab;
pub mod model;
pub mod observe;
pub mod queue;
pub mod receive;
pub mod report;
pub mod secret;
pub mod stats;
pub mod store;
pub mod window;
