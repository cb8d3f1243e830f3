//! The rim: a helper behind a real socket, and the operator's command.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use super::scene::{config, proposal};
use crate::act::client::{Error, Helpers};
use crate::act::config::Config;
use crate::act::event::{Command, Order, Word};
use crate::act::exec::perform;
use crate::act::metrics::{Metrics, NodeLabels, ReasonLabels};
use crate::act::nodes::Helper;
use crate::data::{ActMode, ActionKind};
use crate::wire::{Code, Request};

/// Answers one line on each connection, from a list, and then closes it.
fn helper(socket: &Path, answers: Vec<&'static str>) -> std::thread::JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let mut heard = Vec::new();
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            let mut reader = BufReader::new(&stream);
            reader.read_line(&mut line).unwrap();
            heard.push(line);
            (&stream).write_all(answer.as_bytes()).unwrap();
        }
        heard
    })
}

fn with_socket(socket: &Path) -> (Config, Metrics) {
    let mut config = config(ActMode::Auto);
    config.helpers = vec![Helper::local("n1", socket)];
    config.timeout = Duration::from_millis(500);
    let metrics = Metrics::register(&mut crate::observe::Registry::default(), &config);
    (config, metrics)
}

fn order(config: &Config) -> Order {
    let fix = proposal("d", "redis", config);
    Order {
        fix: fix.id.clone(),
        diagnosis: fix.diagnosis.clone(),
        service: fix.service.clone(),
        resource: fix.resource,
        rung: 0,
        kind: ActionKind::Cpu,
        changes: fix.rungs[0].changes.clone(),
        outside: vec![],
        note: "why".into(),
    }
}

const PONG: &str = "{\"v\":1,\"pong\":{\"program\":\"0\",\"leases\":0,\"stuck\":0}}\n";
const REFUSED: &str =
    "{\"v\":1,\"refused\":{\"code\":\"busy\",\"reason\":\"another holds it\",\"cure\":\"wait\"}}\n";
const ENDED: &str = "{\"v\":1,\"refused\":{\"code\":\"lease_ended\",\"reason\":\"it has ended\",\"cure\":\"wait\"}}\n";

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_made_again() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("sock");
    let (config, metrics) = with_socket(&socket);
    let helpers = Helpers::start(&config, &metrics);
    let nobody = helpers.ask("n1", Request::Ping {}).await;
    assert!(matches!(nobody, Err(Error::Unreachable { .. })), "{nobody:?}");
    let up = || metrics.helper_up.get_or_create(&NodeLabels { node: "n1".into() }).get();
    assert_eq!(up(), 0);
    let heard = helper(&socket, vec![PONG, PONG, REFUSED, "nonsense\n"]);
    for _ in 0..2 {
        helpers.ask("n1", Request::Ping {}).await.unwrap();
        assert_eq!(up(), 1);
    }
    let refused = helpers.ask("n1", Request::Ping {}).await.unwrap_err();
    assert!(matches!(&refused, Error::Refused { refusal, .. } if refusal.code == Code::Busy));
    assert_eq!(up(), 1, "a refusal is an answer");
    assert!(helpers.ask("n1", Request::Ping {}).await.is_err());
    assert_eq!(up(), 0);
    assert_eq!(heard.join().unwrap().len(), 4);
    assert!(helpers.ask("n7", Request::Ping {}).await.is_err());
}

#[tokio::test]
async fn a_helper_that_hangs_costs_the_time_out_and_is_said_to_hang() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("sock");
    let _never_answers = UnixListener::bind(&socket).unwrap();
    let (config, metrics) = with_socket(&socket);
    let helpers = Helpers::start(&config, &metrics);
    let error = helpers.ask("n1", Request::Ping {}).await.unwrap_err().to_string();
    assert!(error.contains("not within 500ms"), "{error}");
}

#[tokio::test]
async fn refusals_are_counted_by_their_code_and_a_lease_that_was_overridden_is_foreign() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("sock");
    let (config, metrics) = with_socket(&socket);
    let order = order(&config);
    let id = order.changes[0].id.to_string();
    let list = format!(
        "{{\"v\":1,\"list\":{{\"leases\":[],\"ended\":[{{\"fix\":\"{id}\",\"how\":\"overridden\",\
         \"knob\":\"cpu_quota\",\"place\":\"p\",\"left_at\":\"7\",\"at\":\"t\"}}]}}}}\n"
    );
    let heard = helper(&socket, vec![REFUSED, ENDED, Box::leak(list.into_boxed_str())]);
    let helpers = Helpers::start(&config, &metrics);
    let does = async |command: Command| perform(&command, &helpers, &config, &metrics).await;
    let word = does(Command::Apply(order.clone())).await;
    assert!(matches!(&word, Word::Refused(why) if why.contains("another holds it")), "{word:?}");
    assert_eq!(metrics.refused.get_or_create(&ReasonLabels { reason: "busy" }).get(), 1);
    let word = does(Command::Renew(order)).await;
    assert!(matches!(word, Word::Lost { is_foreign: true, .. }), "{word:?}");
    assert_eq!(metrics.renew_failures.get(), 1);
    let heard = heard.join().unwrap();
    assert!(
        heard[0].contains("\"value\":2.25") && heard[0].contains("\"lease\":\"1m\""),
        "{heard:?}"
    );
}

#[tokio::test]
async fn a_replica_that_is_gone_does_not_end_the_lease_of_another() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("sock");
    let (config, metrics) = with_socket(&socket);
    let mut order = order(&config);
    let mut gone = order.changes[0].clone();
    gone.id = crate::data::FixId::new("gone-1").unwrap();
    order.changes.push(gone);
    let list = "{\"v\":1,\"list\":{\"leases\":[],\"ended\":[{\"fix\":\"gone-1\",\"how\":\"gone\",\
                \"knob\":\"cpu_quota\",\"place\":\"p\",\"left_at\":\"\",\"at\":\"t\"}]}}\n";
    let heard = helper(&socket, vec![PONG, ENDED, list, ENDED, list]);
    let helpers = Helpers::start(&config, &metrics);
    let word = perform(&Command::Renew(order.clone()), &helpers, &config, &metrics).await;
    assert_eq!(word, Word::InForce);
    order.changes.remove(0);
    let word = perform(&Command::Renew(order), &helpers, &config, &metrics).await;
    assert!(matches!(word, Word::Lost { is_foreign: true, .. }), "{word:?}");
    assert_eq!(metrics.renew_failures.get(), 0);
    let heard = heard.join().unwrap();
    assert!(heard[1].contains("gone-1"), "{heard:?}");
}

#[tokio::test]
async fn the_command_is_told_in_its_environment_and_its_exit_is_the_answer() {
    let home = tempfile::tempdir().unwrap();
    let said = home.path().join("said");
    let (mut config, metrics) = with_socket(&home.path().join("sock"));
    let script = format!("echo $SAGE_ACTION $SAGE_SERVICE $SAGE_RESOURCE >> {}", said.display());
    config.scale_out_command = vec!["/bin/sh".into(), "-c".into(), script];
    let order = Order { kind: ActionKind::ScaleOut, changes: vec![], ..order(&config) };
    let helpers = Helpers::start(&config, &metrics);
    let does = async |command: Command, config: &Config| {
        perform(&command, &helpers, config, &metrics).await
    };
    assert_eq!(does(Command::Apply(order.clone()), &config).await, Word::InForce);
    assert_eq!(does(Command::Renew(order.clone()), &config).await, Word::InForce);
    assert_eq!(does(Command::Revert(order.clone()), &config).await, Word::Reverted(String::new()));
    assert_eq!(std::fs::read_to_string(&said).unwrap(), "out redis cpu\nin redis cpu\n");
    for (words, limit, why) in [
        (vec!["/bin/false"], 9, "exit status: 1"),
        (vec!["/nowhere/at/all"], 9, "No such file"),
        (vec!["/bin/sleep", "60"], 0, "was killed"),
    ] {
        config.scale_out_command = words.into_iter().map(Into::into).collect();
        config.scale_out_timeout = Duration::from_secs(limit);
        let word = does(Command::Apply(order.clone()), &config).await;
        assert!(matches!(&word, Word::Refused(text) if text.contains(why)), "{word:?}");
    }
}
