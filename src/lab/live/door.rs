//! Into the network of a run, and the one way through its wall: to the sidecar's page.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::Needs;
use super::net::Tools;

/// Visitors of the page at a time; more wait.
const VISITORS_MAX: usize = 64;

/// What a run takes along into its network.
#[derive(Debug)]
pub struct Door {
    /// Listens in the network where we come from, wherever we are.
    pub(super) page: std::net::TcpListener,
    pub(super) tools: Tools,
}

/// Moves this thread, and with it all threads and processes that it starts from now on, into a new network. `None`:
/// there can be none here, and everything stays in the host's. Call it before there are other threads.
///
/// # Errors
/// Those of the kernel.
pub fn enter(needs: &Needs) -> io::Result<Option<Door>> {
    let Some(tools) = needs.network.clone() else { return Ok(None) };
    let page = std::net::TcpListener::bind("127.0.0.1:0")?;
    // Whoever answers from there holds it open until we are there, too; then it lasts as long as we do.
    let mut holder = Command::new(&tools.unshare)
        .args(["--net", "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (mut ask, answer) = match (holder.stdin.take(), holder.stdout.take()) {
        (Some(ask), Some(answer)) => (ask, answer),
        _ => return Err(io::Error::other("no pipe to unshare")),
    };
    ask.write_all(b"there?\n")?;
    let mut line = String::new();
    BufReader::new(answer).read_line(&mut line)?;
    let moved = match line.trim() {
        "there?" => File::open(format!("/proc/{}/ns/net", holder.id())).and_then(|network| {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(network.as_fd(), kind).map_err(io::Error::from)
        }),
        _ => Err(io::Error::other("unshare makes no network namespace")),
    };
    drop(ask);
    holder.wait()?;
    moved?;
    tools.begin()?;
    Ok(Some(Door { page, tools }))
}

/// Takes whoever comes to `page` to the sidecar, until its task is dropped.
pub(super) async fn let_in(page: TcpListener, sidecar: SocketAddr) {
    let places = Arc::new(Semaphore::new(VISITORS_MAX));
    while let (Ok(place), Ok((mut visitor, _))) =
        (places.clone().acquire_owned().await, page.accept().await)
    {
        tokio::spawn(async move {
            // A browser sees the end of its connection when there is no sidecar, or no more.
            if let Ok(mut there) = TcpStream::connect(sidecar).await {
                drop(copy_bidirectional(&mut visitor, &mut there).await);
            }
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn visitors_reach_the_sidecar_and_its_absence_is_an_end() {
        let sidecar = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let page = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (to, here) = (sidecar.local_addr().unwrap(), page.local_addr().unwrap());
        let door = tokio::spawn(let_in(page, to));
        let mut visitor = TcpStream::connect(here).await.unwrap();
        visitor.write_all(b"hello").await.unwrap();
        let (mut there, _) = sidecar.accept().await.unwrap();
        let mut heard = [0; 5];
        there.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        drop((there, sidecar));
        assert_eq!(visitor.read(&mut heard).await.unwrap(), 0);
        let mut late = TcpStream::connect(here).await.unwrap();
        assert_eq!(late.read(&mut heard).await.unwrap_or(0), 0);
        door.abort();
    }
}
