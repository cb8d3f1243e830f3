//! What could be done for a service through what runs its containers.

use std::time::Duration;

use serde_json::Value;

use super::super::config::Config;
use super::amount::Resizable;
use super::config::{Docker, Kubernetes, Runs, Workload};
use super::{docker, kubernetes, pods};
use crate::data::{Outside, Resource};

/// Pods that a server is asked for at a time,
const PAGE: usize = 500;
/// and how often for one service. Whoever stands out and comes after that is not found.
const PAGES_MAX: usize = 10;

/// What could be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {
    /// Replicas that can be given more in place.
    pub resizables: Vec<Resizable>,
    /// One more replica, or why there can be none; nothing where nobody was asked.
    pub scale: Option<Result<Outside, String>>,
    /// What could have been done and cannot, with the reason.
    pub left_out: Vec<String>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The culprit.
    pub service: &'a str,
    /// What it is short of.
    pub resource: Resource,
    /// Replicas that stand out; none means all.
    pub accused: &'a [String],
}

/// Looks.
pub async fn look(question: Question<'_>, config: &Config) -> Outlook {
    let Some(workload) = config.workload(question.service) else { return Outlook::default() };
    let timeout = config.timeout;
    let looked = match (&workload.runs, &config.kubernetes, &config.docker) {
        (Runs::Deployment(name), Some(at), _) => {
            in_kubernetes(at, ("Deployment", "deployments", name), workload, question, timeout)
                .await
        }
        (Runs::Statefulset(name), Some(at), _) => {
            in_kubernetes(at, ("StatefulSet", "statefulsets", name), workload, question, timeout)
                .await
        }
        (Runs::DockerContainer(name), _, Some(at)) => {
            Ok(in_docker(at, name, workload, question, timeout).await)
        }
        (Runs::DockerService(name), _, Some(at)) => {
            let scale = Some(docker::service(at, name, workload, timeout).await);
            Ok(Outlook { scale, ..Outlook::default() })
        }
        (runs, ..) => Err(format!("there is no [act.{}]", runs.runner())),
    };
    looked.unwrap_or_else(|why| Outlook {
        scale: Some(Err(why.clone())),
        left_out: vec![why],
        ..Outlook::default()
    })
}

async fn in_docker(
    at: &Docker,
    name: &str,
    workload: &Workload,
    question: Question<'_>,
    timeout: Duration,
) -> Outlook {
    let mut outlook = Outlook {
        scale: Some(Err(format!("container {name} has no replicas"))),
        ..Outlook::default()
    };
    match docker::container(at, name, workload, question.resource, timeout).await {
        Ok(resizable) => outlook.resizables.push(resizable),
        Err(why) => outlook.left_out.push(why),
    }
    outlook
}

async fn in_kubernetes(
    at: &Kubernetes,
    (kind, plural, full_name): (&str, &str, &str),
    workload: &Workload,
    question: Question<'_>,
    timeout: Duration,
) -> Result<Outlook, String> {
    let (namespace, name) = full_name.split_once('/').unwrap_or_default();
    let scale_path = format!("/apis/apps/v1/namespaces/{namespace}/{plural}/{name}/scale");
    let scale = kubernetes::get(at, &scale_path, timeout).await?;
    let scale = scale.ok_or_else(|| format!("there is no {kind} {full_name}"))?;
    let hpas = format!("/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers");
    let hpas = kubernetes::get(at, &hpas, timeout).await?.unwrap_or_else(pods::nothing);
    let whose = (namespace, kind, name);
    let mut outlook = Outlook {
        scale: Some(pods::scaled(whose, &scale_path, &scale, &hpas, workload)),
        ..Outlook::default()
    };
    let Question { resource, .. } = question;
    if let Some(why) = in_the_way(at, workload, resource, timeout).await? {
        outlook.left_out.extend(Some(why).filter(|why| !why.is_empty()));
        return Ok(outlook);
    }
    let selector = scale["status"]["selector"].as_str().unwrap_or_default();
    if selector.is_empty() {
        outlook.left_out.push(format!("{kind} {full_name} does not say which pods are its own"));
        return Ok(outlook);
    }
    let list = format!(
        "/api/v1/namespaces/{namespace}/pods?limit={PAGE}&labelSelector={}",
        pods::encoded(selector)
    );
    let (accused, is_cut) = accused(at, &list, question.accused, timeout).await?;
    if is_cut {
        let most = PAGE * PAGES_MAX;
        outlook.left_out.push(format!("only {most} pods of {full_name} were looked at"));
    }
    if accused.is_empty() {
        outlook.left_out.push(format!("none of the accused replicas is a pod of {full_name}"));
    }
    for pod in &accused {
        match pods::resizable(pod, workload, resource) {
            Ok(resizable) => outlook.resizables.push(resizable),
            Err(why) => outlook.left_out.push(why),
        }
    }
    Ok(outlook)
}

/// The running pods of a list that stand out, and whether there are more than were looked at. Where all are
/// meant, those of the first pages are more than can be helped at once.
async fn accused(
    at: &Kubernetes,
    list: &str,
    names: &[String],
    timeout: Duration,
) -> Result<(Vec<Value>, bool), String> {
    let (mut found, mut path) = (Vec::new(), list.to_string());
    for _ in 0..PAGES_MAX {
        let mut page = kubernetes::get(at, &path, timeout).await?.unwrap_or_else(pods::nothing);
        if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
            let running = items.into_iter().filter(|pod| pod["status"]["phase"] == "Running");
            found.extend(running.filter(|pod| pods::is_accused(pod, names)));
        }
        let next = page["metadata"]["continue"].as_str().unwrap_or_default();
        if next.is_empty() || names.is_empty() && !found.is_empty() {
            return Ok((found, false));
        }
        path = format!("{list}&continue={}", pods::encoded(next));
    }
    Ok((found, true))
}

/// Why no pod is resized, if so; nothing to say where nobody wants it.
async fn in_the_way(
    at: &Kubernetes,
    workload: &Workload,
    resource: Resource,
    timeout: Duration,
) -> Result<Option<String>, String> {
    let wanted = match resource {
        Resource::Cpu => workload.cpu_max,
        Resource::Memory => workload.memory_max,
        Resource::Disk | Resource::Network => None,
    };
    if wanted.is_none() {
        return Ok(Some(String::new()));
    }
    let resources = kubernetes::get(at, "/api/v1", timeout).await?.unwrap_or_default();
    if !pods::can_resize(&resources) {
        return Ok(Some("this cluster cannot resize pods in place (it can from 1.33)".into()));
    }
    if resource == Resource::Memory {
        let version = kubernetes::get(at, "/version", timeout).await?.unwrap_or_default();
        if !pods::can_shrink_memory(&version) {
            let why = "this cluster cannot lower a memory limit in place again (it can from 1.34)";
            return Ok(Some(why.into()));
        }
    }
    Ok(None)
}
