//! Fixes through what runs the containers: nothing ends there by itself.

use serde_json::json;

use super::scene::{Stage, config, frame, proposal, reverted};
use crate::act::{Book, Command, Config, Event, Word};
use crate::data::{ActMode, Edit, FixRecord, FixState, FixWish, Outside, Runner};

/// A fix of `service` that is carried out by Kubernetes.
fn plan(diagnosis: &str, service: &str, config: &Config) -> Event {
    let mut fix = proposal(diagnosis, service, config);
    let edit = Edit { at: "/spec/replicas".into(), from: json!(2), to: json!(3) };
    let (runner, object) = (Runner::Kubernetes, format!("/{service}/scale"));
    for rung in &mut fix.rungs {
        rung.changes.clear();
        rung.outside = vec![Outside {
            runner,
            object: object.clone(),
            same: vec![],
            edits: vec![edit.clone()],
        }];
    }
    Event::Planned(Box::new(fix))
}

fn asked(config: &Config) -> (Stage, Command) {
    let mut stage = Stage::new(config.clone());
    stage.frame(true);
    let asked = stage.on(plan("d", "redis", config));
    let [apply @ Command::Apply(_)] = asked.as_slice() else { panic!("{asked:?}") };
    let apply = apply.clone();
    (stage, apply)
}

fn wish_it_gone(stage: &mut Stage) -> Vec<Command> {
    let id = stage.book.fixes()[0].id.clone();
    stage.book.wish(&id, FixWish::Revert, stage.now).unwrap()
}

/// As the journal has it.
fn restart(stage: &Stage, config: &Config) -> Stage {
    let text = serde_json::to_string(stage.book.fixes()).unwrap();
    let fixes: Vec<FixRecord> = serde_json::from_str(&text).unwrap();
    let mut next = Stage::new(config.clone());
    (next.book, next.now) = (Book::new(config.clone(), fixes, Some(frame(9, true))), stage.now);
    next
}

#[test]
fn what_cannot_be_taken_back_is_tried_for_ever_and_keeps_only_its_own_service_waiting() {
    let config = Config { fixes_max: 1, ..config(ActMode::Auto) };
    let (mut stage, apply) = asked(&config);
    stage.told(&apply, Word::InForce);
    let back = wish_it_gone(&mut stage);
    assert!(matches!(back.as_slice(), [Command::Revert(_)]), "{back:?}");
    let tries = |stage: &mut Stage, ticks: usize| {
        let tried = (0..ticks).filter(|_| {
            stage.told(&back[0], Word::NotReverted("exceeded quota".into()));
            matches!(stage.tick(20).as_slice(), [Command::Revert(_)])
        });
        tried.count()
    };
    // An hour long at every tick, then every ten minutes.
    assert_eq!(tries(&mut stage, 179), 179);
    assert!(stage.on(plan("e", "cart", &config)).is_empty());
    tries(&mut stage, 30);
    assert_eq!(tries(&mut stage, 3000), 100);
    assert_eq!(stage.state(), FixState::Reverting);
    assert!(stage.reason().contains("exceeded quota"), "{}", stage.reason());
    // Another service need not wait for that, the same one must.
    assert!(stage.on(plan("f", "redis", &config)).is_empty());
    let in_flight = stage.book.fixes().iter().filter(|f| f.state.is_in_flight());
    assert_eq!(in_flight.map(|f| &*f.service).collect::<Vec<_>>(), ["redis", "cart"]);
    // A new start is a new chance.
    let mut next = restart(&stage, &config);
    next.book.take_up(next.now);
    assert!(next.tick(1).contains(&back[0]));
    next.told(&back[0], reverted());
    assert_eq!(next.state(), FixState::Reverted);
}

#[test]
fn a_sidecar_that_died_before_it_wrote_tries_again_and_blames_nobody() {
    let config = config(ActMode::Auto);
    let (stage, apply) = asked(&config);
    let mut next = restart(&stage, &config);
    next.book.take_up(next.now);
    let renew = next.tick(1);
    assert!(matches!(renew.as_slice(), [Command::Renew(_)]), "{renew:?}");
    let lost = Word::Lost { is_foreign: true, why: "somebody else has set it back".into() };
    // Some of it may have been written.
    let back = next.told(&renew[0], lost.clone());
    assert!(matches!(back.as_slice(), [Command::Revert(_)]), "{back:?}");
    let again = next.told(&back[0], reverted());
    assert_eq!(again, [apply], "it still fires and still misses");
    // Once it is known to be in force, only somebody else can have set it back.
    next.told(&again[0], Word::InForce);
    let back = next.told(&renew[0], lost);
    assert!(next.told(&back[0], reverted()).is_empty());
    assert_eq!(next.state(), FixState::Failed);
    assert!(next.reason().starts_with("let go"), "{}", next.reason());
}

#[test]
fn what_somebody_wanted_gone_while_it_was_applied_is_not_tried_again_after_a_restart() {
    let config = config(ActMode::Auto);
    let (mut stage, apply) = asked(&config);
    assert!(wish_it_gone(&mut stage).is_empty());
    for is_foreign in [true, false] {
        let mut next = restart(&stage, &config);
        next.book.take_up(next.now);
        assert!(matches!(next.tick(1).as_slice(), [Command::Renew(_)]));
        let back = next.told(&apply, Word::Lost { is_foreign, why: "w".into() });
        assert!(next.told(&back[0], reverted()).is_empty(), "it is not asked for again");
        assert_eq!(next.state(), FixState::Reverted);
    }
}
