//! What a run has moved, and what it has not.

use std::fmt;

/// Everything that is said at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Traces read, each once.
    pub traces: u64,
    /// Spans the sidecar took.
    pub spans: u64,
    /// Samples the sidecar took.
    pub samples: u64,
    /// Spans and samples older than the sidecar's oldest open interval.
    pub too_old: u64,
    /// Spans and samples that were refused for another reason.
    pub refused: u64,
    /// Spans whose ids or times make no sense.
    pub invalid: u64,
    /// Native histograms, which range queries do not give back as they were sent.
    pub histograms: u64,
    /// Queries whose answers were cut at a limit although they asked for as little as possible.
    pub cut: u64,
    /// An example of a refusal, in the sidecar's words.
    pub example: Option<String>,
}

impl Counts {
    /// Spans and samples that did not arrive.
    pub fn lost(&self) -> u64 {
        self.too_old + self.refused + self.invalid
    }

    /// Keeps the first reason given.
    pub(super) fn refuse(&mut self, count: u64, why: &str) {
        self.refused += count;
        if self.example.is_none() && !why.trim().is_empty() {
            self.example = Some(why.trim().to_string());
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "spans      {:>12}  of {} traces", self.spans, self.traces)?;
        writeln!(f, "samples    {:>12}", self.samples)?;
        writeln!(f, "dropped    {:>12}", self.lost())?;
        writeln!(f, "  too old  {:>12}", self.too_old)?;
        writeln!(f, "  refused  {:>12}", self.refused)?;
        writeln!(f, "  invalid  {:>12}", self.invalid)?;
        if let Some(example) = &self.example {
            writeln!(f, "refused, for example: {example}")?;
        }
        if self.too_old > 0 {
            writeln!(
                f,
                "too old: the sidecar had closed these intervals; stop live senders and start from an \
                 empty data directory"
            )?;
        }
        if self.histograms > 0 {
            writeln!(f, "native histograms left out: {}", self.histograms)?;
        }
        if self.cut > 0 {
            writeln!(f, "answers cut at a limit: {}; --limit raises that of Jaeger", self.cut)?;
        }
        Ok(())
    }
}
