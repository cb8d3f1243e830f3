//! How abnormal services are, and whose network is slow.

use super::linear::Linear;
use super::scene::target;
use super::town::Trouble::{self, Bug, Inward, Links, Loud, Short};
use super::town::frame;
use crate::data::Resource::{Cpu, Disk, Memory, Network};
use crate::data::{Frame, RpcKey, Signal};
use crate::diagnose::evidence::Evidence;
use crate::diagnose::inquiry::Inquiry;
use crate::graph::Mechanism as _;

const GATE: f64 = 5.0;

fn evidence(mechanism: &Linear, intervals: &[&[Trouble]]) -> Evidence {
    let frames: Vec<Frame> = intervals.iter().map(|t| frame(4, t)).collect();
    let frames: Vec<&Frame> = frames.iter().collect();
    let normal = frame(4, &[]);
    let inquiry = Inquiry::new(mechanism, &frames, (&normal, &[&normal]), &target()).unwrap();
    Evidence::collect(&inquiry, GATE)
}

fn at(mechanism: &Linear, service: &str) -> usize {
    mechanism.net().service(service).unwrap()
}

#[test]
fn evidence_is_the_median_over_the_intervals() {
    let mechanism = Linear::new();
    let once: &[Trouble] = &[Loud("db", Cpu, 50.0), Loud("ads", Disk, 9.0)];
    let more: &[Trouble] = &[Loud("ads", Disk, 10.0)];
    let evidence = evidence(&mechanism, &[once, more, &[Loud("ads", Disk, 11.0)]]);
    assert_eq!(evidence.strongest(at(&mechanism, "db")), 0.0);
    assert!((evidence.strongest(at(&mechanism, "ads")) - 20.0).abs() < 1e-9);
}

#[test]
fn only_a_service_that_is_slow_given_its_callees_is_slow_by_itself() {
    let mechanism = Linear::new();
    let evidence = evidence(&mechanism, &[&[Bug("db", 30.0)]]);
    for service in ["ads", "cache", "cart", "front", "search"] {
        assert!(evidence.slowness[at(&mechanism, service)].abs() < 0.01, "{service}");
    }
    assert!(evidence.slowness[at(&mechanism, "db")] > 50.0);
}

#[test]
fn features_are_listed_strongest_first() {
    let mechanism = Linear::new();
    let loud: &[Trouble] = &[Loud("db", Disk, 20.0), Short("db", Cpu, 30.0)];
    let evidence = evidence(&mechanism, &[loud]);
    let names: Vec<&str> =
        evidence.features[at(&mechanism, "db")].iter().map(|(n, _, _)| &**n).collect();
    assert_eq!(names[..2], ["cpu_throttled", "disk_stalls"]);
}

#[test]
fn a_link_belongs_to_whom_it_leads_unless_most_links_of_a_service_are_slow() {
    let mechanism = Linear::new();
    let list = RpcKey::new("front", "get", "cart", "list");
    let read = RpcKey::new("cart", "list", "db", "read");
    let [list, read] = [list, read].map(|key| mechanism.net().rpc(&key).unwrap());
    let (cart, db) = (at(&mechanism, "cart"), at(&mechanism, "db"));
    let one = evidence(&mechanism, &[&[Inward("db", 10.0)]]);
    assert_eq!((&one.nets[cart][..], &one.nets[db][..]), (&[list][..], &[read][..]));
    assert!(one.delays[cart].abs() < 1e-3 && one.delays[db] > GATE);
    let both = evidence(&mechanism, &[&[Links("cart", 10.0)]]);
    let mut own = both.nets[cart].clone();
    own.sort_unstable();
    let mut expected = [list, read];
    expected.sort_unstable();
    assert_eq!(own, expected);
}

/// Few requests are traced, and most RPCs of a service are not seen in an interval: those that are must do.
#[test]
fn links_that_were_not_seen_do_not_speak_for_their_service() {
    let mut mechanism = Linear::new();
    let cart = at(&mechanism, "cart");
    let troubles: &[Trouble] = &[Links("cart", 10.0)];
    let all = evidence(&mechanism, &[troubles]).delays[cart];
    mechanism.unheard = Some(RpcKey::new("cart", "list", "db", "read"));
    let seen = evidence(&mechanism, &[troubles]);
    assert!(all > GATE && (seen.delays[cart] - all).abs() < 1.0, "{} {all}", seen.delays[cart]);
}

/// Nobody calls the entry over a link that is seen from both ends, so only its own metrics can accuse it.
#[test]
fn a_slow_link_belongs_to_its_caller_when_the_network_metrics_of_that_end_are_worse() {
    let mechanism = Linear::new();
    let list = mechanism.net().rpc(&RpcKey::new("front", "get", "cart", "list")).unwrap();
    let (front, cart) = (at(&mechanism, "front"), at(&mechanism, "cart"));
    for (loudness, is_front) in [(5.0, false), (30.0, true)] {
        let troubles: &[Trouble] = &[Inward("cart", 10.0), Loud("front", Network, loudness)];
        let evidence = evidence(&mechanism, &[troubles]);
        assert_eq!(evidence.nets[front].contains(&list), is_front, "{loudness}");
        assert_eq!(evidence.nets[cart].contains(&list), !is_front, "{loudness}");
        assert_eq!(evidence.delays[front] > GATE, is_front, "{loudness}");
    }
}

/// Who lacks processor time takes up late what has long arrived.
#[test]
fn a_link_belongs_to_its_caller_when_that_is_starved() {
    let mut mechanism = Linear::new();
    mechanism.has_network_metrics = false;
    let read = mechanism.net().rpc(&RpcKey::new("cart", "list", "db", "read")).unwrap();
    let (cart, db) = (at(&mechanism, "cart"), at(&mechanism, "db"));
    for (delay, shortage, is_cart) in [(10.0, 0.0, false), (10.0, 30.0, true), (0.1, 30.0, true)] {
        let troubles: &[Trouble] = &[Inward("db", delay), Short("cart", Cpu, shortage)];
        let evidence = evidence(&mechanism, &[troubles]);
        assert_eq!(evidence.nets[cart].contains(&read), is_cart, "{delay} {shortage}");
        assert_eq!(evidence.nets[db].contains(&read), !is_cart, "{delay} {shortage}");
    }
}

#[test]
fn delays_speak_for_the_network_only_where_no_metric_does() {
    let mut mechanism = Linear::new();
    let db = at(&mechanism, "db");
    let of = |mechanism: &Linear| {
        let evidence = evidence(mechanism, &[&[Inward("db", 10.0)]]);
        (evidence.resources[db][Network.index()], evidence.has_network_metrics[db])
    };
    // The metric: 10 units at 0.5 each. The delays: 10 ms at 0.1 each.
    let (z, is_measured) = of(&mechanism);
    assert!((z - 20.0).abs() < 0.1 && is_measured, "{z}");
    mechanism.has_network_metrics = false;
    let (z, is_measured) = of(&mechanism);
    assert!((z - 100.0).abs() < 1.0 && !is_measured, "{z}");
}

/// A neighbour's page faults show at the host, which others share.
#[test]
fn metrics_of_the_host_count_where_the_service_itself_shows_nothing() {
    let mut mechanism = Linear::new();
    mechanism.host = Some((Memory, 60.0));
    let (db, ads) = (at(&mechanism, "db"), at(&mechanism, "ads"));
    let evidence = evidence(&mechanism, &[&[Short("db", Cpu, 20.0)]]);
    let of = |j: usize| [Cpu, Memory].map(|r| evidence.resources[j][r.index()]);
    assert_eq!(of(db), [40.0, 0.0]);
    assert_eq!(of(ads), [0.0, 60.0]);
}

/// What one service does to its host says nothing about the others there.
#[test]
fn metrics_of_the_host_do_not_count_where_a_neighbour_accounts_for_them() {
    let mut mechanism = Linear::new();
    mechanism.host = Some((Memory, 60.0));
    let (db, ads) = (at(&mechanism, "db"), at(&mechanism, "ads"));
    let evidence = evidence(&mechanism, &[&[Short("db", Memory, 20.0)]]);
    assert_eq!([db, ads].map(|j| evidence.resources[j][Memory.index()]), [40.0, 0.0]);
}

#[test]
fn metrics_of_the_host_do_not_count_where_a_service_does_without_the_resource() {
    let mut mechanism = Linear::new();
    mechanism.host = Some((Disk, 60.0));
    let db = at(&mechanism, "db");
    for (level, expected) in [(1.0, 60.0), (0.0, 0.0)] {
        let mut now = frame(1, &[Bug("db", 30.0)]);
        let features = now.services.iter_mut().filter(|s| &*s.service == "db");
        for disk in features.flat_map(|s| &mut s.features).filter(|f| &*f.name == "disk_stalls") {
            (disk.signal, disk.percentiles) = (Signal::Usage, [level; 3]);
        }
        let normal = frame(0, &[]);
        let target = target();
        let inquiry = Inquiry::new(&mechanism, &[&now], (&normal, &[]), &target).unwrap();
        let evidence = Evidence::collect(&inquiry, GATE);
        assert_eq!(evidence.resources[db][Disk.index()].max(0.0), expected, "{level}");
    }
}
