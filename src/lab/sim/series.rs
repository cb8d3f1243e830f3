//! Samples -> series, labelled as Prometheus labels what it scrapes from kubelets, node exporters and
//! a blackbox exporter.

use std::collections::HashMap;

use super::config::SimConfig;
use super::counter::Counter;
use super::host::HostReading;
use super::host_counter::HostCounter;
use super::program::Program;
use super::scrape::{Reading, Samples};
use crate::data::{Name, Sample, Series};

/// Label pairs, sorted by name.
pub(super) type Labels = Vec<(Name, Name)>;

/// Texts, each stored once.
#[derive(Debug, Default)]
pub(super) struct Words(HashMap<String, Name>);

impl Words {
    pub(super) fn get(&mut self, text: &str) -> Name {
        if let Some(name) = self.0.get(text) {
            return name.clone();
        }
        let name: Name = text.into();
        self.0.insert(text.into(), name.clone());
        name
    }

    fn labels(&mut self, pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| (self.get(name), self.get(value))).collect()
    }

    /// What the series of a replica have in common.
    pub(super) fn of_replica(&mut self, service: &str, pod: &str, node: &str) -> Labels {
        self.labels(&[
            ("container", service),
            ("instance", &format!("{node}:10250")),
            ("job", "kubelet"),
            ("namespace", "lab"),
            ("node", node),
            ("pod", pod),
        ])
    }

    /// What the series of a host have in common.
    pub(super) fn of_host(&mut self, node: &str) -> Labels {
        self.labels(&[
            ("instance", &format!("{node}:9100")),
            ("job", "node-exporter"),
            ("node", node),
        ])
    }

    /// What the probes of a service have in common.
    pub(super) fn of_probe(&mut self, service: &str) -> Labels {
        self.labels(&[
            ("instance", &format!("http://{service}:80")),
            ("job", "blackbox"),
            ("phase", "rtt"),
            ("service", service),
        ])
    }
}

/// Every series of an interval that got at least one sample.
pub(super) fn series(program: &Program, config: &SimConfig, samples: &Samples) -> Vec<Series> {
    let mut words = Words::default();
    let counters: Vec<(Counter, Name)> = Counter::ALL
        .into_iter()
        .filter(|c| c.is_usage() || !config.usage_metrics_only)
        .map(|c| (c, words.get(c.metric())))
        .collect();
    let memory = words.get("container_memory_working_set_bytes");
    let mut out = Vec::new();
    for (place, readings) in program.replicas.iter().zip(&samples.readings) {
        if readings.is_empty() {
            continue;
        }
        for (counter, metric) in &counters {
            let mut labels = named(&mut words, metric, &place.labels);
            if *counter == Counter::MajorFaults {
                labels.insert(2, (words.get("failure_type"), words.get("pgmajfault")));
                labels.push((words.get("scope"), words.get("container")));
            }
            out.push(of_readings(labels, readings, |r| r.counters[*counter]));
        }
        let labels = named(&mut words, &memory, &place.labels);
        out.push(of_readings(labels, readings, |r| r.working_set_bytes));
    }
    let probe = words.get("probe_icmp_duration_seconds");
    for (service, round_trips) in program.services.iter().zip(&samples.round_trips) {
        if !round_trips.is_empty() {
            let labels = named(&mut words, &probe, &service.probe_labels);
            let sample = |r: &(i64, f64)| Sample { time_ms: r.0, value: r.1 };
            out.push(Series {
                labels: labels.into(),
                samples: round_trips.iter().map(sample).collect(),
                ..Series::default()
            });
        }
    }
    out.extend(of_hosts(program, config, samples, &mut words));
    out
}

fn of_hosts(
    program: &Program,
    config: &SimConfig,
    samples: &Samples,
    words: &mut Words,
) -> Vec<Series> {
    let mut out = Vec::new();
    for (node, readings) in program.nodes.iter().zip(&samples.hosts) {
        let shown = |c: &HostCounter| c.is_usage() || !config.usage_metrics_only;
        for counter in HostCounter::ALL.into_iter().filter(shown) {
            if readings.is_empty() {
                continue;
            }
            let metric = words.get(counter.metric());
            let mut labels = named(words, &metric, &node.labels);
            labels.extend(counter.label().map(|(name, value)| (words.get(name), words.get(value))));
            labels.sort();
            let sample = |r: &HostReading| Sample {
                time_ms: r.time_ms,
                value: r.counters[counter as usize],
            };
            out.push(Series {
                labels: labels.into(),
                samples: readings.iter().map(sample).collect(),
                ..Series::default()
            });
        }
    }
    out
}

/// `labels` with the name of the metric in front, where it sorts.
fn named(words: &mut Words, metric: &Name, labels: &Labels) -> Labels {
    let mut all = Vec::with_capacity(labels.len() + 3);
    all.push((words.get("__name__"), metric.clone()));
    all.extend_from_slice(labels);
    all
}

fn of_readings(labels: Labels, readings: &[Reading], value: impl Fn(&Reading) -> f64) -> Series {
    let sample = |r: &Reading| Sample { time_ms: r.time_ms, value: value(r) };
    Series {
        labels: labels.into(),
        samples: readings.iter().map(sample).collect(),
        ..Series::default()
    }
}
