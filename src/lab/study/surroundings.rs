//! What a study needs of the world, as arguments.

use std::cell::Cell;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::notebook::Notebook;

/// Why a study ended early.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Clock, memory, whoever watches, and the notebook.
pub struct Surroundings<'a> {
    /// Seconds of wall time.
    pub clock: &'a dyn Fn() -> f64,
    /// Most memory that was resident since the last call, bytes; zero where nobody knows.
    pub peak_bytes: &'a dyn Fn() -> u64,
    /// Hears what is under way and which share of everything is done.
    pub show: &'a dyn Fn(&str, f64),
    /// Finished parts.
    pub notebook: Notebook,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("notebook", &self.notebook).finish_non_exhaustive()
    }
}

/// The parts of one study, in order.
pub(super) struct Parts<'a> {
    study: &'static str,
    count: usize,
    done: Cell<usize>,
    at: &'a Surroundings<'a>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(study: &'static str, count: usize, at: &'a Surroundings<'a>) -> Self {
        Self { study, count, done: Cell::new(0), at }
    }

    /// The next part: remembered or computed. `what` is what people call it.
    pub(super) fn next<R: Serialize + DeserializeOwned>(
        &self,
        what: &str,
        params: &Value,
        compute: impl FnOnce(&dyn Fn(f64)) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let done = self.done.get();
        let name = format!("{}/{} {what}", done + 1, self.count);
        let show = |share: f64| (self.at.show)(&name, (done as f64 + share) / self.count as f64);
        let result = self.at.notebook.part(self.study, params, || {
            show(0.0);
            compute(&show)
        });
        self.done.set(done + 1);
        result
    }
}
