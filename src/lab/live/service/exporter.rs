//! The way of the SDK's spans to the sidecar: OTLP over gRPC, by the same client as all of the lab's.
//!
//! `opentelemetry-otlp` would do this, too; all it needs is in the graph of dependencies without it: the conversion in
//! `opentelemetry-proto`, the client in `lab::wire`.

use std::net::SocketAddr;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::runtime::Handle;

use crate::lab::wire::SpanSender;

/// How long a batch may take, attempts of the client included. Those that come meanwhile wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends batches.
#[derive(Debug)]
pub(super) struct Exporter {
    sender: SpanSender,
    resource: ResourceAttributesWithSchema,
    /// The SDK calls from a thread of its own, which has no runtime.
    runtime: Handle,
}

impl Exporter {
    /// Sends them to the sidecar at `address`, whenever somebody listens there; call it in a runtime.
    pub(super) fn to(address: SocketAddr) -> Self {
        let (sender, resource) = (SpanSender::lazy(address), Default::default());
        Self { sender, resource, runtime: Handle::current() }
    }
}

impl SpanExporter for Exporter {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let mut sender = self.sender.clone();
        let sent = self.runtime.spawn(async move {
            let sending = sender.export(ExportTraceServiceRequest { resource_spans });
            tokio::time::timeout(PATIENCE, sending).await
        });
        let failure =
            |error: &dyn std::error::Error| Err(OTelSdkError::InternalFailure(error.to_string()));
        async move {
            match sent.await {
                Ok(Ok(Ok(_))) => Ok(()),
                Ok(Ok(Err(error))) => failure(&error),
                Ok(Err(_)) => Err(OTelSdkError::Timeout(PATIENCE)),
                Err(error) => failure(&error),
            }
        }
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}
