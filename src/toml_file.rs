//! Reads one of our TOML files strictly, and reports every fault in one go.

use std::fmt;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

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

/// A file under way: what has been read is taken out, what is left is unknown.
#[derive(Debug)]
pub struct Reader {
    table: Table,
    faults: Vec<String>,
}

impl Reader {
    /// Starts to read `text`.
    ///
    /// # Errors
    /// When it is not TOML.
    pub fn new(text: &str) -> Result<Self, Faults> {
        let table = text.parse().map_err(|e: toml::de::Error| Faults {
            path: None,
            faults: vec![e.to_string().trim_end().into()],
        })?;
        Ok(Self { table, faults: Vec::new() })
    }

    /// A table whose keys all have defaults.
    pub fn section<T: DeserializeOwned + Default>(&mut self, name: &str) -> T {
        match self.table.remove(name) {
            None => T::default(),
            Some(Value::Table(table)) => self.keys(name, table),
            Some(other) => {
                self.faults.push(format!("{name}: must be a table, not {}", other.type_str()));
                T::default()
            }
        }
    }

    /// A list of tables, `[[name]]`; one fault an entry.
    pub fn list<T: DeserializeOwned>(&mut self, name: &str) -> Vec<T> {
        let mut items = Vec::new();
        for (i, value) in self.values(name).into_iter().enumerate() {
            match value.try_into() {
                Ok(item) => items.push(item),
                Err(e) => self.faults.push(format!("{name}[{i}]: {}", one_line(&e))),
            }
        }
        items
    }

    /// A list of tables, `[[name]]`, whose entries the caller reads.
    pub fn tables(&mut self, name: &str) -> Vec<Table> {
        let mut tables = Vec::new();
        for (i, value) in self.values(name).into_iter().enumerate() {
            match value {
                Value::Table(table) => tables.push(table),
                other => {
                    self.fault(format!("{name}[{i}]: must be a table, not {}", other.type_str()));
                }
            }
        }
        tables
    }

    fn values(&mut self, name: &str) -> Vec<Value> {
        match self.table.remove(name) {
            None => Vec::new(),
            Some(Value::Array(list)) => list,
            Some(other) => {
                let kind = other.type_str();
                self.faults.push(format!("{name}: must be written [[{name}]], is one {kind}"));
                Vec::new()
            }
        }
    }

    /// The keys of `table`. Each is tried alone, so that one wrong key does not hide the next.
    pub fn keys<T: DeserializeOwned + Default>(&mut self, name: &str, table: Table) -> T {
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

    /// Adds a fault of the caller's.
    pub fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// All faults so far, tables that nobody asked for among them; `known` are those there are.
    pub fn finish(self, known: &[&str]) -> Vec<String> {
        let mut faults = self.faults;
        for key in self.table.keys() {
            faults.push(format!("{key}: unknown table; known: {}", known.join(", ")));
        }
        faults
    }
}

fn one_line(e: &toml::de::Error) -> String {
    e.message().lines().collect::<Vec<_>>().join(" ")
}
