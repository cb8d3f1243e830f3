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
const POD: usize = 1;
const CONTAINER: usize = 4;
const HOST: usize = 5;
const NODE: usize = 6;

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
    "messaging.system",
    "messaging.destination.name",
    "messaging.destination",
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
pub(super) fn place<'a>(text: impl Fn(usize) -> Option<&'a str>) -> Place<&'a str> {
    let first = |keys: &[usize]| keys.iter().find_map(|k| text(*k));
    // In a container SDKs take its own name for that of the host: the pod's, or the beginning of the container's id.
    const SHORT_ID: usize = 12;
    let is_own = |host: &&str| {
        let is_id = |id: &str| host.len() >= SHORT_ID && id.starts_with(*host);
        text(POD) == Some(*host) || text(CONTAINER).is_some_and(is_id)
    };
    let node = text(NODE).or_else(|| text(HOST).filter(|host| !is_own(host)));
    Place { service: first(&SERVICE), replica: first(&REPLICA), node }
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
    fn a_container_that_takes_itself_for_a_host_is_on_no_node() {
        let id = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
        for (known, node) in [
            (&[("host.name", "n1")][..], Some("n1")),
            (&[("host.name", "n1"), ("k8s.pod.name", "cart-0")], Some("n1")),
            (&[("host.name", "cart-0"), ("k8s.pod.name", "cart-0")], None),
            (&[("host.name", "0a1b2c3d4e5f"), ("container.id", id)], None),
            (&[("host.name", "n1"), ("container.id", id)], Some("n1")),
            (&[("host.name", "0a1b"), ("container.id", id)], Some("0a1b")),
            (
                &[("host.name", "cart-0"), ("k8s.pod.name", "cart-0"), ("k8s.node.name", "n1")],
                Some("n1"),
            ),
        ] {
            let text = |k: usize| Some(known.iter().find(|(key, _)| *key == OF_RESOURCE[k])?.1);
            let place = place(text);
            assert_eq!(place.node, node, "{known:?}");
            assert!(place.replica.is_some());
        }
    }

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
