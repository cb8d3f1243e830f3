//! Putting an old value back, and not putting it back over somebody else's.

use super::host::Host;
use super::journal::Record;
use super::knob::Fault;
use super::place::Found;

/// How a knob was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// At the old value.
    Old,
    /// At a value that is neither the old one nor ours.
    Foreign(String),
    /// Nowhere: the place has gone.
    Gone,
}

/// What a knob is at, compared with what a record knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// What we wrote.
    Ours,
    /// What was there before, or something else, or nothing.
    Not(Left),
}

/// Looks what has become of a fix.
///
/// # Errors
/// When the kernel cannot be asked.
pub(crate) fn look(host: &Host, record: &Record) -> Result<Holds, Fault> {
    if record.boot != host.boot {
        return Ok(Holds::Not(Left::Gone));
    }
    let open = match record.place.open(host)? {
        Found::Here(open) => open,
        Found::Gone => return Ok(Holds::Not(Left::Gone)),
    };
    let text = match open.read() {
        Ok(text) => text,
        Err(Fault::Absent(_)) => return Ok(Holds::Not(Left::Gone)),
        Err(Fault::Foreign(what) | Fault::Claimed(what)) => {
            return Ok(Holds::Not(Left::Foreign(what)));
        }
        Err(fault) => return Err(fault),
    };
    let is_ours =
        |written: &String| *written == text || (!record.settled && open.are_close(written, &text));
    if text == record.old {
        Ok(Holds::Not(Left::Old))
    } else if record.written.iter().any(is_ours) {
        Ok(Holds::Ours)
    } else {
        Ok(Holds::Not(Left::Foreign(text)))
    }
}

/// Puts the old value back if ours is still there. `is_shared`: another fix is in the same resource group;
/// with the last one the group goes, whatever has become of it.
///
/// # Errors
/// When the kernel does not take it, or the target would not survive it: nothing is lost, ask again later.
pub(crate) fn put_back(host: &Host, record: &Record, is_shared: bool) -> Result<Left, Fault> {
    let holds = look(host, record);
    if let Some(partition) = record.place.partition(host).filter(|_| !is_shared) {
        partition.remove()?;
        return Ok(match holds {
            Ok(Holds::Not(left)) => left,
            Ok(Holds::Ours) | Err(_) => Left::Old,
        });
    }
    match holds? {
        Holds::Not(left) => return Ok(left),
        Holds::Ours => {}
    }
    let Found::Here(open) = record.place.open(host)? else { return Ok(Left::Gone) };
    if let Some(why) = open.obstacle(&record.old)? {
        return Err(Fault::Deadly(why));
    }
    open.write(&record.old)?;
    match open.read()? {
        text if open.are_close(&text, &record.old) => Ok(Left::Old),
        text => Err(Fault::Strange(format!("{:?} was written, but it is {text:?}", record.old))),
    }
}
