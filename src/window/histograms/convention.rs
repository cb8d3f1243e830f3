//! Metric names and labels of the conventions: which RPC, and which side of it, does a histogram show?

use super::config::Config;
use crate::data::{Name, Series, USER};

/// Who counts. Where several show one edge, the first of them is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Convention {
    ServiceGraph,
    Istio,
    Linkerd,
    SpanMetrics,
}

/// All of them.
pub(in crate::window) const CONVENTIONS: [&str; 4] =
    ["service_graph", "istio", "linkerd", "span_metrics"];

impl Convention {
    /// Its key in the configuration.
    pub(super) fn name(self) -> &'static str {
        CONVENTIONS[self as usize]
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metric {
    Client,
    Server,
    Failed,
    /// The labels tell the side.
    Latency,
}

/// metric without `_bucket`, milliseconds in its unit
const METRICS: &[(Convention, Metric, &str, f64)] = &[
    (
        Convention::ServiceGraph,
        Metric::Client,
        "traces_service_graph_request_client_seconds",
        1000.0,
    ),
    (
        Convention::ServiceGraph,
        Metric::Server,
        "traces_service_graph_request_server_seconds",
        1000.0,
    ),
    (Convention::ServiceGraph, Metric::Failed, "traces_service_graph_request_failed_total", 0.0),
    (Convention::SpanMetrics, Metric::Latency, "traces_spanmetrics_latency", 1000.0),
    (Convention::SpanMetrics, Metric::Latency, "traces_span_metrics_duration_milliseconds", 1.0),
    (Convention::SpanMetrics, Metric::Latency, "traces_span_metrics_duration_seconds", 1000.0),
    (Convention::SpanMetrics, Metric::Latency, "duration_milliseconds", 1.0),
    (Convention::SpanMetrics, Metric::Latency, "duration_seconds", 1000.0),
    (Convention::Istio, Metric::Latency, "istio_request_duration_milliseconds", 1.0),
    (Convention::Linkerd, Metric::Latency, "response_latency_ms", 1.0),
];

/// A metric of a convention.
#[derive(Clone, Copy, Debug)]
pub(in crate::window) struct Known {
    convention: Convention,
    metric: Metric,
    /// Milliseconds in the unit of its bounds.
    pub(super) unit_ms: f64,
    /// Whether each bucket is a series of its own.
    pub(super) is_classic: bool,
}

impl Known {
    /// Whether it is a count without buckets.
    pub(super) fn is_counter(&self) -> bool {
        self.metric == Metric::Failed
    }
}

/// Names of all metrics of the conventions that `config` allows.
pub(in crate::window) fn known(config: &Config) -> impl Iterator<Item = (String, Known)> + '_ {
    let is_on = |convention: &Convention| match convention {
        Convention::ServiceGraph => config.service_graph,
        Convention::SpanMetrics => config.span_metrics,
        Convention::Istio => config.istio,
        Convention::Linkerd => config.linkerd,
    };
    METRICS.iter().filter(move |(convention, ..)| is_on(convention)).flat_map(
        |(convention, metric, name, unit_ms)| {
            let known = |is_classic| Known {
                convention: *convention,
                metric: *metric,
                unit_ms: *unit_ms,
                is_classic,
            };
            let buckets =
                (*metric != Metric::Failed).then(|| (format!("{name}_bucket"), known(true)));
            buckets.into_iter().chain([((*name).to_string(), known(false))])
        },
    )
}

/// What is known about the two ends of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Link {
    /// Both may be measured.
    Plain,
    /// The callee measures nothing: a database, a foreign service.
    Dark,
    /// The caller does not wait.
    Messaging,
}

/// What a histogram shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Latency as the caller sees it.
    Client(Edge),
    /// Latency as the callee sees it.
    Server(Edge),
    /// Failed requests, whatever their latency.
    Failed(Edge),
    /// What a service serves, whoever calls.
    Served { service: Name, op: Name },
}

/// Who calls whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    /// `None`: the outside world.
    pub(super) caller: Option<Name>,
    pub(super) callee: Name,
    pub(super) link: Link,
}

/// What a histogram is for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Binding {
    pub(super) convention: Convention,
    pub(super) role: Role,
    /// Whether the requests in it failed.
    pub(super) is_failed: bool,
    pub(super) unit_ms: f64,
    /// Native histograms may come beside classic ones of the same requests.
    pub(super) is_classic: bool,
}

/// The first of these labels that says something.
fn first(series: &Series, names: &[&str]) -> Option<Name> {
    names.iter().find_map(|name| series.label(name).filter(|v| !v.is_empty())).map(Name::from)
}

fn is(series: &Series, label: &str, values: &[&str]) -> bool {
    series.label(label).is_some_and(|v| values.contains(&v))
}

/// What `series`, a metric that is `known`, is for; `None` when its labels do not tell.
pub(super) fn bind(known: &Known, series: &Series, config: &Config) -> Option<Binding> {
    let (role, is_failed) = match known.convention {
        Convention::ServiceGraph => service_graph(known.metric, series, config)?,
        Convention::SpanMetrics => span_metrics(series, config)?,
        Convention::Istio => istio(series, config)?,
        Convention::Linkerd => linkerd(series)?,
    };
    let (convention, unit_ms, is_classic) = (known.convention, known.unit_ms, known.is_classic);
    Some(Binding { convention, role, is_failed, unit_ms, is_classic })
}

/// A caller, unless it is the outside world.
fn inside(name: Name, config: &Config) -> Option<Name> {
    (!config.outside.iter().any(|o| *o == *name)).then_some(name)
}

fn service_graph(metric: Metric, series: &Series, config: &Config) -> Option<(Role, bool)> {
    let (client, callee) = (first(series, &["client"])?, first(series, &["server"])?);
    let is_virtual = is(series, "connection_type", &["virtual_node"]);
    // A service may be called like the virtual node of the outside world.
    let is_outside = is_virtual && &*client == USER;
    let caller = if is_outside { None } else { inside(client, config) };
    let link = match series.label("connection_type").unwrap_or("") {
        "messaging_system" => Link::Messaging,
        "database" => Link::Dark,
        "virtual_node" if caller.is_some() => Link::Dark,
        _ => Link::Plain,
    };
    let edge = Edge { caller, callee, link };
    let role = match metric {
        Metric::Client => Role::Client(edge),
        Metric::Failed => Role::Failed(edge),
        Metric::Server | Metric::Latency => Role::Server(edge),
    };
    Some((role, is(series, "failed", &["true"])))
}

fn span_metrics(series: &Series, config: &Config) -> Option<(Role, bool)> {
    let service = first(series, &["service_name", "service"])?;
    let op = first(series, &["span_name"])?;
    let is_failed = is(series, "status_code", &["STATUS_CODE_ERROR", "ERROR", "Error"]);
    let kind = series.label("span_kind")?;
    let role = match kind.strip_prefix("SPAN_KIND_").unwrap_or(kind) {
        "SERVER" => Role::Served { service, op },
        // Whom it calls stands in the labels only where somebody has added that dimension.
        "CLIENT" => {
            let labels: Vec<&str> = config.peer_labels.iter().map(String::as_str).collect();
            let callee = first(series, &labels)?;
            Role::Client(Edge { caller: Some(service), callee, link: Link::Plain })
        }
        _ => return None,
    };
    Some((role, is_failed))
}

/// The name both ends go by: the same whether a service calls or is called.
fn istio_name(series: &Series, side: &str) -> Option<Name> {
    let said = ["canonical_service", "app", "workload"].into_iter().find_map(|what| {
        let name = first(series, &[&format!("{side}_{what}")])?;
        (&*name != "unknown").then_some(name)
    });
    said.or_else(|| first(series, &[&format!("{side}_workload")]))
}

fn istio(series: &Series, config: &Config) -> Option<(Role, bool)> {
    let caller = istio_name(series, "source").and_then(|name| inside(name, config));
    let workload = istio_name(series, "destination").filter(|name| &**name != "unknown");
    // Without a proxy of its own the callee is known by the name of its Kubernetes service or its host.
    let link = if workload.is_some() { Link::Plain } else { Link::Dark };
    let callee = workload.or_else(|| first(series, &["destination_service_name"]))?;
    let edge = Edge { caller, callee, link };
    let role = match series.label("reporter")? {
        "source" => Role::Client(edge),
        // A waypoint stands before the callee.
        "destination" | "waypoint" => Role::Server(edge),
        _ => return None,
    };
    let is_failed =
        series.label("response_code").is_some_and(|code| code.starts_with('5') || code == "0");
    Some((role, is_failed))
}

const LINKERD_OWNERS: [&str; 4] = ["deployment", "statefulset", "daemonset", "k8s_job"];
const LINKERD_CALLEES: [&str; 5] =
    ["dst_deployment", "dst_statefulset", "dst_daemonset", "dst_job", "dst_service"];

fn linkerd(series: &Series) -> Option<(Role, bool)> {
    let service = first(series, &LINKERD_OWNERS)?;
    let is_failed = series.label("status_code").is_some_and(|code| code.starts_with('5'));
    let role = match series.label("direction")? {
        "outbound" => {
            let meshed = first(series, &LINKERD_CALLEES);
            let link = if meshed.is_some() { Link::Plain } else { Link::Dark };
            let callee = meshed.or_else(|| first(series, &["authority"]))?;
            Role::Client(Edge { caller: Some(service), callee, link })
        }
        // Who calls is not said, only whether a proxy does.
        "inbound" if is(series, "tls", &["true"]) => {
            Role::Served { service, op: crate::data::ANY_OP.into() }
        }
        "inbound" => Role::Server(Edge { caller: None, callee: service, link: Link::Plain }),
        _ => return None,
    };
    Some((role, is_failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(labels: &[(&str, &str)]) -> Option<Binding> {
        let config = Config::default();
        let labels = labels.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        let series = Series { labels, ..Series::default() };
        let name = series.label("__name__").unwrap();
        let (_, known) = known(&config).find(|(n, _)| **n == *name).expect("a known metric");
        bind(&known, &series, &config)
    }

    fn edge(caller: &str, callee: &str, link: Link) -> Edge {
        let caller = (!caller.is_empty()).then(|| caller.into());
        Edge { caller, callee: callee.into(), link }
    }

    fn role(labels: &[(&str, &str)]) -> Option<Role> {
        bound(labels).map(|b| b.role)
    }

    #[test]
    fn a_service_graph_names_both_ends_and_its_virtual_nodes() {
        let of = |client, server, kind| {
            role(&[
                ("__name__", "traces_service_graph_request_client_seconds_bucket"),
                ("client", client),
                ("connection_type", kind),
                ("server", server),
            ])
        };
        for (client, server, kind, expected) in [
            ("front", "cart", "", edge("front", "cart", Link::Plain)),
            ("front", "orders", "database", edge("front", "orders", Link::Dark)),
            ("front", "bank", "virtual_node", edge("front", "bank", Link::Dark)),
            ("front", "mail", "messaging_system", edge("front", "mail", Link::Messaging)),
            ("user", "front", "virtual_node", edge("", "front", Link::Plain)),
            // A service that is called like the outside world.
            ("user", "cart", "", edge("user", "cart", Link::Plain)),
        ] {
            assert_eq!(of(client, server, kind), Some(Role::Client(expected)));
        }
        assert_eq!(of("front", "", ""), None);
    }

    #[test]
    fn span_metrics_tell_operations_served_and_peers_that_are_labelled() {
        let of = |kind, peer| {
            role(&[
                ("__name__", "traces_span_metrics_duration_milliseconds_bucket"),
                ("peer_service", peer),
                ("service_name", "front"),
                ("span_kind", kind),
                ("span_name", "GET /"),
            ])
        };
        let served = Role::Served { service: "front".into(), op: "GET /".into() };
        assert_eq!(of("SPAN_KIND_SERVER", ""), Some(served));
        let client = Role::Client(edge("front", "cart", Link::Plain));
        assert_eq!(of("SPAN_KIND_CLIENT", "cart"), Some(client));
        assert_eq!(of("SPAN_KIND_CLIENT", ""), None);
        assert_eq!(of("SPAN_KIND_INTERNAL", ""), None);
        // Somebody else's metric of the same name.
        assert_eq!(role(&[("__name__", "duration_seconds_bucket"), ("job", "x")]), None);
    }

    #[test]
    fn istio_names_are_the_same_for_callers_and_callees_and_unknown_callers_are_outside() {
        let of = |reporter, source, canonical, host| {
            bound(&[
                ("__name__", "istio_request_duration_milliseconds_bucket"),
                ("destination_canonical_service", canonical),
                ("destination_service_name", host),
                ("destination_workload", if canonical == "unknown" { canonical } else { "x-v1" }),
                ("reporter", reporter),
                ("response_code", "503"),
                ("source_canonical_service", source),
                ("source_workload", source),
            ])
        };
        let plain = edge("front", "cart", Link::Plain);
        let client = of("source", "front", "cart", "cart-svc").unwrap();
        assert_eq!((client.role, client.is_failed), (Role::Client(plain.clone()), true));
        let server = of("destination", "front", "cart", "cart-svc").unwrap();
        assert_eq!(server.role, Role::Server(plain));
        let entry = of("destination", "unknown", "front", "front").unwrap();
        assert_eq!(entry.role, Role::Server(edge("", "front", Link::Plain)));
        let foreign = of("source", "front", "unknown", "api.example.com").unwrap();
        assert_eq!(foreign.role, Role::Client(edge("front", "api.example.com", Link::Dark)));
    }

    #[test]
    fn linkerd_knows_callees_outbound_and_outsiders_inbound() {
        let of = |direction, tls, callee| {
            role(&[
                ("__name__", "response_latency_ms_bucket"),
                ("deployment", "front"),
                ("direction", direction),
                ("dst_deployment", callee),
                ("tls", tls),
            ])
        };
        let client = Role::Client(edge("front", "cart", Link::Plain));
        assert_eq!(of("outbound", "true", "cart"), Some(client));
        let served = Role::Served { service: "front".into(), op: "*".into() };
        assert_eq!(of("inbound", "true", ""), Some(served));
        let entry = Role::Server(edge("", "front", Link::Plain));
        assert_eq!(of("inbound", "no_identity", ""), Some(entry));
        assert_eq!(of("sideways", "true", ""), None);
    }
}
