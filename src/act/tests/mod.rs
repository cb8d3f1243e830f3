//! Tests of the stage: what is planned, when it begins and ends, and what always holds.

mod always;
mod commands;
mod config;
mod life;
mod outside;
mod planning;
mod scene;
