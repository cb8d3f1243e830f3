//! `grpc.health.v1`: whether to send, as collectors, load balancers and kubelets ask.
//!
//! Serving is what `/-/ready` says: not while Sage starts, stops, or turns senders away.

use std::pin::Pin;

use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// The health of the gRPC listener.
pub(super) struct Readiness {
    /// The newest state; gone once Sage stops.
    pub(super) is_serving: watch::Receiver<bool>,
    /// Services that can be asked about by name. All are well together; an empty name means all.
    pub(super) services: &'static [&'static str],
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    use tonic_health::pb::health_check_response::ServingStatus as Wire;
    let wire = match status {
        ServingStatus::Serving => Wire::Serving,
        ServingStatus::NotServing => Wire::NotServing,
        ServingStatus::Unknown => Wire::ServiceUnknown,
    };
    HealthCheckResponse { status: wire.into() }
}

fn status_of(is_serving: bool) -> ServingStatus {
    if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing }
}

impl Readiness {
    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.services.contains(&service)
    }
}

#[tonic::async_trait]
impl Health for Readiness {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !self.knows(&service) {
            let known = self.services.join(", ");
            return Err(Status::not_found(format!("no service {service:?} here; known: {known}")));
        }
        Ok(Response::new(answer(status_of(*self.is_serving.borrow()))))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    /// Tells every change, and ends when Sage stops; otherwise it would hold up the stop.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let is_known = self.knows(&request.into_inner().service);
        let states = WatchStream::new(self.is_serving.clone()).map(move |is_serving| {
            Ok(answer(if is_known { status_of(is_serving) } else { ServingStatus::Unknown }))
        });
        Ok(Response::new(Box::pin(states)))
    }
}
