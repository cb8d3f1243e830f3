//! Rates of real interfaces.

use std::path::Path;

use serde_json::{Value, json};

use super::asked::{fix, policy};
use super::cgroup::Cgroup;
use super::link::{Netns, Veth};
use crate::support::helper::{Helper, Node, first_line};

#[test]
fn a_real_interface_gets_its_rate_and_loses_it_again() {
    let Some(veth) = Veth::make() else { return };
    let node = Node::new();
    let helper = Helper::start(&policy(&node));
    let target = json!("node");
    let rate = |id: &str, bits: u64| fix(id, &target, "network_rate", json!(bits), Some(&veth.0));
    let answer = helper.ask(rate("a", 20_000_000));
    assert_eq!(answer["lease"]["now"], "20000000", "{answer}");
    let shown = veth.tc(&["qdisc", "show"]);
    assert!(shown.contains("tbf 5a9e: root") && shown.contains("rate 20Mbit"), "{shown}");
    helper.ask(json!({"renew": {"fix": "a", "lease": "60s", "value": 30_000_000}}));
    assert!(veth.tc(&["qdisc", "show"]).contains("rate 30Mbit"));
    drop(helper);
    let helper = Helper::start(&policy(&node));
    assert!(!veth.tc(&["qdisc", "show"]).contains("5a9e:"));
    // Somebody else's stays.
    veth.tc(&["qdisc", "add", "root", "handle", "1:", "htb"]);
    let refused = helper.ask(rate("b", 20_000_000));
    assert_eq!(refused["refused"]["code"], "foreign_qdisc", "{refused}");
    assert!(veth.tc(&["qdisc", "show"]).contains("htb 1: root"));
}

#[test]
fn the_real_interface_of_a_replica_is_found_though_others_have_its_number() {
    let Some(group) = Cgroup::make("net", &["cpu"]) else { return };
    let (Some(ours), Some(theirs)) = (Netns::make("a"), Netns::make("b")) else { return };
    // Made within, as container networks do: both have the number 2 in there.
    let (veth, other) = (ours.link("e0"), theirs.link("e0"));
    let number =
        |veth: &Veth| first_line(&Path::new("/sys/class/net").join(&veth.0).join("iflink"));
    assert_eq!(number(&veth), number(&other));
    let node = Node::new();
    let helper = Helper::start(&policy(&node));
    let rate = |target: &Value| fix("r", target, "network_rate", json!(20_000_000), None);
    let replica = ours.spawn(&group);
    for target in [group.target(), json!({"pid": replica.0.id()})] {
        let answer = helper.ask(rate(&target));
        assert_eq!(answer["lease"]["device"], veth.0, "{answer}");
        assert!(veth.tc(&["qdisc", "show"]).contains("tbf 5a9e: root"));
        assert!(!other.tc(&["qdisc", "show"]).contains("5a9e:"));
        helper.ask(json!({"revert": "all"}));
        assert!(!veth.tc(&["qdisc", "show"]).contains("5a9e:"));
    }
    // Two that lead there, and a process that has the node's network.
    let second = ours.link("e1");
    let refused = helper.ask(rate(&group.target()));
    assert_eq!(refused["refused"]["code"], "target_ambiguous", "{refused}");
    drop((second, replica));
    let _on_the_node = group.spawn(&["sleep", "1000"]);
    let refused = helper.ask(rate(&group.target()));
    assert_eq!(refused["refused"]["code"], "device", "{refused}");
    assert!(refused["refused"]["reason"].as_str().unwrap().contains("the node's network"));
}
