//! Carries commands out: asks the helpers, or runs the operator's command, and puts what came of it in one
//! word.

use std::time::Duration;

use tokio::task::JoinSet;

use super::client::{Error, Helpers};
use super::config::Config;
use super::event::{Command, Means, Order, Word};
use super::hook::scale;
use super::metrics::{COMMAND, Metrics, ReasonLabels, UNREACHABLE};
use super::outside::carry;
use super::tally::{Kept, kept, worst};
use crate::data::{Change, Fix, FixId};
use crate::wire::{Answer, Code, Ending, Request, Which};

/// Does what is commanded.
pub(super) async fn perform(
    command: &Command,
    helpers: &Helpers,
    config: &Config,
    metrics: &Metrics,
) -> Word {
    let order = command.order().clone();
    let word = match order.means() {
        Means::Helpers => by_helpers(command, order, helpers, config.lease, metrics).await,
        Means::Outside => carry(command, &order, config, metrics).await,
        Means::Command => by_command(command, &order, config, metrics).await,
    };
    if matches!(word, Word::NotReverted(_)) {
        metrics.revert_failures.inc();
    }
    word
}

async fn by_helpers(
    command: &Command,
    order: Order,
    helpers: &Helpers,
    lease: Duration,
    metrics: &Metrics,
) -> Word {
    match command {
        Command::Apply(_) => {
            let note = order.note.clone();
            let ask = |change: &Change| {
                let Change { id, target, knob, device, to, .. } = change.clone();
                Request::Apply(Fix {
                    id,
                    target,
                    knob,
                    device,
                    value: to,
                    lease,
                    note: note.clone(),
                })
            };
            let answers = each(&order, helpers, metrics, ask).await;
            worst(answers.into_iter().map(|(_, answer)| match answer {
                Ok(_) => Word::InForce,
                Err(error) => Word::Refused(error.to_string()),
            }))
        }
        Command::Renew(_) | Command::Set(_) => {
            let is_set = matches!(command, Command::Set(_));
            let ask = |change: &Change| Request::Renew {
                fix: change.id.clone(),
                lease,
                value: is_set.then(|| change.to.clone()),
            };
            let mut all = Vec::new();
            for (change, answer) in each(&order, helpers, metrics, ask).await {
                all.push(match answer {
                    Ok(_) => Kept::Word(Word::InForce),
                    Err(error) => not_renewed(&change, error, is_set, helpers, metrics).await,
                });
            }
            kept(all)
        }
        Command::Revert(_) => {
            let ask = |change: &Change| Request::Revert(Which::Fix(change.id.clone()));
            let answers = each(&order, helpers, metrics, ask).await;
            worst(answers.into_iter().map(|(change, answer)| reverted(&change, answer)))
        }
    }
}

/// Asks about every change, those of different nodes at the same time.
async fn each(
    order: &Order,
    helpers: &Helpers,
    metrics: &Metrics,
    ask: impl Fn(&Change) -> Request,
) -> Vec<(Change, Result<Answer, Error>)> {
    let mut asking = JoinSet::new();
    for change in &order.changes {
        let (helpers, change, request) = (helpers.clone(), change.clone(), ask(change));
        asking.spawn(async move {
            let answer = helpers.ask(&change.node, request).await;
            (change, answer)
        });
    }
    let answers = asking.join_all().await;
    for error in answers.iter().filter_map(|(_, answer)| answer.as_ref().err()) {
        let reason = match error {
            Error::Refused { refusal, .. } => refusal.code.name(),
            Error::Unreachable { .. } => UNREACHABLE,
        };
        metrics.refused.get_or_create(&ReasonLabels { reason }).inc();
    }
    answers
}

async fn not_renewed(
    change: &Change,
    error: Error,
    is_set: bool,
    helpers: &Helpers,
    metrics: &Metrics,
) -> Kept {
    let why = error.to_string();
    let word = match &error {
        Error::Refused { refusal, .. }
            if matches!(refusal.code, Code::LeaseEnded | Code::UnknownFix) =>
        {
            match ending(&change.node, &change.id, helpers).await {
                Some(Ending::Gone) => return Kept::Gone(why),
                how => Word::Lost { is_foreign: how == Some(Ending::Overridden), why },
            }
        }
        Error::Refused { .. } if is_set => Word::Refused(why),
        _ => Word::Unheard(why),
    };
    metrics.renew_failures.inc();
    Kept::Word(word)
}

/// How a fix has ended, if its helper remembers.
async fn ending(node: &str, fix: &FixId, helpers: &Helpers) -> Option<Ending> {
    let Ok(Answer::List(listing)) = helpers.ask(node, Request::List {}).await else { return None };
    listing.ended.iter().find(|ended| ended.fix == *fix).map(|ended| ended.how)
}

fn reverted(change: &Change, answer: Result<Answer, Error>) -> Word {
    match answer {
        Ok(Answer::Ended(ended)) => {
            let theirs = ended.iter().find(|e| e.how == Ending::Overridden);
            let note = theirs.map(|e| {
                format!("somebody else had set {} to {}; that stays", change.knob, e.left_at)
            });
            Word::Reverted(note.unwrap_or_default())
        }
        // It never came into force, or has ended so long ago that nobody remembers.
        Err(Error::Refused { refusal, .. }) if refusal.code == Code::UnknownFix => {
            Word::Reverted(String::new())
        }
        Ok(_) => Word::NotReverted("the helper gives an answer to another question".into()),
        Err(error) => Word::NotReverted(error.to_string()),
    }
}

async fn by_command(command: &Command, order: &Order, config: &Config, metrics: &Metrics) -> Word {
    let (action, done): (_, fn() -> Word) = match command {
        Command::Apply(_) => ("out", || Word::InForce),
        Command::Revert(_) => ("in", || Word::Reverted(String::new())),
        // More replicas have no lease.
        Command::Renew(_) | Command::Set(_) => return Word::InForce,
    };
    match blocking(scale(config, order, action)).await {
        Ok(()) => done(),
        Err(why) => {
            metrics.refused.get_or_create(&ReasonLabels { reason: COMMAND }).inc();
            match command {
                Command::Apply(_) => Word::Refused(why),
                _ => Word::NotReverted(why),
            }
        }
    }
}

async fn blocking(run: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    tokio::task::spawn_blocking(run)
        .await
        .unwrap_or_else(|e| Err(format!("the command broke: {e}")))
}
