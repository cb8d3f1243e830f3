//! From a request to a [`CheckedFix`], or a refusal that says why.
//!
//! Nothing else can be applied: the fields are private, and [`check`] is the only constructor.

use std::time::Duration;

use super::bound::Bound;
use super::host::{Base, Host};
use super::interface::interface;
use super::knob::Fault;
use super::locate::locate;
use super::place::{Open, Place, Replica};
use super::policy::{Policy, Rule};
use super::root::RelPath;
use crate::data::{Fix, FixId, Knob, Target, Value};
use crate::wire::{Code, Refusal};

/// Shortest lease: a controller that must renew more often than this is not worth its noise.
const LEASE_MIN: Duration = Duration::from_secs(1);
/// Longest note.
const NOTE_BYTES_MAX: usize = 512;

/// A fix that the policy allows, at a place that was there a moment ago.
#[derive(Debug)]
pub(crate) struct CheckedFix {
    id: FixId,
    place: Place,
    open: Open,
    old: String,
    new: String,
    lease: Duration,
    note: String,
}

impl CheckedFix {
    pub(crate) fn id(&self) -> &FixId {
        &self.id
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn open(&self) -> &Open {
        &self.open
    }

    /// What is there, in the kernel's words.
    pub(crate) fn old(&self) -> &str {
        &self.old
    }

    /// What will be there, in the kernel's words.
    pub(crate) fn new_value(&self) -> &str {
        &self.new
    }

    pub(crate) fn lease(&self) -> Duration {
        self.lease
    }

    pub(crate) fn note(&self) -> &str {
        &self.note
    }
}

/// Checks everything about a fix that does not depend on other fixes.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn check(policy: &Policy, host: &Host, mut fix: Fix) -> Result<CheckedFix, Refusal> {
    check_lease(policy, fix.lease)?;
    if fix.note.len() > NOTE_BYTES_MAX {
        let reason = format!("the note is longer than {NOTE_BYTES_MAX} bytes");
        return Err(Refusal::new(Code::BadRequest, reason, "say it shorter"));
    }
    let replica = if fix.seeks_interface() {
        let (device, replica) = interface(host, &fix.target)?;
        (fix.device, fix.target) = (Some(device), Target::Node);
        Some(replica)
    } else {
        None
    };
    check_device(fix.knob, fix.device.as_deref())?;
    let (base, path) = whereabouts(host, &fix)?;
    let site = Site { base, path: &path, device: fix.device.as_deref(), replica: replica.as_ref() };
    let bound = bound(policy, host, site, fix.knob)?;
    let found = Place::find(host, base, path, fix.knob, fix.device);
    let (mut place, open) = found.map_err(refuse)?;
    place.replica = replica;
    let old = open.read().map_err(refuse)?;
    let new = check_value(bound, fix.knob, &open, &old, &fix.value)?;
    if new == old {
        let reason = format!("{} of {} is {old} already", fix.knob, place.shown());
        return Err(Refusal::new(Code::NothingToDo, reason, "another knob may help"));
    }
    Ok(CheckedFix { id: fix.id, place, open, old, new, lease: fix.lease, note: fix.note })
}

/// Checks another value for a place that a fix holds; `old` is what was there before the fix.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_change(
    policy: &Policy,
    host: &Host,
    place: &Place,
    open: &Open,
    old: &str,
    value: &Value,
) -> Result<String, Refusal> {
    let site = Site {
        base: place.base,
        path: &place.path,
        device: place.device.as_deref(),
        replica: place.replica.as_ref(),
    };
    let bound = bound(policy, host, site, place.knob)?;
    let new = check_value(bound, place.knob, open, old, value)?;
    if new == old {
        let reason = format!("{} was {old} before this fix", place.knob);
        return Err(Refusal::new(Code::NothingToDo, reason, "revert the fix instead"));
    }
    Ok(new)
}

/// Checks how long a lease is.
///
/// # Errors
/// When it is too short or too long.
pub(crate) fn check_lease(policy: &Policy, lease: Duration) -> Result<(), Refusal> {
    let most = policy.limits.lease_max;
    if (LEASE_MIN..=most).contains(&lease) {
        return Ok(());
    }
    let reason = format!("a lease of {lease:?} is not within {LEASE_MIN:?} and {most:?}");
    Err(Refusal::new(Code::LeaseLength, reason, "ask for less and renew it"))
}

/// A block device by number, a policy or an interface by name; they become words of kernel files, paths
/// and arguments, so nothing else is let through.
fn check_device(knob: Knob, device: Option<&str>) -> Result<(), Refusal> {
    let refused = |reason: String, cure| Err(Refusal::new(Code::Device, reason, cure));
    let device = match (knob.needs_device(), device) {
        (true, Some(device)) => device,
        (false, None) => return Ok(()),
        (true, None) => return refused(format!("{knob} needs a device"), "name one in \"device\""),
        (false, Some(_)) => return refused(format!("{knob} has no device"), "leave it out"),
    };
    let is_number = |t: &str| (1..=8).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
    let is_good = if knob.is_of_cgroup() {
        device.split_once(':').is_some_and(|(major, minor)| is_number(major) && is_number(minor))
    } else {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        (1..=15).contains(&device.len())
            && device.bytes().all(is_plain)
            && !device.starts_with(['.', '-'])
    };
    if is_good {
        Ok(())
    } else {
        let cure = "block devices are \"major:minor\", others go by their name";
        refused(format!("{device:?} is no device for {knob}"), cure)
    }
}

fn whereabouts(host: &Host, fix: &Fix) -> Result<(Base, RelPath), Refusal> {
    let absent = || {
        let reason = format!("this node has no kernel interface for {}", fix.knob);
        let cure = match fix.knob.is_of_group() {
            true => "mount resctrl where roots.resctrl says, if the processor has it",
            false => "use another knob",
        };
        Refusal::new(Code::KnobAbsent, reason, cure)
    };
    let base = host.base_of(fix.knob).ok_or_else(absent)?;
    let path = match (fix.knob.is_of_cgroup(), &fix.target) {
        (true, target) => locate(host, target, base)?,
        (false, Target::Node) => {
            let device = fix.device.as_deref().unwrap_or_default();
            RelPath::parse(&format!("/{device}"))
                .map_err(|e| Refusal::new(Code::Device, e, "name a device"))?
        }
        (false, target) => {
            let reason = format!("{} belongs to the node, not to {target}", fix.knob);
            return Err(Refusal::new(Code::TargetNotAllowed, reason, "use the target \"node\""));
        }
    };
    Ok((base, path))
}

/// What a rule must cover.
#[derive(Clone, Copy)]
struct Site<'a> {
    base: Base,
    path: &'a RelPath,
    device: Option<&'a str>,
    /// Whose interface it is, if it was looked for.
    replica: Option<&'a Replica>,
}

impl<'a> Site<'a> {
    /// The cgroup it is for; `None` for the node.
    fn cgroup(&self, knob: Knob) -> Option<(Base, &'a RelPath)> {
        if knob.is_of_cgroup() {
            return Some((self.base, self.path));
        }
        self.replica.map(|replica| (replica.base, &replica.path))
    }

    /// The cgroup must be one of the rule, and the device, too. Of an interface that was looked for, it is
    /// enough that it belongs to the cgroup, unless the rule names devices.
    fn is_covered(&self, knob: Knob, rule: &Rule) -> bool {
        let is_any_device = self.replica.is_some() && rule.devices.is_empty();
        self.cgroup(knob).is_none_or(|(_, path)| rule.cgroups.matches(path.as_str()))
            && (is_any_device || self.device.is_none_or(|device| rule.devices.matches(device)))
    }
}

fn bound<'a>(
    policy: &'a Policy,
    host: &Host,
    site: Site<'_>,
    knob: Knob,
) -> Result<&'a Bound, Refusal> {
    let cgroup = site.cgroup(knob);
    if let Some((base, path)) = cgroup.filter(|(base, path)| host.is_own(*base, path)) {
        let reason = format!("{base}:{path} holds the helper itself, or the whole node");
        return Err(Refusal::new(Code::OwnCgroup, reason, "name the cgroup of one replica"));
    }
    let covers = |rule: &&Rule| site.is_covered(knob, rule);
    let (base, path) = cgroup.unwrap_or((site.base, site.path));
    let mut covering = policy.rules.iter().filter(covers).peekable();
    let widen = "have the operator add it to the policy, if it should be allowed";
    if covering.peek().is_none() {
        let device = site.device.map(|d| format!(" with device {d}")).unwrap_or_default();
        let reason = format!("no rule of the policy covers {base}:{path}{device}");
        return Err(Refusal::new(Code::TargetNotAllowed, reason, widen));
    }
    covering.find_map(|rule| rule.knobs.get(&knob)).ok_or_else(|| {
        let reason = format!("the policy does not allow {knob} at {base}:{path}");
        Refusal::new(Code::KnobNotAllowed, reason, widen)
    })
}

fn check_value(
    bound: &Bound,
    knob: Knob,
    open: &Open,
    old: &str,
    value: &Value,
) -> Result<String, Refusal> {
    let (interface, spot) = (open.interface(), open.spot());
    let cure = "see docs/helper.md for the values of each knob";
    let bad = |why: String| Refusal::new(Code::BadValue, format!("{knob}: {why}"), cure);
    let new = interface.encode(spot, value).map_err(bad)?;
    let amount = |text| {
        interface.amount(spot, text).map_err(|why| {
            let reason = format!("{knob}: {why}");
            Refusal::new(Code::Kernel, reason, "look at the file by hand")
        })
    };
    bound.check(knob, &amount(old)?, &amount(&new)?)?;
    match interface.danger(spot, &new) {
        Some(why) => Err(Refusal::new(
            Code::BelowUsage,
            format!("{knob}: {why}"),
            "ask for more, or use memory_high, which reclaims instead of killing",
        )),
        None => Ok(new),
    }
}

/// A fault of the kernel's side as a refusal.
pub(crate) fn refuse(fault: Fault) -> Refusal {
    match fault {
        Fault::Absent(what) => {
            let reason = format!("{what} is not there");
            Refusal::new(Code::KnobAbsent, reason, "look which controllers are enabled for it")
        }
        Fault::Foreign(what) => {
            Refusal::new(Code::ForeignQdisc, what, "whoever put it there must take it away")
        }
        Fault::Claimed(what) => {
            let cure = "whoever put it there must take it out again";
            Refusal::new(Code::ForeignGroup, what, cure)
        }
        Fault::NoGroupLeft(what) => {
            let reason = format!("the processor has no resource group left: {what}");
            let cure = "revert a fix of another target, or remove a group of your own";
            Refusal::new(Code::NoGroupLeft, reason, cure)
        }
        other => Refusal::new(
            Code::Kernel,
            format!("the kernel says: {other}"),
            "a parent may be tighter, or the value is nothing for this kernel",
        ),
    }
}
