//! A client of the helper, for what is compared with Sage.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::wire::{Answer, Request, line, parse_answer};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Where the helper listens.
#[derive(Clone, Debug)]
pub(super) struct Helper {
    socket: PathBuf,
}

impl Helper {
    /// The helper at that socket.
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Asks, on a connection of its own.
    ///
    /// # Errors
    /// When nobody answers; a refusal is an answer.
    pub(super) fn ask(&self, request: &Request) -> io::Result<Answer> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(line(request).as_bytes())?;
        let mut bytes = Vec::new();
        BufReader::new(stream).read_until(b'\n', &mut bytes)?;
        parse_answer(&bytes).map_err(io::Error::other)
    }

    /// Whether it serves.
    pub(super) fn is_there(&self) -> bool {
        matches!(self.ask(&Request::Ping {}), Ok(Answer::Pong(_)))
    }
}
