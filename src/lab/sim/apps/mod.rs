//! Applications to simulate: those of the paper's section 5.1, and generated ones of any size.
//!
//! The named ones are sized so that at load 1 the busy tiers use 15 to 50 % of their cores and 99 %
//! of the requests take 20 to 60 ms. Tiers that few requests reach are idler.

mod chain;
mod draft;
mod fanout;
mod hotel_reservation;
mod media_service;
mod named;
mod paper;
mod random_graph;
mod social_network;
#[cfg(test)]
mod tests;

pub use chain::chain;
pub use fanout::fanout;
pub use hotel_reservation::hotel_reservation;
pub use media_service::media_service;
pub use named::named_app;
pub use paper::paper_apps;
pub use random_graph::{gateway, random_graph};
pub use social_network::social_network;
