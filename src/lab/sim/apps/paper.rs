//! The applications of the paper's section 5.1, in its order.

use super::chain::chain;
use super::fanout::fanout;
use super::hotel_reservation::hotel_reservation;
use super::media_service::media_service;
use super::social_network::social_network;
use crate::lab::sim::spec::AppSpec;

/// Chain, Fanout, Social Network, Media Service and Hotel Reservation.
pub fn paper_apps() -> [AppSpec; 5] {
    [chain(), fanout(), social_network(), media_service(), hotel_reservation()]
}
