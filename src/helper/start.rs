//! The order of starting, as types: each step takes the one before it, so none can be left out or moved.
//!
//! 1. [`Policy`] is read and checked.
//! 2. [`Opened`]: what needs privileges is opened: roots, journal, socket, keys.
//! 3. [`Dropped`]: all capabilities but those the policy needs are given up, `no_new_privs` is set.
//! 4. [`Ready`]: what an earlier helper left behind is put back.
//! 5. [`Confined`]: all system calls but those that serving needs are given up.
//! 6. `serve` (in `serve.rs`) answers.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use super::clock::Now;
use super::error::Error;
use super::host::Host;
use super::journal::Journal;
use super::keeper::Keeper;
use super::policy::{Policy, SocketPolicy};
use super::privilege;
use super::remote::Remote;
use super::seccomp;
use crate::data::Knob;

/// Longer than a `tc` of a helper that was killed takes to end.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Step 1.
///
/// # Errors
/// All faults of the policy at once, or that others could change it.
pub(crate) fn read_policy(path: &Path) -> Result<Policy, Error> {
    let policy = Policy::load(path)?;
    check_owner(path)?;
    tracing::info!(path = %path.display(), rules = policy.rules.len(), "policy read");
    Ok(policy)
}

/// A policy that anybody could write is none.
pub(super) fn check_owner(path: &Path) -> Result<(), Error> {
    let meta = std::fs::metadata(path).map_err(|e| Error::Open { what: path.into(), source: e })?;
    let uid = rustix::process::geteuid().as_raw();
    let is_ours = meta.uid() == uid || meta.uid() == 0;
    if is_ours && meta.mode() & 0o022 == 0 {
        Ok(())
    } else {
        Err(Error::Untrusted { path: path.into(), uid })
    }
}

/// Step 2 is done.
#[derive(Debug)]
pub(crate) struct Opened {
    policy: Policy,
    host: Host,
    journal: Journal,
    listener: UnixListener,
    remote: Option<Remote>,
}

impl Opened {
    /// Opens roots, journal and sockets. Clients that connect now wait until step 6. For a recovery alone
    /// nothing is opened to other nodes: a certificate that has run out must not stand in its way.
    ///
    /// # Errors
    /// When something is missing, or another helper runs.
    pub(crate) fn open(policy: Policy, is_recovery: bool) -> Result<Self, Error> {
        let host = Host::open(&policy.roots)?;
        // Whoever holds the journal may take the socket of one that died.
        let journal = Journal::open(&policy.state.dir, LOCK_PATIENCE)?;
        let socket = &policy.socket;
        let listener =
            listen(socket).map_err(|source| Error::Listen { path: socket.path.clone(), source })?;
        let remote = if is_recovery { None } else { Remote::open(&policy.tcp)? };
        let tcp = remote.as_ref().and_then(|r| r.listener.local_addr().ok());
        tracing::info!(
            socket = %socket.path.display(), tcp = tcp.map(tracing::field::display), state = %policy.state.dir.display(),
            cgroups = ?host.cgroup_bases().map(|b| b.to_string()).collect::<Vec<_>>(), "opened"
        );
        Ok(Self { policy, host, journal, listener, remote })
    }

    /// Step 3.
    ///
    /// # Errors
    /// When more is left than the policy needs.
    pub(crate) fn drop_privileges(self) -> Result<Dropped, Error> {
        let needed = privilege::needed(&self.policy);
        let kept = privilege::drop_to(&needed)?;
        for missing in needed.difference(&kept) {
            tracing::warn!(capability = %missing, "not held; some fixes will be refused by the kernel");
        }
        let is_root = rustix::process::geteuid().is_root();
        if self.policy.allows(Knob::is_of_group) && !is_root {
            tracing::warn!(
                "not user 0; the kernel will not move threads of others into resource groups"
            );
        }
        let mut names: Vec<_> = kept.iter().map(ToString::to_string).collect();
        names.sort();
        tracing::info!(kept = ?names, no_new_privs = true, "privileges dropped");
        Ok(Dropped(self))
    }
}

/// Step 3 is done.
#[derive(Debug)]
pub(crate) struct Dropped(Opened);

impl Dropped {
    /// Step 4.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) fn recover(self) -> Result<Ready, Error> {
        let Opened { policy, host, journal, listener, remote } = self.0;
        let socket = policy.socket.clone();
        let runs_tc = policy.allows(|knob| knob == Knob::NetworkRate);
        let is_filtered = policy.sandbox.seccomp;
        let mut keeper = Keeper::new(policy, host, journal);
        let count = keeper.recover(Now::read())?;
        tracing::info!(fixes = count, stuck = keeper.held(), "leftovers put back");
        Ok(Ready { runs_tc, is_filtered, keeper, listener, remote, socket })
    }
}

/// Step 4 is done.
#[derive(Debug)]
pub(crate) struct Ready {
    runs_tc: bool,
    is_filtered: bool,
    pub(crate) keeper: Keeper,
    pub(crate) listener: UnixListener,
    pub(crate) remote: Option<Remote>,
    pub(crate) socket: SocketPolicy,
}

impl Ready {
    /// Step 5. Call it while there is one thread.
    ///
    /// # Errors
    /// When the kernel does not take the filter. The helper does not serve then.
    pub(crate) fn confine(self) -> Result<Confined, Error> {
        if !self.is_filtered {
            tracing::warn!("system calls are not filtered: sandbox.seccomp is off");
        } else if seccomp::confine(self.runs_tc)? {
            tracing::info!(tc = self.runs_tc, "system calls filtered");
        } else {
            tracing::warn!(arch = std::env::consts::ARCH, "no filter of system calls is known");
        }
        Ok(Confined(self))
    }
}

/// Step 5 is done.
#[derive(Debug)]
pub(crate) struct Confined(pub(super) Ready);

fn listen(socket: &SocketPolicy) -> io::Result<UnixListener> {
    // Left behind by one that was killed. Anything but a socket is somebody's file.
    match std::fs::symlink_metadata(&socket.path) {
        Ok(meta) if meta.file_type().is_socket() => std::fs::remove_file(&socket.path)?,
        Ok(_) => return Err(io::Error::other("there is a file that is no socket")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    // Nobody gets in before owner and bits are right.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(&socket.path);
    rustix::process::umask(before);
    let listener = listener?;
    std::os::unix::fs::chown(&socket.path, None, socket.group)?;
    std::fs::set_permissions(&socket.path, Permissions::from_mode(socket.mode))?;
    Ok(listener)
}
