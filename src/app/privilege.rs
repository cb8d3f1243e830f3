//! The sidecar needs no privileges, so it gives up those it was started with.

use caps::{CapSet, Capability, CapsHashSet};

/// Drops every capability of this thread, and so of all threads it starts, but the one to bind low
/// ports when `ports` has one. Call it before any thread is started.
pub fn drop_capabilities(ports: impl IntoIterator<Item = u16>) {
    let needs_low_port = ports.into_iter().any(|p| p > 0 && p < 1024);
    let keep: CapsHashSet = if needs_low_port {
        CapsHashSet::from([Capability::CAP_NET_BIND_SERVICE])
    } else {
        CapsHashSet::new()
    };
    let held = match caps::read(None, CapSet::Permitted) {
        Ok(held) => held,
        Err(error) => {
            tracing::warn!(%error, "cannot read capabilities; going on with what there is");
            return;
        }
    };
    let kept: CapsHashSet = keep.intersection(&held).copied().collect();
    if held == kept {
        return;
    }
    // Effective and inheritable first: they may not exceed the permitted set.
    let none = CapsHashSet::new();
    for (set, value) in
        [(CapSet::Inheritable, &none), (CapSet::Effective, &kept), (CapSet::Permitted, &kept)]
    {
        if let Err(error) = caps::set(None, set, value) {
            tracing::warn!(%error, ?set, "cannot drop capabilities; going on with them");
            return;
        }
    }
    tracing::info!(dropped = held.len() - kept.len(), kept = kept.len(), "capabilities dropped");
}
