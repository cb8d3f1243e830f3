//! What lies in the directory.

use std::path::{Path, PathBuf};

/// The recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory.
    #[error("{path}: {source}")]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A table.
    #[error("{path}: {source}")]
    Table {
        /// Where.
        path: PathBuf,
        /// Why.
        source: csv::Error,
    },
    /// A cell.
    #[error("{path}: {what}")]
    Cell {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Nothing to replay.
    #[error(
        "{0} holds no recording: expected faults.csv and directories like 2022-08-22 with metric/ and trace/"
    )]
    Empty(PathBuf),
}

/// The files of a recording, in order of time.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The directory.
    pub root: PathBuf,
    /// Tables of metrics, one per pod and day.
    pub metrics: Vec<PathBuf>,
    /// Tables of spans, one per minute.
    pub traces: Vec<PathBuf>,
}

impl Recording {
    /// Looks at what is there.
    ///
    /// # Errors
    /// [`Error::Empty`] when it is something else.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let mut recording = Self { root: root.into(), metrics: Vec::new(), traces: Vec::new() };
        for day in list(root)? {
            let named = |sub: &str, end: &str| -> Result<Vec<PathBuf>, Error> {
                let dir = day.join(sub);
                if !dir.is_dir() {
                    return Ok(Vec::new());
                }
                let ends = |p: &PathBuf| p.to_string_lossy().ends_with(end);
                Ok(list(&dir)?.into_iter().filter(ends).collect())
            };
            if day.is_dir() {
                recording.metrics.extend(named("metric", "_metric.csv")?);
                recording.traces.extend(named("trace", "_trace.csv.gz")?);
            }
        }
        if recording.traces.is_empty() || !root.join("faults.csv").is_file() {
            return Err(Error::Empty(root.into()));
        }
        Ok(recording)
    }
}

/// Entries of a directory, sorted by name.
fn list(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let fail = |source| Error::File { path: dir.into(), source };
    let mut entries = std::fs::read_dir(dir)
        .map_err(fail)?
        .map(|e| e.map(|e| e.path()).map_err(fail))
        .collect::<Result<Vec<_>, _>>()?;
    entries.sort();
    Ok(entries)
}

/// The service of a pod: its name less `-<replica set>-<five characters>`.
pub(super) fn service_of(pod: &str) -> &str {
    pod.rsplitn(3, '-').nth(2).unwrap_or(pod)
}

/// Columns of a table by name.
pub(super) struct Columns(csv::StringRecord, PathBuf);

impl Columns {
    pub(super) fn of<R: std::io::Read>(
        reader: &mut csv::Reader<R>,
        path: &Path,
    ) -> Result<Self, Error> {
        let fail = |source| Error::Table { path: path.into(), source };
        Ok(Self(reader.headers().map_err(fail)?.clone(), path.into()))
    }

    /// The cell in column `name`.
    pub(super) fn text<'r>(
        &self,
        row: &'r csv::StringRecord,
        name: &str,
    ) -> Result<&'r str, Error> {
        let at = self.0.iter().position(|h| h == name);
        at.and_then(|at| row.get(at)).ok_or_else(|| self.fault(format!("no column {name}")))
    }

    /// The same as a number.
    pub(super) fn number<T: std::str::FromStr>(
        &self,
        row: &csv::StringRecord,
        name: &str,
    ) -> Result<T, Error> {
        let text = self.text(row, name)?;
        text.parse().map_err(|_| self.fault(format!("{name} = {text:?} is not a number")))
    }

    pub(super) fn fault(&self, what: String) -> Error {
        Error::Cell { path: self.1.clone(), what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_belongs_to_the_service_it_is_named_after() {
        assert_eq!(service_of("cartservice-579f59597d-wc2lz"), "cartservice");
        assert_eq!(service_of("my-cart-579f59597d-wc2lz"), "my-cart");
        assert_eq!(service_of("cart"), "cart");
    }
}
