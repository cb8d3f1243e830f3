//! Finished parts of a study, on disk, so that a study that was interrupted goes on where it was.
//!
//! A part is known by its parameters and by the program that computed it. What another build
//! computed is never taken for an answer of this one.

use std::cell::Cell;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::surroundings::Failure;

/// Where finished parts are kept, if anywhere.
#[derive(Debug)]
pub struct Notebook {
    dir: Option<PathBuf>,
    build: String,
    remembered: Cell<usize>,
}

#[derive(Serialize, Deserialize)]
struct Page<R> {
    key: Value,
    result: R,
}

impl Notebook {
    /// Keeps parts in `dir`; without one, nothing is kept. `build` tells programs apart.
    pub fn new(dir: Option<&Path>, build: &str) -> Self {
        let dir = dir.map(|d| d.join("cells"));
        Self { dir, build: build.into(), remembered: Cell::new(0) }
    }

    /// How many parts were there already.
    pub fn remembered(&self) -> usize {
        self.remembered.get()
    }

    /// The part of `study` with these `params`: the one kept, else the result of `compute`, which is
    /// then kept.
    ///
    /// # Errors
    /// Those of `compute`; a part that cannot be written.
    pub fn part<R: Serialize + DeserializeOwned>(
        &self,
        study: &str,
        params: &Value,
        compute: impl FnOnce() -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let key = json!({ "study": study, "params": params, "build": self.build });
        let Some(dir) = &self.dir else { return compute() };
        let mut hasher = DefaultHasher::new();
        key.to_string().hash(&mut hasher);
        let path = dir.join(format!("{study}-{:016x}.json", hasher.finish()));
        if let Some(result) = kept(&path, &key) {
            self.remembered.set(self.remembered.get() + 1);
            return Ok(result);
        }
        let page = Page { key, result: compute()? };
        fs::create_dir_all(dir)?;
        let unfinished = path.with_extension("unfinished");
        fs::write(&unfinished, serde_json::to_vec(&page)?)?;
        fs::rename(&unfinished, &path)?;
        Ok(page.result)
    }
}

/// What a page says, if it is whole and about `key`.
fn kept<R: DeserializeOwned>(path: &Path, key: &Value) -> Option<R> {
    let page: Page<R> = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (page.key == *key).then_some(page.result)
}
