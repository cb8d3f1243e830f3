//! The graphical variational autoencoder (paper 3.5). burn lives here and nowhere else.

mod abduct;
mod basis;
mod checkpoint;
mod config;
mod dataset;
mod error;
mod features;
mod fit;
mod gvae;
mod index;
mod infer;
mod layout;
mod load;
mod loss;
mod metrics;
mod network;
mod predict;
mod pressure;
mod quality;
mod refine;
mod scale;
mod screen;
mod slowness;
mod spread;
mod stack;
mod task;
#[cfg(test)]
mod tests;
mod train;
mod world;

pub use config::Config;
pub use error::Error;
pub use fit::fit;
pub use metrics::Metrics;
pub use predict::Model;
pub use task::{Inputs, Status, run};
pub use train::Lesson;
