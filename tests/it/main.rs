//! The integration tests, as one program: real listeners, captured bytes of real senders, real peers.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(clippy::print_stderr, reason = "skipped tests say so")]
#![allow(clippy::disallowed_methods, reason = "real peers live in wall-clock time")]

mod support;

mod act;
mod backfill;
mod captures;
mod cli;
mod commands;
mod decoders;
mod docker;
mod garbage;
mod grafana;
mod grpc_services;
mod head_sampling;
mod helper;
mod helper_kernel;
mod helper_remote;
mod histograms;
mod kubernetes;
mod layering;
mod lifecycle;
mod live;
mod load;
mod opentelemetry;
mod pipeline;
mod prometheus;
mod secure_peers;
mod security;
mod shipped;
mod updates;
mod webhook;
