//! Programs of other people that tests run, when they are installed.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Says what is missing. With `SAGE_TEST_PEERS=required`, as in CI, that is a failure.
pub(crate) fn missing_peer(what: &str) {
    let is_required = std::env::var("SAGE_TEST_PEERS").is_ok_and(|v| v == "required");
    assert!(!is_required, "SAGE_TEST_PEERS=required: {what}");
    eprintln!("skipped: {what}");
}

/// A running program; killed when dropped.
pub(crate) struct Peer(Child);

impl Peer {
    /// Starts it; what it says goes to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).stdin(Stdio::null()).spawn();
        Self(child.expect("it starts"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whether `program` can be run.
pub(crate) fn has(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
    if !there {
        missing_peer(&format!("{program} is not installed"));
    }
    there
}

/// A loopback address that is free now, for programs that cannot choose one themselves.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
