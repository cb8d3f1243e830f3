use super::scene::{Stage, config, frame, proposal, reverted, to};
use crate::act::{Book, Command, Config, Event, Word};
use crate::data::{ActMode, ActionKind, FixProblem, FixRecord, FixState, FixWish};

fn planned(stage: &mut Stage, config: &Config) -> Vec<Command> {
    stage.on(Event::Planned(Box::new(proposal("d", "redis", config))))
}

fn wish(stage: &mut Stage, wish: FixWish) -> Result<Vec<Command>, FixProblem> {
    let id = stage.book.fixes()[0].id.clone();
    stage.book.wish(&id, wish, stage.now)
}

fn is_revert(commands: &[Command]) -> bool {
    matches!(commands, [Command::Revert(_)])
}

#[test]
fn what_helps_is_held_until_the_alert_resolves_then_halved_then_released() {
    let lease = std::time::Duration::from_secs(3600);
    let (mut stage, apply) = Stage::in_force(&Config { lease, ..config(ActMode::Auto) });
    assert_eq!(to(&apply), 2.25);
    // The interval under way when it was applied, then one that is good.
    assert_eq!(stage.frame(true), []);
    assert_eq!(stage.frame(false), []);
    assert_eq!(stage.state(), FixState::Holding);
    // However long the alert fires.
    for _ in 0..20 {
        assert_eq!(stage.frame(false), []);
        assert!(matches!(stage.tick(0).as_slice(), [Command::Renew(_)]));
        stage.told(&apply, Word::InForce);
    }
    stage.resolve("d");
    let halved = stage.frame(false);
    let [Command::Set(_)] = halved.as_slice() else { panic!("{halved:?}") };
    assert_eq!((to(&halved[0]), stage.state()), (1.88, FixState::Relaxing));
    stage.told(&halved[0], Word::InForce);
    let back = stage.frame(false);
    assert!(is_revert(&back), "{back:?}");
    stage.told(&back[0], reverted());
    assert_eq!(stage.state(), FixState::Done);
}

/// Frames wait in a queue of their own: those from before the violation may come after the plan.
#[test]
fn frames_from_before_the_violation_do_not_count() {
    let config = config(ActMode::Approve);
    let mut stage = Stage::new(config.clone());
    planned(&mut stage, &config);
    for n in -9..=0 {
        stage.late_frame(n, false);
    }
    assert_eq!(stage.state(), FixState::Proposed);
    for _ in 0..config.normal_intervals {
        stage.frame(false);
    }
    assert_eq!(stage.state(), FixState::Done);
}

#[test]
fn what_is_still_needed_is_made_whole_again_and_held_for_longer() {
    let (mut stage, _) = Stage::in_force(&config(ActMode::Auto));
    stage.frame(false);
    stage.resolve("d");
    let frames_until_halved = |stage: &mut Stage| {
        (1..100).find(|_| matches!(stage.frame(false).as_slice(), [Command::Set(_)])).unwrap()
    };
    assert_eq!(frames_until_halved(&mut stage), 3);
    let whole = stage.frame(true);
    assert!(matches!(whole.as_slice(), [Command::Set(_)]), "{whole:?}");
    assert_eq!((to(&whole[0]), stage.state()), (2.25, FixState::Holding));
    assert_eq!(frames_until_halved(&mut stage), 8);
}

#[test]
fn what_does_not_help_within_two_intervals_is_taken_back_and_the_next_rung_tried() {
    let (mut stage, _) = Stage::in_force(&config(ActMode::Auto));
    assert_eq!(stage.frame(true), []);
    assert_eq!(stage.frame(true), []);
    let back = stage.frame(true);
    assert!(is_revert(&back), "{back:?}");
    let next = stage.told(&back[0], reverted());
    let [Command::Apply(_)] = next.as_slice() else { panic!("{next:?}") };
    assert_eq!(to(&next[0]), 3.0);
    stage.told(&next[0], Word::InForce);
    stage.frame(true);
    stage.frame(true);
    let back = stage.frame(true);
    assert_eq!(stage.told(&back[0], reverted()), []);
    assert_eq!(stage.state(), FixState::Failed);
    assert!(
        stage.reason().contains("given up: that was the last of 2 rungs"),
        "{}",
        stage.reason()
    );
}

#[test]
fn observe_and_suggest_never_ask_for_anything_and_cannot_be_approved() {
    for mode in [ActMode::Observe, ActMode::Suggest] {
        let config = config(mode);
        let mut stage = Stage::new(config.clone());
        stage.frame(true);
        // A plan of a time when more was allowed.
        let plan = proposal("d", "redis", &super::scene::config(ActMode::Auto));
        assert_eq!(stage.on(Event::Planned(Box::new(plan))), []);
        assert_eq!(stage.frame(true), []);
        assert!(stage.reason().starts_with("suggested only"), "{}", stage.reason());
        assert!(matches!(wish(&mut stage, FixWish::Approve), Err(FixProblem::Conflict(_))));
        stage.resolve("d");
        assert_eq!(stage.state(), FixState::Done);
    }
}

#[test]
fn approval_is_waited_for_and_every_rung_needs_its_own() {
    let config = config(ActMode::Approve);
    let mut stage = Stage::new(config.clone());
    stage.frame(true);
    assert_eq!(planned(&mut stage, &config), []);
    assert!(stage.reason().starts_with("waits for approval: cpu_quota"), "{}", stage.reason());
    let apply = wish(&mut stage, FixWish::Approve).unwrap();
    assert!(matches!(apply.as_slice(), [Command::Apply(_)]));
    assert!(matches!(wish(&mut stage, FixWish::Approve), Err(FixProblem::Conflict(_))));
    let back = stage.told(&apply[0], Word::Refused("out_of_bounds".into()));
    assert!(is_revert(&back));
    assert_eq!(stage.told(&back[0], reverted()), []);
    assert_eq!((stage.state(), stage.book.fixes()[0].rung), (FixState::Proposed, 1));
    assert!(stage.reason().starts_with("waits for approval"));
    assert!(wish(&mut stage, FixWish::Revert).unwrap().is_empty());
    assert_eq!(stage.state(), FixState::Reverted);
    assert!(matches!(
        stage.book.wish("fix-0", FixWish::Revert, stage.now),
        Err(FixProblem::Unknown(_))
    ));
}

#[test]
fn nothing_begins_while_the_newest_interval_meets_the_target() {
    let config = config(ActMode::Auto);
    let mut stage = Stage::new(config.clone());
    assert_eq!(planned(&mut stage, &config), [], "no interval yet");
    assert_eq!(stage.frame(false), []);
    assert!(stage.reason().contains("newest interval does not miss"), "{}", stage.reason());
    for _ in 0..3 {
        assert_eq!(stage.frame(false), []);
    }
    assert_eq!(stage.state(), FixState::Done);
    // And none does after the alert has resolved.
    let mut stage = Stage::new(config.clone());
    planned(&mut stage, &config);
    stage.resolve("d");
    assert_eq!(stage.frame(true), []);
    assert_eq!(stage.state(), FixState::Done);
}

#[test]
fn a_wish_to_revert_is_granted_whenever_it_comes() {
    let config = config(ActMode::Auto);
    let mut stage = Stage::new(config.clone());
    stage.frame(true);
    let apply = planned(&mut stage, &config);
    assert!(wish(&mut stage, FixWish::Revert).unwrap().is_empty(), "the helpers have not answered");
    let back = stage.told(&apply[0], Word::InForce);
    assert!(is_revert(&back));
    stage.told(&back[0], reverted());
    assert_eq!(stage.state(), FixState::Reverted);

    let (mut stage, _) = Stage::in_force(&config);
    let back = wish(&mut stage, FixWish::Revert).unwrap();
    assert!(is_revert(&back));
    // A helper that does not answer is asked again.
    stage.told(&back[0], Word::NotReverted("unreachable".into()));
    assert!(is_revert(&stage.tick(1)));
    stage.told(&back[0], reverted());
    assert_eq!(stage.state(), FixState::Reverted);
    assert!(matches!(wish(&mut stage, FixWish::Revert), Err(FixProblem::Conflict(_))));
}

#[test]
fn somebody_elses_value_is_let_alone_and_a_lost_lease_may_be_taken_again() {
    let lost = |is_foreign| Word::Lost { is_foreign, why: "w".into() };
    let (mut stage, apply) = Stage::in_force(&config(ActMode::Auto));
    let back = stage.told(&apply, lost(true));
    assert!(is_revert(&back), "the other replicas of the rung");
    assert_eq!(stage.told(&back[0], reverted()), []);
    assert_eq!(stage.state(), FixState::Failed);
    assert!(stage.reason().starts_with("let go"), "{}", stage.reason());

    let (mut stage, apply) = Stage::in_force(&config(ActMode::Auto));
    for _ in 0..3 {
        let back = stage.told(&apply, lost(false));
        let again = stage.told(&back[0], reverted());
        assert!(matches!(again.as_slice(), [Command::Apply(_)]), "{again:?}");
        stage.told(&again[0], Word::InForce);
    }
    let back = stage.told(&apply, lost(false));
    stage.told(&back[0], reverted());
    assert_eq!(stage.state(), FixState::Failed);
}

#[test]
fn without_answers_the_lease_is_over_and_without_intervals_nobody_can_tell() {
    let config = config(ActMode::Auto);
    let (mut stage, apply) = Stage::in_force(&config);
    assert!(matches!(stage.tick(20).as_slice(), [Command::Renew(_)]));
    stage.told(&apply, Word::Unheard("no answer".into()));
    assert!(matches!(stage.tick(20).as_slice(), [Command::Renew(_)]));
    stage.told(&apply, Word::Unheard("no answer".into()));
    assert!(is_revert(&stage.tick(21)), "more than a lease of 60 s");
    assert!(stage.reason().contains("whole lease"), "{}", stage.reason());

    let (mut stage, apply) = Stage::in_force(&config);
    for _ in 0..15 {
        stage.tick(20);
        stage.told(&apply, Word::InForce);
    }
    assert!(is_revert(&stage.tick(20)));
    assert!(stage.reason().contains("nobody can tell"), "{}", stage.reason());
}

#[test]
fn nothing_is_held_for_longer_than_hold_max() {
    let mut config = config(ActMode::Auto);
    config.hold_max = std::time::Duration::from_secs(300);
    let (mut stage, apply) = Stage::in_force(&config);
    let mut frames = 0;
    loop {
        stage.frame(false);
        stage.told(&apply, Word::InForce);
        frames += 1;
        if is_revert(&stage.tick(0)) {
            break;
        }
    }
    assert_eq!(frames, 11);
    assert!(stage.reason().contains("hold_max"), "{}", stage.reason());
}

#[test]
fn a_service_rests_between_fixes_and_only_so_many_are_in_force() {
    let mut config = config(ActMode::Auto);
    config.fixes_max = 2;
    let (mut stage, _) = Stage::in_force(&config);
    let plan = |stage: &mut Stage, id: &str, service: &str| {
        stage.on(Event::Planned(Box::new(proposal(id, service, &config))))
    };
    // The same service, because of another alert.
    assert_eq!(plan(&mut stage, "e", "redis"), []);
    assert!(stage.book.fixes()[1].reason.contains("under way for redis"));
    assert_eq!(plan(&mut stage, "f", "cart").len(), 1);
    assert_eq!(plan(&mut stage, "g", "shop"), []);
    assert!(stage.book.fixes()[3].reason.contains("fixes_max"));
    // The first ends: shop may begin, redis rests.
    let back = wish(&mut stage, FixWish::Revert).unwrap();
    let next = stage.told(&back[0], reverted());
    assert_eq!(next.iter().map(|c| c.order().service.as_str()).collect::<Vec<_>>(), ["shop"]);
    assert!(stage.book.fixes()[1].reason.contains("cool_down"), "{}", stage.book.fixes()[1].reason);
    let cart = stage.book.fixes()[2].id.clone();
    let told = |stage: &mut Stage, word| stage.on(Event::Told { fix: cart.clone(), rung: 0, word });
    stage.resolve("f");
    told(&mut stage, Word::Refused("no".into()));
    told(&mut stage, reverted());
    stage.now = crate::data::EventTime(stage.now.0 + 601_000);
    assert!(stage.tick(0).iter().any(|c| c.order().service == "redis"));
}

fn restart(stage: &Stage, config: &Config) -> Stage {
    let fixes: Vec<FixRecord> = stage.book.fixes().to_vec();
    // As the journal has them.
    let text = serde_json::to_string(&fixes).unwrap();
    let book =
        Book::new(config.clone(), serde_json::from_str(&text).unwrap(), Some(frame(9, true)));
    let mut next = Stage::new(config.clone());
    (next.book, next.now) = (book, stage.now);
    next
}

#[test]
fn after_a_restart_helpers_are_asked_what_is_in_force() {
    let config = config(ActMode::Auto);
    // In force.
    let (stage, apply) = Stage::in_force(&config);
    let mut next = restart(&stage, &config);
    assert_eq!(next.book.take_up(next.now), []);
    assert!(matches!(next.tick(1).as_slice(), [Command::Renew(_)]));
    next.told(&apply, Word::InForce);
    assert_eq!(next.frame(false), []);
    assert_eq!(next.state(), FixState::Holding);
    // Torn from the asking: whatever came of it is found out.
    let mut stage = Stage::new(config.clone());
    stage.frame(true);
    planned(&mut stage, &config);
    assert_eq!(stage.state(), FixState::Applying);
    let mut next = restart(&stage, &config);
    assert!(matches!(next.tick(1).as_slice(), [Command::Renew(_)]));
    let back = next.told(&apply, Word::Lost { is_foreign: false, why: "unknown".into() });
    let again = next.told(&back[0], reverted());
    assert!(matches!(again.as_slice(), [Command::Apply(_)]), "it still fires and still misses");
    // Torn from taking it back.
    let (mut stage, _) = Stage::in_force(&config);
    wish(&mut stage, FixWish::Revert).unwrap();
    let mut next = restart(&stage, &config);
    assert!(is_revert(&next.tick(1)));
}

#[test]
fn after_a_restart_with_less_allowed_it_is_taken_back() {
    let (stage, _) = Stage::in_force(&config(ActMode::Auto));
    let mut less = config(ActMode::Auto);
    less.modes.insert(ActionKind::Cpu, ActMode::Suggest);
    let mut next = restart(&stage, &less);
    assert!(is_revert(&next.book.take_up(next.now)));
}

#[test]
fn the_same_plan_again_changes_nothing_and_another_one_replaces_what_has_not_begun() {
    let config = config(ActMode::Approve);
    let mut stage = Stage::new(config.clone());
    stage.frame(true);
    planned(&mut stage, &config);
    stage.book.take_changed();
    planned(&mut stage, &config);
    assert!(stage.book.take_changed().is_empty());
    let mut smaller = proposal("d", "redis", &config);
    smaller.rungs.truncate(1);
    stage.on(Event::Planned(Box::new(smaller.clone())));
    assert_eq!(stage.book.fixes()[0].rungs.len(), 1);
    wish(&mut stage, FixWish::Approve).unwrap();
    stage.on(Event::Planned(Box::new(proposal("d", "redis", &config))));
    assert_eq!(stage.book.fixes()[0].rungs.len(), 1, "it is under way");
}
