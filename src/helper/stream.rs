//! Connections on which every wait has an end, whatever they run over.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustls::ServerConnection;

use super::clock;

/// A connection.
pub(crate) trait Stream {
    /// Reads what comes, waiting no longer than `within`; 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock` when nothing came in time; else the connection broke.
    fn receive(&mut self, bytes: &mut [u8], within: Duration) -> io::Result<usize>;

    /// Sends everything, waiting no longer than `within` altogether.
    ///
    /// # Errors
    /// When it was not taken in time, or the connection broke.
    fn send(&mut self, bytes: &[u8], within: Duration) -> io::Result<()>;
}

/// Time that runs out, however often it is asked for.
struct Clock(Duration);

impl Clock {
    fn of(within: Duration) -> Self {
        Self(clock::since_boot() + within)
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.0.saturating_sub(clock::since_boot());
        if left.is_zero() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(left) }
    }
}

fn is_interrupted(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
}

impl Stream for &UnixStream {
    fn receive(&mut self, bytes: &mut [u8], within: Duration) -> io::Result<usize> {
        let clock = Clock::of(within);
        loop {
            self.set_read_timeout(Some(clock.left()?))?;
            match (&**self).read(bytes) {
                Err(e) if is_interrupted(&e) => {}
                done => return done,
            }
        }
    }

    fn send(&mut self, mut bytes: &[u8], within: Duration) -> io::Result<()> {
        let clock = Clock::of(within);
        while !bytes.is_empty() {
            self.set_write_timeout(Some(clock.left()?))?;
            match (&**self).write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => bytes = &bytes[n..],
                Err(e) if is_interrupted(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// TLS over TCP, without any task or thread beside the one that asks.
pub(crate) struct TlsStream {
    tcp: TcpStream,
    session: ServerConnection,
}

impl TlsStream {
    /// Shakes hands.
    ///
    /// # Errors
    /// When the other side is too slow, speaks something else, or is not believed.
    pub(crate) fn accept(
        tcp: TcpStream,
        session: ServerConnection,
        within: Duration,
    ) -> io::Result<Self> {
        // Answers are one packet; nobody gains by waiting for a second.
        tcp.set_nodelay(true)?;
        let mut stream = Self { tcp, session };
        let clock = Clock::of(within);
        while stream.session.is_handshaking() {
            stream.exchange(&clock)?;
        }
        stream.flush(&clock)?;
        Ok(stream)
    }

    pub(crate) fn session(&self) -> &ServerConnection {
        &self.session
    }

    /// Sends what waits, and takes what comes.
    fn exchange(&mut self, clock: &Clock) -> io::Result<()> {
        self.flush(clock)?;
        if !self.session.wants_read() {
            return Ok(());
        }
        self.tcp.set_read_timeout(Some(clock.left()?))?;
        match self.session.read_tls(&mut self.tcp) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(e) if is_interrupted(&e) => return Ok(()),
            Err(e) => return Err(e),
        }
        if let Err(why) = self.session.process_new_packets() {
            // The other side is told why, if it still listens.
            drop(self.flush(clock));
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(())
    }

    fn flush(&mut self, clock: &Clock) -> io::Result<()> {
        while self.session.wants_write() {
            self.tcp.set_write_timeout(Some(clock.left()?))?;
            match self.session.write_tls(&mut self.tcp) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(e) if is_interrupted(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl Stream for TlsStream {
    fn receive(&mut self, bytes: &mut [u8], within: Duration) -> io::Result<usize> {
        let clock = Clock::of(within);
        loop {
            match self.session.reader().read(bytes) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                // Cut off without a farewell. What counts is whole lines, so that is an end, too.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                done => return done,
            }
            match self.exchange(&clock) {
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                done => done?,
            }
        }
    }

    fn send(&mut self, mut bytes: &[u8], within: Duration) -> io::Result<()> {
        let clock = Clock::of(within);
        while !bytes.is_empty() {
            // What does not fit into its buffer waits until some has gone.
            let taken = self.session.writer().write(bytes)?;
            bytes = &bytes[taken..];
            self.flush(&clock)?;
        }
        Ok(())
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        // A farewell, if there is room for one at once.
        self.session.send_close_notify();
        drop(self.flush(&Clock::of(Duration::from_millis(100))));
    }
}
