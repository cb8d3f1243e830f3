//! Lines of limited length, in limited time, from somebody who may mean harm.

use std::io;
use std::time::Duration;

use super::clock;
use super::stream::Stream;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line, without its end.
    Text(Vec<u8>),
    /// More bytes than a line may have.
    TooLong,
    /// Nothing more will come, or not in time. Half a line is none.
    End,
}

/// Reads lines from a stream.
#[derive(Debug)]
pub(crate) struct Lines {
    waiting: Vec<u8>,
    most: usize,
    timeout: Duration,
}

impl Lines {
    /// Lines of at most `most` bytes, each whole within `timeout` after the one before.
    pub(crate) fn new(most: usize, timeout: Duration) -> Self {
        Self { waiting: Vec::new(), most, timeout }
    }

    /// The next line.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(crate) fn next(&mut self, stream: &mut dyn Stream) -> io::Result<Line> {
        let end = clock::since_boot() + self.timeout;
        loop {
            if let Some(at) = self.waiting.iter().position(|b| *b == b'\n') {
                let rest = self.waiting.split_off(at + 1);
                let mut line = std::mem::replace(&mut self.waiting, rest);
                line.pop();
                return Ok(if line.len() > self.most { Line::TooLong } else { Line::Text(line) });
            }
            if self.waiting.len() > self.most {
                return Ok(Line::TooLong);
            }
            // One byte now and then does not buy more time.
            let left = end.saturating_sub(clock::since_boot());
            if left.is_zero() {
                return Ok(Line::End);
            }
            let mut bytes = [0; 4096];
            match stream.receive(&mut bytes, left) {
                Ok(0) => return Ok(Line::End),
                Ok(n) => self.waiting.extend_from_slice(&bytes[..n]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Line::End),
                Err(e) => return Err(e),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(b"one\ntwo\n\nhalf").unwrap();
        let mut lines = Lines::new(16, LONG);
        for wanted in ["one", "two", ""] {
            assert_eq!(lines.next(&mut &there).unwrap(), Line::Text(wanted.into()));
        }
        here.write_all(b" done\nnever").unwrap();
        assert_eq!(lines.next(&mut &there).unwrap(), Line::Text("half done".into()));
        drop(here);
        assert_eq!(lines.next(&mut &there).unwrap(), Line::End);
    }

    #[test]
    fn a_line_that_is_too_long_is_not_collected() {
        let (mut here, there) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || {
            // Fails once nobody reads any more.
            while here.write_all(&[b'x'; 4096]).is_ok() {}
        });
        let mut lines = Lines::new(10_000, LONG);
        assert_eq!(lines.next(&mut &there).unwrap(), Line::TooLong);
        assert!(lines.waiting.len() <= 10_000 + 4096);
        drop(there);
        writer.join().unwrap();
    }

    #[test]
    fn a_byte_now_and_then_does_not_buy_time() {
        let (mut here, there) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || {
            while here.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let mut lines = Lines::new(1 << 20, Duration::from_millis(50));
        assert_eq!(lines.next(&mut &there).unwrap(), Line::End);
        drop(there);
        writer.join().unwrap();
    }
}
