//! Which capabilities the policy needs, and giving up all others for good.

use caps::{CapSet, Capability, CapsHashSet};

use super::error::Error;
use super::policy::Policy;
use crate::data::Knob;

/// The capabilities that the policy needs:
///
/// - `CAP_DAC_OVERRIDE` to write files of cgroups and cpufreq that belong to another user (delegated
///   cgroups), or when the helper is not root. For resource groups that is not enough: the kernel lets only
///   user 0 move threads of others;
/// - `CAP_NET_ADMIN` if, and only if, a rule allows `network_rate`.
pub(crate) fn needed(policy: &Policy) -> CapsHashSet {
    let mut needed = CapsHashSet::new();
    if policy.allows(|knob| knob != Knob::NetworkRate) {
        needed.insert(Capability::CAP_DAC_OVERRIDE);
    }
    if policy.allows(|knob| knob == Knob::NetworkRate) {
        needed.insert(Capability::CAP_NET_ADMIN);
    }
    needed
}

/// Gives up everything but `needed`, for this thread and all it starts, and sees to it that no program
/// run from here gets more. Call it while there is one thread.
///
/// # Errors
/// When anything is left that should not be. The caller must not serve then.
pub(crate) fn drop_to(needed: &CapsHashSet) -> Result<CapsHashSet, Error> {
    let fail = |step: &'static str| {
        move |e: &dyn std::fmt::Display| Error::Privileges { step, cause: e.to_string() }
    };
    let held = caps::read(None, CapSet::Permitted).map_err(|e| fail("read")(&e))?;
    let keep: CapsHashSet = needed.intersection(&held).copied().collect();
    // The bounding set first: it takes CAP_SETPCAP. Without that, others' care (systemd) is trusted.
    if held.contains(&Capability::CAP_SETPCAP) {
        for capability in caps::all().difference(&keep) {
            if caps::has_cap(None, CapSet::Bounding, *capability).unwrap_or(false) {
                caps::drop(None, CapSet::Bounding, *capability)
                    .map_err(|e| fail("bounding set")(&e))?;
            }
        }
    }
    // `tc` inherits CAP_NET_ADMIN when the helper is not root; nothing else is handed on.
    let hand_on: CapsHashSet =
        keep.iter().copied().filter(|c| *c == Capability::CAP_NET_ADMIN).collect();
    caps::clear(None, CapSet::Ambient).map_err(|e| fail("ambient set")(&e))?;
    caps::set(None, CapSet::Inheritable, &hand_on).map_err(|e| fail("inheritable set")(&e))?;
    caps::set(None, CapSet::Effective, &keep).map_err(|e| fail("effective set")(&e))?;
    caps::set(None, CapSet::Permitted, &keep).map_err(|e| fail("permitted set")(&e))?;
    caps::set(None, CapSet::Ambient, &hand_on).map_err(|e| fail("ambient set")(&e))?;
    rustix::thread::set_no_new_privs(true).map_err(|e| fail("no_new_privs")(&e))?;
    verify(&keep)?;
    Ok(keep)
}

/// Trusts nothing above: asks the kernel what is left.
fn verify(keep: &CapsHashSet) -> Result<(), Error> {
    let fail = |cause: String| Error::Privileges { step: "verification", cause };
    for set in [CapSet::Permitted, CapSet::Effective] {
        let left = caps::read(None, set).map_err(|e| fail(e.to_string()))?;
        if left != *keep {
            return Err(fail(format!("{set:?} is {left:?}, not {keep:?}")));
        }
    }
    match rustix::thread::no_new_privs() {
        Ok(true) => Ok(()),
        Ok(false) => Err(fail("no_new_privs is not set".into())),
        Err(e) => Err(fail(e.to_string())),
    }
}
