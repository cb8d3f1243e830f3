//! The metric registry and its two text forms.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

pub use prometheus_client::registry::Registry;

/// Content type of the classic Prometheus text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Content type of OpenMetrics.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A finished registry that can be scraped. Clones share it.
#[derive(Clone, Debug)]
pub struct Exposition(Arc<Registry>);

impl Exposition {
    /// Takes the registry once every part has registered its metrics.
    pub fn new(registry: Registry) -> Self {
        Self(Arc::new(registry))
    }

    fn openmetrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0)
            .expect("writing to a String cannot fail");
        text
    }

    /// The exposition for an `Accept` header: (content type, body).
    pub fn scrape(&self, accept: Option<&str>) -> (&'static str, String) {
        let text = self.openmetrics();
        if accept.is_some_and(|a| a.contains("application/openmetrics-text")) {
            (OPENMETRICS, text)
        } else {
            (TEXT, classic(&text))
        }
    }

    /// Every sample of our own counters and gauges as (`name{labels}`, value).
    pub fn samples(&self) -> BTreeMap<String, f64> {
        self.openmetrics()
            .lines()
            .filter(|l| l.starts_with("sage_") && !l.contains("_bucket{"))
            .filter_map(|l| {
                let (name, value) = l.rsplit_once(' ')?;
                Some((name.to_string(), value.parse().ok()?))
            })
            .collect()
    }
}

/// OpenMetrics to the classic format: a counter's metadata carries the `_total` name, `UNIT` and
/// `EOF` do not exist, `unknown` is `untyped`.
fn classic(openmetrics: &str) -> String {
    let mut counters = Vec::new();
    for line in openmetrics.lines() {
        if let Some(name) = line.strip_prefix("# TYPE ").and_then(|l| l.strip_suffix(" counter")) {
            counters.push(name);
        }
    }
    let mut out = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        let mut words = line.splitn(4, ' ');
        let written = match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF" | "UNIT"), ..) => Ok(()),
            (Some("#"), Some(what), Some(name), rest) => {
                let total = if counters.contains(&name) { "_total" } else { "" };
                let rest = match rest.unwrap_or("") {
                    "unknown" if what == "TYPE" => "untyped",
                    other => other,
                };
                writeln!(out, "# {what} {name}{total} {rest}")
            }
            _ => writeln!(out, "{line}"),
        };
        written.expect("writing to a String cannot fail");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    #[test]
    fn classic_text_names_counters_with_total_and_has_no_eof() {
        let mut registry = Registry::default();
        let spans = Counter::<u64>::default();
        registry.register("sage_spans", "Spans taken", spans.clone());
        spans.inc_by(3);
        let exposition = Exposition::new(registry);
        let (kind, text) = exposition.scrape(None);
        assert!(kind.starts_with("text/plain"));
        assert_eq!(
            text,
            "# HELP sage_spans_total Spans taken.\n# TYPE sage_spans_total counter\nsage_spans_total 3\n"
        );
        let (kind, text) = exposition.scrape(Some("application/openmetrics-text;version=1.0.0"));
        assert!(kind.starts_with("application/openmetrics-text") && text.ends_with("# EOF\n"));
        assert_eq!(exposition.samples()["sage_spans_total"], 3.0);
    }
}
