//! Monitoring: what a scrape of a replica and a probe of a service read.
//!
//! What hosts show stands in `host.rs`.
//!
//! In: exact meters. Out: [`Samples`], with the background and the noise of the real thing. Usage
//! follows the work in flight, so it rises upstream of a culprit; shortages do not.

use super::call::egress_ns;
use super::counter::{CFS_PERIODS, Counter, Counters};
use super::engine::Engine;
use super::event::Happens;
use super::host::HostReading;
use super::program::{Program, Service};
use super::random::{For, Stream};
use super::replica::Replica;
use super::state::scrape_ns;

/// Memory of a request that is waiting or worked on.
const REQUEST_MEMORY_BYTES: f64 = 768.0 * 1024.0;
/// Cores a waiting worker thread uses: spinning, polling, keeping connections alive.
const POLLING_CORES: f64 = 0.004;
/// Share of the periods with waiting threads in which CFS throttles.
const THROTTLED_PER_WAITING: f64 = 0.5;
/// Spread of background activity: of shortages much, of usage little.
pub(super) const BACKGROUND_SIGMA: (f64, f64) = (0.5, 0.1);
/// Spread of a working set that nothing happens to.
const MEMORY_SIGMA: f64 = 0.01;

/// What monitoring knows of a replica.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    /// Counters as last shown.
    shown: Counters,
    scrapes: u64,
    scraped_ns: u64,
}

/// What one scrape reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) time_ms: i64,
    pub(super) counters: Counters,
    pub(super) working_set_bytes: f64,
}

/// Everything read in an interval.
#[derive(Debug)]
pub(super) struct Samples {
    /// By replica.
    pub(super) readings: Vec<Vec<Reading>>,
    /// By service: time in milliseconds, round trip in seconds.
    pub(super) round_trips: Vec<Vec<(i64, f64)>>,
    /// By host.
    pub(super) hosts: Vec<Vec<HostReading>>,
}

impl Samples {
    pub(super) fn of(program: &Program) -> Self {
        Self {
            readings: vec![Vec::new(); program.replicas.len()],
            round_trips: vec![Vec::new(); program.services.len()],
            hosts: vec![Vec::new(); program.nodes.len()],
        }
    }
}

impl Engine<'_> {
    /// Reads a replica's metrics and makes an appointment for the next time.
    pub(super) fn scrape(&mut self, index: usize) {
        let now = self.state.now_ns;
        let time_ms = self.state.time_ms(self.epoch_ms);
        self.state.agenda.push(now + scrape_ns(self.config), Happens::Scrape, index as u32);
        let service = &self.program.services[self.program.replicas[index].service];
        let (replica, meter) = (&mut self.state.replicas[index], &mut self.state.meters[index]);
        let key = self.keys.scrapes.child(index as u64).child(meter.scrapes);
        let mut stream = key.stream(For::Sample);
        replica.settle(now);
        let seconds = (now - meter.scraped_ns) as f64 / 1e9;
        meter.scrapes += 1;
        meter.scraped_ns = now;
        let working_set_bytes = working_set(replica, service, seconds, &mut stream);
        let grown = growth(replica, service, seconds, self.config.metric_noise, &mut stream);
        meter.shown.add(&grown, 1.0);
        replica.forget_usage();
        if !key.stream(For::Loss).happens(self.config.missing_metrics) {
            let counters = meter.shown;
            let reading = Reading { time_ms, counters, working_set_bytes };
            self.out.samples.readings[index].push(reading);
        }
    }

    /// Pings one of a service's replicas. A ping that is lost leaves no sample.
    pub(super) fn probe(&mut self, index: usize) {
        let now = self.state.now_ns;
        self.state.agenda.push(now + scrape_ns(self.config), Happens::Probe, index as u32);
        let number = self.state.probes[index];
        self.state.probes[index] += 1;
        let key = self.keys.probes.child(index as u64).child(number);
        let replicas = self.program.services[index].replicas.clone();
        let pinged = replicas.start + key.stream(For::Replica).index(replicas.len());
        let replica = &mut self.state.replicas[pinged];
        let drops = replica.used[Counter::SendDrops];
        let delay_ns = egress_ns(replica, key, For::ResponseFault);
        if replica.used[Counter::SendDrops] > drops {
            return;
        }
        let noise = key.stream(For::Sample).noise(self.config.metric_noise);
        let idle_s = 2.0 * self.program.network_us / 1e6 * replica.disturbance.rtt_factor;
        let round_trip = idle_s * noise + delay_ns / 1e9;
        let time_ms = self.state.time_ms(self.epoch_ms);
        self.out.samples.round_trips[index].push((time_ms, round_trip));
    }
}

/// How much the counters have grown since the last scrape, as monitoring sees it.
fn growth(
    replica: &Replica,
    service: &Service,
    seconds: f64,
    noise: f64,
    stream: &mut Stream,
) -> Counters {
    let used = &replica.used;
    let own_waiting = (used[Counter::CpuWaiting] - replica.crowded_seconds).max(0.0);
    let waiting = (own_waiting / seconds.max(1e-9)).min(1.0);
    let mut grown = Counters::default();
    for counter in Counter::ALL {
        let sigma = if counter.is_usage() { BACKGROUND_SIGMA.1 } else { BACKGROUND_SIGMA.0 };
        let background = counter.background(service.kind) * seconds * stream.noise(sigma);
        let indirect = match counter {
            Counter::CfsThrottled => CFS_PERIODS * seconds * THROTTLED_PER_WAITING * waiting,
            Counter::CpuUsage => {
                POLLING_CORES * (replica.held_seconds - used[Counter::CpuUsage]).max(0.0)
            }
            _ => 0.0,
        };
        let seen = (used[counter] + indirect + background) * stream.noise(noise);
        grown[counter] = seen.min(counter.rate_max(service.cores) * seconds);
    }
    // Periods are counted, not estimated.
    grown[Counter::CfsPeriods] = CFS_PERIODS * seconds;
    grown
}

fn working_set(replica: &Replica, service: &Service, seconds: f64, stream: &mut Stream) -> f64 {
    let idle = service.memory_bytes * stream.noise(MEMORY_SIGMA);
    let inside = replica.inside_seconds / seconds.max(1e-9);
    let own = (idle + inside * REQUEST_MEMORY_BYTES).min(service.memory_limit_bytes);
    let free = service.memory_limit_bytes - own;
    own + free * replica.disturbance.memory_fill
}
