//! What each path of each listener needs of whoever asks for it.

use axum::http::Method;

use crate::http::Need;

/// Remote write, webhook, API, metrics, page. What changes something and is not known here is the
/// operator's.
pub(super) fn http_need(method: &Method, path: &str) -> Need {
    match path {
        // Load balancers and kubelets have no credentials.
        "/-/healthy" | "/-/ready" => Need::Nothing,
        "/metrics" => Need::Metrics,
        "/api/v1/write" | "/webhook/alertmanager" => Need::Ingest,
        // Grafana's data source asks its questions by POST.
        _ if path.starts_with("/grafana/") => Need::Read,
        _ if method.is_safe() => Need::Read,
        _ => Need::Admin,
    }
}

/// OTLP over gRPC, and the services beside it.
pub(super) fn grpc_need(_: &Method, path: &str) -> Need {
    if path.starts_with("/grpc.health.v1.Health/") { Need::Nothing } else { Need::Ingest }
}

/// OTLP over HTTP.
pub(super) fn otlp_need(_: &Method, _: &str) -> Need {
    Need::Ingest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_sage_needs_more_than_what_reads_it() {
        let cases = [
            (Method::GET, "/", Need::Read),
            (Method::GET, "/-/ready", Need::Nothing),
            (Method::POST, "/-/reload", Need::Admin),
            (Method::GET, "/api/v1/status", Need::Read),
            (Method::POST, "/api/v1/model/train", Need::Admin),
            (Method::POST, "/api/v1/fixes/1/approve", Need::Admin),
            (Method::POST, "/api/v1/write", Need::Ingest),
            (Method::POST, "/grafana/query", Need::Read),
            (Method::POST, "/no/such/path", Need::Admin),
            // Routes match to the letter, so this is another path.
            (Method::GET, "/-/healthy/", Need::Read),
        ];
        for (method, path, need) in cases {
            assert_eq!(http_need(&method, path), need, "{method} {path}");
        }
        assert_eq!(grpc_need(&Method::POST, "/grpc.health.v1.Health/Check"), Need::Nothing);
        assert_eq!(grpc_need(&Method::POST, "/grpc.health.v1.Healthy"), Need::Ingest);
    }
}
