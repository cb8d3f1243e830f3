//! A table: columns and rows, from which the terminal, CSV and JSON versions are all made.

use serde_json::{Map, Value, json};

/// What stands in one place of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Words.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A number, shown with so many decimals and kept with all.
    Number(f64, usize),
    /// There is nothing to say.
    Nothing,
}

/// Columns and rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Names of the columns, unit last: `train_s`.
    pub columns: Vec<&'static str>,
    /// Rows, each as long as `columns`.
    pub rows: Vec<Vec<Entry>>,
}

impl From<&str> for Entry {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<usize> for Entry {
    fn from(count: usize) -> Self {
        Self::Count(count as u64)
    }
}

impl Entry {
    /// A share, 0 to 1.
    pub fn share(value: f64) -> Self {
        Self::Number(value, 3)
    }

    /// With `decimals`, or nothing.
    pub fn maybe(value: Option<f64>, decimals: usize) -> Self {
        value.map_or(Self::Nothing, |v| Self::Number(v, decimals))
    }

    fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Count(count) => count.to_string(),
            Self::Number(value, decimals) => format!("{value:.decimals$}"),
            Self::Nothing => "-".into(),
        }
    }

    /// For programs: all digits, and an empty field for nothing.
    fn exact(&self) -> String {
        match self {
            Self::Number(value, _) if value.is_finite() => value.to_string(),
            Self::Number(..) | Self::Nothing => String::new(),
            Self::Text(_) | Self::Count(_) => self.shown(),
        }
    }

    fn value(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Count(count) => json!(count),
            // What is no number becomes null.
            Self::Number(value, _) => json!(value),
            Self::Nothing => Value::Null,
        }
    }
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// One more row.
    pub fn row(&mut self, row: Vec<Entry>) {
        self.rows.push(row);
    }

    /// For a terminal: one line of heads, then one a row; words to the left, numbers to the right.
    pub fn to_text(&self) -> String {
        let shown: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(Entry::shown).collect()).collect();
        let is_words = |c: usize| self.rows.iter().any(|r| matches!(r[c], Entry::Text(_)));
        let width = |c: usize| {
            let cells = shown.iter().map(|row| row[c].chars().count());
            cells.chain([self.columns[c].len()]).max().unwrap_or(0)
        };
        let columns: Vec<(usize, bool)> =
            (0..self.columns.len()).map(|c| (width(c), is_words(c))).collect();
        let line = |words: &mut dyn Iterator<Item = &str>| {
            let padded = words.zip(&columns).map(|(word, (width, is_words))| match is_words {
                true => format!("{word:<width$}"),
                false => format!("{word:>width$}"),
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_string() + "\n"
        };
        let mut text = line(&mut self.columns.iter().copied());
        for row in &shown {
            text.push_str(&line(&mut row.iter().map(String::as_str)));
        }
        text
    }

    /// Comma-separated, with a line of heads.
    ///
    /// # Errors
    /// None that memory could have.
    pub fn to_csv(&self) -> Result<String, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.columns)?;
        for row in &self.rows {
            writer.write_record(row.iter().map(Entry::exact))?;
        }
        let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A list of rows, each an object by column.
    pub fn to_json(&self) -> Value {
        let row = |row: &Vec<Entry>| {
            let fields = self.columns.iter().zip(row).map(|(c, e)| ((*c).to_string(), e.value()));
            Value::Object(fields.collect::<Map<_, _>>())
        };
        self.rows.iter().map(row).collect()
    }
}
