//! A plan as a fix that can be journalled, and a fix in words.

use super::plan::Plan;
use crate::data::{
    Diagnosis, EventTime, FixRecord, FixState, FixStep, QosTarget, RootCause, Watch,
};

/// The identity of the fix of one culprit: the same diagnosis always gives the same. Helpers make file
/// names of it, so it is a hash (FNV-1a, which no release of anything changes).
pub fn fix_id(diagnosis: &str, service: &str) -> String {
    let bytes = diagnosis.bytes().chain([0]).chain(service.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("fix-{hash:016x}")
}

/// The fix that `plan` makes of a culprit.
pub fn propose(diagnosis: &Diagnosis, cause: &RootCause, plan: Plan, now: EventTime) -> FixRecord {
    let (state, reason) = match (&plan.none_because, plan.rungs.first()) {
        (None, Some(first)) => (FixState::Proposed, format!("planned: {}", first.what)),
        (Some(why), _) => (FixState::Declined, why.clone()),
        (None, None) => (FixState::Declined, "nothing can be changed".into()),
    };
    let qos = diagnosis.qos.as_ref();
    FixRecord {
        id: fix_id(&diagnosis.id, &cause.service),
        diagnosis: diagnosis.id.clone(),
        service: cause.service.clone(),
        resource: cause.resource,
        state,
        reason: reason.clone(),
        qos: qos.map(|q| QosTarget {
            service: q.service.clone(),
            quantile: q.quantile,
            target_ms: q.target_ms,
        }),
        observed_ms: qos.map(|q| q.observed_ms),
        predicted_ms: cause.counterfactual_ms,
        probability: cause.probability,
        alert: diagnosis.alert.status,
        rungs: plan.rungs,
        rung: 0,
        left_out: plan.left_out,
        was_applied: false,
        // What was seen up to the violation says nothing about how things stand since.
        watch: Watch { horizon: diagnosis.interval.map(|i| i.end), ..Watch::default() },
        created_at: now,
        updated_at: now,
        steps: vec![FixStep { at: now, state, what: reason }],
    }
}

/// A fix in one sentence, for annotations and the log.
pub fn sentence(fix: &FixRecord) -> String {
    let FixRecord { id, service, state, reason, .. } = fix;
    let expected = match (&fix.qos, fix.state) {
        (Some(q), FixState::Proposed | FixState::Approved) => format!(
            " Expected: p{} of {} from {:.1} ms to {:.1} ms (target {:.1} ms).",
            (q.quantile * 1000.0).round() / 10.0,
            q.service,
            fix.observed_ms.unwrap_or_default(),
            fix.predicted_ms,
            q.target_ms
        ),
        _ => String::new(),
    };
    format!("Fix {id} for {service}: {state}; {reason}.{expected}")
}
