//! A look into a real Redis or Memcached, in their own protocols.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::orders::Place;
use crate::lab::live::spec::Kind;

/// Keys there are.
const KEYS: u64 = 1000;
/// Bytes of a value.
const VALUE_BYTES: usize = 2048;
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to a store.
#[derive(Debug)]
pub(super) struct Store {
    kind: Kind,
    stream: BufReader<TcpStream>,
}

fn odd(answer: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the store says {:?}", answer.trim_end()))
}

impl Store {
    pub(super) fn connect(place: Place) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&place.address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self { kind: place.kind, stream: BufReader::new(stream) })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line)
    }

    /// Reads a value that `chance` chooses.
    pub(super) fn get(&mut self, chance: u64) -> io::Result<()> {
        let key = format!("k{}", chance % KEYS);
        let is_redis = self.kind == Kind::Redis;
        let request = match is_redis {
            true => format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()),
            false => format!("get {key}\r\n"),
        };
        self.stream.get_mut().write_all(request.as_bytes())?;
        let head = self.line()?;
        let digits = if is_redis { head.strip_prefix('$') } else { head.rsplit(' ').next() };
        let bytes = digits.and_then(|d| d.trim_end().parse::<usize>().ok());
        let bytes = bytes.ok_or_else(|| odd(&head))?;
        if bytes > 4 * VALUE_BYTES {
            return Err(odd(&head));
        }
        let mut value = vec![0; bytes + 2];
        self.stream.read_exact(&mut value)?;
        if !is_redis && self.line()? != "END\r\n" {
            return Err(odd("no END"));
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &str) -> io::Result<()> {
        let (k, v) = (key.len(), value.len());
        let request = match self.kind {
            Kind::Redis => format!("*3\r\n$3\r\nSET\r\n${k}\r\n{key}\r\n${v}\r\n{value}\r\n"),
            _ => format!("set {key} 0 0 {v}\r\n{value}\r\n"),
        };
        self.stream.get_mut().write_all(request.as_bytes())?;
        match self.line()?.trim_end() {
            "+OK" | "STORED" => Ok(()),
            other => Err(odd(other)),
        }
    }
}

/// Puts every key there.
///
/// # Errors
/// When the store does not answer as one.
pub(in crate::lab::live) fn fill(kind: Kind, address: SocketAddr) -> io::Result<()> {
    let mut store = Store::connect(Place { kind, address })?;
    let value = "v".repeat(VALUE_BYTES);
    (0..KEYS).try_for_each(|k| store.set(&format!("k{k}"), &value))
}
