//! Which attributes say who somebody is.

use crate::data::PeerKind;

/// Attributes of a resource that are read: the service; what names the replica, best first, and joins
/// spans with cAdvisor's series; the host.
pub(super) const OF_RESOURCE: [&str; 7] = [
    "service.name",
    "k8s.pod.name",
    "service.instance.id",
    "container.name",
    "container.id",
    "host.name",
    "k8s.node.name",
];
const SERVICE: [usize; 1] = [0];
const REPLICA: [usize; 5] = [1, 2, 3, 4, 5];
const NODE: [usize; 2] = [6, 5];

/// Attributes of a client's or producer's span that are read, by new and old semantic conventions: what
/// names the peer, best first; what makes it a database, the last two of which name it when nothing else
/// does; the same for message brokers.
pub(super) const OF_CLIENT: [&str; 13] = [
    "peer.service",
    "service.peer.name",
    "server.address",
    "net.peer.name",
    "network.peer.address",
    "net.peer.ip",
    "db.namespace",
    "db.name",
    "db.system.name",
    "db.system",
    "messaging.destination.name",
    "messaging.destination",
    "messaging.system",
];
const PEER: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];
const DATABASE: [usize; 4] = [6, 7, 8, 9];
const BROKER: [usize; 3] = [10, 11, 12];

/// Who sent spans, as far as their resource says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Place<T> {
    pub(super) service: Option<T>,
    pub(super) replica: Option<T>,
    pub(super) node: Option<T>,
}

/// `text` gives the value of an attribute by its place in [`OF_RESOURCE`].
pub(super) fn place<T>(text: impl Fn(usize) -> Option<T>) -> Place<T> {
    let first = |keys: &[usize]| keys.iter().find_map(|k| text(*k));
    Place { service: first(&SERVICE), replica: first(&REPLICA), node: first(&NODE) }
}

/// The other side of a call; `text` gives the value of an attribute by its place in [`OF_CLIENT`].
pub(super) fn peer<'a>(text: impl Fn(usize) -> Option<&'a str>) -> Option<(&'a str, PeerKind)> {
    let first = |keys: &[usize]| keys.iter().find_map(|k| text(*k));
    let database = first(&DATABASE);
    let kind = if database.is_some() { PeerKind::Database } else { PeerKind::Service };
    let name = first(&PEER).or(database).or_else(|| first(&BROKER))?;
    Some((service_of(name), kind))
}

/// Kubernetes names a service within its cluster `redis.shop.svc.cluster.local`, or `redis.shop.svc`, and one pod of
/// a headless service `redis-0.redis.shop.svc.cluster.local`. The service is `redis`, as its metrics have it: under
/// the long name latencies and metrics of a store without spans would never meet.
fn service_of(name: &str) -> &str {
    const MARK: &str = ".svc";
    let is_label = |at: &usize| is_rest(&name[at + MARK.len()..]);
    let Some(end) = name.match_indices(MARK).map(|(at, _)| at).find(is_label) else {
        return name;
    };
    let mut labels = name[..end].rsplit('.');
    let (namespace, service) = (labels.next(), labels.next());
    let pod = labels.next();
    let is_long = labels.next().is_some() || pod == Some("") || namespace == Some("");
    match service {
        Some(service) if !service.is_empty() && !is_long => service,
        _ => name,
    }
}

/// Whether this may follow `.svc`: nothing, or the domain of the cluster, perhaps with a port.
fn is_rest(domain: &str) -> bool {
    domain.is_empty() || domain.starts_with('.') || domain.starts_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_within_a_cluster_is_that_of_its_service() {
        for (name, service) in [
            ("redis.shop.svc.cluster.local", "redis"),
            ("redis.shop.svc.cluster.local.", "redis"),
            ("redis.shop.svc.k8s.example.com", "redis"),
            ("redis.shop.svc", "redis"),
            ("redis.shop.svc:6379", "redis"),
            ("redis-0.redis.shop.svc.cluster.local", "redis"),
            ("redis.svc-a.svc.cluster.local", "redis"),
        ] {
            assert_eq!(service_of(name), service, "{name}");
        }
    }

    #[test]
    fn every_other_name_stays_as_it_is() {
        for name in [
            "redis",
            "redis.shop",
            "db.example.com",
            "a.svcs.example.com",
            "shop.svc.cluster.local",
            ".svc",
            "..svc",
            "a..svc",
            ".a.b.svc",
            "a.b.c.d.svc",
            "10.0.0.7",
            "",
        ] {
            assert_eq!(service_of(name), name);
        }
    }
}
