//! Level 2: the resource.

use super::scene::{Scene, named};
use super::town::Trouble::{self, Bug, Inward, Links, Loud, Short};
use crate::data::Resource::{Cpu, Disk, Memory, Network};
use crate::data::{Replica, ReplicaWindow};

fn resource_of(troubles: &[Trouble]) -> Option<crate::data::Resource> {
    let verdict = Scene::after_calm(troubles).verdict();
    let named = named(&verdict);
    assert_eq!(named.len(), 1, "{named:?}");
    assert_eq!(named[0].0, "db");
    named[0].1
}

/// Paging keeps the processor busy, never the other way round. Without paging, what has the larger effect is it.
#[test]
fn a_memory_shortage_that_drives_the_processor_is_a_memory_shortage_if_it_reads() {
    let paging = [Short("db", Memory, 30.0), Loud("db", Cpu, 40.0), Short("db", Disk, 4.0)];
    assert_eq!(resource_of(&paging), Some(Memory));
    assert_eq!(resource_of(&paging[..2]), Some(Cpu));
    assert_eq!(resource_of(&[Short("db", Memory, 30.0), Loud("db", Cpu, 20.0)]), Some(Memory));
}

/// Where memory was never short, any rise of it seems large; what is beaten in effect and evidence drags nothing.
#[test]
fn memory_that_rises_beside_a_starved_processor_is_not_the_resource() {
    let mut scene = Scene::after_calm(&[Short("db", Cpu, 30.0), Short("db", Memory, 12.0)]);
    scene.mechanism.as_mut().unwrap().unseen = Some(Memory);
    assert_eq!(named(&scene.verdict()), [("db", Some(Cpu))]);
}

/// The kernel says who waits for memory. A starved processor makes nobody wait for it, the other way round it does.
#[test]
fn time_lost_for_memory_tells_what_drags_what_along() {
    let of = |troubles: &[Trouble], memory: f64| {
        let mut scene = Scene::after_calm(troubles);
        scene.mechanism.as_mut().unwrap().stall = [None, Some(memory), None, None];
        let verdict = scene.verdict();
        named(&verdict).first().map(|(_, resource)| *resource)
    };
    let squeezed = [Short("db", Memory, 30.0), Loud("db", Cpu, 60.0)];
    assert_eq!(resource_of(&squeezed), Some(Cpu));
    assert_eq!(of(&squeezed, 20.0), Some(Some(Memory)));
    // A program that was started was read page by page.
    let starved = [Short("db", Cpu, 20.0), Loud("db", Memory, 60.0)];
    assert_eq!(resource_of(&starved), Some(Memory));
    assert_eq!(of(&starved, 0.5), Some(Some(Cpu)));
}

/// Pages are taken back on the service's own quota: throttling does all of it then, and memory nothing by itself. That a
/// limit of memory is hit no want of processor time explains; that somebody waits for memory it may, for who is
/// stopped while taking pages back waits on.
#[test]
fn throttling_beside_a_limit_of_memory_that_is_hit_is_its_effect() {
    let of = |memory: f64, limit: f64, stall: Option<f64>| {
        let mut scene = Scene::after_calm(&[Short("db", Cpu, 30.0), Loud("db", Memory, memory)]);
        let mechanism = scene.mechanism.as_mut().unwrap();
        mechanism.idle = Some(Memory);
        (mechanism.limit[Memory.index()], mechanism.stall[Memory.index()]) = (limit, stall);
        named(&scene.verdict()).iter().map(|(_, resource)| *resource).collect::<Vec<_>>()
    };
    assert_eq!(of(40.0, 60.0, Some(39.0)), [Some(Memory)]);
    assert_eq!(of(40.0, 60.0, None), [Some(Memory)], "where the kernel does not count who waits");
    assert_eq!(of(40.0, 0.0, Some(39.0)), [Some(Cpu)]);
    assert_eq!(of(40.0, 0.0, None), [Some(Cpu)]);
    assert_eq!(of(40.0, 60.0, Some(0.5)), [Some(Cpu)], "a cache may use all it is given");
    assert_eq!(of(8.0, 16.0, None), [Some(Cpu)], "a little more in flight, a limit hit a little");
}

/// Reads rise from nothing to anything: beside memory that is short they are its doing.
#[test]
fn memory_that_is_short_explains_the_reads_however_loud_they_are() {
    assert_eq!(resource_of(&[Short("db", Memory, 15.0), Short("db", Disk, 40.0)]), Some(Memory));
}

#[test]
fn the_resource_that_deviates_most_is_named_when_several_do() {
    assert_eq!(resource_of(&[Short("db", Disk, 30.0), Short("db", Memory, 8.0)]), Some(Disk));
    assert_eq!(resource_of(&[Short("db", Cpu, 30.0), Short("db", Disk, 8.0)]), Some(Cpu));
}

/// A metric that hardly accounts for anything does not make a bug a shortage, unless it cannot be overheard.
#[test]
fn what_leaves_most_of_the_latency_unexplained_is_not_the_resource() {
    assert_eq!(resource_of(&[Bug("db", 30.0), Short("db", Cpu, 5.0)]), None);
    assert_eq!(resource_of(&[Bug("db", 30.0), Short("db", Cpu, 8.0)]), Some(Cpu));
}

/// Who uses much is not always slow, so the model has learnt little of what it means. At a culprit it is more
/// than chance, however little of the latency goes with it; a stall as slight may be an effect of waiting.
#[test]
fn use_beyond_what_load_explains_is_the_resource_of_a_culprit_although_no_effect_was_learnt() {
    let named_with = |is_use: bool, rise: f64| {
        let mut scene = Scene::after_calm(&[Bug("db", 30.0), Loud("db", Cpu, rise)]);
        let mechanism = scene.mechanism.as_mut().unwrap();
        (mechanism.is_use, mechanism.idle) = (is_use, Some(Cpu));
        named(&scene.verdict()).iter().map(|(_, resource)| *resource).collect::<Vec<_>>()
    };
    assert_eq!(named_with(true, 4.0), [Some(Cpu)]);
    assert_eq!(named_with(false, 4.0), [None]);
    assert_eq!(named_with(true, 1.0), [None], "as far from normal as may be");
}

/// What a host shows may be somebody else's doing: it needs an effect.
#[test]
fn a_host_in_trouble_that_slows_nobody_down_is_no_resource_of_a_bug() {
    let mut scene = Scene::after_calm(&[Bug("db", 30.0)]);
    scene.mechanism.as_mut().unwrap().host = Some((Memory, 60.0));
    assert_eq!(named(&scene.verdict()), [("db", None)]);
}

/// It was never seen before, so no effect of it has been learnt, and a neighbour is busy, too.
#[test]
fn a_host_in_trouble_that_slows_nearly_everybody_there_down_is_the_resource() {
    let with = |slow: &[&'static str]| {
        let slow = slow.iter().map(|service| Bug(service, 1.2));
        let troubles = [Bug("db", 30.0), Loud("cache", Cpu, 9.0)].into_iter().chain(slow);
        let mut scene = Scene::after_calm(&troubles.collect::<Vec<_>>());
        scene.mechanism.as_mut().unwrap().host = Some((Cpu, 60.0));
        let verdict = scene.verdict();
        let named = named(&verdict);
        assert_eq!((named.len(), named[0].0), (1, "db"), "{named:?}");
        named[0].1
    };
    assert_eq!(with(&["ads", "cart", "search"]), Some(Cpu));
    assert_eq!(with(&["ads", "cart"]), None, "few of those there");
    assert_eq!(with(&["cart", "front"]), None, "its callers, which wait for it");
}

/// One of two replicas is slow, and short of something that the other has: whatever was learnt of its effect, and although
/// more memory is used at both.
#[test]
fn what_sets_the_slow_replica_apart_from_the_others_is_the_resource() {
    let of = |troubles: &[Trouble], slow: [u64; 2], (unseen, alike): (Option<_>, Option<_>)| {
        let mut scene = Scene::after_calm(troubles);
        scene.mechanism.as_mut().unwrap().unseen = unseen;
        let mut last = (**scene.history.last().unwrap()).clone();
        let replica = |n: usize| ReplicaWindow {
            service: "db".into(),
            replica: Replica { name: format!("db-{n}").into(), node: "".into() },
            count: 100,
            slow: slow[n],
        };
        last.replicas = vec![replica(0), replica(1)];
        let features = last.services.iter_mut().filter(|s| &*s.service == "db");
        let features = features.flat_map(|s| &mut s.features);
        for feature in features.filter(|f| alike.is_some() && f.role.resource() == alike) {
            feature.by_replica[1] = feature.by_replica[0];
        }
        *scene.history.last_mut().unwrap() = last.into();
        let verdict = scene.verdict();
        let named = named(&verdict);
        assert_eq!((named.len(), named[0].0), (1, "db"), "{named:?}");
        named[0].1
    };
    let little = [Bug("db", 30.0), Short("db", Cpu, 5.0)];
    let much = (Some(Cpu), None);
    assert_eq!(of(&little, [10, 10], much), None, "nobody is slower than others");
    assert_eq!(of(&little, [24, 1], much), Some(Cpu));
    assert_eq!(of(&little, [1, 24], much), None, "the other one is slow");
    assert_eq!(of(&little, [24, 1], (None, None)), None, "faults have meant four times as much");
    let both = [Short("db", Memory, 30.0), Loud("db", Cpu, 20.0)];
    assert_eq!(of(&both, [24, 1], (None, None)), Some(Memory));
    assert_eq!(of(&both, [24, 1], (None, Some(Memory))), Some(Cpu), "memory is short at both");
}

/// What is lost on the way is sent again, by the service itself as well, and a model may take that for its own time.
#[test]
fn network_metrics_and_delays_that_say_the_same_are_believed_where_nothing_else_is_abnormal() {
    let lost = [Bug("db", 30.0), Inward("db", 10.0)];
    assert_eq!(resource_of(&lost), Some(Network));
    assert_eq!(resource_of(&[Bug("db", 30.0), Loud("db", Network, 10.0)]), None, "no delays");
    let mut scene = Scene::after_calm(&lost);
    scene.mechanism.as_mut().unwrap().has_network_metrics = false;
    assert_eq!(named(&scene.verdict()), [("db", None)], "delays alone");
}

/// Its packets wait and none is lost. What waits for a worker of its comes late as well, but is answered at once.
#[test]
fn a_link_that_is_late_is_the_network_although_no_metric_says_so() {
    let of = |is_link: bool| {
        let mut scene = Scene::after_calm(&[Inward("db", 30.0)]);
        let mechanism = scene.mechanism.as_mut().unwrap();
        (mechanism.is_lossless, mechanism.is_link) = (true, is_link);
        named(&scene.verdict())[0].1
    };
    assert_eq!(of(true), Some(Network));
    assert_eq!(of(false), None);
}

/// Much is read and written at a tier that is short of processor time: nobody waits for that.
#[test]
fn a_louder_metric_that_has_no_effect_is_passed_over() {
    let mut scene = Scene::after_calm(&[Short("db", Cpu, 15.0), Loud("db", Disk, 40.0)]);
    scene.mechanism.as_mut().unwrap().idle = Some(Disk);
    assert_eq!(named(&scene.verdict()), [("db", Some(Cpu))]);
}

#[test]
fn a_slow_network_beside_a_small_shortage_is_the_network() {
    assert_eq!(resource_of(&[Inward("db", 30.0), Short("db", Cpu, 3.0)]), Some(Network));
}

/// Where no metric speaks of the network, only delays between spans do, and those include waiting
/// for a starved process at either end.
#[test]
fn without_network_metrics_slow_links_alone_are_the_network_and_beside_a_shortage_are_not() {
    let blind = |troubles: &[Trouble]| {
        let mut scene = Scene::after_calm(troubles);
        scene.mechanism.as_mut().unwrap().has_network_metrics = false;
        let verdict = scene.verdict();
        assert_eq!(verdict.root_causes.len(), 1);
        (verdict.root_causes[0].service.clone(), verdict.root_causes[0].resource)
    };
    assert_eq!(blind(&[Inward("db", 30.0)]), ("db".into(), Some(Network)));
    assert_eq!(blind(&[Links("cart", 15.0)]), ("cart".into(), Some(Network)));
    let starved = [Inward("db", 20.0), Short("db", Cpu, 15.0)];
    assert_eq!(blind(&starved), ("db".into(), Some(Cpu)));
}
