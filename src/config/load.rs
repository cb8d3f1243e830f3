//! Reads the file; reports every fault in one go.

use std::path::Path;

use super::schema::Config;
use crate::toml_file::{Faults, Reader};

/// Reads `path`.
///
/// # Errors
/// All faults at once, the file's absence among them.
pub fn load(path: &Path) -> Result<Config, Faults> {
    let fail = |faults| Faults { path: Some(path.into()), faults };
    let text = std::fs::read_to_string(path).map_err(|e| fail(vec![e.to_string()]))?;
    parse(&text).map_err(|f| fail(f.faults))
}

/// Reads a text.
///
/// # Errors
/// All faults at once.
pub fn parse(text: &str) -> Result<Config, Faults> {
    let fail = |faults| Faults { path: None, faults };
    let mut reader = Reader::new(text)?;
    let config = Config {
        listen: reader.section("listen"),
        data: reader.section("data"),
        log: reader.section("log"),
        memory: reader.section("memory"),
        receive: reader.section("receive"),
        window: reader.section("window"),
        graph: reader.section("graph"),
        train: reader.section("train"),
        diagnose: reader.section("diagnose"),
        act: reader.section("act"),
        grafana: reader.section("grafana"),
        qos: reader.list("qos"),
    };
    let mut faults = reader.finish(&KNOWN);
    config.faults(&mut faults);
    if faults.is_empty() { Ok(config) } else { Err(fail(faults)) }
}

const KNOWN: [&str; 12] = [
    "listen", "data", "log", "memory", "receive", "window", "graph", "train", "diagnose", "act",
    "grafana", "qos",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_set_is_the_default() {
        assert_eq!(parse("").unwrap(), Config::default());
    }

    #[test]
    fn every_fault_is_reported_at_once_with_its_key() {
        let text = r#"
            [window]
            interval = "0s"
            histroy = 3
            lateness = 7
            [train]
            alpha = 2.0
            [wndow]
            [[qos]]
            service = "a"
            quantile = 99
            target_ms = 1
            [[qos]]
            service = "b"
        "#;
        let faults = parse(text).unwrap_err().to_string();
        for part in [
            "7 faults",
            "window.interval = 0ns: must be at least 1s (default 30s)",
            "window.histroy: unknown field `histroy`",
            "window.lateness: invalid type",
            "train.alpha = 2: must be between 0 and 1",
            "wndow: unknown table",
            "qos[0].quantile = 99: must be between 0 and 1",
            "qos[1]: missing field `target_ms`",
        ] {
            assert!(faults.contains(part), "{part:?} is missing in\n{faults}");
        }
    }

    #[test]
    fn text_that_is_not_toml_says_where() {
        let faults = parse("[window\ninterval=1").unwrap_err().to_string();
        assert!(faults.contains("line 1"), "{faults}");
    }
}
