//! Step 5: accept, identify, answer; and between requests, let leases end.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use super::clock::{self, Now};
use super::error::Error;
use super::keeper::Keeper;
use super::line::{Line, Lines};
use super::peer::identify;
use super::policy::SocketPolicy;
use super::start::Ready;
use crate::wire::{self, Answer, Code, Refusal};

/// A client that does not read its answer for this long is left alone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Stack of a thread that serves one connection.
const STACK_BYTES: usize = 512 * 1024;

/// What the threads share.
struct Shared {
    keeper: Mutex<Keeper>,
    socket: SocketPolicy,
    connections: AtomicUsize,
    refused_peers: AtomicUsize,
    /// Wakes the main thread: leases have changed.
    wake: UnixStream,
}

/// Serves until SIGTERM or SIGINT, then puts everything back.
///
/// # Errors
/// When a part of the helper dies. Nothing is put back then but by the next start.
pub(crate) fn serve(ready: Ready) -> Result<(), Error> {
    let Ready { keeper, listener, socket } = ready;
    let (waker, woken) = UnixStream::pair().map_err(Error::Signals)?;
    waker.set_nonblocking(true).map_err(Error::Signals)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // The flag first: whoever is woken must see it.
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(Error::Signals)?;
        let waker = waker.try_clone().map_err(Error::Signals)?;
        signal_hook::low_level::pipe::register(signal, waker).map_err(Error::Signals)?;
    }
    let path = socket.path.clone();
    let shared = Arc::new(Shared {
        keeper: Mutex::new(keeper),
        socket,
        connections: AtomicUsize::new(0),
        refused_peers: AtomicUsize::new(0),
        wake: waker,
    });
    let accepting = Arc::clone(&shared);
    std::thread::Builder::new()
        .name("accept".into())
        .spawn(move || accept(&listener, &accepting))
        .map_err(Error::Signals)?;
    tracing::info!(socket = %path.display(), "serving");
    while !stop.load(Ordering::Acquire) {
        // A thread that died with the keeper in hand may have left it half done.
        let next = shared.keeper.lock().map_err(|_| Error::Broken)?.tick(Now::read());
        wait(&woken, next.saturating_sub(clock::since_boot()))?;
    }
    let stopped = shared.keeper.lock().map_err(|_| Error::Broken)?.stop(Now::read());
    // It may have been removed by hand; it is of no use any more either way.
    drop(std::fs::remove_file(&path));
    match stopped {
        Ok(ended) => tracing::info!(fixes = ended.len(), "stopped, everything is put back"),
        // The journal keeps it for the next start.
        Err(refusal) => tracing::error!(%refusal, "stopped, but not everything is put back"),
    }
    Ok(())
}

fn wait(woken: &UnixStream, time: Duration) -> Result<(), Error> {
    woken.set_read_timeout(Some(time.max(Duration::from_millis(1)))).map_err(Error::Signals)?;
    match (&mut &*woken).read(&mut [0; 64]) {
        Err(e) if !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Err(Error::Signals(e))
        }
        _ => Ok(()),
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors or memory: the next moment may be better.
                tracing::warn!(%error, "cannot accept a connection");
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        match admit(&stream, shared) {
            Ok(uid) => start(stream, uid, shared),
            Err(refusal) => {
                // Whoever does not read this is none of our concern.
                drop(send(&stream, &Answer::Refused(refusal)));
            }
        }
    }
}

fn admit(stream: &UnixStream, shared: &Shared) -> Result<u32, Refusal> {
    let uid = identify(stream, &shared.socket).inspect_err(|refusal| {
        // Somebody who knocks all day shall not fill the log.
        let count = shared.refused_peers.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(count, reason = refusal.reason, "peer refused");
        }
    })?;
    let most = shared.socket.connections_max;
    if shared.connections.fetch_add(1, Ordering::AcqRel) >= most {
        shared.connections.fetch_sub(1, Ordering::AcqRel);
        let reason = format!("{most} connections are open, socket.connections_max");
        return Err(Refusal::new(Code::TooManyConnections, reason, "close one, or come again"));
    }
    Ok(uid)
}

fn start(stream: UnixStream, uid: u32, shared: &Arc<Shared>) {
    let serving = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("client".into()).stack_size(STACK_BYTES).spawn(
        move || {
            let _open = Connection(&serving.connections);
            if let Err(error) = converse(&stream, uid, &serving) {
                tracing::debug!(uid, %error, "connection broke");
            }
        },
    );
    if let Err(error) = thread {
        shared.connections.fetch_sub(1, Ordering::AcqRel);
        tracing::warn!(%error, "cannot serve a connection");
    }
}

/// Counts a connection out, however its thread ends.
struct Connection<'a>(&'a AtomicUsize);

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn converse(stream: &UnixStream, uid: u32, shared: &Shared) -> io::Result<()> {
    let socket = &shared.socket;
    let mut lines = Lines::new(stream, socket.line_bytes_max, socket.idle_timeout);
    loop {
        let line = match lines.next()? {
            Line::Text(line) => line,
            Line::End => return Ok(()),
            Line::TooLong => {
                let reason = format!("a request has at most {} bytes", socket.line_bytes_max);
                let refusal = Refusal::new(Code::LineTooLong, reason, "ask for one fix at a time");
                return send(stream, &Answer::Refused(refusal));
            }
        };
        let answer = match wire::parse_request(&line) {
            Err(refusal) => Answer::Refused(refusal),
            Ok(request) => {
                let mut keeper =
                    shared.keeper.lock().map_err(|_| io::Error::other("the keeper died"))?;
                let answer = keeper.answer(request, uid, Now::read());
                drop(keeper);
                // Full means that it is awake already.
                drop((&shared.wake).write(&[0]));
                answer
            }
        };
        send(stream, &answer)?;
    }
}

fn send(mut stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    stream.write_all(wire::line(answer).as_bytes())
}
