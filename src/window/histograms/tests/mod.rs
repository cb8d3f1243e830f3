//! Histograms in, RPCs out.

mod edges;
mod growth;
mod scene;
