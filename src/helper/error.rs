//! Why the helper does not start, or ends.

use std::io;
use std::path::PathBuf;

use crate::toml_file::Faults;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The policy has faults.
    #[error("{0}")]
    Policy(#[from] Faults),
    /// Others than the helper's user could change a file that decides what is allowed.
    #[error(
        "{path:?} can be changed by others than user {uid}; it must belong to that user or to root, \
         and be writable by nobody else"
    )]
    Untrusted {
        /// Which.
        path: PathBuf,
        /// Whose it must be.
        uid: u32,
    },
    /// Something that is needed cannot be opened.
    #[error("cannot open {what:?}: {source}")]
    Open {
        /// What.
        what: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No hierarchy of either version.
    #[error("{path:?} holds no cgroups, neither of version 2 nor of version 1; see roots.cgroup")]
    NoCgroups {
        /// Where they should be.
        path: PathBuf,
    },
    /// A second helper.
    #[error("another sage-helper runs on {path:?}; stop it first")]
    Running {
        /// The state directory.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("cannot listen on {path:?}: {source}")]
    Listen {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate or key is of no use.
    #[error("{path:?}: {why}; see [tcp] of the policy")]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Capabilities could not be dropped. The helper does not serve with more than it needs.
    #[error("cannot drop privileges ({step}): {cause}")]
    Privileges {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        cause: String,
    },
    /// A journal entry cannot be read, so what it says cannot be undone.
    #[error(
        "{path:?} cannot be read ({cause}); put back by hand what it names, delete it, and start \
         again"
    )]
    Journal {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// Something is still changed. The journal keeps the old values.
    #[error(
        "{count} fixes could not be undone, the log says why; the next start tries again, and docs/helper.md \
         says how to do it by hand"
    )]
    Held {
        /// How many.
        count: usize,
    },
    /// The state directory does not take a journal entry.
    #[error("cannot write {path:?}: {source}")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A part of the helper died. Ending lets the supervisor start it anew, which undoes all fixes.
    #[error("a part of the helper died; ending, the next start puts everything back")]
    Broken,
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(io::Error),
}
