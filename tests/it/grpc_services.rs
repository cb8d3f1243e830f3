//! What the gRPC listener serves beside the traces: health and reflection.

use sage::http::{Auth, Credential, Role};
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::security::secret;
use crate::support::{Process, Sidecar};

const TRACES: &str = "opentelemetry.proto.collector.trace.v1.TraceService";

async fn channel(address: std::net::SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_by_service_and_to_everybody() {
    let home = tempfile::tempdir().unwrap();
    let token = secret(home.path(), "token", "0123456789abcdef");
    let credential =
        Credential { role: Role::Ingest, token_file: Some(token), user: None, password_file: None };
    let sage = Sidecar::start(home.path(), |c| {
        c.listen.auth = Some(Auth { is_metrics_open: false, credentials: vec![credential] });
    })
    .await;
    let mut client = HealthClient::new(channel(sage.running.otlp_grpc).await);
    for service in ["", TRACES] {
        let answer = client.check(about(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
    }
    let refusal = client.check(about("no.such.Service")).await.unwrap_err();
    assert_eq!(refusal.code(), Code::NotFound);
    assert!(refusal.message().contains(TRACES), "{refusal}");
    let mut watch = client.watch(about("no.such.Service")).await.unwrap().into_inner();
    let first = watch.next().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::ServiceUnknown);
    sage.running.stop().await;
}

/// Whoever watches hears of the stop, and does not hold it up.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_told_to_those_who_watch() {
    let home = tempfile::tempdir().unwrap();
    let process = Process::start(&Process::configure(home.path(), ""));
    let mut client = HealthClient::new(channel(process.otlp_grpc).await);
    let mut watch = client.watch(about(TRACES)).await.unwrap().into_inner();
    let mut heard = vec![watch.next().await.unwrap().unwrap().status()];
    process.signal("-TERM");
    while let Some(next) = watch.next().await {
        heard.push(next.unwrap().status());
    }
    assert_eq!(heard, [ServingStatus::Serving, ServingStatus::NotServing]);
    let (code, log) = tokio::task::spawn_blocking(move || process.wait()).await.unwrap();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("cut off"), "{log}");
}

async fn reflect(channel: Channel, what: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(what) };
    let asked = Request::new(tokio_stream::once(request));
    let mut client = ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(asked).await.unwrap().into_inner();
    answers.next().await.unwrap().unwrap().message_response.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_describes_every_service() {
    let home = tempfile::tempdir().unwrap();
    let sage = Sidecar::start(home.path(), |_| {}).await;
    let channel = channel(sage.running.otlp_grpc).await;
    let list = MessageRequest::ListServices(String::new());
    let MessageResponse::ListServicesResponse(list) = reflect(channel.clone(), list).await else {
        panic!("no list of services");
    };
    let mut names: Vec<String> = list.service.into_iter().map(|s| s.name).collect();
    names.sort();
    let expected = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", TRACES];
    assert_eq!(names, expected);
    let file = MessageRequest::FileContainingSymbol(TRACES.into());
    let MessageResponse::FileDescriptorResponse(file) = reflect(channel, file).await else {
        panic!("no description of {TRACES}");
    };
    let text = String::from_utf8_lossy(&file.file_descriptor_proto[0]).into_owned();
    for part in ["ExportTraceServiceRequest", "partial_success", "trace/v1/trace.proto"] {
        assert!(text.contains(part), "{part} is not in {text:?}");
    }
    sage.running.stop().await;
}
