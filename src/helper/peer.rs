//! Who is at the other end of the socket, by the kernel's word.

use std::os::unix::net::UnixStream;

use super::policy::SocketPolicy;
use crate::wire::{Code, Refusal};

/// The user of a connection, if the policy names it.
///
/// # Errors
/// A refusal.
pub(crate) fn identify(stream: &UnixStream, policy: &SocketPolicy) -> Result<u32, Refusal> {
    let peer = rustix::net::sockopt::socket_peercred(stream).map_err(|e| {
        let reason = format!("the kernel does not say who you are: {e}");
        Refusal::new(Code::Peer, reason, "connect again")
    })?;
    admit(peer.uid.as_raw(), policy)
}

fn admit(uid: u32, policy: &SocketPolicy) -> Result<u32, Refusal> {
    if policy.allowed_uids.contains(&uid) {
        return Ok(uid);
    }
    let reason = format!("user {uid} is not in socket.allowed_uids");
    Err(Refusal::new(Code::Peer, reason, "have the operator add it, or use the sidecar's user"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_users_are_admitted_not_even_root_otherwise() {
        let policy = SocketPolicy { allowed_uids: vec![990], ..SocketPolicy::default() };
        assert_eq!(admit(990, &policy), Ok(990));
        for uid in [0, 65_534] {
            assert_eq!(admit(uid, &policy).unwrap_err().code, Code::Peer);
        }
    }

    #[test]
    fn the_kernel_says_who_is_there() {
        let (one, _two) = UnixStream::pair().unwrap();
        let me = rustix::process::geteuid().as_raw();
        let policy = SocketPolicy { allowed_uids: vec![me], ..SocketPolicy::default() };
        assert_eq!(identify(&one, &policy), Ok(me));
        let policy = SocketPolicy { allowed_uids: vec![me + 1], ..SocketPolicy::default() };
        assert_eq!(identify(&one, &policy).unwrap_err().code, Code::Peer);
    }
}
