//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Changes CPU, memory, I/O and network limits of this node for a limited time, within a policy.
///
/// Without a command it serves on its socket. Every change is a lease: it is undone when it is not
/// renewed, when the helper stops, and when it starts after a crash.
#[derive(Debug, Parser)]
#[command(name = "sage-helper", version, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// The policy file.
    #[arg(long, value_name = "FILE", default_value = "/etc/sage/helper.toml")]
    pub policy: PathBuf,
    /// Check a policy file, report all its faults, and end.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["policy", "recover"])]
    pub check_policy: Option<PathBuf>,
    /// Put back what a helper left behind that was killed, and end.
    #[arg(long)]
    pub recover: bool,
    /// Ask a running helper instead.
    #[command(subcommand)]
    pub ask: Option<Ask>,
}

/// What can be asked of a running helper.
#[derive(Debug, Subcommand)]
pub enum Ask {
    /// Show every change in force, with the old value, and what ended last.
    List {
        /// Where it is.
        #[command(flatten)]
        at: At,
    },
    /// Undo one change, or all.
    Revert {
        /// Its name, or "all".
        fix: String,
        /// Where it is.
        #[command(flatten)]
        at: At,
    },
    /// Show what a cgroup has, uses and may get.
    Inspect {
        /// Its path below the hierarchy, such as /system.slice/redis.service.
        cgroup: String,
        /// Where it is.
        #[command(flatten)]
        at: At,
    },
    /// Send a request as the protocol has it, without its version: '{"list":{}}'.
    Ctl {
        /// The request.
        request: String,
        /// Where it is.
        #[command(flatten)]
        at: At,
    },
}

/// Where a running helper is.
#[derive(Debug, clap::Args)]
pub struct At {
    /// Its socket.
    #[arg(long, value_name = "PATH", default_value = "/run/sage-helper/helper.sock")]
    pub socket: PathBuf,
}
