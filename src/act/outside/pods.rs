//! What objects of Kubernetes say about resizing and scaling. Pure.

use serde_json::{Value, json};

use super::amount::{Field, Resizable, Unit, one_more, quantity};
use super::config::Workload;
use crate::data::{Fact, Outside, Resource, Runner};

/// The first release that lowers memory limits in place again: what cannot be taken back is not begun.
const MEMORY_FROM: (u64, u64) = (1, 34);

/// Whether an API server can resize pods, from its list of resources.
pub(super) fn can_resize(resources: &Value) -> bool {
    let list = resources["resources"].as_array();
    list.is_some_and(|list| list.iter().any(|r| r["name"] == "pods/resize"))
}

/// Whether memory that was given can be taken back, from the answer to `/version`.
pub(super) fn can_shrink_memory(version: &Value) -> bool {
    // Managed clusters write "34+".
    let number = |key: &str| {
        let text = version[key].as_str()?;
        text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().ok()
    };
    matches!((number("major"), number("minor")), (Some(a), Some(b)) if (a, b) >= MEMORY_FROM)
}

/// Hex digits that are enough of a container's id.
const ID_SHORTEST: usize = 12;

/// Whether a pod is one of those that stand out. Metrics name it, its uid, or one of its containers by the
/// beginning of its id. A name is the whole name: that of one pod is often the beginning of another's.
pub(super) fn is_accused(pod: &Value, accused: &[String]) -> bool {
    let names = [&pod["metadata"]["name"], &pod["metadata"]["uid"]];
    let statuses = pod["status"]["containerStatuses"].as_array();
    let ids = statuses.into_iter().flatten().filter_map(|status| status["containerID"].as_str());
    let ids: Vec<&str> = ids.map(|id| id.rsplit("://").next().unwrap_or(id)).collect();
    let is_id =
        |text: &str| text.len() >= ID_SHORTEST && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    accused.is_empty()
        || accused.iter().any(|name| {
            let last = name.rsplit('/').next().unwrap_or(name);
            names.iter().any(|known| known.as_str() == Some(last))
                || is_id(last) && ids.iter().any(|id| id.starts_with(last))
        })
}

/// A pod that can be given more of `resource`.
///
/// # Errors
/// Why it cannot.
pub(super) fn resizable(
    pod: &Value,
    workload: &Workload,
    resource: Resource,
) -> Result<Resizable, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let meta = &pod["metadata"];
    let (namespace, name) = (text(&meta["namespace"]), text(&meta["name"]));
    let out = |why: String| Err(format!("{resource} of pod {name}: {why}"));
    let (key, max, unit) = match resource {
        Resource::Cpu => ("cpu", workload.cpu_max, Unit::MilliCores),
        Resource::Memory => ("memory", workload.memory_max, Unit::Mebibytes),
        Resource::Disk | Resource::Network => {
            return out("Kubernetes cannot change it in place".into());
        }
    };
    let Some(max) = max else {
        return out(format!("its [[act.workloads]] has no {key}_max"));
    };
    let containers = pod["spec"]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_it = |c: &Value| match &workload.container {
        Some(wanted) => c["name"] == wanted.as_str(),
        None => containers.len() == 1,
    };
    let Some(index) = containers.iter().position(is_it) else {
        return out("its [[act.workloads]] must say which container".into());
    };
    let container = &containers[index];
    let policies = container["resizePolicy"].as_array();
    if policies.into_iter().flatten().any(|policy| {
        policy["resourceName"] == key && policy["restartPolicy"] == "RestartContainer"
    }) {
        return out("its resizePolicy would restart the container".into());
    }
    let at = format!("/spec/containers/{index}");
    let field = |kind: &str| {
        let from = &container["resources"][kind][key];
        let now = quantity(from.as_str()?).filter(|now| *now > 0.0)?;
        Some(Field { at: format!("{at}/resources/{kind}/{key}"), from: from.clone(), now, unit })
    };
    let Some(limit) = field("limits") else { return out("it has no limit".into()) };
    let mut fields = vec![limit];
    // Guaranteed pods stay so: the class of a pod cannot change.
    if pod["status"]["qosClass"] == "Guaranteed" {
        fields.extend(field("requests"));
    }
    let same = vec![
        Fact { at: "/metadata/uid".into(), is: meta["uid"].clone() },
        Fact { at: format!("{at}/name"), is: container["name"].clone() },
    ];
    let object = format!("/api/v1/namespaces/{namespace}/pods/{name}/resize");
    let (runner, name) = (Runner::Kubernetes, format!("pod {name}"));
    Ok(Resizable { name, resource, runner, object, same, fields, max })
}

/// One more replica: by the autoscaler's lower bound where there is one, for it would undo anything else.
///
/// # Errors
/// Why there can be none.
pub(super) fn scaled(
    (namespace, kind, name): (&str, &str, &str),
    scale_path: &str,
    scale: &Value,
    autoscalers: &Value,
    workload: &Workload,
) -> Result<Outside, String> {
    let most = u64::from(workload.replicas_max);
    let full = |now: u64, whose: &str, most: u64| {
        Err(format!("{namespace}/{name} has {now} replicas, and {whose} is {most}"))
    };
    let same = |object: &Value| {
        let is = object["metadata"]["uid"].clone();
        if is.is_null() { vec![] } else { vec![Fact { at: "/metadata/uid".into(), is }] }
    };
    let replicas = scale["spec"]["replicas"].as_u64().unwrap_or(0);
    let items = autoscalers["items"].as_array();
    let of_it = |hpa: &&Value| {
        let target = &hpa["spec"]["scaleTargetRef"];
        target["kind"] == kind && target["name"] == name
    };
    if let Some(hpa) = items.into_iter().flatten().find(of_it) {
        let least = hpa["spec"]["minReplicas"].as_u64().unwrap_or(1);
        let now = hpa["status"]["currentReplicas"].as_u64().unwrap_or(replicas).max(least);
        let top = hpa["spec"]["maxReplicas"].as_u64().unwrap_or(0);
        if now >= top {
            return full(now, "maxReplicas of its autoscaler", top);
        }
        if now >= most {
            return full(now, "replicas_max", most);
        }
        let its_name = hpa["metadata"]["name"].as_str().unwrap_or_default();
        let group = "/apis/autoscaling/v2/namespaces";
        let object = format!("{group}/{namespace}/horizontalpodautoscalers/{its_name}");
        let at = "/spec/minReplicas";
        return Ok(one_more(Runner::Kubernetes, object, same(hpa), at, (least, now + 1)));
    }
    if replicas == 0 {
        return Err(format!("{namespace}/{name} is scaled to zero: somebody wants it so"));
    }
    if replicas >= most {
        return full(replicas, "replicas_max", most);
    }
    let (object, at) = (scale_path.to_string(), "/spec/replicas");
    Ok(one_more(Runner::Kubernetes, object, same(scale), at, (replicas, replicas + 1)))
}

/// A selector as a query of a URL has it.
pub(super) fn encoded(selector: &str) -> String {
    let mut text = String::new();
    for byte in selector.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// An empty list, for API servers that do not know of autoscalers.
pub(super) fn nothing() -> Value {
    json!({"items": []})
}
