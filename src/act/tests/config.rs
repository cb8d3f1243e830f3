use crate::act::Config;
use crate::data::{ActMode, ActionKind, Target};

#[test]
fn nothing_is_done_unless_it_is_configured() {
    let config = Config::default();
    assert!(config.is_idle());
    assert!(!config.may_help("redis") && !config.may_scale_out("redis"));
}

#[test]
fn kinds_have_modes_of_their_own_and_targets_read_as_the_docs_write_them() {
    let text = r#"
        mode = "suggest"
        services = ["redis"]
        [modes]
        cpu = "auto"
        [[helpers]]
        node = "n1"
        socket = "/run/sage-helper/helper.sock"
        [[targets]]
        service = "redis"
        node = "n1"
        target = { unit = "redis.service" }
    "#;
    let config = toml::from_str::<Config>(text).unwrap();
    assert_eq!(config.mode_of(ActionKind::Cpu), ActMode::Auto);
    assert_eq!(config.mode_of(ActionKind::ScaleOut), ActMode::Suggest);
    assert_eq!(config.targets[0].target, Target::Unit("redis.service".into()));
    assert!(config.may_help("redis") && !config.may_help("cart"));
}

#[test]
fn faults_are_named_with_their_keys() {
    let text = r#"
        lease = "5s"
        cpu_steps = [0.5]
        fixes_max = 0
        [[helpers]]
        node = "n1"
        socket = "/a"
        [[helpers]]
        node = "n1"
        socket = "/b"
        [[targets]]
        service = "redis"
        node = "n2"
        target = { unit = "redis.service" }
    "#;
    let mut faults = Vec::new();
    toml::from_str::<Config>(text).unwrap().faults(&mut faults);
    let faults = faults.join("\n");
    for part in [
        "act.lease = 5s: must be at least 2s and three times act.timeout",
        "act.cpu_steps = [0.5]",
        "act.fixes_max = 0",
        "act.helpers[1].node = \"n1\": is there twice",
        "act.targets[0].node = \"n2\": there is no [[act.helpers]]",
    ] {
        assert!(faults.contains(part), "{part:?} is missing in\n{faults}");
    }
}
