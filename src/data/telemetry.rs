//! What listeners hand to the windows.

use super::sample::Series;
use super::span::Span;

/// One accepted request.
#[derive(Debug)]
pub enum Telemetry {
    /// Spans of an OTLP request.
    Spans(Vec<Span>),
    /// Series of a remote-write request.
    Series(Vec<Series>),
}
