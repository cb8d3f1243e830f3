//! How far one knob may be turned.

use serde::Deserialize;

use super::amount::Amount;
use super::cpus::Cpus;
use crate::data::Knob;
use crate::wire::{Code, Refusal};

/// `[allow.knobs.<knob>]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bound {
    /// Least value.
    pub min: Option<f64>,
    /// Greatest value.
    pub max: Option<f64>,
    /// How many times the old value, or what part of it. From or to "no limit" it does not apply.
    pub factor_max: f64,
    /// Whether "no limit" may be set.
    pub unlimited: bool,
    /// CPUs that may be in a `cpuset`.
    pub cpus: Option<Cpus>,
    /// Governors that may be chosen.
    pub choices: Vec<String>,
}

impl Default for Bound {
    fn default() -> Self {
        Self {
            min: None,
            max: None,
            factor_max: 2.0,
            unlimited: false,
            cpus: None,
            choices: Vec::new(),
        }
    }
}

/// Knobs by what bounds them.
enum Kind {
    Size,
    Cpus,
    Choice,
    Flag,
}

fn kind(knob: Knob) -> Kind {
    match knob {
        Knob::Cpuset => Kind::Cpus,
        Knob::Governor => Kind::Choice,
        Knob::Freeze => Kind::Flag,
        _ => Kind::Size,
    }
}

impl Bound {
    /// Names what is wrong, each with its key in front.
    pub(super) fn faults(&self, knob: Knob, fault: &mut dyn FnMut(String)) {
        let kind = kind(knob);
        match (self.min, self.max) {
            (Some(min), Some(max)) if matches!(kind, Kind::Size) => {
                if !(min > 0.0 && max >= min && max.is_finite()) {
                    fault(format!(": min = {min}, max = {max}: must be 0 < min <= max"));
                }
            }
            (None, None) if !matches!(kind, Kind::Size) => {}
            _ if matches!(kind, Kind::Size) => fault(": needs min and max".into()),
            _ => fault(": min and max mean nothing here".into()),
        }
        if !(self.factor_max >= 1.0 && self.factor_max.is_finite()) {
            fault(format!(".factor_max = {}: must be at least 1 (default 2)", self.factor_max));
        }
        if self.cpus.is_some() != matches!(kind, Kind::Cpus) {
            fault(".cpus: needed for cpuset, and means nothing elsewhere".into());
        }
        if self.choices.is_empty() == matches!(kind, Kind::Choice) {
            fault(".choices: needed for governor, and means nothing elsewhere".into());
        }
    }

    /// Whether a knob at `old` may be set to `new`.
    ///
    /// # Errors
    /// A refusal.
    pub(super) fn check(&self, knob: Knob, old: &Amount, new: &Amount) -> Result<(), Refusal> {
        let out = |reason: String| Err(Refusal::new(Code::OutOfBounds, reason, WIDEN));
        match new {
            Amount::Unlimited if self.unlimited => Ok(()),
            Amount::Unlimited => out(format!("the policy does not allow {knob} without limit")),
            Amount::Of(new) => {
                let (min, max) = (self.min.unwrap_or(0.0), self.max.unwrap_or(f64::INFINITY));
                if !(min..=max).contains(new) {
                    return out(format!("{knob} = {new} is not within {min} to {max}"));
                }
                self.check_factor(knob, old, *new)
            }
            Amount::Cpus(new) => {
                let allowed = self.cpus.clone().unwrap_or_default();
                if !new.is_within(&allowed) {
                    return out(format!("CPUs {new} are not within {allowed}"));
                }
                self.check_factor(knob, old, new.count() as f64)
            }
            Amount::Choice(new) if self.choices.contains(new) => Ok(()),
            Amount::Choice(new) => out(format!("the policy does not allow {knob} {new:?}")),
            Amount::Flag(_) => Ok(()),
        }
    }

    fn check_factor(&self, knob: Knob, old: &Amount, new: f64) -> Result<(), Refusal> {
        let old = match old {
            Amount::Of(old) => *old,
            Amount::Cpus(old) if old.count() > 0 => old.count() as f64,
            _ => return Ok(()),
        };
        // A hair more, so that rounding to what the kernel can hold is no offence.
        let most = self.factor_max * 1.001;
        if new <= old * most && new * most >= old {
            return Ok(());
        }
        let reason = format!(
            "{knob} from {old} to {new} is more than a factor of {} away from what was there",
            self.factor_max
        );
        Err(Refusal::new(Code::FactorExceeded, reason, WIDEN))
    }
}

const WIDEN: &str = "ask for less, or have the operator widen the policy";
