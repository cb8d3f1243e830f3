//! Whose sample is it? Labels -> service, replica and node, and the features a series feeds.

use std::collections::{BTreeMap, BTreeSet};

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
    /// The value is how much of the series was lost.
    Lost,
}

/// What a series is for.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) target: Target,
    /// Host of a replica, empty when unknown.
    pub(super) node: Name,
    /// The same by its address, as exporters are scraped at it; empty when unknown.
    pub(super) address: Name,
    pub(super) kind: MetricKind,
    /// (index into the feature table, part)
    pub(super) feeds: Vec<(usize, Part)>,
}

/// Where a name stands: in one label, or in two, of which both must be there.
#[derive(Clone, Copy, Debug)]
enum Source {
    One(usize),
    Joined(usize, usize),
}

/// One way to take a series.
#[derive(Clone, Debug)]
struct Feed {
    /// Index into the feature table.
    feature: usize,
    part: Part,
    scope: Scope,
    kind: MetricKind,
    /// (label, rule)
    matchers: Vec<(usize, String)>,
}

/// Label rules and feature table, ready to bind series. Labels are numbers here: where they stand in `asked`.
#[derive(Debug)]
pub(super) struct Binder {
    /// Every label that something depends on, sorted.
    asked: Vec<String>,
    services: Vec<Source>,
    /// As `services`, less what names the prober.
    probed: Vec<Source>,
    replicas: Vec<Source>,
    nodes: Vec<Source>,
    instance: usize,
    by_metric: HashMap<String, Vec<Feed>>,
}

/// Values of the labels that are asked for.
type Values<'a> = [Option<&'a str>];

impl Binder {
    pub(super) fn new(config: &Config) -> Self {
        let asked = asked(config);
        let number = |label: &str| {
            let found = asked.binary_search_by(|a| a.as_str().cmp(label));
            found.expect("every label that is named is asked for")
        };
        let source = |rule: &String| match rule.split_once('+') {
            None => Source::One(number(rule)),
            Some((a, b)) => Source::Joined(number(a), number(b)),
        };
        let sources = |rules: &[String]| rules.iter().map(source).collect();
        let feed = |feature, part, scope, kind, matchers: &BTreeMap<String, String>| {
            let matchers = matchers.iter().map(|(label, rule)| (number(label), rule.clone()));
            Feed { feature, part, scope, kind, matchers: matchers.collect() }
        };
        let mut by_metric: HashMap<String, Vec<Feed>> = HashMap::default();
        for (i, f) in config.features.iter().enumerate() {
            let part = if f.kind == MetricKind::Lost { Part::Lost } else { Part::Value };
            let value = feed(i, part, f.scope, f.kind.of_series(), &f.matchers);
            by_metric.entry(f.metric.clone()).or_default().push(value);
            if let Some(per) = &f.per {
                let divisor = feed(i, Part::Divisor, f.scope, per.kind, &per.matchers);
                by_metric.entry(per.metric.clone()).or_default().push(divisor);
            }
        }
        let services = &config.service_labels;
        Self {
            services: sources(services),
            // A probe's `job` is the prober, so only other labels or the probed address count.
            probed: services.iter().filter(|label| *label != "job").map(source).collect(),
            replicas: sources(&config.replica_labels),
            nodes: sources(&config.node_labels),
            instance: number(INSTANCE),
            by_metric,
            asked,
        }
    }

    /// What `series` is for; `None` when no feature takes it.
    pub(super) fn bind(&self, series: &Series) -> Option<Binding> {
        let feeds = self.by_metric.get(series.label("__name__")?)?;
        let values = &*series.labels.values(&self.asked);
        let takes = |feed: &&Feed| {
            let has = |(label, rule): &(usize, String)| matches(rule, values[*label].unwrap_or(""));
            feed.matchers.iter().all(has)
        };
        let Feed { scope, kind, .. } = *feeds.iter().find(takes)?;
        let alike = feeds.iter().filter(takes).filter(|f| f.scope == scope && f.kind == kind);
        let feeds: Vec<(usize, Part)> = alike.map(|f| (f.feature, f.part)).collect();
        // The exporter of limits runs anywhere: it does not say where the replica is.
        let is_measured = feeds.iter().any(|(_, part)| *part != Part::Divisor);
        let node = if is_measured { self.node(values) } else { None };
        let address = if is_measured { self.host(values) } else { None };
        let target = match scope {
            Scope::Node => Target::Node(self.node(values)?),
            Scope::Probe => {
                Target::Service(name(values, &self.probed).or_else(|| self.host(values))?)
            }
            Scope::Service => Target::Replica {
                service: name(values, &self.services)?,
                replica: name(values, &self.replicas).unwrap_or_default(),
            },
        };
        let (node, address) = (node.unwrap_or_default(), address.unwrap_or_default());
        Some(Binding { target, node, address, kind, feeds })
    }

    fn node(&self, values: &Values<'_>) -> Option<Name> {
        name(values, &self.nodes).or_else(|| self.host(values))
    }

    /// The host of the address that was scraped or probed.
    fn host(&self, values: &Values<'_>) -> Option<Name> {
        values[self.instance].map(|instance| host_of(instance).into())
    }
}

const INSTANCE: &str = "instance";

/// Every label that something in `config` depends on, sorted.
fn asked(config: &Config) -> Vec<String> {
    let rules = [&config.service_labels, &config.replica_labels, &config.node_labels];
    let named = rules.into_iter().flatten().flat_map(|rule| match rule.split_once('+') {
        None => [Some(rule.as_str()), None],
        Some((a, b)) => [Some(a), Some(b)],
    });
    let of_features = config.features.iter().flat_map(|f| {
        let divisor = f.per.iter().flat_map(|per| per.matchers.keys());
        f.matchers.keys().chain(divisor).map(String::as_str)
    });
    let all = named.flatten().chain(of_features).chain([INSTANCE]);
    let all: BTreeSet<&str> = all.collect();
    all.into_iter().map(Into::into).collect()
}

/// What stands where the first of `sources` that is there says.
fn name(values: &Values<'_>, sources: &[Source]) -> Option<Name> {
    sources.iter().find_map(|source| match *source {
        Source::One(label) => values[label].map(Name::from),
        Source::Joined(a, b) => Some(format!("{}@{}", values[a]?, values[b]?).into()),
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
