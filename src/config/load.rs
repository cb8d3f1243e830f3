//! Reads the file; reports every fault in one go.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::schema::Config;
use crate::data::QosTarget;

/// Everything that is wrong with a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Faults {
    /// The file; `None` for text that is not from a file.
    pub path: Option<PathBuf>,
    /// One line each.
    pub faults: Vec<String>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len();
        let plural = if count == 1 { "" } else { "s" };
        match &self.path {
            Some(path) => writeln!(f, "{count} fault{plural} in {}", path.display())?,
            None => writeln!(f, "{count} fault{plural} in the configuration")?,
        }
        for (i, fault) in self.faults.iter().enumerate() {
            let end = if i + 1 < count { "\n" } else { "" };
            write!(f, "  {fault}{end}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

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
    let mut table: Table =
        text.parse().map_err(|e: toml::de::Error| fail(vec![e.to_string().trim_end().into()]))?;
    let mut reader = Reader { table: &mut table, faults: Vec::new() };
    let config = Config {
        listen: reader.section("listen"),
        data: reader.section("data"),
        log: reader.section("log"),
        receive: reader.section("receive"),
        window: reader.section("window"),
        graph: reader.section("graph"),
        train: reader.section("train"),
        diagnose: reader.section("diagnose"),
        grafana: reader.section("grafana"),
        qos: reader.targets(),
    };
    let mut faults = reader.faults;
    for key in table.keys() {
        faults.push(format!("{key}: unknown table; known: {}", KNOWN.join(", ")));
    }
    config.faults(&mut faults);
    if faults.is_empty() { Ok(config) } else { Err(fail(faults)) }
}

const KNOWN: [&str; 10] =
    ["listen", "data", "log", "receive", "window", "graph", "train", "diagnose", "grafana", "qos"];

struct Reader<'a> {
    table: &'a mut Table,
    faults: Vec<String>,
}

impl Reader<'_> {
    /// A table whose keys all have defaults. Each key is tried alone, so that one wrong key does not
    /// hide the next.
    fn section<T: DeserializeOwned + Default>(&mut self, name: &str) -> T {
        let table = match self.table.remove(name) {
            None => return T::default(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                self.faults.push(format!("{name}: must be a table, not {}", other.type_str()));
                return T::default();
            }
        };
        let mut good = Table::new();
        for (key, value) in table {
            let alone = Table::from_iter([(key.clone(), value.clone())]);
            match alone.try_into::<T>() {
                Ok(_) => drop(good.insert(key, value)),
                Err(e) => self.faults.push(format!("{name}.{key}: {}", one_line(&e))),
            }
        }
        good.try_into().unwrap_or_default()
    }

    fn targets(&mut self) -> Vec<QosTarget> {
        let list = match self.table.remove("qos") {
            None => return Vec::new(),
            Some(Value::Array(list)) => list,
            Some(other) => {
                let kind = other.type_str();
                self.faults.push(format!("qos: must be written [[qos]], is one {kind}"));
                return Vec::new();
            }
        };
        let mut targets = Vec::new();
        for (i, value) in list.into_iter().enumerate() {
            match value.try_into() {
                Ok(target) => targets.push(target),
                Err(e) => self.faults.push(format!("qos[{i}]: {}", one_line(&e))),
            }
        }
        targets
    }
}

fn one_line(e: &toml::de::Error) -> String {
    e.message().lines().collect::<Vec<_>>().join(" ")
}

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
