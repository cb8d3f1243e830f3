//! A record, and what is learnt from it, made when it is first needed, and once.

use std::cell::OnceCell;

use super::line::between;
use super::options::Size;
use super::surroundings::Failure;
use crate::lab::{Record, Trial, learn, record};
use crate::model::Model;

/// A record that several parts of a study share. If all of them are remembered, it is never made.
pub(super) struct Recorded<'a> {
    trial: &'a Trial,
    record: OnceCell<Record>,
    model: OnceCell<Model>,
}

impl<'a> Recorded<'a> {
    pub(super) fn new(trial: &'a Trial) -> Self {
        Self { trial, record: OnceCell::new(), model: OnceCell::new() }
    }

    pub(super) fn get(&self, progress: &dyn Fn(f64)) -> Result<&Record, Failure> {
        if let Some(record) = self.record.get() {
            return Ok(record);
        }
        let record = record(self.trial, progress)?;
        Ok(self.record.get_or_init(|| record))
    }

    /// The record and the model learnt from it.
    pub(super) fn learnt(
        &self,
        size: Size,
        progress: &dyn Fn(f64),
    ) -> Result<(&Record, &Model), Failure> {
        let record = self.get(&between(progress, 0.0, 0.5))?;
        if let Some(model) = self.model.get() {
            return Ok((record, model));
        }
        let seed = self.trial.seed;
        let model = learn(record, seed, size.steps, &between(progress, 0.5, 1.0))?;
        Ok((record, self.model.get_or_init(|| model)))
    }
}
