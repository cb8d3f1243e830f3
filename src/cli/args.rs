//! What may be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::backfill_args::BackfillArgs;
use super::load_args::LoadArgs;
use crate::lab::live::{APPS, Chosen};
use crate::lab::sim::named_app;
use crate::lab::wire::Buckets;

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
  sage lab live                      see it work on real processes (root)
  sage serve                         run with defaults, everything on loopback
  sage check /etc/sage/sage.toml     find every fault in a configuration
  sage serve --config /etc/sage/sage.toml

Exit codes: 0 done, 1 a failure of ours or of the machine, 64 wrong usage or configuration.";

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
        /// End when this process, which has started us, ends, however it does
        #[arg(long, value_name = "PID", hide = true)]
        parent: Option<i32>,
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
    /// Fill a running sidecar from what Prometheus and Jaeger have stored
    ///
    /// Reads spans and samples of a stretch of time from their query APIs and sends them to the sidecar's
    /// ordinary listeners, in the order in which things happened. The sidecar must have an empty history
    /// and no live senders yet: what is older than its oldest open interval is dropped. Interrupted, the
    /// same command goes on where it was.
    Backfill(Box<BackfillArgs>),
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
    /// Tables and figures
    #[command(flatten)]
    Study(Study),
    /// See Sage find and mend real faults of real processes on this machine
    ///
    /// Starts one of the paper's applications as processes of this program, in cgroups of their own, with
    /// users, Prometheus, Alertmanager, the sidecar and sage-helper. Lets the model learn, then makes one real
    /// fault after another (a squeezed quota, stress-ng, memory, disk, a lock, too few threads, a slow link) and
    /// shows how Sage finds each and what it changes. Needs root and some programs, all of which it names if they are missing; installs
    /// nothing, and leaves nothing behind. Takes seven minutes on two processors.
    Live(LiveArgs),
    /// A service of the live application, told what to be on standard input
    #[command(hide = true)]
    LiveService,
    /// Waits for the end of a live run, and sweeps up what is left of it
    #[command(hide = true)]
    LiveSweep {
        /// Directory of the run
        home: PathBuf,
    },
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
    /// Load a receiver over the wire and measure throughput, delays and cost
    ///
    /// An open loop: requests are due by the clock, and an acknowledgement is timed from the moment its
    /// request was due, so a receiver that stalls is charged for those that had to wait. By default a sidecar
    /// of its own, in another process, gets OTLP over gRPC, then remote write. Answers are counted, never
    /// repeated. "dropped" is what the sidecar counts as dropped after it had acknowledged it.
    Load(Box<LoadArgs>),
    /// Load a sidecar of its own steadily and tell whether its memory grows
    ///
    /// Spans and samples at once, for --duration (by default 10m), with intervals of a second, a short history
    /// and trainings every two minutes. Reports the slope of resident memory after the first three tenths of
    /// the time, with its 95 % interval, and what was dropped. Of the options of `load` those about rates and
    /// shapes count.
    Soak(Box<LoadArgs>),
}

/// `sage lab live`
#[derive(Debug, Args)]
pub struct LiveArgs {
    /// The application
    #[arg(long, value_name = "NAME", default_value = "chain", value_parser = APPS)]
    pub app: String,
    /// Seed of users and of the small disturbances while the model learns
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Intervals of two seconds to learn from
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(25..2000))]
    pub intervals: u32,
    /// Only these faults, with commas between them: quota, memory, stress, disk, lock, pool,
    /// network
    #[arg(long, value_name = "LIST", default_value = "all")]
    pub faults: Chosen,
    /// The same faults again with an autoscaler in place of Sage, and with nobody
    #[arg(long)]
    pub compare: bool,
    /// Write tables as CSV, latency over time as CSV and SVG, and all logs there
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Only say what is missing
    #[arg(long)]
    pub check: bool,
    /// Only end what another run has left behind, and remove its cgroups and files
    #[arg(long, conflicts_with = "check")]
    pub clean: bool,
}

/// The evaluation of the paper, and more of the kind.
#[derive(Debug, Subcommand)]
pub enum Study {
    /// Diagnose random faults and score the answers (paper, Fig. 12)
    ///
    /// Each application runs in a discrete-event simulator under changing load and faults of every
    /// kind, strength and number, harmless ones among them. A model is trained on it without labels,
    /// and then every violation is diagnosed. The truth is a true counterfactual: the same interval
    /// with the same random numbers, simulated again without the fault. By default 1000 intervals are
    /// trained on and 500 tested; about one in five violates the target.
    Accuracy(AccuracyArgs),
    /// Accuracy while a growing share of the tiers sends no spans (Fig. 13)
    Instrumentation {
        /// Silent tiers do not pass the trace on either: all behind them vanishes from traces
        #[arg(long)]
        cut: bool,
        /// What all studies take
        #[command(flatten)]
        study: StudyArgs,
    },
    /// Accuracy and training time by the number of intervals learnt from (Fig. 15)
    TrainingSize(StudyArgs),
    /// Accuracy by sampling interval and by the share of requests that is traced (Fig. 16)
    Sampling(StudyArgs),
    /// Fit of reconstructed and of counterfactual latencies (section 6.1.1)
    ///
    /// Counterfactual latencies are compared with those of the same interval and the same requests,
    /// simulated again without the harmful faults.
    Latency(StudyArgs),
    /// Time and memory of training and diagnosis as replicas and services grow (Fig. 18)
    ///
    /// The Social Network with more replicas and as much more load, then generated applications of up
    /// to 1000 services; the largest take a long time. By default 300 intervals are trained on and
    /// 100 tested.
    Scale(StudyArgs),
    /// Accuracy when telemetry is damaged, alerts are late, or the application has changed
    Robustness(StudyArgs),
    /// Update the Social Network six times and see how diagnoses recover, by retraining policy (Fig. 17)
    ///
    /// Services are added, slowed down and removed (section 6.4). The same violations are diagnosed at
    /// six moments after each update with a model that was not retrained, retrained from scratch,
    /// incrementally, and partly and incrementally; half of the faults are aimed at what was changed and
    /// its neighbours. By default 1000 intervals (--train) come before the first update, 24 after each,
    /// and violations are searched for in 300 (--test) beside each version. Also: how long each retraining
    /// took, and what was taken for a change in 1000 intervals without any.
    Updates(StudyArgs),
}

/// What every study takes.
#[derive(Debug, Args)]
pub struct StudyArgs {
    /// This application instead of the usual ones; may be repeated: chain, fanout, social-network,
    /// media-service, hotel-reservation; or generated ones of N services: random:N[:SEED], or gateway:N[:SEED],
    /// whose requests all enter by one operation
    #[arg(long = "app", value_name = "NAME", value_parser = app)]
    pub apps: Vec<String>,
    /// Seed of the application, its load, its faults and the training
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Intervals trained on
    #[arg(long, value_parser = clap::value_parser!(u32).range(60..20_000))]
    pub train: Option<u32>,
    /// Intervals tested
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..20_000))]
    pub test: Option<u32>,
    /// Write the table as CSV and JSON there, and the figure, if there is one, as SVG; keep finished
    /// parts there, so that the same command, interrupted, goes on where it was
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Make everything small: shows within a minute that it works, not how well
    #[arg(long)]
    pub quick: bool,
}

/// Buckets of the histograms that stand in for spans.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Histograms {
    /// Tempo's defaults: from 100 ms
    Tempo,
    /// The OpenTelemetry collector's defaults: from 2 ms
    Collector,
    /// Those of Istio's proxies: from 0.5 ms
    Istio,
    /// Native histograms
    Native,
}

impl Histograms {
    /// The same, as the lab has it.
    pub fn buckets(self) -> Buckets {
        match self {
            Self::Tempo => Buckets::Tempo,
            Self::Collector => Buckets::Collector,
            Self::Istio => Buckets::Istio,
            Self::Native => Buckets::Native,
        }
    }
}

/// `sage lab accuracy`
#[derive(Debug, Args)]
pub struct AccuracyArgs {
    /// What all studies take
    #[command(flatten)]
    pub study: StudyArgs,
    /// Leave out metrics of shortage (throttling, stalls, major faults); only usage remains
    #[arg(long)]
    pub usage_only: bool,
    /// Share of the requests that is traced, as 0.02
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub traced: Option<f64>,
    /// Length of an interval, seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub interval: Option<u64>,
    /// Target and alerts come from somebody who sees every request, not from the traced ones
    #[arg(long)]
    pub all_alerts: bool,
    /// Share of the training intervals in which trouble begins, 0.22 unless told otherwise; 0: it learns in peace
    #[arg(long, value_name = "SHARE", value_parser = share_or_none)]
    pub train_faults: Option<f64>,
    /// Latency histograms of a service graph, with these buckets, instead of spans
    #[arg(long, value_name = "BUCKETS")]
    pub histograms: Option<Histograms>,
    /// Let the compared systems of the paper, and simple rules, answer the same questions
    #[arg(long)]
    pub compare: bool,
    /// Below the table, the violations that were not answered right
    #[arg(long)]
    pub details: bool,
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|s| *s > 0.0 && *s <= 1.0)
        .ok_or_else(|| "above 0, at most 1".to_string())
}

fn share_or_none(text: &str) -> Result<f64, String> {
    if text.parse() == Ok(0.0) { Ok(0.0) } else { share(text) }
}

fn app(name: &str) -> Result<String, String> {
    named_app(name).map(|_| name.to_string())
}
