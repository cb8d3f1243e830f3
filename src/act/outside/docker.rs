//! The Docker Engine API on its socket, as far as it is needed: containers and Swarm services.
//!
//! A service is updated with the version that was read, so the engine refuses when anybody else was
//! quicker. Containers have no versions: between the look and the write lie microseconds.

use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::amount::{Field, Resizable, Unit, one_more};
use super::carry::{Trouble, Way};
use super::config::{Docker, Workload};
use crate::client::{Answer, Call, Client};
use crate::data::{Edit, Fact, Outside, Resource, Runner};

const ANSWER_BYTES_MAX: usize = 4 << 20;
const JSON: (&str, &str) = ("content-type", "application/json");
const MEMORY: &str = "/HostConfig/Memory";
const REPLICAS: &str = "/Spec/Mode/Replicated/Replicas";
/// Microseconds, where nobody has chosen.
const PERIOD: f64 = 100_000.0;

async fn call(
    at: &Docker,
    method: Method,
    path: &str,
    body: Bytes,
    timeout: Duration,
) -> Result<Answer, String> {
    let call = Call { method, path, headers: &[JSON], body, answer_max: ANSWER_BYTES_MAX, timeout };
    Client::unix(&at.socket).call(call).await.map_err(|e| e.to_string())
}

/// A container or service; `None` where there is none.
///
/// # Errors
/// What is in the way, in words.
pub(super) async fn get(
    at: &Docker,
    object: &str,
    timeout: Duration,
) -> Result<Option<Value>, String> {
    let path = if object.starts_with("/containers/") {
        format!("{object}/json")
    } else {
        object.to_string()
    };
    match call(at, Method::GET, &path, Bytes::new(), timeout).await?.success() {
        Ok(body) => serde_json::from_slice(&body).map(Some).map_err(|e| format!("{path}: {e}")),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure.to_string()),
    }
}

/// Sets fields.
///
/// # Errors
/// Whether it has changed meanwhile, or what else is in the way.
pub(super) async fn update(
    at: &Docker,
    change: &Outside,
    object: &Value,
    edits: &[&Edit],
    way: Way,
    timeout: Duration,
) -> Result<(), Trouble> {
    let failed = |why: String| Trouble::Failed(format!("{}: {why}", change.object));
    let (path, body) = if change.object.starts_with("/containers/") {
        if way == Way::Back {
            spare(at, change, edits, timeout).await.map_err(failed)?;
        }
        let name = |edit: &&Edit| edit.at.rsplit('/').next().unwrap_or_default().to_string();
        let body: Map<String, Value> =
            edits.iter().map(|edit| (name(edit), way.goal(edit).clone())).collect();
        (format!("{}/update", change.object), Value::Object(body))
    } else {
        let version = object.pointer("/Version/Index").and_then(Value::as_u64);
        let version = version.ok_or_else(|| failed("it has no version".into()))?;
        let mut whole = object.clone();
        for edit in edits {
            let field = whole.pointer_mut(&edit.at);
            *field.ok_or_else(|| failed(format!("no {}", edit.at)))? = way.goal(edit).clone();
        }
        (format!("{}/update?version={version}", change.object), whole["Spec"].take())
    };
    let body = Bytes::from(body.to_string());
    let answer = call(at, Method::POST, &path, body, timeout).await.map_err(Trouble::Failed)?;
    match answer.success() {
        Ok(_) => Ok(()),
        Err(failure) => {
            let why = failure.to_string();
            // The engine has no status of its own for this.
            let is_late = why.contains("update out of sequence");
            Err(if is_late { Trouble::Conflict(why) } else { Trouble::Failed(why) })
        }
    }
}

/// Checks that a container survives its old memory limit: under version 2 of cgroups the kernel kills where
/// version 1 refuses.
///
/// # Errors
/// Why it must not be put back yet.
async fn spare(
    at: &Docker,
    change: &Outside,
    edits: &[&Edit],
    timeout: Duration,
) -> Result<(), String> {
    let Some(edit) = edits.iter().find(|edit| edit.at == MEMORY) else { return Ok(()) };
    let path = format!("{}/stats?stream=false&one-shot=true", change.object);
    let answer = call(at, Method::GET, &path, Bytes::new(), timeout).await?;
    let stats = answer.success().map_err(|failure| failure.to_string())?;
    let stats: Value = serde_json::from_slice(&stats).map_err(|e| format!("{path}: {e}"))?;
    let kept = kept_bytes(&stats);
    match edit.from.as_f64() {
        Some(old) if kept > old => {
            Err(format!("{kept} bytes are in use that the kernel cannot drop, so {old} would kill"))
        }
        _ => Ok(()),
    }
}

/// What a container has in use but for files in the page cache, which the kernel drops first. Pure.
pub(super) fn kept_bytes(stats: &Value) -> f64 {
    let memory = &stats["memory_stats"];
    // Version 1 counts the cgroups below under names of their own.
    let files = |kind: &str| {
        let bytes = |key: String| memory["stats"][key].as_f64();
        bytes(format!("total_{kind}")).or_else(|| bytes(kind.into())).unwrap_or(0.0)
    };
    // A container that does not run uses nothing, and says nothing.
    let used = memory["usage"].as_f64().unwrap_or(0.0);
    used - files("inactive_file") - files("active_file")
}

/// A container that can be given more of `resource`.
///
/// # Errors
/// Why it cannot.
pub(super) async fn container(
    at: &Docker,
    name: &str,
    workload: &Workload,
    resource: Resource,
    timeout: Duration,
) -> Result<Resizable, String> {
    let found = get(at, &format!("/containers/{name}"), timeout).await?;
    let found = found.ok_or_else(|| format!("there is no container {name}"))?;
    resizable(&found, name, workload, resource)
}

/// What an inspected container says. Pure.
pub(super) fn resizable(
    found: &Value,
    name: &str,
    workload: &Workload,
    resource: Resource,
) -> Result<Resizable, String> {
    let id = found["Id"].as_str().ok_or_else(|| format!("container {name} has no id"))?;
    let number = |key: &str| found["HostConfig"][key].as_f64().unwrap_or(0.0);
    let field = |key: &str, now: f64, unit: Unit| Field {
        at: format!("/HostConfig/{key}"),
        from: found["HostConfig"][key].clone(),
        now,
        unit,
    };
    let (max, fields) = match resource {
        Resource::Cpu if number("NanoCpus") > 0.0 => {
            let now = number("NanoCpus") / 1e9;
            (workload.cpu_max, vec![field("NanoCpus", now, Unit::NanoCores)])
        }
        Resource::Cpu if number("CpuQuota") > 0.0 => {
            let period = Some(number("CpuPeriod")).filter(|p| *p > 0.0).unwrap_or(PERIOD);
            let now = number("CpuQuota") / period;
            (workload.cpu_max, vec![field("CpuQuota", now, Unit::Quota(period))])
        }
        Resource::Memory if number("Memory") > 0.0 => {
            let mut fields = vec![field("Memory", number("Memory"), Unit::Bytes)];
            // Memory and swap together; it may not be below memory alone.
            if number("MemorySwap") > 0.0 {
                fields.push(field("MemorySwap", number("MemorySwap"), Unit::Bytes));
            }
            (workload.memory_max, fields)
        }
        Resource::Cpu | Resource::Memory => {
            return Err(format!("{resource} of container {name}: it has no limit"));
        }
        Resource::Disk | Resource::Network => {
            return Err(format!("{resource} of container {name}: the engine cannot change it"));
        }
    };
    let max = max.ok_or_else(|| {
        format!("{resource} of container {name}: its [[act.workloads]] has no {resource}_max")
    })?;
    let (runner, same) = (Runner::Docker, vec![Fact { at: "/Id".into(), is: json!(id) }]);
    let object = format!("/containers/{id}");
    let name = format!("container {name}");
    Ok(Resizable { name, resource, runner, object, same, fields, max })
}

/// One more replica of a Swarm service.
///
/// # Errors
/// Why there can be none.
pub(super) async fn service(
    at: &Docker,
    name: &str,
    workload: &Workload,
    timeout: Duration,
) -> Result<Outside, String> {
    let found = get(at, &format!("/services/{name}"), timeout).await?;
    let found = found.ok_or_else(|| format!("there is no Swarm service {name}"))?;
    let id = found["ID"].as_str().ok_or_else(|| format!("service {name} has no id"))?;
    let now = found.pointer(REPLICAS).and_then(Value::as_u64);
    let now = now.ok_or_else(|| format!("service {name} is not replicated"))?;
    let most = workload.replicas_max;
    if now >= u64::from(most) {
        return Err(format!("{name} has {now} replicas, and replicas_max is {most}"));
    }
    let same = vec![Fact { at: "/ID".into(), is: json!(id) }];
    Ok(one_more(Runner::Docker, format!("/services/{id}"), same, REPLICAS, (now, now + 1)))
}
