//! The feature table as selectors of a query language.

use std::collections::{BTreeMap, HashSet};

use crate::data::FeatureSpec;

/// Series of one metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Its name.
    pub metric: String,
    /// Labels that must match, in the language of the feature table.
    pub matchers: BTreeMap<String, String>,
}

impl Selector {
    /// In PromQL; `only` chooses some of the series further, by the values of one label.
    pub(super) fn promql(&self, only: Option<(&str, &[String])>) -> String {
        let mut parts: Vec<String> = self.matchers.iter().map(|(l, v)| matcher(l, v)).collect();
        if let Some((label, values)) = only {
            parts.push(format!("{label}=~{}", quote(&any_of(values.iter().map(String::as_str)))));
        }
        // A name that is no identifier (OTLP's have dots) must not break the query.
        parts.insert(0, format!("__name__={}", quote(&self.metric)));
        format!("{{{}}}", parts.join(","))
    }
}

/// `"a|b"` is either, `"!a"` anything but.
fn matcher(label: &str, value: &str) -> String {
    let (negative, value) = match value.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    if value.contains('|') {
        let operator = if negative { "!~" } else { "=~" };
        format!("{label}{operator}{}", quote(&any_of(value.split('|'))))
    } else {
        let operator = if negative { "!=" } else { "=" };
        format!("{label}{operator}{}", quote(value))
    }
}

/// A regular expression that matches these texts and no others.
pub(super) fn any_of<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let escape = |text: &str| {
        let special = |c: char| "\\.+*?()|[]{}^$".contains(c);
        let escaped = text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c]));
        escaped.collect::<String>()
    };
    texts.map(escape).collect::<Vec<_>>().join("|")
}

/// A string literal of PromQL.
pub(super) fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// What a sidecar wants: one selector for each of the `wanted` metrics, narrowed where all rows of the
/// feature table that read it agree.
pub fn selectors(features: &[FeatureSpec], wanted: &HashSet<String>) -> Vec<Selector> {
    let mut by_metric: BTreeMap<&str, Option<&BTreeMap<String, String>>> = BTreeMap::new();
    let numerators = features.iter().map(|f| (&f.metric, &f.matchers));
    let divisors = features.iter().filter_map(|f| f.per.as_ref()).map(|d| (&d.metric, &d.matchers));
    for (metric, matchers) in numerators.chain(divisors) {
        by_metric
            .entry(metric)
            .and_modify(|known| *known = known.filter(|k| *k == matchers))
            .or_insert(Some(matchers));
    }
    let mut names: Vec<&String> = wanted.iter().collect();
    names.sort();
    names
        .into_iter()
        .map(|metric| Selector {
            metric: metric.clone(),
            matchers: by_metric
                .get(metric.as_str())
                .copied()
                .flatten()
                .cloned()
                .unwrap_or_default(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_of_the_table_become_those_of_promql() {
        let matchers =
            [("a", "x"), ("b", "!x"), ("c", "x.y|z"), ("d", "!idle|iowait"), ("e", "q\"")];
        let matchers = matchers.map(|(l, v)| (l.to_string(), v.to_string()));
        let selector = Selector { metric: "m".into(), matchers: matchers.into() };
        assert_eq!(
            selector.promql(None),
            r#"{__name__="m",a="x",b!="x",c=~"x\\.y|z",d!~"idle|iowait",e="q\""}"#
        );
        let bare = Selector { metric: "m".into(), matchers: BTreeMap::new() };
        let values = ["h:1".to_string(), "h(2)".to_string()];
        let only = bare.promql(Some(("instance", &values)));
        assert_eq!(only, r#"{__name__="m",instance=~"h:1|h\\(2\\)"}"#);
    }

    #[test]
    fn a_metric_that_rows_read_differently_is_read_whole() {
        let row = |name: &str, metric: &str, mode: &str| FeatureSpec {
            name: name.into(),
            metric: metric.into(),
            kind: crate::data::MetricKind::Counter,
            resource: crate::data::Role::Cpu,
            per: None,
            factor: 1.0,
            scale: crate::data::Scale::Log,
            signal: crate::data::Signal::Usage,
            scope: crate::data::Scope::Node,
            unit: String::new(),
            matchers: BTreeMap::from([("mode".into(), mode.into())]),
        };
        let rows = [row("busy", "cpu", "!idle"), row("steal", "cpu", "steal"), row("x", "m", "a")];
        let wanted = ["cpu", "m", "latency_bucket"].map(String::from).into();
        let all: Vec<_> = selectors(&rows, &wanted).iter().map(|s| s.promql(None)).collect();
        let want =
            [r#"{__name__="cpu"}"#, r#"{__name__="latency_bucket"}"#, r#"{__name__="m",mode="a"}"#];
        assert_eq!(all, want);
    }
}
