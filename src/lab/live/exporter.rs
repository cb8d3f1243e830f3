//! Metrics of every group in the words of cAdvisor, which the built-in feature table knows.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::groups::{Groups, Limit, PERIOD_US};

/// What one group says, by metric and further labels.
pub(super) type Readings = BTreeMap<(&'static str, &'static str), f64>;

/// Reads everything of one group; what is not there is left out.
pub(super) fn read(groups: &Groups, group: &str) -> Readings {
    let mut readings = Readings::new();
    let mut put = |name: &'static str, labels: &'static str, value: Option<f64>| {
        if let Some(value) = value {
            readings.insert((name, labels), value);
        }
    };
    let two = groups.is_two();
    let file = |controller: &str, name: &str| groups.file(group, controller, name);
    let stat = file("cpu", "cpu.stat");
    put("container_cpu_cfs_periods_total", "", field(&stat, "nr_periods"));
    put("container_cpu_cfs_throttled_periods_total", "", field(&stat, "nr_throttled"));
    let used = match two {
        true => field(&stat, "usage_usec").map(|us| us / 1e6),
        false => number(&file("cpuacct", "cpuacct.usage")).map(|ns| ns / 1e9),
    };
    put("container_cpu_usage_seconds_total", "", used);
    put("container_spec_cpu_quota", "", quota_us(groups, group));
    put("container_memory_working_set_bytes", "", working_set(groups, group));
    let memory_stat = file("memory", "memory.stat");
    let failure = r#",failure_type="pgmajfault",scope="container""#;
    put("container_memory_failures_total", failure, field(&memory_stat, "pgmajfault"));
    let limit_hits = match two {
        true => field(&file("memory", "memory.events"), "max"),
        false => number(&file("memory", "memory.failcnt")),
    };
    put("container_memory_failcnt", "", limit_hits);
    let limit = number(&file("memory", if two { "memory.max" } else { "memory.limit_in_bytes" }));
    // No limit is a number close to the largest there is.
    put("container_spec_memory_limit_bytes", "", limit.filter(|bytes| *bytes < 1e15));
    let (read, written) = disk_bytes(groups, group);
    put("container_fs_reads_bytes_total", "", read);
    put("container_fs_writes_bytes_total", "", written);
    for (what, name) in [
        ("cpu", "container_pressure_cpu_waiting_seconds_total"),
        ("memory", "container_pressure_memory_waiting_seconds_total"),
        ("io", "container_pressure_io_waiting_seconds_total"),
    ] {
        put(name, "", groups.pressure(group, what).and_then(|path| waited_s(&path)));
    }
    readings
}

/// Reads what a process received and sent by its cable; `proc` is usually `/proc`.
pub(super) fn network(proc: &Path, pid: u32) -> Readings {
    let text = fs::read_to_string(proc.join(pid.to_string()).join("net/dev")).unwrap_or_default();
    // Received: bytes packets errs drop fifo frame compressed multicast; the same of what was sent.
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("eth0:"));
    let numbers: Vec<f64> =
        line.unwrap_or_default().split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let names = [
        (0, "container_network_receive_bytes_total"),
        (3, "container_network_receive_packets_dropped_total"),
        (8, "container_network_transmit_bytes_total"),
        (11, "container_network_transmit_packets_dropped_total"),
    ];
    let reading =
        |(at, name)| numbers.get(at).map(|value| ((name, r#",interface="eth0""#), *value));
    names.into_iter().filter_map(reading).collect()
}

/// What the quota of a group is at, microseconds of a period; `None` without one.
pub(super) fn quota_us(groups: &Groups, group: &str) -> Option<f64> {
    let text = groups.get(group, Limit::Cpu).ok()?;
    let mut words = text.split_whitespace();
    let quota: f64 = words.next()?.parse().ok()?;
    let period = words.next().and_then(|w| w.parse().ok()).unwrap_or(PERIOD_US as f64);
    (quota > 0.0).then_some(quota * PERIOD_US as f64 / period)
}

fn working_set(groups: &Groups, group: &str) -> Option<f64> {
    let file = |name: &str| groups.file(group, "memory", name);
    let two = groups.is_two();
    let used = number(&file(if two { "memory.current" } else { "memory.usage_in_bytes" }))?;
    let inactive = if two { "inactive_file" } else { "total_inactive_file" };
    Some(used - field(&file("memory.stat"), inactive).unwrap_or(0.0))
}

/// Bytes read from and written to disks.
fn disk_bytes(groups: &Groups, group: &str) -> (Option<f64>, Option<f64>) {
    let two = groups.is_two();
    let name = if two { "io.stat" } else { "blkio.throttle.io_service_bytes" };
    let Ok(text) = fs::read_to_string(groups.file(group, "blkio", name)) else {
        return (None, None);
    };
    let sum = |one: &str, key: &str| -> f64 {
        let words = text.lines().flat_map(|line| match two {
            true => line.split(' ').filter_map(|w| w.strip_prefix(key)).collect::<Vec<_>>(),
            false => line.split_once(one).map(|(_, bytes)| bytes.trim()).into_iter().collect(),
        });
        words.filter_map(|w| w.parse::<f64>().ok()).sum()
    };
    (Some(sum(" Read ", "rbytes=")), Some(sum(" Write ", "wbytes=")))
}

fn number(path: &Path) -> Option<f64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The value behind a word at the start of a line.
fn field(path: &Path, name: &str) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(word, _)| *word == name)?.1.trim().parse().ok()
}

/// Seconds that somebody waited: `some … total=MICROSECONDS`.
fn waited_s(path: &PathBuf) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with("some "))?;
    let us: f64 = line.split_once("total=")?.1.trim().parse().ok()?;
    Some(us / 1e6)
}

/// What is read.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    /// Cgroups.
    pub(super) groups: Groups,
    /// A process of each service that has a network of its own.
    pub(super) pids: BTreeMap<String, u32>,
    /// Whose.
    pub(super) services: Vec<String>,
    /// What the node is called.
    pub(super) node: String,
}

/// The exposition of all groups; `proc` is usually `/proc`.
pub(super) fn exposition(of: &Sources, proc: &Path) -> String {
    let Sources { groups, pids, services, node } = of;
    let mut by_metric: BTreeMap<&str, String> = BTreeMap::new();
    for service in services {
        let mut readings = read(groups, service);
        readings.extend(pids.get(service).map(|pid| network(proc, *pid)).unwrap_or_default());
        for ((name, labels), value) in readings {
            let text = by_metric.entry(name).or_default();
            text.push_str(&format!(
                "{name}{{service=\"{service}\",pod=\"{service}-0\",node=\"{node}\"{labels}}} {value}\n"
            ));
        }
    }
    by_metric
        .into_iter()
        .map(|(name, lines)| {
            let kind = if name.ends_with("_total") || name.ends_with("failcnt") {
                "counter"
            } else {
                "gauge"
            };
            format!("# TYPE {name} {kind}\n{lines}")
        })
        .collect()
}

/// Serves the exposition until its task is dropped.
pub(super) async fn serve(listener: TcpListener, sources: Sources) {
    let all = Arc::new(sources);
    while let Ok((stream, _)) = listener.accept().await {
        let all = all.clone();
        tokio::spawn(async move {
            let service = service_fn(move |_: Request<Incoming>| {
                let text = exposition(&all, Path::new("/proc"));
                async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text)))) }
            });
            // Prometheus comes again.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_kernel_become_samples() {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("cpu/cgroup.procs", ""),
            ("cpuacct/cgroup.procs", ""),
            ("memory/cgroup.procs", ""),
            ("blkio/cgroup.procs", ""),
            ("unified/cgroup.procs", ""),
            ("cpu/sage-live/a/cpu.stat", "nr_periods 40\nnr_throttled 10\nthrottled_time 5\n"),
            ("cpu/sage-live/a/cpu.cfs_quota_us", "20000\n"),
            ("cpuacct/sage-live/a/cpuacct.usage", "2500000000\n"),
            ("memory/sage-live/a/memory.usage_in_bytes", "3000\n"),
            ("memory/sage-live/a/memory.stat", "cache 7\npgmajfault 5\ntotal_inactive_file 1000\n"),
            ("memory/sage-live/a/memory.limit_in_bytes", "9223372036854771712\n"),
            (
                "blkio/sage-live/a/blkio.throttle.io_service_bytes",
                "254:0 Read 4096\n254:0 Write 10\n254:0 Total 4106\nTotal 4106\n",
            ),
            (
                "unified/sage-live/a/cpu.pressure",
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0.00 total=9\n",
            ),
            (
                "proc/7/net/dev",
                "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes\n\
                 lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0:  290 3 0 4 0 0 0 0   90 1 0 5 0 0 0 0\n",
            ),
        ] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let groups = Groups::find(root.path(), "254:0").unwrap();
        let pids = BTreeMap::from([("a".into(), 7)]);
        let sources = Sources { groups, pids, services: vec!["a".into()], node: "n".into() };
        let text = exposition(&sources, &root.path().join("proc"));
        for line in [
            r#"container_cpu_usage_seconds_total{service="a",pod="a-0",node="n"} 2.5"#,
            r#"container_cpu_cfs_throttled_periods_total{service="a",pod="a-0",node="n"} 10"#,
            r#"container_spec_cpu_quota{service="a",pod="a-0",node="n"} 20000"#,
            r#"container_memory_working_set_bytes{service="a",pod="a-0",node="n"} 2000"#,
            r#"container_fs_reads_bytes_total{service="a",pod="a-0",node="n"} 4096"#,
            r#"container_pressure_cpu_waiting_seconds_total{service="a",pod="a-0",node="n"} 1.5"#,
            r#"node="n",failure_type="pgmajfault",scope="container"} 5"#,
            r#"container_network_receive_bytes_total{service="a",pod="a-0",node="n",interface="eth0"} 290"#,
            r#"container_network_receive_packets_dropped_total{service="a",pod="a-0",node="n",interface="eth0"} 4"#,
            r#"container_network_transmit_bytes_total{service="a",pod="a-0",node="n",interface="eth0"} 90"#,
            r#"container_network_transmit_packets_dropped_total{service="a",pod="a-0",node="n",interface="eth0"} 5"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("container_spec_memory_limit_bytes"), "{text}");
    }
}
