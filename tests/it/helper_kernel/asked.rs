//! What the helper of these tests may do, and how it is asked.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::helper::{Node, me};

/// A policy for cgroups of these tests, on this machine.
pub(super) fn policy(node: &Node) -> PathBuf {
    let home = node.path("").display().to_string();
    let home = home.trim_end_matches('/');
    node.write_policy(&format!(
        r#"
        [socket]
        path = "{home}/sock"
        {me}
        [state]
        dir = "{home}/state"
        [limits]
        fixes_per_target_max = 10
        watch = "100ms"
        [[allow]]
        cgroups = ["/sage-test-*"]
        devices = ["254:0", "8:0", "259:0"]
        [allow.knobs.cpu_quota]
        min = 0.01
        max = 64
        unlimited = true
        [allow.knobs.cpu_weight]
        min = 1
        max = 1000
        [allow.knobs.cpuset]
        cpus = "0-1023"
        [allow.knobs.memory_max]
        min = 1000000
        max = 1e12
        [allow.knobs.memory_high]
        min = 1000000
        max = 1e12
        [allow.knobs.io_write_bytes]
        min = 1000
        max = 1e9
        [allow.knobs.io_weight]
        min = 1
        max = 1000
        factor_max = 10
        [allow.knobs.freeze]
        [[allow]]
        devices = ["sgt*"]
        [allow.knobs.network_rate]
        min = 1000
        max = 1e12
        [[allow]]
        cgroups = ["/sage-test-*"]
        [allow.knobs.network_rate]
        min = 1000
        max = 1e12
        "#,
        me = me()
    ))
}

pub(super) fn fix(
    id: &str,
    target: &Value,
    knob: &str,
    value: Value,
    device: Option<&str>,
) -> Value {
    let mut request = json!({"apply": {
        "id": id, "target": target, "knob": knob, "device": device, "lease": "60s"
    }});
    request["apply"]["value"] = value;
    request
}
