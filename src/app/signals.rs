//! What the operating system asks of a running program.

use rustix::process::{Pid, Signal as Death, getppid, set_parent_process_death_signal};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A request of the operating system, or of whoever speaks through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// Signals that are caught from now on, and kept until they are asked for.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Catches them.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next request.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Stop,
            _ = self.interrupt.recv() => Request::Stop,
            _ = self.hangup.recv() => Request::Reload,
        }
    }
}

/// From now on the kernel ends this process when `parent`, the process that has started it, ends.
///
/// # Errors
/// The kernel refuses, or `parent` has ended already.
pub fn end_with(parent: i32) -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Death::KILL))?;
    // Whoever ended before that will not end again.
    if getppid() != Pid::from_raw(parent) {
        return Err(std::io::Error::other(format!("process {parent} has not started this one")));
    }
    Ok(())
}
