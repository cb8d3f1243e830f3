//! Faults and blames to judge by.

use crate::lab::Blame;
use crate::lab::sim::{Fault, FaultKind};

pub(super) fn fault(service: usize, kind: FaultKind, strength: f64) -> Fault {
    Fault { service, kind, strength, replica: None }
}

/// Everybody in `faults` is to blame.
pub(super) fn all_of(faults: &[(usize, FaultKind)]) -> Blame {
    let faults = faults.iter().map(|(service, kind)| fault(*service, *kind, 1.0)).collect();
    Blame { faults, alternatives: false, without_ms: 1.0 }
}

/// Any of `faults` alone is.
pub(super) fn any_of(faults: &[(usize, FaultKind)]) -> Blame {
    Blame { alternatives: true, ..all_of(faults) }
}
