//! Where the node's interfaces lead: from rtnetlink, which says of the near end of a veth in which network
//! namespace the other end is. Numbers of interfaces do not: in most containers it is the same one.

use std::fmt;
use std::io;
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with, sockopt,
};

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Link {
    pub(crate) name: String,
    /// `veth` and others; empty for hardware.
    pub(crate) kind: String,
    /// The namespace its other end is in, by a number of our namespace; `None` for our own.
    pub(crate) peer_netns: Option<i32>,
}

/// Who knows about interfaces.
pub(crate) trait Links: fmt::Debug + Send + Sync {
    /// All interfaces of our network namespace.
    fn all(&self) -> io::Result<Vec<Link>>;

    /// The number that our namespace has for that of a process, if it has one. Ask after [`all`](Self::all):
    /// that gives numbers to all that links lead to.
    fn netns_of(&self, pid: u32) -> io::Result<Option<i32>>;
}

/// The kernel. A socket for each question; it needs no capability.
#[derive(Debug)]
pub(crate) struct Rtnetlink;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const NEW_NSID: u16 = 88;
const GET_NSID: u16 = 90;
const REQUEST: u16 = 0x1;
const DUMP: u16 = 0x300;
/// Set on all messages of a dump that something changed under.
const INTERRUPTED: u16 = 0x10;

const HEADER_BYTES: usize = 16;
const LINK_BYTES: usize = 16;
const NSID_BYTES: usize = 4;

const LINK_NAME: u16 = 3;
const LINK_INFO: u16 = 18;
const LINK_INFO_KIND: u16 = 1;
const LINK_NETNS: u16 = 37;
const NSID_NUMBER: u16 = 1;
const NSID_PID: u16 = 2;

/// More than the kernel puts into one answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Interfaces of a node, at most.
const LINKS_MAX: usize = 65_536;
/// The kernel answers at once.
const PATIENCE: Duration = Duration::from_secs(2);
/// Times that a list is asked for while interfaces come and go.
const TRIES: usize = 5;

impl Links for Rtnetlink {
    fn all(&self) -> io::Result<Vec<Link>> {
        for _ in 0..TRIES {
            let (mut links, mut is_interrupted) = (Vec::new(), false);
            ask(GET_LINK, DUMP, &[0; LINK_BYTES], |message| {
                is_interrupted |= message.flags & INTERRUPTED != 0;
                links.extend((message.kind == NEW_LINK).then(|| link(message.body)).flatten());
                links.len() <= LINKS_MAX
            })?;
            if !is_interrupted {
                return Ok(links);
            }
        }
        Err(io::Error::other("interfaces come and go too fast to be listed"))
    }

    fn netns_of(&self, pid: u32) -> io::Result<Option<i32>> {
        let mut body = vec![0; NSID_BYTES];
        body.extend(8_u16.to_ne_bytes());
        body.extend(NSID_PID.to_ne_bytes());
        body.extend(pid.to_ne_bytes());
        let mut number = None;
        ask(GET_NSID, 0, &body, |message| {
            if message.kind == NEW_NSID {
                number = netns(message.body);
            }
            false
        })?;
        Ok(number)
    }
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    body: &'a [u8],
}

/// Asks, and shows `take` every message of the answer until it has enough.
fn ask(
    kind: u16,
    flags: u16,
    body: &[u8],
    mut take: impl FnMut(&Message<'_>) -> bool,
) -> io::Result<()> {
    // The protocol is the first of the family: routes and links.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
    let mut request = Vec::with_capacity(HEADER_BYTES + body.len());
    request.extend(u32::try_from(HEADER_BYTES + body.len()).unwrap_or(u32::MAX).to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend((REQUEST | flags).to_ne_bytes());
    request.extend([0; 8]);
    request.extend(body);
    send(&socket, &request, SendFlags::empty())?;
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    loop {
        let (size, _) = recv(&socket, &mut *answer, RecvFlags::empty())?;
        for message in messages(&answer[..size.min(ANSWER_BYTES_MAX)]) {
            match message.kind {
                DONE => return Ok(()),
                ERROR => return error(message.body),
                _ if !take(&message) => return Ok(()),
                _ => {}
            }
        }
        if size == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn error(body: &[u8]) -> io::Result<()> {
    match i32_at(body, 0) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        None => Err(io::Error::other("an error without a number")),
    }
}

/// Cuts a buffer into messages; what is cut short at its end is left out.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let size = usize::try_from(i32_at(bytes, 0)?).ok()?;
        let (kind, flags) = (u16_at(bytes, 4)?, u16_at(bytes, 6)?);
        let body = bytes.get(HEADER_BYTES..size)?;
        bytes = bytes.get(size.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, flags, body })
    })
}

/// Cuts attributes apart: the kind of each and what it says.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const NESTED: u16 = 0x8000;
    std::iter::from_fn(move || {
        let (size, kind) = (usize::from(u16_at(bytes, 0)?), u16_at(bytes, 2)?);
        let body = bytes.get(4..size)?;
        bytes = bytes.get(size.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & !NESTED, body))
    })
}

fn text(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

fn link(body: &[u8]) -> Option<Link> {
    let mut link = Link::default();
    for (kind, value) in attributes(body.get(LINK_BYTES..)?) {
        match kind {
            LINK_NAME => link.name = text(value)?,
            LINK_NETNS => link.peer_netns = i32_at(value, 0),
            LINK_INFO => {
                let kind = attributes(value).find(|(kind, _)| *kind == LINK_INFO_KIND);
                link.kind = kind.and_then(|(_, value)| text(value)).unwrap_or_default();
            }
            _ => {}
        }
    }
    Some(link)
}

/// -1 is "none yet".
fn netns(body: &[u8]) -> Option<i32> {
    let (_, value) = attributes(body.get(NSID_BYTES..)?).find(|(kind, _)| *kind == NSID_NUMBER)?;
    i32_at(value, 0).filter(|number| *number >= 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let size = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [size.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_veth_is_read_with_the_namespace_of_its_other_end() {
        let kind = attribute(LINK_INFO_KIND, b"veth\0");
        let mut body = vec![0; LINK_BYTES];
        body.extend(attribute(LINK_NAME, b"veth12ab\0"));
        body.extend(attribute(5, &7_i32.to_ne_bytes()));
        body.extend(attribute(LINK_INFO | 0x8000, &kind));
        body.extend(attribute(LINK_NETNS, &3_i32.to_ne_bytes()));
        let wanted = Link { name: "veth12ab".into(), kind: "veth".into(), peer_netns: Some(3) };
        assert_eq!(link(&body).unwrap(), wanted);
        let number =
            |n: i32| netns(&[vec![0; 4], attribute(NSID_NUMBER, &n.to_ne_bytes())].concat());
        assert_eq!((number(3), number(0), number(-1)), (Some(3), Some(0), None));
    }

    /// Every machine has one interface at least, and it leads nowhere else.
    #[test]
    fn the_kernel_lists_its_interfaces() {
        let links = Rtnetlink.all().unwrap();
        let lo = links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!(lo.peer_netns, None);
        let nobody = Rtnetlink.netns_of(u32::MAX >> 1).unwrap_err();
        assert_eq!(nobody.raw_os_error(), Some(rustix::io::Errno::SRCH.raw_os_error()));
    }

    proptest! {
        #[test]
        fn property_no_answer_is_a_panic(bytes: Vec<u8>) {
            for message in messages(&bytes) {
                drop(link(message.body));
            }
            drop(link(&bytes));
            netns(&bytes);
            drop(error(&bytes));
        }
    }
}
