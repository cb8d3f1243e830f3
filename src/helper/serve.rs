//! Step 6: accept, identify, answer; and between requests, let leases end.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::asker::Asker;
use super::clock::{self, Now};
use super::error::Error;
use super::keeper::Keeper;
use super::line::{Line, Lines};
use super::peer::identify;
use super::places::{Place, Places};
use super::policy::SocketPolicy;
use super::remote::{Admission, Identity, Remote};
use super::start::{Confined, Ready};
use super::stream::{Stream, TlsStream};
use crate::wire::{self, Answer, Code, Refusal};

/// A client that does not read its answer for this long is left alone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Stack of a thread that serves one connection.
const STACK_BYTES: usize = 512 * 1024;
/// Strangers that shake hands at the same time. More are closed at once.
const HANDSHAKES_MAX: usize = 16;
/// Between two looks at the files of certificates: they are exchanged days before they end.
const LOOK: Duration = Duration::from_secs(30);

/// What the threads share.
struct Shared {
    keeper: Mutex<Keeper>,
    socket: SocketPolicy,
    /// Wakes the main thread: leases have changed.
    wake: UnixStream,
    refused_peers: AtomicUsize,
}

impl Shared {
    /// Somebody who knocks all day shall not fill the log.
    fn note_refusal(&self, reason: &str) {
        let count = self.refused_peers.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::warn!(count, reason, "peer refused");
        }
    }
}

/// Flags that signals set; all of them wake the main thread.
struct Signals {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

impl Signals {
    fn register(waker: &UnixStream) -> io::Result<Self> {
        let signals = Self { stop: Arc::default(), reload: Arc::default() };
        for (signal, flag) in
            [(SIGTERM, &signals.stop), (SIGINT, &signals.stop), (SIGHUP, &signals.reload)]
        {
            // The flag first: whoever is woken must see it.
            signal_hook::flag::register(signal, Arc::clone(flag))?;
            signal_hook::low_level::pipe::register(signal, waker.try_clone()?)?;
        }
        Ok(signals)
    }
}

/// Serves until SIGTERM or SIGINT, then puts everything back.
///
/// # Errors
/// When a part of the helper dies: nothing is put back then but by the next start. And when something could
/// not be put back.
pub(crate) fn serve(Confined(ready): Confined) -> Result<(), Error> {
    let Ready { keeper, listener, remote, socket, .. } = ready;
    let (waker, woken) = UnixStream::pair().map_err(Error::Signals)?;
    waker.set_nonblocking(true).map_err(Error::Signals)?;
    let signals = Signals::register(&waker).map_err(Error::Signals)?;
    let path = socket.path.clone();
    let places = Places::new(socket.connections_max);
    let shared = Arc::new(Shared {
        keeper: Mutex::new(keeper),
        socket,
        wake: waker,
        refused_peers: AtomicUsize::new(0),
    });
    let accepting = Arc::clone(&shared);
    start("accept", move || accept(&listener, &places, &accepting)).map_err(Error::Signals)?;
    let identity = match remote {
        None => None,
        Some(Remote { listener, identity }) => {
            let identity = Arc::new(identity);
            let (accepting, ours) = (Arc::clone(&shared), Arc::clone(&identity));
            start("accept-tcp", move || accept_remote(&listener, &ours, &accepting))
                .map_err(Error::Signals)?;
            Some(identity)
        }
    };
    tracing::info!(socket = %path.display(), "serving");
    let mut look_at = clock::since_boot() + LOOK;
    while !signals.stop.load(Ordering::Acquire) {
        let is_told = signals.reload.swap(false, Ordering::AcqRel);
        if is_told || clock::since_boot() >= look_at {
            look_at = clock::since_boot() + LOOK;
            look(identity.as_deref(), is_told);
        }
        // A thread that died with the keeper in hand may have left it half done.
        let next = shared.keeper.lock().map_err(|_| Error::Broken)?.tick(Now::read());
        wait(&woken, next.min(look_at).saturating_sub(clock::since_boot()))?;
    }
    let (stopped, count) = {
        let mut keeper = shared.keeper.lock().map_err(|_| Error::Broken)?;
        (keeper.stop(Now::read()), keeper.held())
    };
    // It may have been removed by hand; it is of no use any more either way.
    drop(std::fs::remove_file(&path));
    match stopped {
        Ok(ended) => {
            tracing::info!(fixes = ended.len(), "stopped, everything is put back");
            Ok(())
        }
        Err(refusal) => {
            tracing::error!(%refusal, "stopped, but not everything is put back");
            Err(Error::Held { count })
        }
    }
}

/// Certificates may have been exchanged.
fn look(identity: Option<&Identity>, is_told: bool) {
    match identity.map(|identity| identity.look(is_told)) {
        Some(Ok(true)) => tracing::info!("certificates are read again"),
        Some(Err(error)) => tracing::error!(%error, "the old certificates stay in use"),
        Some(Ok(false)) | None => {}
    }
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

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.into()).stack_size(STACK_BYTES).spawn(run).map(drop)
}

/// The next connection of a listener.
fn next<T>(accept: impl Fn() -> io::Result<T>) -> T {
    loop {
        match accept() {
            Ok(stream) => return stream,
            Err(error) => {
                // Out of descriptors or memory: the next moment may be better.
                tracing::warn!(%error, "cannot accept a connection");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

fn accept(listener: &UnixListener, places: &Arc<Places>, shared: &Arc<Shared>) {
    loop {
        let (stream, _) = next(|| listener.accept());
        let admitted = identify(&stream, &shared.socket)
            .inspect_err(|refusal| shared.note_refusal(&refusal.reason))
            .and_then(|uid| Ok((uid, places.take().ok_or_else(|| too_many("socket", places))?)));
        let (uid, place) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                // Whoever does not read this is none of our concern.
                drop(send(&mut &stream, &Answer::Refused(refusal)));
                continue;
            }
        };
        let serving = Arc::clone(shared);
        let client = move || {
            let _place: Place = place;
            let asker = Asker::User(uid);
            if let Err(error) = converse(&mut &stream, &asker, &serving, || true) {
                tracing::debug!(%asker, %error, "connection broke");
            }
        };
        if let Err(error) = start("client", client) {
            tracing::warn!(%error, "cannot serve a connection");
        }
    }
}

fn too_many(table: &str, places: &Places) -> Refusal {
    let most = places.most();
    let reason = format!("{most} connections are open, {table}.connections_max");
    Refusal::new(Code::TooManyConnections, reason, "close one, or come again")
}

fn accept_remote(listener: &TcpListener, identity: &Arc<Identity>, shared: &Arc<Shared>) {
    let strangers = Places::new(HANDSHAKES_MAX);
    let places = Places::new(identity.policy.connections_max);
    loop {
        let (tcp, from) = next(|| listener.accept());
        let Some(stranger) = strangers.take() else {
            // In the clear there is nothing to say.
            shared.note_refusal(&format!("{from}: {HANDSHAKES_MAX} handshakes are under way"));
            continue;
        };
        let (serving, identity, places) =
            (Arc::clone(shared), Arc::clone(identity), Arc::clone(&places));
        let client = move || match greet(tcp, &identity, &places) {
            Ok((mut stream, asker, admission, place)) => {
                drop(stranger);
                let is_current = || identity.is_current(admission, clock::since_boot());
                if let Err(error) = converse(&mut stream, &asker, &serving, is_current) {
                    tracing::debug!(%asker, %error, "connection broke");
                }
                drop(place);
            }
            Err(why) => serving.note_refusal(&format!("{from}: {why}")),
        };
        if let Err(error) = start("client", client) {
            tracing::warn!(%error, "cannot serve a connection");
        }
    }
}

/// Handshake, then the name in the certificate, then a place. Who has got through the handshake is told
/// what is wrong; its authority is ours.
fn greet(
    tcp: TcpStream,
    identity: &Identity,
    places: &Arc<Places>,
) -> Result<(TlsStream, Asker, Admission, Place), String> {
    let (session, admission) = identity.session(clock::since_boot()).map_err(|e| e.to_string())?;
    let within = identity.policy.handshake_timeout;
    let mut stream = TlsStream::accept(tcp, session, within).map_err(|e| match e.kind() {
        io::ErrorKind::WouldBlock => format!("no handshake within {within:?}"),
        _ => e.to_string(),
    })?;
    let refusal = match identity.name_of(stream.session().peer_certificates()) {
        None => {
            let reason = "none of the names in your certificate is in tcp.client_names";
            Refusal::new(Code::Peer, reason, "have the operator add it, or show another one")
        }
        Some(name) => match places.take() {
            Some(place) => return Ok((stream, Asker::Remote(name.into()), admission, place)),
            None => too_many("tcp", places),
        },
    };
    let why = refusal.reason.clone();
    drop(send(&mut stream, &Answer::Refused(refusal)));
    Err(why)
}

fn converse(
    stream: &mut dyn Stream,
    asker: &Asker,
    shared: &Shared,
    is_current: impl Fn() -> bool,
) -> io::Result<()> {
    let socket = &shared.socket;
    let mut lines = Lines::new(socket.line_bytes_max, socket.idle_timeout);
    loop {
        let line = match lines.next(stream)? {
            Line::Text(line) => line,
            Line::End => return Ok(()),
            Line::TooLong => {
                let reason = format!("a request has at most {} bytes", socket.line_bytes_max);
                let refusal = Refusal::new(Code::LineTooLong, reason, "ask for one fix at a time");
                return send(stream, &Answer::Refused(refusal));
            }
        };
        if !is_current() {
            // Whoever is still believed comes again, and asks again.
            return Ok(());
        }
        let answer = match wire::parse_request(&line) {
            Err(refusal) => Answer::Refused(refusal),
            Ok(request) => {
                let mut keeper =
                    shared.keeper.lock().map_err(|_| io::Error::other("the keeper died"))?;
                let answer = keeper.answer(request, asker, Now::read());
                drop(keeper);
                // Full means that it is awake already.
                drop((&shared.wake).write(&[0]));
                answer
            }
        };
        send(stream, &answer)?;
    }
}

fn send(stream: &mut dyn Stream, answer: &Answer) -> io::Result<()> {
    stream.send(wire::line(answer).as_bytes(), WRITE_TIMEOUT)
}
