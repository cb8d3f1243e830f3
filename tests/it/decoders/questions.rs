//! Questions to the API, the page and Grafana's data source: `METHOD PATH?QUERY BODY`. Whatever is asked, the
//! answer is never a fault of ours.
//!
//! Also a fuzz target: `fuzz/fuzz_targets/api.rs`.

use std::cell::RefCell;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Uri};
use http_body_util::BodyExt as _;
use sage::data::{
    EventTime, Frame, Interval, ModelStatus, Percentiles, QosTarget, RpcKey, RpcKind, RpcWindow,
    USER,
};
use sage::graph::RpcGraph;
use sage::observe::{Exposition, Registry};
use sage::report::{Board, Metrics, Progress, Room, Views, router};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tower::Service as _;

const START_MS: i64 = 1_785_578_400_000;

fn frame() -> Frame {
    let ms = Percentiles([1.0, 2.0, 3.0, 4.0, 5.0]);
    let rpc = RpcWindow {
        key: RpcKey::new(USER, "", "web", "GET /"),
        kind: RpcKind::ServerOnly,
        count: 7,
        failed: 0,
        seen_ratio: 1.0,
        client: ms,
        server: ms,
        request: Percentiles::default(),
        response: Percentiles::default(),
    };
    let interval = Interval { start: EventTime(START_MS), end: EventTime(START_MS + 30_000) };
    Frame { interval, rpcs: vec![rpc], services: Vec::new(), completeness: 1.0, replicas: vec![] }
}

/// One frame and a target; nobody trains, reloads or mends.
fn views() -> Views {
    let frame = Arc::new(frame());
    let graph = RpcGraph::learn([&*frame].into_iter(), &Default::default());
    let target = QosTarget { service: "web".into(), quantile: 0.99, target_ms: 20.0 };
    let room = Room { diagnoses: 10, bytes: 1 << 20 };
    Views {
        board: Board::new(room, Vec::new(), Metrics::default()),
        frames: Arc::new(move |range: &Interval| {
            let is_meant = range.start < frame.interval.end && frame.interval.start < range.end;
            if is_meant { vec![frame.clone()] } else { Vec::new() }
        }),
        graph: watch::channel(Arc::new(graph)).1,
        model: Arc::new(ModelStatus::default),
        progress: Arc::new(Progress::default),
        targets: watch::channel(vec![target]).1,
        fixes: watch::channel(Arc::default()).1,
        wishes: mpsc::channel(1).0,
        train: mpsc::channel(1).0,
        reload: mpsc::channel(1).0,
        exposition: Exposition::new(Registry::default()),
        unready: Arc::new(|| None),
    }
}

thread_local! {
    static ROUTES: RefCell<Option<(Runtime, Router)>> = const { RefCell::new(None) };
}

/// Asks; returns whether the answer is what was asked for.
pub(crate) fn check(bytes: &[u8]) -> bool {
    let mut parts = bytes.splitn(3, |b| *b == b' ');
    let method = Method::from_bytes(parts.next().unwrap_or_default());
    let uri = Uri::try_from(parts.next().unwrap_or_default());
    let (Ok(method), Ok(uri)) = (method, uri) else { return false };
    let body = Body::from(parts.next().unwrap_or_default().to_vec());
    let request = Request::builder().method(method).uri(uri).body(body).expect("a request");
    ROUTES.with_borrow_mut(|routes| {
        let (runtime, router) = routes.get_or_insert_with(|| {
            let runtime =
                Builder::new_current_thread().enable_time().max_blocking_threads(1).build();
            (runtime.expect("a runtime"), router(views(), Router::new()))
        });
        runtime.block_on(async {
            let answer = router.call(request).await.expect("routers answer");
            let status = answer.status().as_u16();
            // Nobody trains, reloads or mends here, and the answer to that is 503.
            assert!(status < 500 || status == 503, "{status}");
            answer.into_body().collect().await.expect("a whole body");
            status < 400
        })
    })
}
