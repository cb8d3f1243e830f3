//! What the programs of a run are told: their configurations, as text.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use super::groups::Groups;
use super::spec::App;
use crate::data::QosTarget;

/// One interval of the sidecar, seconds. Short, so that a run takes minutes.
pub(super) const INTERVAL_S: u64 = 2;
/// How long an interval waits for stragglers, milliseconds: a scrape and its way here.
const LATENESS_MS: u64 = 1800;
/// What the node is called in spans, metrics and the configuration of the sidecar.
pub(super) const NODE: &str = "here";
/// By how much the sidecar may raise a quota, step by step. Large, because what is left of a squeezed quota is
/// little, and because what has queued up meanwhile must drain.
const CPU_STEPS: [f64; 2] = [8.0, 20.0];
/// The same of memory.
const MEMORY_STEPS: [f64; 2] = [6.0, 12.0];

/// Where everything listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    /// Sidecar: API, webhook, remote write.
    pub(super) http: SocketAddr,
    /// Sidecar: OTLP over gRPC.
    pub(super) otlp_grpc: SocketAddr,
    /// Sidecar: OTLP over HTTP.
    pub(super) otlp_http: SocketAddr,
    /// Prometheus.
    pub(super) prometheus: SocketAddr,
    /// Alertmanager.
    pub(super) alertmanager: SocketAddr,
    /// Node exporter.
    pub(super) node_exporter: SocketAddr,
    /// Blackbox exporter.
    pub(super) blackbox: SocketAddr,
}

impl Ports {
    /// Ports that are free now: of loopback, but for the one that spans are sent to.
    ///
    /// # Errors
    /// When there are none.
    pub(super) fn free(spans: Ipv4Addr) -> std::io::Result<Self> {
        // All are held until each is known, or two might be the same.
        let mut held = Vec::new();
        for n in 0..7 {
            let ip = if n == 1 { spans } else { Ipv4Addr::LOCALHOST };
            held.push(TcpListener::bind((ip, 0))?);
        }
        let at = |n: usize| held[n].local_addr();
        Ok(Self {
            http: at(0)?,
            otlp_grpc: at(1)?,
            otlp_http: at(2)?,
            prometheus: at(3)?,
            alertmanager: at(4)?,
            node_exporter: at(5)?,
            blackbox: at(6)?,
        })
    }
}

/// What is done about a diagnosis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// Sage acts by itself.
    Sage,
    /// Sage watches; every service that uses more than half of its quota gets more.
    AutoscaleStrict,
    /// Nobody acts.
    Nobody,
}

impl Policy {
    /// Its name in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sage => "Sage",
            Self::AutoscaleStrict => "Autoscale Strict",
            Self::Nobody => "no action",
        }
    }
}

/// The sidecar's configuration.
pub(super) fn sage_toml(
    app: &App,
    (home, ports): (&Path, &Ports),
    target: &QosTarget,
    (train, policy): (usize, Policy),
) -> String {
    let mode = if policy == Policy::Sage { "auto" } else { "observe" };
    let mut text = format!(
        r#"[listen]
http = "{}"
otlp_grpc = "{}"
otlp_http = "{}"
[data]
dir = {:?}
[log]
level = "info"
[window]
interval = "{INTERVAL_S}s"
lateness = "{LATENESS_MS}ms"
stale_after = "10s"
[train]
min_intervals = {train}
every = "2h"
[diagnose]
pending = "10s"
lookahead = "60s"
normal_intervals = 120
[act]
mode = "{mode}"
services = ["*"]
cpu_steps = {CPU_STEPS:?}
memory_steps = {MEMORY_STEPS:?}
lease = "12s"
timeout = "2s"
cool_down = "0s"
normal_intervals = 60
[[act.helpers]]
node = "{NODE}"
socket = {:?}
[[qos]]
service = "{}"
quantile = {}
target_ms = {:?}
"#,
        ports.http,
        ports.otlp_grpc,
        ports.otlp_http,
        home.join("data"),
        home.join("helper.sock"),
        target.service,
        target.quantile,
        target.target_ms,
    );
    for service in &app.services {
        text.push_str(&format!(
            "[[act.targets]]\nservice = \"{}\"\nnode = \"{NODE}\"\ntarget = {{ cgroup = \"{}\" }}\n",
            service.name,
            Groups::path(&service.name)
        ));
    }
    text
}

/// The helper's policy: more processor time and more memory for the services of this run, nobody else.
pub(super) fn helper_toml(app: &App, home: &Path, uid: u32) -> String {
    let groups: Vec<String> = app.services.iter().map(|s| Groups::path(&s.name)).collect();
    let (socket, state) = (home.join("helper.sock"), home.join("helper"));
    format!(
        r#"[socket]
path = {socket:?}
allowed_uids = [{uid}]
[state]
dir = {state:?}
[limits]
watch = "500ms"
[[allow]]
cgroups = {groups:?}
[allow.knobs.cpu_quota]
min = 0.01
max = 64.0
factor_max = 200.0
[allow.knobs.memory_max]
min = 4194304
max = 4294967296
factor_max = 20.0
"#
    )
}

/// Blackbox exporter: the heartbeat of the paper (3.2.1).
pub(super) const BLACKBOX_YML: &str = "modules:
  icmp:
    prober: icmp
    icmp: {preferred_ip_protocol: ip4}
";

/// Has Prometheus ask blackbox exporter for the way to each service.
fn probes_yml(blackbox: SocketAddr, probed: &[(String, Ipv4Addr)]) -> String {
    let target = |(service, address): &(String, Ipv4Addr)| {
        format!("      - {{targets: [\"{address}\"], labels: {{service: {service}}}}}\n")
    };
    let targets: String = probed.iter().map(target).collect();
    format!(
        r#"  - job_name: probes
    metrics_path: /probe
    params: {{module: [icmp]}}
    static_configs:
{targets}    relabel_configs:
      - {{source_labels: [__address__], target_label: __param_target}}
      - {{source_labels: [__param_target], target_label: instance}}
      - {{target_label: __address__, replacement: "{blackbox}"}}
"#
    )
}

/// Prometheus: scrapes everything each second, and hands it on.
pub(super) fn prometheus_yml(
    ports: &Ports,
    exporter: SocketAddr,
    probed: &[(String, Ipv4Addr)],
) -> String {
    let probes = match probed.is_empty() {
        true => String::new(),
        false => probes_yml(ports.blackbox, probed),
    };
    let Ports { http, alertmanager, node_exporter, .. } = ports;
    format!(
        r#"global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
rule_files: [rules.yml]
alerting:
  alertmanagers:
    - static_configs: [{{targets: ["{alertmanager}"]}}]
scrape_configs:
  - job_name: groups
    honor_labels: true
    static_configs: [{{targets: ["{exporter}"]}}]
  - job_name: node
    static_configs: [{{targets: ["{node_exporter}"], labels: {{node: {NODE}}}}}]
  - job_name: sage
    honor_labels: true
    static_configs: [{{targets: ["{http}"]}}]
    metric_relabel_configs:
      - {{source_labels: [__name__], regex: 'sage_.*', action: keep}}
{probes}remote_write:
  - url: http://{http}/api/v1/write
    queue_config: {{batch_send_deadline: 300ms, min_shards: 1, max_shards: 1}}
    metadata_config: {{send: false}}
    write_relabel_configs:
      - {{source_labels: [__name__], regex: 'container_.*|node_.*|probe_icmp_.*', action: keep}}
"#
    )
}

/// The rule of `alerts/qos.rules.yml`, in seconds instead of minutes.
pub(super) const RULES_YML: &str = r#"groups:
  - name: sage-qos
    interval: 1s
    rules:
      - alert: SageQosViolated
        expr: max by (service, quantile) (sage_qos_latency_seconds > sage_qos_target_seconds)
        for: 1s
        keep_firing_for: 5s
        labels: {sage: diagnose, severity: critical}
        annotations: {sage_quantile: '{{ $labels.quantile }}'}
"#;

/// Alertmanager: tells the sidecar at once.
pub(super) fn alertmanager_yml(ports: &Ports) -> String {
    format!(
        r#"route:
  receiver: sage
  group_by: [alertname, service]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: sage
    webhook_configs:
      - url: http://{}/webhook/alertmanager
        send_resolved: true
"#,
        ports.http
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use crate::lab::live::spec::{APPS, app};

    #[test]
    fn the_way_to_each_service_is_probed_where_it_has_one() {
        let ports = Ports::free(Ipv4Addr::LOCALHOST).unwrap();
        let probed = [("a".to_string(), Ipv4Addr::new(10, 77, 0, 10))];
        let text = prometheus_yml(&ports, ports.http, &probed);
        let target = r#"      - {targets: ["10.77.0.10"], labels: {service: a}}"#;
        assert!(text.contains(target) && text.contains(&ports.blackbox.to_string()), "{text}");
        assert!(!prometheus_yml(&ports, ports.http, &[]).contains("probes"));
    }

    #[test]
    fn the_sidecar_takes_its_configuration() {
        let ports = Ports::free(Ipv4Addr::LOCALHOST).unwrap();
        let home = Path::new("/tmp/x");
        for name in APPS {
            let app = app(name).unwrap();
            let target = QosTarget { service: app.entry().into(), quantile: 0.95, target_ms: 30.0 };
            let text = sage_toml(&app, (home, &ports), &target, (50, Policy::Sage));
            let config = parse(&text).unwrap();
            assert_eq!(config.act.targets.len(), app.services.len());
            assert_eq!(config.qos, [target]);
        }
    }
}
