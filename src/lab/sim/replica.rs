//! A running replica: what its requests queue for, in which condition it is, what it has used.

use super::condition::Condition;
use super::counter::{Counter, Counters};
use super::disturbance::Disturbance;
use super::fault::Strengths;
use super::program::Service;
use super::station::{Permits, Station};

/// A replica. Its meters are exact; noise and background are added when it is scraped.
#[derive(Clone, Debug)]
pub(super) struct Replica {
    pub(super) condition: Condition,
    pub(super) disturbance: Disturbance,
    pub(super) workers: Permits,
    pub(super) connections: Permits,
    pub(super) cores: Station,
    pub(super) disk: Station,
    /// The critical section of a bug.
    pub(super) lock: Station,
    /// Requests that have arrived and have not been answered.
    pub(super) inside: usize,
    /// What was used since the last scrape.
    pub(super) used: Counters,
    /// Part of the waiting for processors since the last scrape that is due to other jobs on the host,
    /// seconds.
    pub(super) crowded_seconds: f64,
    /// Integral of `inside` since the last scrape, in request seconds.
    pub(super) inside_seconds: f64,
    /// The same of worker threads held.
    pub(super) held_seconds: f64,
    /// What was used before the last scrape.
    past: Counters,
    occupied_until_ns: u64,
    disturbed_until_ns: u64,
}

impl Replica {
    pub(super) fn new(service: &Service) -> Self {
        Self {
            condition: Condition::of(service, &Strengths::default()),
            disturbance: Disturbance::of(service, &Strengths::default()),
            workers: Permits::new(service.threads),
            connections: Permits::new(usize::MAX),
            cores: Station::new(service.cores),
            disk: Station::new(1),
            lock: Station::new(1),
            inside: 0,
            used: Counters::default(),
            crowded_seconds: 0.0,
            inside_seconds: 0.0,
            held_seconds: 0.0,
            past: Counters::default(),
            occupied_until_ns: 0,
            disturbed_until_ns: 0,
        }
    }

    /// Puts it into another condition from now on.
    pub(super) fn suffer(&mut self, now_ns: u64, condition: Condition, disturbance: Disturbance) {
        self.settle(now_ns);
        self.workers.set_limit(condition.threads);
        self.connections.set_limit(condition.connections);
        self.condition = condition;
        self.disturbance = disturbance;
    }

    /// Brings the integrals of occupancy up to now; to be called before occupancy changes.
    pub(super) fn occupy(&mut self, now_ns: u64) {
        let seconds = (now_ns - self.occupied_until_ns) as f64 / 1e9;
        self.inside_seconds += seconds * self.inside as f64;
        self.held_seconds += seconds * self.workers.held() as f64;
        self.occupied_until_ns = now_ns;
    }

    /// Brings every meter up to now.
    pub(super) fn settle(&mut self, now_ns: u64) {
        self.occupy(now_ns);
        let seconds = (now_ns - self.disturbed_until_ns) as f64 / 1e9;
        self.used.add(&self.disturbance.rates, seconds);
        self.crowded_seconds += self.disturbance.crowding * seconds;
        self.disturbed_until_ns = now_ns;
    }

    /// Everything used since the simulation began. Unlike settling, reading leaves no trace.
    pub(super) fn used_ever(&self, now_ns: u64) -> Counters {
        let mut all = self.past;
        all.add(&self.used, 1.0);
        all.add(&self.disturbance.rates, (now_ns - self.disturbed_until_ns) as f64 / 1e9);
        all
    }

    /// Computes for `demand_ns`. Returns when that is done.
    pub(super) fn compute(&mut self, now_ns: u64, demand_ns: f64) -> u64 {
        let own_ns = demand_ns * self.condition.reclaim_stretch;
        let hogged_ns = own_ns * self.condition.hog_stretch;
        let stretched_ns = hogged_ns * self.condition.neighbour_stretch;
        let served = self.cores.serve(now_ns, stretched_ns as u64);
        self.used[Counter::CpuUsage] += own_ns / 1e9;
        self.used[Counter::MemoryWaiting] += (own_ns - demand_ns) / 1e9;
        // A thread that is runnable while somebody else has its core waits, too.
        let waiting_ns = served.waiting_ns as f64 + (stretched_ns - own_ns);
        self.used[Counter::CpuWaiting] += waiting_ns / 1e9;
        if stretched_ns > hogged_ns {
            // Then the queue, too, is the host's, and who gets less of the host spends less quota.
            let crowded_ns = served.waiting_ns as f64 + (stretched_ns - hogged_ns);
            self.crowded_seconds += crowded_ns / 1e9;
        }
        served.done_ns
    }

    /// Uses the block device for `demand_ns`. Returns when that is done.
    pub(super) fn access_disk(&mut self, now_ns: u64, demand_ns: f64) -> u64 {
        let stretched_ns = demand_ns * self.condition.disk_stretch;
        let served = self.disk.serve(now_ns, stretched_ns as u64);
        self.used[Counter::IoTime] += stretched_ns / 1e9;
        // Unlike a thread on a core, one whose access is served still waits.
        self.used[Counter::IoWaiting] += (served.waiting_ns as f64 + stretched_ns) / 1e9;
        self.used[Counter::ReadBytes] += 16_384.0;
        self.used[Counter::WrittenBytes] += 4096.0;
        served.done_ns
    }

    /// Starts the meters over: monitoring has read them.
    pub(super) fn forget_usage(&mut self) {
        self.past.add(&self.used, 1.0);
        self.used = Counters::default();
        self.crowded_seconds = 0.0;
        self.inside_seconds = 0.0;
        self.held_seconds = 0.0;
    }
}
