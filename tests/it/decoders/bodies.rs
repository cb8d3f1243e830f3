//! Request bodies as they come over HTTP: Snappy, zstd, gzip and the messages in them, through the routes of the
//! listeners. Whatever comes is taken or refused, is not our fault, and leaves nothing behind.
//!
//! Also a fuzz target: `fuzz/fuzz_targets/bodies.rs`.

use std::cell::RefCell;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use sage::data::Telemetry;
use sage::queue::{Receiver, Sender, weighted};
use sage::receive::{Budget, Config, Intake, Metrics, http_router, remote_write_router};
use tokio::runtime::{Builder, Runtime};
use tower::Service as _;

/// Bytes of a body, inflated.
const BODY_BYTES: usize = 1 << 18;
const PROTOBUF: &str = "application/x-protobuf";
const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// Routes of the listeners with small limits, and a queue that is emptied after each request.
struct Listeners {
    runtime: Runtime,
    otlp: Router,
    write: Router,
    metrics: Metrics,
    sender: Sender<Telemetry>,
    queue: Receiver<Telemetry>,
}

impl Listeners {
    fn new() -> Self {
        let config = Config {
            body_bytes_max: BODY_BYTES,
            bytes_in_flight_max: 4 * BODY_BYTES,
            queue_items_max: 1 << 16,
            known_bytes_max: 1 << 20,
            ..Config::default()
        };
        let metrics = Metrics::default();
        let (sender, queue) = weighted(config.queue_items_max);
        let budget = Budget::new(config.bytes_in_flight_max, metrics.bytes_in_flight.clone());
        let intake = Intake {
            config: Arc::new(config),
            metrics: metrics.clone(),
            budget,
            pressure: Default::default(),
            telemetry: sender.clone(),
            alerts: tokio::sync::mpsc::channel(1).0,
            known: Default::default(),
            wanted: Arc::new(
                ["up".to_string(), "process_cpu_seconds_total".into()].into_iter().collect(),
            ),
            horizon_ms: Default::default(),
            wall_ms: || i64::MAX / 2,
        };
        Self {
            runtime: Builder::new_current_thread().enable_time().build().expect("a runtime"),
            otlp: http_router(intake.clone()),
            write: remote_write_router(intake),
            metrics,
            sender,
            queue,
        }
    }

    /// Takes what was handed on. What the request held is given back.
    fn drain(&mut self) {
        assert_eq!(self.metrics.bytes_in_flight.get(), 0);
        while self.sender.waiting() > 0 {
            self.runtime.block_on(self.queue.recv()).expect("something waits");
        }
    }
}

thread_local! {
    static LISTENERS: RefCell<Option<Listeners>> = const { RefCell::new(None) };
}

/// Sends a body with the headers that its first byte, a digit, stands for. Returns whether it was taken.
pub(crate) fn check(bytes: &[u8]) -> bool {
    let Some((digit, body)) = bytes.split_first() else { return false };
    let (path, kind, coding) = match digit {
        b'0' => ("/api/v1/write", PROTOBUF, "snappy"),
        b'1' => ("/api/v1/write", V2, "snappy"),
        b'2' => ("/api/v1/write", PROTOBUF, "zstd"),
        b'3' => ("/api/v1/write", V2, "zstd"),
        b'4' => ("/v1/traces", PROTOBUF, "identity"),
        b'5' => ("/v1/traces", PROTOBUF, "gzip"),
        b'6' => ("/v1/traces", "application/json", "identity"),
        b'7' => ("/v1/traces", "application/json", "gzip"),
        _ => return false,
    };
    let request = Request::post(path).header("content-type", kind);
    let request = request.header("content-encoding", coding).body(Body::from(body.to_vec()));
    LISTENERS.with_borrow_mut(|listeners| {
        let listeners = listeners.get_or_insert_with(Listeners::new);
        let router = if path == "/v1/traces" { &mut listeners.otlp } else { &mut listeners.write };
        let answer = router.call(request.expect("a request"));
        let status = listeners.runtime.block_on(answer).expect("routers answer").status().as_u16();
        assert!(matches!(status, 200 | 204 | 400 | 413), "{status}");
        listeners.drain();
        status < 300
    })
}
