//! Whose sample is it? Labels -> service, replica and node, and the features a series feeds.

use super::config::Config;
use crate::data::{MetricKind, Name, Scope, Series};
use crate::hash::HashMap;

/// Whom a series describes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// A replica of a service.
    Replica { service: Name, replica: Name },
    /// A host.
    Node(Name),
    /// A service, seen from outside.
    Service(Name),
}

/// A series is the value of a feature, or what that value is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Value,
    Divisor,
}

/// What a series is for.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) target: Target,
    /// Host of a replica, empty when unknown.
    pub(super) node: Name,
    pub(super) kind: MetricKind,
    /// (index into the feature table, part)
    pub(super) feeds: Vec<(usize, Part)>,
}

/// Label rules and feature table, ready to bind series.
#[derive(Debug)]
pub(super) struct Binder {
    config: Config,
    /// Feature indices by metric name.
    by_metric: HashMap<String, Vec<(usize, Part)>>,
}

impl Binder {
    pub(super) fn new(config: &Config) -> Self {
        let mut by_metric: HashMap<String, Vec<(usize, Part)>> = HashMap::default();
        for (i, feature) in config.features.iter().enumerate() {
            by_metric.entry(feature.metric.clone()).or_default().push((i, Part::Value));
            if let Some(per) = &feature.per {
                by_metric.entry(per.metric.clone()).or_default().push((i, Part::Divisor));
            }
        }
        Self { config: config.clone(), by_metric }
    }

    /// What `series` is for; `None` when no feature takes it.
    pub(super) fn bind(&self, series: &Series) -> Option<Binding> {
        let features = &self.config.features;
        let mut feeds = self.by_metric.get(series.label("__name__")?)?.clone();
        feeds.retain(|(i, part)| {
            let matchers = match (part, &features[*i].per) {
                (Part::Divisor, Some(per)) => &per.matchers,
                _ => &features[*i].matchers,
            };
            matchers.iter().all(|(label, rule)| matches(rule, series.label(label).unwrap_or("")))
        });
        let kind_of = |(i, part): &(usize, Part)| match (part, &features[*i].per) {
            (Part::Divisor, Some(per)) => per.kind,
            _ => features[*i].kind,
        };
        let first = *feeds.first()?;
        let (scope, kind) = (features[first.0].scope, kind_of(&first));
        feeds.retain(|feed| features[feed.0].scope == scope && kind_of(feed) == kind);
        // The exporter of limits runs anywhere: it does not say where the replica is.
        let is_measured = feeds.iter().any(|(_, part)| *part == Part::Value);
        let node = self.node(series).filter(|_| is_measured).unwrap_or_default();
        Some(Binding { target: self.target(series, scope)?, node, kind, feeds })
    }

    fn target(&self, series: &Series, scope: Scope) -> Option<Target> {
        match scope {
            Scope::Node => self.node(series).map(Target::Node),
            Scope::Probe => self.probed(series).map(Target::Service),
            Scope::Service => Some(Target::Replica {
                service: first_label(series, &self.config.service_labels)?,
                replica: first_label(series, &self.config.replica_labels).unwrap_or_default(),
            }),
        }
    }

    fn node(&self, series: &Series) -> Option<Name> {
        first_label(series, &self.config.node_labels)
            .or_else(|| series.label("instance").map(|i| host_of(i).into()))
    }

    /// A probe's `job` is the prober, so only explicit labels or the probed address count.
    fn probed(&self, series: &Series) -> Option<Name> {
        let explicit: Vec<String> =
            self.config.service_labels.iter().filter(|l| *l != "job").cloned().collect();
        first_label(series, &explicit)
            .or_else(|| series.label("instance").map(|i| host_of(i).into()))
    }
}

/// The first label present; `a+b` joins two that must both be there.
fn first_label(series: &Series, names: &[String]) -> Option<Name> {
    names.iter().find_map(|name| match name.split_once('+') {
        None => series.label(name).map(Name::from),
        Some((a, b)) => {
            let (a, b) = (series.label(a)?, series.label(b)?);
            Some(format!("{a}@{b}").into())
        }
    })
}

/// `http://cart:8080/healthz` and `cart:8080` -> `cart`; IPv6 keeps its brackets.
fn host_of(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    if authority.starts_with('[') {
        return authority.split_inclusive(']').next().unwrap_or(authority);
    }
    authority.split(':').next().unwrap_or(authority)
}

/// `"a|b"`: either; `"!a|b"`: neither.
fn matches(rule: &str, value: &str) -> bool {
    match rule.strip_prefix('!') {
        Some(rule) => !rule.split('|').any(|r| r == value),
        None => rule.split('|').any(|r| r == value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(labels: &[(&str, &str)]) -> Series {
        let labels = labels.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        Series { labels, ..Series::default() }
    }

    fn bind(labels: &[(&str, &str)]) -> Option<(Target, Name)> {
        Binder::new(&Config::default()).bind(&series(labels)).map(|b| (b.target, b.node))
    }

    fn target(labels: &[(&str, &str)]) -> Option<Target> {
        bind(labels).map(|(target, _)| target)
    }

    fn replica(service: &str, replica: &str, node: &str) -> Option<(Target, Name)> {
        let (service, replica) = (service.into(), replica.into());
        Some((Target::Replica { service, replica }, node.into()))
    }

    const CPU: (&str, &str) = ("__name__", "container_cpu_usage_seconds_total");

    #[test]
    fn kubernetes_compose_and_plain_labels_name_service_replica_and_node() {
        let k8s = [CPU, ("container", "cart"), ("instance", "n1:10250"), ("pod", "cart-0")];
        assert_eq!(bind(&k8s), replica("cart", "cart-0", "n1"));
        let compose = [
            CPU,
            ("container_label_com_docker_compose_service", "cart"),
            ("instance", "cadvisor:8080"),
            ("name", "shop_cart_1"),
        ];
        assert_eq!(bind(&compose), replica("cart", "shop_cart_1", "cadvisor"));
        let own =
            [("__name__", "process_cpu_seconds_total"), ("instance", "cart:80"), ("job", "cart")];
        assert_eq!(bind(&own), replica("cart", "cart:80", "cart"));
    }

    #[test]
    fn node_and_probe_series_apply_to_hosts_and_probed_services() {
        let node =
            [("__name__", "node_vmstat_pgmajfault"), ("instance", "n1:9100"), ("job", "node")];
        assert_eq!(target(&node), Some(Target::Node("n1".into())));
        let probe = [
            ("__name__", "probe_icmp_duration_seconds"),
            ("instance", "http://cart:80/x"),
            ("job", "blackbox"),
            ("phase", "rtt"),
        ];
        assert_eq!(target(&probe), Some(Target::Service("cart".into())));
    }

    #[test]
    fn a_limit_joins_the_replica_it_limits_wherever_its_exporter_runs() {
        let limit = [
            ("__name__", "kube_pod_container_resource_limits"),
            ("container", "cart"),
            ("instance", "ksm:8080"),
            ("pod", "cart-0"),
            ("resource", "cpu"),
        ];
        assert_eq!(bind(&limit), replica("cart", "cart-0", ""));
    }

    #[test]
    fn matchers_choose_and_exclude() {
        let feeds = |mode: &str| {
            let labels =
                [("__name__", "node_cpu_seconds_total"), ("instance", "n1"), ("mode", mode)];
            Binder::new(&Config::default()).bind(&series(&labels)).map(|b| b.feeds.len())
        };
        assert_eq!(feeds("user"), Some(1));
        assert_eq!(feeds("idle"), None);
        assert_eq!(target(&[("__name__", "unheard_of"), ("job", "x")]), None);
    }

    #[test]
    fn hosts_are_cut_out_of_addresses() {
        for (address, host) in [
            ("n1:9100", "n1"),
            ("http://cart:80/x", "cart"),
            ("https://[::1]:9090/", "[::1]"),
            ("10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(host_of(address), host);
        }
    }
}
