//! A service from its orders to its end.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::files::Files;
use super::orders::Orders;
use super::spans::{Spans, end};
use super::worker::{Never, Pool};
use super::wrongs::Wrongs;
use crate::lab::live::Failure;
use crate::lab::live::spec::Step;

/// Longest orders; those of the largest application are a few thousand bytes.
const ORDERS_BYTES_MAX: u64 = 1 << 20;
/// How often a service looks whether whoever started it is still there.
const LOOK: Duration = Duration::from_millis(500);

/// Runs a service: reads its orders from standard input, says on standard output where it listens, and serves
/// until it is told to end or whoever started it is gone. Spans that wait are sent before it ends.
///
/// # Errors
/// When the orders are none, or it cannot begin.
pub fn run() -> Result<(), Failure> {
    let mut text = Vec::new();
    std::io::stdin().lock().take(ORDERS_BYTES_MAX).read_to_end(&mut text)?;
    let orders: Orders = serde_json::from_slice(&text)?;
    let does = |is_it: fn(&Step) -> bool| orders.service.does(is_it);
    let files = Files::make(
        &orders.dir,
        does(|s| matches!(s, Step::Disk(_))),
        does(|s| matches!(s, Step::Pages(_))),
    )?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((orders.listen, 0)).await?;
        let mut told_to_end = signal(SignalKind::terminate())?;
        let spans = Spans::start(&orders);
        let wrongs = Arc::new(Wrongs::default());
        let pool = Pool::start(orders.clone(), files, spans.clone(), wrongs.clone())?;
        let desk = Arc::new(Desk { orders, pool, spans: spans.clone(), wrongs });
        writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
        let served = tokio::select! {
            served = accept(listener, desk) => served,
            _ = told_to_end.recv() => Ok(()),
            () = orphaned() => Ok(()),
        };
        tokio::task::spawn_blocking(move || spans.finish()).await??;
        served
    })
}

/// Returns when the process that started this one is gone.
async fn orphaned() {
    let parent = rustix::process::getppid();
    while rustix::process::getppid() == parent {
        tokio::time::sleep(LOOK).await;
    }
}

/// What takes requests in.
struct Desk {
    orders: Orders,
    pool: Pool,
    spans: Spans,
    wrongs: Arc<Wrongs>,
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) -> Result<(), Failure> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let desk = desk.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let desk = desk.clone();
                async move { Ok::<_, Never>(desk.answer(request).await) }
            });
            // A client that goes away in the middle has nobody to tell.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().trim_start_matches('/');
        if request.method() == Method::POST {
            return answer(if self.obey(path) { StatusCode::OK } else { StatusCode::NOT_FOUND });
        }
        let Some(op) = self.orders.service.ops.iter().position(|op| op.name == path) else {
            return answer(StatusCode::NOT_FOUND);
        };
        let context = self.spans.serve(path, request.headers());
        let is_done = self.pool.work(op, context.clone()).await;
        end(&context, !is_done);
        answer(if is_done { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE })
    }

    /// A fault in the code: see [`Wrongs::obey`].
    fn obey(&self, path: &str) -> bool {
        path.strip_prefix("-/").is_some_and(|order| self.wrongs.obey(order))
    }
}

fn answer(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
