//! Asks a running helper, for people.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::line::{Line, Lines};
use super::stream::Stream as _;
use crate::data::{FixId, Target};
use crate::wire::{self, Answer, EndedView, LeaseView, Listing, Request, Which};

/// A helper answers within milliseconds; one that waits for `tc` within seconds.
const TIMEOUT: Duration = Duration::from_secs(30);
/// More than a helper answers.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Sends one request and waits for its answer.
///
/// # Errors
/// What is wrong with the connection or the answer.
pub(crate) fn ask(socket: &Path, request: &Request) -> Result<Answer, String> {
    let fail = |e: std::io::Error| format!("{}: {e}", socket.display());
    let stream = UnixStream::connect(socket).map_err(fail)?;
    match (&stream).send(wire::line(request).as_bytes(), TIMEOUT) {
        // Who is not let in is told so before it can ask.
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => return Err(fail(e)),
        _ => {}
    }
    match Lines::new(ANSWER_BYTES_MAX, TIMEOUT).next(&mut &stream).map_err(fail)? {
        Line::Text(line) => wire::parse_answer(&line),
        Line::TooLong => Err("the answer is too long".into()),
        Line::End => Err(format!("{}: closed without an answer", socket.display())),
    }
}

/// The request of `revert`.
///
/// # Errors
/// When it is no name.
pub(crate) fn revert(fix: &str) -> Result<Request, String> {
    Ok(Request::Revert(match fix {
        "all" => Which::All,
        fix => Which::Fix(FixId::new(fix)?),
    }))
}

/// The request of `inspect`.
pub(crate) fn inspect(cgroup: String) -> Request {
    Request::Inspect { target: Target::Cgroup(cgroup) }
}

/// The request of `ctl`, which has no version.
///
/// # Errors
/// When it is none.
pub(crate) fn request(text: &str) -> Result<Request, String> {
    serde_json::from_str(text).map_err(|e| format!("not a request: {e}"))
}

/// An answer as people read it.
pub(crate) fn describe(answer: &Answer) -> String {
    match answer {
        Answer::List(listing) => list(listing),
        Answer::Ended(ended) => ended.iter().map(ended_line).collect(),
        Answer::Lease(lease) => lease_lines(lease),
        Answer::Refused(refusal) => format!("{refusal}\n"),
        Answer::Inspected(_) | Answer::Pong(_) => {
            // Plain data prints.
            serde_json::to_string_pretty(answer).unwrap_or_default() + "\n"
        }
    }
}

fn list(listing: &Listing) -> String {
    let mut text = String::new();
    if listing.leases.is_empty() {
        text.push_str("nothing is changed\n");
    }
    listing.leases.iter().for_each(|lease| text.push_str(&lease_lines(lease)));
    if !listing.ended.is_empty() {
        text.push_str("ended:\n");
    }
    listing.ended.iter().for_each(|ended| text.push_str(&ended_line(ended)));
    text
}

fn lease_lines(lease: &LeaseView) -> String {
    let device = lease.device.as_deref().map(|d| format!(" ({d})")).unwrap_or_default();
    let mut text = format!(
        "{}: {} of {}{device} is {:?}, was {:?}; {} left, since {}, for {}",
        lease.fix,
        lease.knob,
        lease.place,
        lease.now,
        lease.old,
        crate::duration::text(Duration::from_secs(lease.left.as_secs())),
        lease.since,
        asker(lease)
    );
    for (label, more) in [("note", Some(&lease.note)), ("STUCK", lease.trouble.as_ref())] {
        if let Some(more) = more.filter(|m| !m.is_empty()) {
            // Notes come from others: no control characters.
            text.push_str(&format!("\n    {label}: {}", more.escape_debug()));
        }
    }
    text + "\n"
}

fn asker(lease: &LeaseView) -> String {
    match (&lease.peer, lease.uid) {
        (Some(peer), _) => peer.clone(),
        (None, Some(uid)) => format!("user {uid}"),
        (None, None) => "nobody known".into(),
    }
}

fn ended_line(ended: &EndedView) -> String {
    let how = serde_json::to_value(ended.how).ok();
    let how = how.as_ref().and_then(|h| h.as_str()).unwrap_or_default();
    format!(
        "{}: {how} at {}; {} of {} is {:?}\n",
        ended.fix, ended.at, ended.knob, ended.place, ended.left_at
    )
}
