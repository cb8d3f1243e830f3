//! What a study yields, and the files it is written to.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::surroundings::Failure;
use super::table::Table;
use crate::lab::plot::Figure;

/// What a study yields.
#[derive(Clone, Debug)]
pub struct Report {
    /// Name of the study; files are called after it.
    pub name: &'static str,
    /// What it was told.
    pub options: Value,
    /// The numbers.
    pub table: Table,
    /// Further tables, with titles.
    pub more: Vec<(&'static str, Table)>,
    /// The same to look at, where the paper has a figure.
    pub figure: Option<Figure>,
    /// Single cases, for those who ask.
    pub details: Vec<String>,
}

impl Report {
    /// Writes `NAME.csv`, `NAME.json` and, with a figure, `NAME.svg` to `dir`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, dir: &Path) -> Result<(), Failure> {
        fs::create_dir_all(dir)?;
        let file = |kind: &str| dir.join(format!("{}.{kind}", self.name));
        fs::write(file("csv"), self.table.to_csv()?)?;
        let json = json!({
            "study": self.name,
            "options": self.options,
            "rows": self.table.to_json(),
            "more": self.more.iter().map(|(title, table)| json!({ "title": title, "rows": table.to_json() })).collect::<Vec<_>>(),
        });
        fs::write(file("json"), serde_json::to_string_pretty(&json)? + "\n")?;
        if let Some(figure) = &self.figure {
            fs::write(file("svg"), figure.to_svg())?;
        }
        Ok(())
    }
}
