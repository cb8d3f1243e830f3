//! How far a run has come, in a small file, so that it can go on where it was.

use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::plan::{Options, Plan};
use crate::data::EventTime;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    prometheus: Option<String>,
    jaeger: Option<String>,
    target: String,
    from: EventTime,
    to: EventTime,
    /// Everything before has been sent.
    done: EventTime,
}

impl State {
    /// A run that has not begun.
    pub(super) fn new(options: &Options, plan: &Plan) -> Self {
        let start = EventTime(plan.range.start);
        Self {
            prometheus: options.prometheus.as_ref().map(|e| e.url.clone()),
            jaeger: options.jaeger.as_ref().map(|e| e.url.clone()),
            target: options.target.url.clone(),
            from: start,
            to: EventTime(plan.range.end),
            done: start,
        }
    }

    /// Where to go on.
    pub(super) fn done(&self) -> i64 {
        self.done.0
    }

    /// Takes up the run that `path` tells of, if it is the same one.
    pub(super) fn resume(mut self, path: &Path) -> Result<Self, Error> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(self),
            Err(e) => return Err(fault(path, e.to_string())),
        };
        let found: Self = serde_json::from_str(&text)
            .map_err(|e| fault(path, format!("not a state of a backfill: {e}; delete it")))?;
        if (Self { done: self.done, ..found.clone() }) != self {
            let (from, to) = (found.from, found.to);
            let why =
                format!("it is about another backfill ({from} to {to}); delete it if that is over");
            return Err(fault(path, why));
        }
        self.done = found.done.clamp(self.from, self.to);
        Ok(self)
    }

    /// Everything before `t` has been sent. The file is replaced as a whole.
    pub(super) fn advance(&mut self, t: i64, path: &Path) -> Result<(), Error> {
        self.done = EventTime(t);
        let text = serde_json::to_string_pretty(self).map_err(|e| fault(path, e.to_string()))?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        std::fs::write(&beside, text)
            .and_then(|()| std::fs::rename(&beside, path))
            .map_err(|e| fault(path, format!("cannot be written: {e}")))
    }
}

fn fault(path: &Path, why: String) -> Error {
    Error::State { path: path.into(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(to: i64) -> State {
        State {
            prometheus: Some("http://p".into()),
            jaeger: None,
            target: "http://s".into(),
            from: EventTime(0),
            to: EventTime(to),
            done: EventTime(0),
        }
    }

    #[test]
    fn a_run_goes_on_where_it_was_and_no_other_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        let mut state = fresh(90).resume(&path).unwrap();
        assert_eq!(state.done(), 0);
        state.advance(30, &path).unwrap();
        assert_eq!(fresh(90).resume(&path).unwrap().done(), 30);
        let error = fresh(120).resume(&path).unwrap_err().to_string();
        assert!(error.contains("another backfill") && error.contains("state.json"), "{error}");
        std::fs::write(&path, "{").unwrap();
        assert!(fresh(90).resume(&path).is_err());
    }

    #[test]
    fn a_state_that_cannot_be_written_is_a_fault_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nowhere/state.json");
        let error = fresh(90).advance(30, &path).unwrap_err().to_string();
        assert!(error.contains("nowhere/state.json") && error.contains("--state"), "{error}");
    }
}
