//! Samples -> features of every service, replica by replica.

use std::collections::{BTreeMap, BTreeSet};

use super::config::Config;
use super::followed::{Followed, Seen, Slot};
use super::row::{Row, percentiles, value};
use super::series::SeriesState;
use super::target::{Binder, Target};
use crate::data::{
    FeatureSpec, FeatureWindow, Interval, Labels, Name, Replica, Series, ServiceWindow,
};
use crate::hash::{HashMap, HashSet};

/// Intervals of silence after which a series gives way to others when there is no room left.
const SILENT_WHEN_FULL: i64 = 2;

/// State of all series.
#[derive(Debug)]
pub(super) struct Resources {
    binder: Binder,
    /// The feature table, and the name of each row.
    features: Vec<(Name, FeatureSpec)>,
    interval_ms: i64,
    stale_ms: i64,
    followed: Followed,
    /// Nodes of replicas remembered from spans and series, and half as many series remembered as nobody's.
    remembered_max: usize,
    /// Series that are nobody's, as their labels say: they come again and again.
    unbound: HashSet<Labels>,
    /// Where each replica runs: (service, replica) -> place.
    places: HashMap<(Name, Name), Place>,
}

/// Where a replica runs, as spans or series say.
#[derive(Debug)]
struct Place {
    node: Name,
    /// Newest event time at which somebody said so.
    seen_ms: i64,
}

impl Resources {
    pub(super) fn new(config: &Config) -> Self {
        let ms = |d: std::time::Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        Self {
            binder: Binder::new(config),
            features: config.features.iter().map(|f| (f.name.as_str().into(), f.clone())).collect(),
            interval_ms: ms(config.interval),
            stale_ms: ms(config.stale_after),
            followed: Followed::new(config.series_max),
            remembered_max: config.remembered_max,
            unbound: HashSet::default(),
            places: HashMap::default(),
        }
    }

    /// The slot of the series with these labels, if it is followed.
    #[inline]
    pub(super) fn find(&mut self, labels: &Labels) -> Option<Slot> {
        self.followed.find(labels)
    }

    /// The state of a series that is followed; `None` of a slot that is nobody's.
    #[inline]
    pub(super) fn state(&mut self, slot: Slot) -> Option<&mut SeriesState> {
        self.followed.state(slot)
    }

    /// Series followed.
    pub(super) fn len(&self) -> usize {
        self.followed.len()
    }

    /// Follows a series that is not followed yet.
    ///
    /// # Errors
    /// Why it is not: no feature takes it, no label says whose it is, or too many are followed already.
    pub(super) fn follow(&mut self, series: &Series) -> Result<Slot, &'static str> {
        if !self.followed.has_room(&series.labels) {
            return Err("limit");
        }
        if self.unbound.contains(&series.labels) {
            return Err("unbound");
        }
        let Some(binding) = self.binder.bind(series) else {
            if self.unbound.len() >= self.remembered_max / 2 {
                self.unbound.clear();
            }
            self.unbound.insert(series.labels.clone());
            return Err("unbound");
        };
        let state = SeriesState::new(binding.kind, self.interval_ms, self.stale_ms);
        Ok(self.followed.insert(&series.labels, binding, state))
    }

    /// Somebody said at `t_ms` where a replica runs.
    pub(super) fn locate(&mut self, service: &Name, replica: &Name, node: &Name, t_ms: i64) {
        if node.is_empty() {
            return;
        }
        if let Some(place) = self.places.get_mut(&(service.clone(), replica.clone())) {
            place.seen_ms = place.seen_ms.max(t_ms);
            if place.node != *node {
                place.node = node.clone();
            }
        } else if self.places.len() < self.remembered_max {
            let place = Place { node: node.clone(), seen_ms: t_ms };
            self.places.insert((service.clone(), replica.clone()), place);
        }
    }

    /// Where a replica runs; empty when nobody has said so.
    pub(super) fn node_of(&self, service: &Name, replica: &Name) -> Name {
        let place = self.places.get(&(service.clone(), replica.clone()));
        place.map(|place| place.node.clone()).unwrap_or_default()
    }

    /// The features of `interval`; intervals close in order.
    pub(super) fn close(&mut self, interval: Interval) -> Vec<ServiceWindow> {
        let start_ms = interval.start.0;
        let table = self.followed.add_up(interval);
        let stale_ms = self.stale_ms;
        // Spans name the host as operators do; the host part of `instance` is only an address.
        let mut hosts = BTreeSet::new();
        for (target, Seen { node, address, .. }) in &table {
            let Target::Replica { service, replica } = target else { continue };
            let at = (service.clone(), replica.clone());
            if let Some(place) = self.places.get_mut(&at) {
                place.seen_ms = place.seen_ms.max(start_ms);
                hosts.extend([node, address].map(|other| (place.node.clone(), other.clone())));
            } else {
                hosts.insert((node.clone(), address.clone()));
                self.locate(&at.0, &at.1, node, start_ms);
            }
        }
        // Pods come and go, and a rollout must not leave its dead behind.
        self.places.retain(|_, place| place.seen_ms >= start_ms - stale_ms);
        // After a storm of series that have ended, those that go on must get in again.
        let is_full = self.followed.is_full();
        let patience_ms =
            if is_full { stale_ms.min(SILENT_WHEN_FULL * self.interval_ms) } else { stale_ms };
        let since_ms = start_ms.saturating_sub(patience_ms);
        self.followed.forget(since_ms);
        self.assemble(table, &hosts)
    }

    /// Gives back what can be had again: series known to be nobody's.
    pub(super) fn relieve_caches(&mut self) {
        self.unbound = HashSet::default();
    }

    /// Gives back what fell silent before the interval that starts at `start_ms`.
    pub(super) fn relieve(&mut self, start_ms: i64) {
        self.followed.forget(start_ms.saturating_sub(SILENT_WHEN_FULL * self.interval_ms));
    }

    /// `hosts`: what replicas call their host, and what else it is called.
    fn assemble(
        &self,
        table: Vec<(Target, Seen)>,
        hosts: &BTreeSet<(Name, Name)>,
    ) -> Vec<ServiceWindow> {
        let mut services: BTreeMap<Name, BTreeMap<Name, (Name, Row)>> = BTreeMap::new();
        let mut rest: HashMap<Target, Row> = HashMap::default();
        for (target, Seen { row, .. }) in table {
            match target {
                Target::Replica { service, replica } => {
                    let node = self.node_of(&service, &replica);
                    services.entry(service).or_default().insert(replica, (node, row));
                }
                other => {
                    rest.insert(other, row);
                }
            }
        }
        name_hosts(&mut rest, hosts);
        self.add_replicas_known_by_spans(&mut services, &rest);
        // A service that is only probed still has features.
        for target in rest.keys() {
            if let Target::Service(service) = target {
                services.entry(service.clone()).or_default();
            }
        }
        services
            .into_iter()
            .map(|(service, replicas)| self.window(service, &replicas, &rest))
            .filter(|w| !w.features.is_empty())
            .collect()
    }

    /// Replicas without series of their own still have a host with metrics.
    fn add_replicas_known_by_spans(
        &self,
        services: &mut BTreeMap<Name, BTreeMap<Name, (Name, Row)>>,
        rest: &HashMap<Target, Row>,
    ) {
        let measured: BTreeSet<Name> = services.keys().cloned().collect();
        for ((service, replica), Place { node, .. }) in &self.places {
            if !measured.contains(service) && rest.contains_key(&Target::Node(node.clone())) {
                let replicas = services.entry(service.clone()).or_default();
                replicas.insert(replica.clone(), (node.clone(), Row::default()));
            }
        }
    }

    fn window(
        &self,
        service: Name,
        replicas: &BTreeMap<Name, (Name, Row)>,
        rest: &HashMap<Target, Row>,
    ) -> ServiceWindow {
        let probe = rest.get(&Target::Service(service.clone()));
        let mut features = Vec::new();
        for (i, (name, spec)) in self.features.iter().enumerate() {
            let by_replica: Vec<Option<f64>> = replicas
                .values()
                .map(|(node, own)| {
                    let host = rest.get(&Target::Node(node.clone()));
                    value(own.get(i), spec).or_else(|| host.and_then(|row| value(row.get(i), spec)))
                })
                .collect();
            let mut values: Vec<f64> = by_replica.iter().flatten().copied().collect();
            values.extend(probe.and_then(|row| value(row.get(i), spec)));
            if let Some(percentiles) = percentiles(&mut values) {
                features.push(FeatureWindow {
                    name: name.clone(),
                    role: spec.resource,
                    signal: spec.signal,
                    scale: spec.scale,
                    scope: spec.scope,
                    percentiles,
                    by_replica,
                });
            }
        }
        let replicas = replicas
            .iter()
            .map(|(name, (node, _))| Replica { name: name.clone(), node: node.clone() })
            .collect();
        ServiceWindow { service, replicas, features }
    }
}

/// The metrics of a host come under the address its exporter is scraped at, where nobody has labelled them with its
/// name; series of the replicas there say both. They go by the name, too.
fn name_hosts(rest: &mut HashMap<Target, Row>, hosts: &BTreeSet<(Name, Name)>) {
    for (name, other) in hosts.iter().filter(|(name, _)| !name.is_empty()) {
        let name = Target::Node(name.clone());
        if !rest.contains_key(&name)
            && let Some(row) = rest.get(&Target::Node(other.clone()))
        {
            rest.insert(name, row.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{EventTime, Sample};

    fn feed(
        r: &mut Resources,
        labels: &[(&str, &str)],
        samples: &[(i64, f64)],
    ) -> Result<(), &'static str> {
        let labels: Labels = labels.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        let slot = match r.find(&labels) {
            Some(slot) => slot,
            None => r.follow(&Series { labels, ..Series::default() })?,
        };
        let state = r.state(slot).unwrap();
        let sample = |(time_ms, value): &(i64, f64)| Sample { time_ms: *time_ms, value: *value };
        samples.iter().map(sample).try_for_each(|s| state.push(s))
    }

    /// Closes the interval of 30 s that starts at `start_ms`.
    fn close(r: &mut Resources, start_ms: i64) -> Vec<ServiceWindow> {
        r.close(Interval::containing(EventTime(start_ms), 30_000))
    }

    fn feature<'a>(windows: &'a [ServiceWindow], service: &str, name: &str) -> &'a FeatureWindow {
        let window = windows.iter().find(|w| &*w.service == service).expect(service);
        window.features.iter().find(|f| &*f.name == name).expect(name)
    }

    #[test]
    fn replicas_become_percentiles_and_ratios_divide_replica_by_replica() {
        let mut r = Resources::new(&Config::default());
        for (pod, throttled) in [("a", 3.0), ("b", 15.0)] {
            for (metric, end) in [
                ("container_cpu_cfs_throttled_periods_total", throttled),
                ("container_cpu_cfs_periods_total", 30.0),
            ] {
                let labels = [
                    ("__name__", metric),
                    ("container", "cart"),
                    ("instance", "n1:1"),
                    ("pod", pod),
                ];
                assert_eq!(feed(&mut r, &labels, &[(0, 0.0), (30_000, end)]), Ok(()));
            }
        }
        let windows = close(&mut r, 0);
        let f = feature(&windows, "cart", "cpu_throttled_ratio");
        assert_eq!(f.by_replica, [Some(0.1), Some(0.5)]);
        assert!((f.percentiles[0] - 0.3).abs() < 1e-9 && f.percentiles[2] == 0.5);
    }

    #[test]
    fn node_metrics_reach_every_replica_on_the_node() {
        let mut r = Resources::new(&Config::default());
        r.locate(&"cart".into(), &"cart-0".into(), &"n1".into(), 0);
        let pressure =
            [("__name__", "node_pressure_cpu_waiting_seconds_total"), ("instance", "n1:9100")];
        feed(&mut r, &pressure, &[(0, 0.0), (30_000, 6.0)]).unwrap();
        assert_eq!(feature(&close(&mut r, 0), "cart", "node_cpu_pressure").by_replica, [Some(0.2)]);
    }

    /// As blackbox exporter 0.23 says of a ping that is answered and of one that is not. Its other phases take time.
    #[test]
    fn pings_that_are_lost_say_so_and_nothing_of_how_long_the_others_took() {
        let mut r = Resources::new(&Config::default());
        let ping = |phase| {
            [("__name__", "probe_icmp_duration_seconds"), ("phase", phase), ("service", "cart")]
        };
        feed(&mut r, &ping("rtt"), &[(1_000, 0.000_281_819), (16_000, 0.0)]).unwrap();
        assert_eq!(feed(&mut r, &ping("setup"), &[(1_000, 0.000_2)]), Err("unbound"));
        let at = |r: &mut Resources, start| {
            let windows = close(r, start);
            let window = windows.into_iter().find(|w| &*w.service == "cart").unwrap();
            window
                .features
                .iter()
                .map(|f| (f.name.to_string(), f.percentiles[0]))
                .collect::<Vec<_>>()
        };
        let (rtt, loss) = ("probe_rtt".to_string(), "probe_loss".to_string());
        assert_eq!(at(&mut r, 0), [(rtt, 0.000_281_819), (loss.clone(), 0.5)]);
        feed(&mut r, &ping("rtt"), &[(31_000, 0.0)]).unwrap();
        assert_eq!(at(&mut r, 30_000), [(loss, 1.0)]);
    }

    #[test]
    fn metrics_of_a_host_without_its_name_reach_replicas_whose_series_have_name_and_address() {
        let mut r = Resources::new(&Config::default());
        r.locate(&"cart".into(), &"cart-0".into(), &"n1".into(), 0);
        let cpu = ("__name__", "container_cpu_usage_seconds_total");
        let at = ("instance", "10.0.0.7:10250");
        let labelled = [("container", "stock"), at, ("node", "n1"), ("pod", "stock-0")];
        let plain = [("container", "cart"), at, ("pod", "cart-0")];
        for own in [&labelled[..], &plain[..]] {
            let labels: Vec<_> = [cpu].into_iter().chain(own.iter().copied()).collect();
            feed(&mut r, &labels, &[(0, 0.0), (30_000, 3.0)]).unwrap();
        }
        let pressure = [
            ("__name__", "node_pressure_cpu_waiting_seconds_total"),
            ("instance", "10.0.0.7:9100"),
        ];
        feed(&mut r, &pressure, &[(0, 0.0), (30_000, 6.0)]).unwrap();
        let windows = close(&mut r, 0);
        for (service, replica) in [("stock", "stock-0"), ("cart", "cart-0")] {
            let of = feature(&windows, service, "node_cpu_pressure");
            assert_eq!(of.by_replica, [Some(0.2)], "{service}");
            let window = windows.iter().find(|w| &*w.service == service).unwrap();
            assert_eq!(window.replicas, [Replica { name: replica.into(), node: "n1".into() }]);
        }
    }

    #[test]
    fn a_replica_that_is_gone_is_forgotten_and_one_that_moved_is_found() {
        let mut r = Resources::new(&Config::default());
        let pressure = [("__name__", "node_cpu_seconds_total"), ("mode", "user")];
        let on = |node| [pressure[0], ("instance", node), pressure[1]];
        let (service, hour) = (Name::from("cart"), 3_600_000);
        for (t, replica, node) in
            [(0, "cart-a", "n1"), (hour, "cart-b", "n1"), (hour, "cart-b", "n2")]
        {
            r.locate(&service, &replica.into(), &node.into(), t);
        }
        for node in ["n1", "n2"] {
            feed(&mut r, &on(node), &[(hour, 0.0), (hour + 30_000, 15.0)]).unwrap();
        }
        let windows = close(&mut r, hour);
        assert_eq!(windows[0].replicas, [Replica { name: "cart-b".into(), node: "n2".into() }]);
    }

    #[test]
    fn beyond_the_limit_new_series_are_refused_and_room_returns_when_old_ones_end() {
        let mut r = Resources::new(&Config { series_max: 1, ..Config::default() });
        let own = |job| [("__name__", "process_resident_memory_bytes"), ("job", job)];
        assert_eq!(feed(&mut r, &own("a"), &[(0, 1.0)]), Ok(()));
        assert_eq!(feed(&mut r, &own("b"), &[(0, 1.0)]), Err("limit"));
        close(&mut r, 0);
        close(&mut r, 60_000);
        assert_eq!(feed(&mut r, &own("b"), &[(90_000, 1.0)]), Err("limit"));
        close(&mut r, 90_000);
        assert_eq!(feed(&mut r, &own("b"), &[(120_000, 1.0)]), Ok(()));
    }

    #[test]
    fn a_series_with_long_labels_counts_as_several() {
        let mut r = Resources::new(&Config { series_max: 4, ..Config::default() });
        let long = "x".repeat(3 * 1024 - 100);
        let own = |job| [("__name__", "process_resident_memory_bytes"), ("job", job)];
        assert_eq!(feed(&mut r, &own(&long), &[(0, 1.0)]), Ok(()));
        assert_eq!(feed(&mut r, &own("b"), &[(0, 1.0)]), Ok(()));
        assert_eq!(feed(&mut r, &own("c"), &[(0, 1.0)]), Err("limit"));
        r.relieve(1_000_000);
        assert_eq!(
            (r.len(), r.followed.weight()),
            (2, 4),
            "what waits for its interval to close stays"
        );
        close(&mut r, 0);
        r.relieve(1_000_000);
        assert_eq!((r.len(), r.followed.weight()), (0, 0));
    }

    #[test]
    fn silence_is_borne_for_longer_where_there_is_room() {
        let mut r = Resources::new(&Config { series_max: 2, ..Config::default() });
        let own = [("__name__", "process_resident_memory_bytes"), ("job", "a")];
        feed(&mut r, &own, &[(0, 1.0)]).unwrap();
        for (start, left) in [(0, 1), (300_000, 1), (330_000, 0)] {
            close(&mut r, start);
            assert_eq!(r.len(), left, "{start}");
        }
    }
}
