//! The files that operators copy are what they claim to be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use sage::config::{Config, parse};
use sage::data::Knob;
use sage::helper::Policy;
use sage::wire::Code;
use serde_json::Value;

use crate::support::{Sidecar, has, send};

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(shipped(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn the_reference_configuration_is_the_defaults_and_names_every_key() {
    let reference = text("plugin-config/sage.toml");
    assert_eq!(parse(&reference).unwrap(), Config::default());
    // Keys stand there as a value, or as a comment when there is nothing to set by default.
    let named = |table: &str, key: &str| {
        reference.lines().map(|l| l.trim_start_matches(['#', ' '])).any(|line| {
            line.split_once('=').is_some_and(|(k, _)| k.trim() == key)
                || line.starts_with("[[") && line.ends_with(&format!(".{key}]]"))
                || line == format!("[{table}.{key}]")
        })
    };
    let all = serde_json::to_value(Config::default()).unwrap();
    let mut missing = Vec::new();
    for (table, keys) in all.as_object().unwrap() {
        for (key, value) in keys.as_object().into_iter().flatten() {
            let below = value.as_object().into_iter().flatten().map(|(below, _)| below);
            let all = std::iter::once(key).chain(below);
            missing.extend(all.filter(|k| !named(table, k)).map(|k| format!("{table}.{key}: {k}")));
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

/// With the # taken away, only the files are missing: names and values are right.
#[test]
fn the_examples_of_tls_and_credentials_lack_nothing_but_their_files() {
    let reference = text("plugin-config/sage.toml");
    let (_, rest) = reference.split_once("# [listen.tls]").unwrap();
    let (examples, _) = rest.split_once("\n[data]").unwrap();
    let lines = examples.lines().filter_map(|l| l.strip_prefix("# "));
    let keys: Vec<&str> = lines.filter(|l| l.starts_with('[') || l.contains(" = ")).collect();
    assert_eq!(keys.len(), 13, "{keys:#?}");
    let faults = parse(&format!("[listen.tls]\n{}", keys.join("\n"))).unwrap_err().faults;
    assert_eq!(faults.len(), 2, "{faults:#?}");
    for (fault, key) in faults.iter().zip(["tls.cert_file", "auth.credentials[0].token_file"]) {
        assert!(fault.contains(key) && fault.contains("No such file"), "{fault}");
    }
}

/// Metrics that the sidecar shows, by name.
async fn exposed() -> BTreeSet<String> {
    let home = tempfile::tempdir().unwrap();
    // Some series are there only for what is configured.
    let helper = sage::act::Helper::local("n1", home.path().join("nobody"));
    let sage = Sidecar::start(home.path(), |c| c.act.helpers = vec![helper]).await;
    let metrics = send(sage.running.http, "GET", "/metrics", &[], b"").await.text();
    sage.running.stop().await;
    let typed = metrics.lines().filter_map(|l| l.strip_prefix("# TYPE "));
    typed
        .flat_map(|l| {
            let (name, kind) = l.split_once(' ').unwrap();
            let parts: &[&str] =
                if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            parts.iter().map(move |p| format!("{name}{p}"))
        })
        .collect()
}

/// Every `sage_*` and `process_*` word of a text that is used as a metric.
fn mentioned(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_part(c))
        .filter(|w| w.starts_with("sage_") || w.starts_with("process_"))
        // Annotations of alerts, tags, and what the rules record themselves: not metrics of ours.
        .filter(|w| !["sage_target_ms", "sage_quantile", "sage_diagnosis"].contains(w))
        .filter(|w| !["sage_target_milliseconds", "sage_latency_milliseconds"].contains(w))
        .map(Into::into)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_dashboard_and_docs_name_only_metrics_that_exist() {
    let exposed = exposed().await;
    for file in ["alerts/qos.rules.yml", "alerts/sage-health.rules.yml"] {
        let unknown: Vec<_> = mentioned(&text(file)).difference(&exposed).cloned().collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
    let dashboard: Value = serde_json::from_str(&text("grafana/dashboards/sage.json")).unwrap();
    let mut queries = Vec::new();
    collect(&dashboard, "expr", &mut queries);
    assert!(queries.len() > 10, "{queries:?}");
    for query in &queries {
        let unknown: Vec<_> = mentioned(query).difference(&exposed).cloned().collect();
        assert!(unknown.is_empty(), "{query}: {unknown:?}");
    }
    // The page about metrics is complete, too. It names histograms without their parts.
    let documented = mentioned(&text("docs/metrics.md"));
    let base = |name: &String| {
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|p| name.strip_suffix(p));
        stem.map_or_else(|| name.clone(), Into::into)
    };
    let all: BTreeSet<String> = exposed.iter().map(base).collect();
    let missing: Vec<_> = all.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks {missing:?}");
}

/// Every value of `key`, however deep.
fn collect(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (k, v) in map {
                match v {
                    Value::String(text) if k == key => found.push(text.clone()),
                    other => collect(other, key, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|v| collect(v, key, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_is_bound_to_no_particular_data_source() {
    let dashboard: Value = serde_json::from_str(&text("grafana/dashboards/sage.json")).unwrap();
    let mut sources = Vec::new();
    collect(&dashboard, "uid", &mut sources);
    let known = ["sage", "${datasource}", "-- Grafana --", "grafana"];
    let foreign: Vec<_> = sources.iter().filter(|s| !known.contains(&s.as_str())).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert_eq!(dashboard["uid"], "sage");
}

fn accepts(program: &str, args: &[&str]) {
    if !has(program) {
        return;
    }
    let output = Command::new(program).args(args).current_dir(shipped("alerts")).output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = format!("{}{}", said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "{program} {args:?}: {all}");
}

#[test]
fn prometheus_accepts_rules_their_tests_and_the_remote_write_fragment() {
    accepts("promtool", &["check", "rules", "qos.rules.yml", "sage-health.rules.yml"]);
    accepts("promtool", &["test", "rules", "qos.test.yml", "sage-health.test.yml"]);
    accepts(
        "promtool",
        &["check", "config", "--syntax-only", "../plugin-config/prometheus-remote-write.yml"],
    );
}

#[test]
fn alertmanager_accepts_the_receiver() {
    accepts("amtool", &["check-config", "../plugin-config/alertmanager-receiver.yml"]);
}

/// What remote write keeps is what the feature table reads, no more and no less.
#[test]
fn the_remote_write_fragment_keeps_what_the_feature_table_reads() {
    let fragment = text("plugin-config/prometheus-remote-write.yml");
    let words: BTreeSet<&str> =
        fragment.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
    let wanted = Config::default().window.wanted_metrics();
    let missing: Vec<_> = wanted.iter().filter(|m| !words.contains(m.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The file of a ConfigMap: the lines below its key, as far as they are indented.
fn embedded(manifest: &str, key: &str) -> String {
    let (_, rest) = manifest.split_once(&format!("  {key}: |\n")).unwrap();
    let lines = rest.lines().take_while(|l| l.is_empty() || l.starts_with("    "));
    lines.map(|l| format!("{}\n", l.trim_start_matches("    "))).collect()
}

#[test]
fn policies_for_the_helper_have_no_faults_even_where_they_are_examples() {
    let reference = text("plugin-config/sage-helper.toml");
    assert!(!Policy::parse(&reference).unwrap().rules.is_empty());
    // The examples at its end, with the # taken away.
    let (before, examples) = reference.split_once("# Examples of the rest").unwrap();
    let examples: String = examples
        .lines()
        .skip(1)
        .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or_default()))
        .collect();
    let all = Policy::parse(&format!("{before}\n{examples}")).unwrap();
    let allows = |knob| all.allows(|k| k == knob);
    assert!(allows(Knob::IoWriteBytes) && allows(Knob::Governor) && allows(Knob::NetworkRate));
    let manifest = text("plugin-config/sage-helper-daemonset.yaml");
    let policy = Policy::parse(&embedded(&manifest, "helper.toml")).unwrap();
    assert!(policy.allows(|knob| knob == Knob::Freeze));
    // It has no CAP_NET_ADMIN there, nor the host's network.
    assert!(!policy.allows(|knob| knob == Knob::NetworkRate));
}

#[test]
fn the_helpers_page_names_every_knob_and_every_refusal() {
    let (page, policy) = (text("docs/helper.md"), text("plugin-config/sage-helper.toml"));
    for knob in Knob::ALL {
        assert!(page.contains(&format!("`{knob}`")), "docs/helper.md lacks {knob}");
        // The four rates are one entry there.
        let is_rate = knob.is_of_cgroup() && knob.needs_device();
        let shown = if is_rate { "io_{read,write}_{bytes,ops}" } else { knob.name() };
        assert!(policy.contains(shown), "sage-helper.toml lacks {knob}");
    }
    for code in Code::ALL {
        let name = code.name();
        assert!(page.contains(&format!("`{name}`")), "docs/helper.md lacks {name}");
    }
}

#[test]
fn unit_and_manifest_grant_what_the_helper_needs_and_no_more() {
    let unit = text("plugin-config/sage-helper.service");
    let granted = unit.lines().find_map(|l| l.strip_prefix("CapabilityBoundingSet=")).unwrap();
    assert_eq!(granted, "CAP_DAC_OVERRIDE CAP_NET_ADMIN CAP_CHOWN CAP_SETPCAP");
    // What it writes to must stay writable: these would take it away.
    for line in unit.lines() {
        for key in
            ["ProtectControlGroups=", "ProtectKernelTunables=", "ProcSubset=", "ProtectProc="]
        {
            assert!(!line.starts_with(key), "{line}");
        }
    }
    let manifest = text("plugin-config/sage-helper-daemonset.yaml");
    assert!(manifest.contains("add: [DAC_OVERRIDE, CHOWN, SETPCAP]"));
    for wide in ["privileged: true", "SYS_ADMIN", "hostNetwork: true\n", "hostIPC"] {
        assert!(!manifest.contains(wide), "{wide}");
    }
}

/// The helper runs with privileges: what it is built of must be few and known.
#[test]
fn the_helper_is_built_of_little() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--no-default-features", "--features", "helper"])
        .args(["-e", "normal", "--prefix", "none", "--format", "{lib}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    let crates: BTreeSet<&str> = tree.lines().filter(|line| !line.is_empty()).collect();
    for heavy in ["tokio", "hyper", "axum", "tonic", "burn", "ndarray", "rusqlite", "h2"] {
        assert!(!crates.iter().any(|c| c.starts_with(heavy)), "the helper is built with {heavy}");
    }
    assert!((10..=80).contains(&crates.len()), "{}: {crates:?}", crates.len());
}
