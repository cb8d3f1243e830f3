//! Threads that do what operations do, one request each at a time.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use opentelemetry::Context;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::files::Files;
use super::orders::Orders;
use super::spans::{Spans, end};
use super::stores::Store;
use super::wrongs::Wrongs;
use crate::lab::live::spec::{Call, Kind, Step};

/// Threads of a service.
const THREADS: usize = 64;
/// Requests under way at a time; more are refused at once, as an overloaded server would. Fewer than there are
/// threads, so that whoever waits for an overloaded service keeps threads for others: else each caller's
/// own pool would be too small as well.
const UNDER_WAY_MAX: usize = 48;
/// How long an answer of another service may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Work between two looks at the clock.
const ROUNDS: u32 = 4000;

type Http = Client<HttpConnector, Empty<Bytes>>;

/// One request to be worked on.
struct Job {
    op: usize,
    context: Context,
    done: oneshot::Sender<bool>,
    /// Counted until it is over, whether or not somebody still waits for it.
    place: Place,
}

/// What all threads share.
struct Shared {
    orders: Orders,
    files: Files,
    spans: Spans,
    http: Http,
    runtime: Handle,
    wrongs: Arc<Wrongs>,
}

/// The threads.
#[derive(Clone)]
pub(super) struct Pool {
    jobs: SyncSender<Job>,
    under_way: Arc<AtomicUsize>,
}

impl Pool {
    /// Starts them; call it in a runtime.
    pub(super) fn start(
        orders: Orders,
        files: Files,
        spans: Spans,
        wrongs: Arc<Wrongs>,
    ) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(THREADS);
        let queue = Arc::new(Mutex::new(queue));
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new()).build(connector);
        let runtime = Handle::current();
        let shared = Arc::new(Shared { orders, files, spans, http, runtime, wrongs });
        for n in 0..THREADS {
            let (shared, queue) = (shared.clone(), queue.clone());
            let thread = std::thread::Builder::new().name(format!("worker-{n}"));
            thread.stack_size(256 << 10).spawn(move || Worker::new(shared, n).run(&queue))?;
        }
        Ok(Self { jobs, under_way: Arc::default() })
    }

    /// Works on a request; false when it failed, or nobody has time for it.
    pub(super) async fn work(&self, op: usize, context: Context) -> bool {
        if self.under_way.fetch_add(1, Ordering::Relaxed) >= UNDER_WAY_MAX {
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let (done, answer) = oneshot::channel();
        let place = Place(self.under_way.clone());
        match self.jobs.try_send(Job { op, context, done, place }) {
            Ok(()) => answer.await.unwrap_or(false),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

/// A request under way; it is no more when this is dropped.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Worker {
    shared: Arc<Shared>,
    rng: SmallRng,
    stores: HashMap<String, Store>,
}

impl Worker {
    fn new(shared: Arc<Shared>, number: usize) -> Self {
        let rng = SmallRng::seed_from_u64(now_ns() ^ number as u64);
        Self { shared, rng, stores: HashMap::new() }
    }

    fn run(mut self, queue: &Mutex<Receiver<Job>>) {
        loop {
            let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            let shared = self.shared.clone();
            if job.done.is_closed() {
                // Nobody waits for it any more.
                continue;
            }
            let thread = shared.wrongs.few.take();
            shared.wrongs.hold.pass();
            let steps = shared.orders.service.ops.get(job.op).map(|op| op.steps.as_slice());
            let mut steps = steps.unwrap_or_default().iter();
            let is_done = steps.all(|s| !job.done.is_closed() && self.step(s, &job.context));
            // Whoever asked may have gone.
            job.done.send(is_done).ok();
            // The request is over before its thread is free.
            drop(job.place);
            drop(thread);
        }
    }

    /// Whether the step succeeded.
    fn step(&mut self, step: &Step, context: &Context) -> bool {
        let chance: u64 = self.rng.random();
        match step {
            Step::Cpu(us) => {
                burn(Duration::from_micros(u64::from(*us)));
                true
            }
            Step::Call(call) => self.call(call, context),
            Step::Maybe(share, call) => !self.rng.random_bool(*share) || self.call(call, context),
            Step::Parallel(calls) => self.parallel(calls, context),
            Step::Disk(bytes) => self.shared.files.read_disk(*bytes, chance).is_ok(),
            Step::Pages(count) => self.shared.files.read_pages(*count, chance).is_ok(),
        }
    }

    fn call(&mut self, call: &Call, context: &Context) -> bool {
        match self.shared.orders.places.get(&call.service) {
            Some(place) if place.kind == Kind::Logic => {
                let shared = &self.shared;
                shared.runtime.block_on(request(shared, call, place.address, context))
            }
            Some(_) => self.look_up(call, context),
            None => false,
        }
    }

    fn parallel(&mut self, calls: &[Call], context: &Context) -> bool {
        let shared = self.shared.clone();
        let asked: Vec<_> = calls
            .iter()
            .map(|call| {
                let (call, context, shared) = (call.clone(), context.clone(), shared.clone());
                shared.runtime.clone().spawn(async move {
                    match shared.orders.places.get(&call.service) {
                        Some(place) => request(&shared, &call, place.address, &context).await,
                        None => false,
                    }
                })
            })
            .collect();
        shared.runtime.block_on(async {
            let mut is_done = true;
            for answer in asked {
                is_done &= answer.await.unwrap_or(false);
            }
            is_done
        })
    }

    /// A store sends no spans of its own.
    fn look_up(&mut self, call: &Call, context: &Context) -> bool {
        let Some(kind) = self.shared.orders.places.get(&call.service).map(|place| place.kind)
        else {
            return false;
        };
        let chance = self.rng.random();
        let called = self.shared.spans.call(call, kind, context);
        let found = self.get(&call.service, chance).is_ok();
        if !found {
            self.stores.remove(&call.service);
        }
        end(&called, !found);
        found
    }

    fn get(&mut self, service: &str, chance: u64) -> io::Result<()> {
        if !self.stores.contains_key(service) {
            let place = self.shared.orders.places.get(service).copied();
            let place = place.ok_or(io::ErrorKind::NotFound)?;
            self.stores.insert(service.into(), Store::connect(place)?);
        }
        self.stores.get_mut(service).ok_or(io::ErrorKind::NotFound)?.get(chance)
    }
}

/// Asks another service.
async fn request(shared: &Shared, call: &Call, address: SocketAddr, context: &Context) -> bool {
    let called = shared.spans.call(call, Kind::Logic, context);
    let uri = format!("http://{address}/{}", call.op);
    let asked = ask(shared, uri, &called);
    let is_done = matches!(tokio::time::timeout(TIMEOUT, asked).await, Ok(Some(StatusCode::OK)));
    end(&called, !is_done);
    is_done
}

async fn ask(shared: &Shared, uri: String, called: &Context) -> Option<StatusCode> {
    let mut request = Request::get(uri).body(Empty::new()).ok()?;
    shared.spans.carry(called, request.headers_mut());
    let response = shared.http.request(request).await.ok()?;
    let status = response.status();
    response.into_body().collect().await.ok()?;
    Some(status)
}

/// Uses a processor until this thread has had so much of it.
fn burn(time: Duration) {
    let used = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or(0),
            u32::try_from(time.tv_nsec).unwrap_or(0),
        )
    };
    let end = used() + time;
    let mut x = 1_u64;
    while used() < end {
        for _ in 0..ROUNDS {
            x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a real service reads the real clock")]
fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Never fails: bodies of answers are in memory.
pub(super) type Never = Infallible;
