//! What may be said to `sage lab load`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::lab::load::Target;

/// `sage lab load`
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Load this receiver instead of a sidecar of its own; may be repeated. Without a path OTLP over gRPC
    /// (http://host:4317), with /v1/traces OTLP over HTTP, with any other path remote write
    #[arg(long = "target", value_name = "URL")]
    pub targets: Vec<String>,
    /// Process behind the targets, for memory and processor time
    #[arg(long, requires = "targets")]
    pub pid: Option<i32>,
    /// Send the same samples to this receiver of remote write afterwards; may be repeated
    #[arg(long = "reference", value_name = "URL")]
    pub references: Vec<String>,
    /// Process behind the references
    #[arg(long, requires = "references")]
    pub reference_pid: Option<i32>,
    /// What the table calls the target
    #[arg(long, default_value = "sage")]
    pub name: String,
    /// Spans offered a second, 0 for none; by default 50000, of a storm 10000, of a soak 5000
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..100_000_000))]
    pub spans: Option<u64>,
    /// Samples offered a second, 0 for none; by default twice as many as spans
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..100_000_000))]
    pub samples: Option<u64>,
    /// How long each kind of load lasts: "30s", "5m"; by default 10s, a storm 5m, a soak 10m
    #[arg(long, value_parser = duration)]
    pub duration: Option<Duration>,
    /// Connections for each kind of load
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..1000))]
    pub connections: u16,
    /// Different RPCs that the spans show
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..1_000_000))]
    pub rpcs: u32,
    /// Different series
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..10_000_000))]
    pub series: u32,
    /// Spans in one request
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..100_000))]
    pub request_spans: u32,
    /// Samples in one request
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..100_000))]
    pub request_samples: u32,
    /// Speak remote write 2.0
    #[arg(long)]
    pub v2: bool,
    /// Send halves of RPCs whose other half never comes
    #[arg(long)]
    pub halves: bool,
    /// Let it storm over a sidecar of its own: ten times --spans and --samples, a million series, 100,000 RPCs
    /// of which only halves come, on top of calm traffic. Exits with 1 unless the process stays inside its
    /// budget, earlier windows are intact and service is normal one interval later. Lasts --duration, by
    /// default 5m, and eight intervals more
    #[arg(long, conflicts_with_all = ["targets", "references", "halves", "v2"])]
    pub storm: bool,
    /// Memory budget of the sidecar in a storm, MiB
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(128..1 << 20))]
    pub budget_mib: u64,
    /// Length of the intervals in a storm
    #[arg(long, default_value = "15s", value_parser = duration)]
    pub interval: Duration,
    /// Configuration of the sidecar of its own; ports, log and data directory are chosen anew, and a storm or
    /// a soak sets its own budget and intervals
    #[arg(long, value_name = "FILE", conflicts_with = "targets")]
    pub config: Option<PathBuf>,
    /// Write the table as CSV and JSON there
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

impl LoadArgs {
    /// The URLs that were given, as targets and references.
    ///
    /// # Errors
    /// What is wrong with one.
    pub fn urls(&self) -> Result<(Vec<Target>, Vec<Target>), String> {
        let read = |urls: &[String]| urls.iter().map(|u| Target::parse(u, self.v2)).collect();
        let (targets, references): (Result<Vec<_>, _>, Result<Vec<Target>, _>) =
            (read(&self.targets), read(&self.references));
        let references = references?;
        if let Some(spans) = references.iter().find(|r| r.protocol.is_spans()) {
            return Err(format!("--reference {}: only remote write can be compared", spans.uri));
        }
        Ok((targets?, references))
    }
}

/// A duration on the command line.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    crate::duration::parse(text)
}
