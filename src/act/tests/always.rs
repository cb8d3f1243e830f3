//! What holds whatever happens, in whatever order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::scene::{Stage, config, proposal, reverted};
use crate::act::{Command, Config, Event, Word};
use crate::data::{ActMode, EventTime, FixState, FixWish};

const SERVICES: [&str; 3] = ["redis", "cart", "shop"];

#[derive(Clone, Debug)]
enum Act {
    Plan {
        diagnosis: usize,
        service: usize,
    },
    Frame {
        is_violated: bool,
    },
    Resolve {
        diagnosis: usize,
    },
    Wish {
        at: usize,
        wish: FixWish,
    },
    Tick {
        seconds: i64,
    },
    /// The oldest command that has not ended ends like this.
    Answer {
        how: usize,
    },
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..4_usize, 0..3_usize)
            .prop_map(|(diagnosis, service)| Act::Plan { diagnosis, service }),
        6 => any::<bool>().prop_map(|is_violated| Act::Frame { is_violated }),
        1 => (0..4_usize).prop_map(|diagnosis| Act::Resolve { diagnosis }),
        2 => (0..12_usize, any::<bool>()).prop_map(|(at, approve)| {
            Act::Wish { at, wish: if approve { FixWish::Approve } else { FixWish::Revert } }
        }),
        3 => (1..90_i64).prop_map(|seconds| Act::Tick { seconds }),
        6 => (0..6_usize).prop_map(|how| Act::Answer { how }),
        1 => Just(Act::Restart),
    ]
}

/// A world of helpers: what is in force, by fix, whatever the book believes.
struct World {
    stage: Stage,
    config: Config,
    waiting: Vec<Command>,
    /// Service, and when its lease was last renewed.
    in_force: BTreeMap<String, (String, EventTime)>,
    applied: usize,
}

impl World {
    fn hear(&mut self, commands: Vec<Command>) {
        self.waiting.extend(commands);
        let (now, lease) = (self.stage.now, self.config.lease);
        self.in_force.retain(|_, (_, renewed)| renewed.plus(lease) >= now);
        let mut busy = BTreeSet::new();
        for fix in self.stage.book.fixes().iter().filter(|f| f.state.is_in_flight()) {
            assert!(busy.insert(fix.service.clone()), "two fixes in flight for {}", fix.service);
        }
        assert!(busy.len() <= self.config.fixes_max);
        for (fix, (service, _)) in &self.in_force {
            let known = self.stage.book.get(fix).expect("what is in force is known");
            assert!(
                known.state.is_in_flight(),
                "{fix} of {service} is {} yet in force",
                known.state
            );
        }
    }

    fn answer(&mut self, how: usize) {
        if self.waiting.is_empty() {
            return;
        }
        let command = self.waiting.remove(0);
        let (fix, service) = (command.order().fix.clone(), command.order().service.clone());
        let is_there = self.in_force.contains_key(&fix);
        let lost = |is_foreign| Word::Lost { is_foreign, why: "lost".into() };
        let word = match (&command, how) {
            (Command::Apply(_), 0 | 1) => Word::Refused("no".into()),
            (Command::Apply(_), _) => {
                self.applied += 1;
                self.in_force.insert(fix.clone(), (service, self.stage.now));
                Word::InForce
            }
            (Command::Renew(_) | Command::Set(_), 0) => Word::Unheard("no answer".into()),
            (Command::Renew(_) | Command::Set(_), 1) => {
                self.in_force.remove(&fix);
                lost(true)
            }
            (Command::Renew(_) | Command::Set(_), _) if is_there => {
                self.in_force.insert(fix.clone(), (service, self.stage.now));
                Word::InForce
            }
            (Command::Renew(_) | Command::Set(_), _) => lost(false),
            (Command::Revert(_), 0) => Word::NotReverted("no answer".into()),
            (Command::Revert(_), _) => {
                self.in_force.remove(&fix);
                reverted()
            }
        };
        let commands = self.stage.told(&command, word);
        self.hear(commands);
    }

    fn step(&mut self, act: &Act) {
        let commands = match *act {
            Act::Plan { diagnosis, service } => {
                let plan = proposal(&format!("d{diagnosis}"), SERVICES[service], &self.config);
                self.stage.on(Event::Planned(Box::new(plan)))
            }
            Act::Frame { is_violated } => self.stage.frame(is_violated),
            Act::Resolve { diagnosis } => self.stage.resolve(&format!("d{diagnosis}")),
            Act::Wish { at, wish } => {
                let (book, now) = (&mut self.stage.book, self.stage.now);
                let id = book.fixes().get(at).map(|f| f.id.clone());
                id.and_then(|id| book.wish(&id, wish, now).ok()).unwrap_or_default()
            }
            Act::Tick { seconds } => self.stage.tick(seconds),
            Act::Answer { how } => return self.answer(how),
            Act::Restart => {
                // Nobody hears the answers any more. The helpers did what they were asked, or not.
                for command in std::mem::take(&mut self.waiting) {
                    let order = command.order();
                    if matches!(command, Command::Apply(_)) && self.in_force.len().is_multiple_of(2)
                    {
                        self.applied += 1;
                        let lease = (order.service.clone(), self.stage.now);
                        self.in_force.insert(order.fix.clone(), lease);
                    }
                }
                let fixes = self.stage.book.fixes().to_vec();
                self.stage.book = crate::act::Book::new(self.config.clone(), fixes, None);
                self.stage.book.take_up(self.stage.now)
            }
        };
        self.hear(commands);
    }

    /// Everything resolves, helpers answer, and the target is met.
    fn calm_down(&mut self) {
        for diagnosis in 0..4 {
            self.step(&Act::Resolve { diagnosis });
        }
        for _ in 0..200 {
            self.step(&Act::Frame { is_violated: false });
            while !self.waiting.is_empty() {
                self.step(&Act::Answer { how: 5 });
            }
            self.step(&Act::Tick { seconds: 5 });
            while !self.waiting.is_empty() {
                self.step(&Act::Answer { how: 5 });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 600,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn property_one_fix_a_service_nothing_unasked_and_everything_released(
        mode in prop_oneof![
            Just(ActMode::Observe), Just(ActMode::Suggest), Just(ActMode::Approve), Just(ActMode::Auto),
        ],
        acts in prop::collection::vec(act(), 1..120),
    ) {
        let config = config(mode);
        let mut world = World {
            stage: Stage::new(config.clone()),
            config,
            waiting: Vec::new(),
            in_force: BTreeMap::new(),
            applied: 0,
        };
        let approvals = acts.iter().any(|a| matches!(a, Act::Wish { wish: FixWish::Approve, .. }));
        for act in &acts {
            world.step(act);
        }
        match mode {
            ActMode::Observe | ActMode::Suggest => prop_assert_eq!(world.applied, 0),
            ActMode::Approve => prop_assert!(approvals || world.applied == 0),
            ActMode::Auto => {}
        }
        world.calm_down();
        prop_assert!(world.in_force.is_empty(), "{:?}", world.in_force);
        for fix in world.stage.book.fixes() {
            prop_assert!(fix.state.is_over(), "{} is {}: {}", fix.id, fix.state, fix.reason);
            prop_assert!(fix.steps.len() <= 64);
        }
        let all_told = world.stage.book.fixes().iter().all(|f| f.state != FixState::Applying);
        prop_assert!(all_told);
    }
}
