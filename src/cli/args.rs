//! What may be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const ABOUT: &str = "Finds the service and the resource behind a latency violation.";

const LONG: &str = "\
Finds the service and the resource behind a latency violation.

Sage takes OpenTelemetry spans (4317 gRPC, 4318 HTTP) and Prometheus samples (remote write), learns \
how latency travels through your services, and when Alertmanager reports a violation it says which \
service and which resource, had they been normal, would have kept the target. It shows the answer \
as an annotation in Grafana, as JSON and on its own page (http://127.0.0.1:7243).";

const AFTER: &str = "\
Examples:
  sage demo                          see it work on a simulated Social Network
  sage serve                         run with defaults, everything on loopback
  sage check /etc/sage/sage.toml     find every fault in a configuration
  sage serve --config /etc/sage/sage.toml

Exit codes: 0 done, 1 a failure of ours or of the machine, 64 wrong usage or configuration.";

/// Applications of the proving ground.
const APPS: [&str; 5] = ["chain", "fanout", "social-network", "media-service", "hotel-reservation"];

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "sage", version, about = ABOUT, long_about = LONG, after_help = AFTER)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the sidecar until SIGTERM or SIGINT
    Serve {
        /// Configuration file; without one, defaults hold and data goes to ./sage-data
        #[arg(long, short, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// See Sage find faults in a simulated Social Network
    ///
    /// Starts the sidecar, sends it everyday traffic of the paper's Social Network over OTLP and
    /// remote write in accelerated event time, lets it train, then injects one fault after another
    /// and prints what was injected beside what was diagnosed. Takes half a minute on two cores.
    Demo {
        /// Seed of the application, its load and its faults
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Intervals of everyday traffic to learn from
        #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(60..5000))]
        intervals: u32,
        /// Go on serving afterwards, so that the page and the API can be looked at
        #[arg(long)]
        keep: bool,
    },
    /// The proving ground
    #[command(subcommand)]
    Lab(Lab),
    /// Check a configuration file and say everything that is wrong with it
    Check {
        /// Configuration file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print the configuration in effect, defaults included
        #[arg(long)]
        print: bool,
    },
}

/// The proving ground.
#[derive(Debug, Subcommand)]
pub enum Lab {
    /// Diagnose random faults in the paper's applications and score the answers
    ///
    /// Each application runs in a discrete-event simulator under changing load and faults of every
    /// kind, strength and number, harmless ones among them. A model is trained on it without labels,
    /// and then every violation is diagnosed. The truth is a true counterfactual: the same interval
    /// with the same random numbers, simulated again without the fault.
    Accuracy(AccuracyArgs),
    /// Send a recorded system through the real listeners and score the diagnoses of its faults
    ///
    /// DIR is a recording in the form of the Nezha data set (Online Boutique): faults.csv and one
    /// directory per day with metric/ and trace/. Prints a table and one line of JSON.
    Replay {
        /// Directory of the recording
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Seed of the training
        #[arg(long, default_value_t = 7)]
        seed: u64,
        /// Below every wrong row, say what the diagnosis said
        #[arg(long)]
        details: bool,
    },
}

/// `sage lab accuracy`
#[derive(Debug, Args)]
pub struct AccuracyArgs {
    /// Only this application: chain, fanout, social-network, media-service or hotel-reservation
    #[arg(long, value_name = "NAME", value_parser = APPS)]
    pub app: Option<String>,
    /// Seed of the application, its load, its faults and the training
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Intervals trained on
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(60..20_000))]
    pub train: u32,
    /// Intervals diagnosed; about one in five violates the target
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..20_000))]
    pub test: u32,
    /// Leave out metrics of shortage (throttling, stalls, major faults); only usage remains
    #[arg(long)]
    pub usage_only: bool,
    /// Below each row, the violations that were not answered right
    #[arg(long)]
    pub details: bool,
}
