//! Pods that are given more and deployments that are scaled, against a minimal API server.

mod changes;
mod plan;
mod scene;
