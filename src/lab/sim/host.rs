//! Hosts: what a node exporter shows of the machine that replicas share with each other and, at
//! times, with a noisy neighbour.
//!
//! In: exact meters of the replicas on it, and how strong the neighbour is. Out: [`HostReading`]s,
//! with the background and the noise of the real thing. Absent on purpose: what the neighbour does
//! to replicas, which stands in `condition.rs`.

use super::counter::Counters;
use super::engine::Engine;
use super::event::Happens;
use super::host_counter::{HostCounter, HostCounters};
use super::program::Node;
use super::random::For;
use super::scrape::BACKGROUND_SIGMA;
use super::state::scrape_ns;

/// A host: what its neighbour has used, and what monitoring knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Host {
    /// Growth per second that is the neighbour's.
    rates: HostCounters,
    /// What it has used.
    neighbour: HostCounters,
    settled_ns: u64,
    /// Exact totals at the last scrape.
    seen: HostCounters,
    /// Counters as last shown.
    shown: HostCounters,
    scrapes: u64,
    scraped_ns: u64,
}

/// What one scrape reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostReading {
    pub(super) time_ms: i64,
    pub(super) counters: HostCounters,
}

impl Host {
    /// From now on the neighbour is this strong; 0 when there is none.
    pub(super) fn suffer(&mut self, now_ns: u64, node: &Node, strength: f64) {
        self.settle(now_ns);
        self.rates = HostCounter::ALL.map(|c| c.of_neighbour(cores(node), strength));
    }

    fn settle(&mut self, now_ns: u64) {
        let seconds = (now_ns - self.settled_ns) as f64 / 1e9;
        for (sum, rate) in self.neighbour.iter_mut().zip(self.rates) {
            *sum += rate * seconds;
        }
        self.settled_ns = now_ns;
    }
}

/// Of a host, which is as large as its replicas need.
fn cores(node: &Node) -> f64 {
    node.cores.max(1) as f64
}

impl Engine<'_> {
    /// Reads a host's metrics and makes an appointment for the next time.
    pub(super) fn scrape_host(&mut self, index: usize) {
        let now = self.state.now_ns;
        let time_ms = self.state.time_ms(self.epoch_ms);
        self.state.agenda.push(now + scrape_ns(self.config), Happens::ScrapeHost, index as u32);
        let mut used = Counters::default();
        for (place, replica) in self.program.replicas.iter().zip(&self.state.replicas) {
            if place.node == index {
                used.add(&replica.used_ever(now), 1.0);
            }
        }
        let (node, host) = (&self.program.nodes[index], &mut self.state.hosts[index]);
        let key = self.keys.hosts.child(index as u64).child(host.scrapes);
        let mut stream = key.stream(For::Sample);
        host.settle(now);
        let seconds = (now - host.scraped_ns) as f64 / 1e9;
        host.scrapes += 1;
        host.scraped_ns = now;
        for (i, counter) in HostCounter::ALL.into_iter().enumerate() {
            let total = counter.of_replicas(&used) + host.neighbour[i];
            let caused = (total - host.seen[i]).max(0.0);
            host.seen[i] = total;
            let sigma = if counter.is_usage() { BACKGROUND_SIGMA.1 } else { BACKGROUND_SIGMA.0 };
            let rate = counter.background() + counter.of_replicas(&node.idle);
            let background = rate * seconds * stream.noise(sigma);
            let grown = (caused + background) * stream.noise(self.config.metric_noise);
            host.shown[i] += grown.min(counter.rate_max(cores(node)) * seconds);
        }
        if !key.stream(For::Loss).happens(self.config.missing_metrics) {
            self.out.samples.hosts[index].push(HostReading { time_ms, counters: host.shown });
        }
    }
}
