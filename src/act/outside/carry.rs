//! Carries changes out, and takes them back.

use serde_json::Value;

use super::super::config::Config;
use super::super::event::{Command, Order, Word};
use super::super::metrics::{Metrics, OUTSIDE, ReasonLabels};
use super::super::tally::{Kept, kept};
use super::docker;
use super::kubernetes;
use super::standing::{Standing, standing};
use crate::data::{Edit, Outside, Runner};

/// Attempts at a write that somebody else's write to the same object keeps from succeeding.
const TRIES: usize = 3;

/// Why a write did not happen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The object has changed since it was read.
    Conflict(String),
    /// Anything else.
    Failed(String),
}

/// Which way the edits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    There,
    Back,
}

impl Way {
    /// What a field is to be.
    pub(super) fn goal(self, edit: &Edit) -> &Value {
        match self {
            Self::There => &edit.to,
            Self::Back => &edit.from,
        }
    }
}

/// Does what is commanded, object by object.
pub async fn carry(command: &Command, order: &Order, config: &Config, metrics: &Metrics) -> Word {
    let word = match command {
        Command::Apply(_) => apply_all(order, config).await,
        Command::Renew(_) | Command::Set(_) => check_all(order, config).await,
        Command::Revert(_) => revert_all(order, config).await,
    };
    if !matches!(word, Word::InForce | Word::Reverted(_)) {
        metrics.refused.get_or_create(&ReasonLabels { reason: OUTSIDE }).inc();
    }
    word
}

/// Ends at the first that cannot be had. What was done before it is taken back by whoever commands.
async fn apply_all(order: &Order, config: &Config) -> Word {
    for change in &order.outside {
        if let Err(why) = apply(change, config).await {
            return Word::Refused(why);
        }
    }
    Word::InForce
}

async fn check_all(order: &Order, config: &Config) -> Word {
    let mut all = Vec::new();
    for change in &order.outside {
        let one = check(change, config).await;
        let is_over = matches!(&one, Kept::Word(word) if *word != Word::InForce);
        all.push(one);
        if is_over {
            // The others cannot change what that means.
            break;
        }
    }
    kept(all)
}

/// Goes through all of them: one that does not go back must not keep the others. What was never changed, as
/// it seems, is looked at again: a write that was not answered in time may be carried out later than that.
async fn revert_all(order: &Order, config: &Config) -> Word {
    let (mut notes, mut faults, mut untouched) = (Vec::new(), Vec::new(), Vec::new());
    for change in &order.outside {
        match revert(change, config).await {
            Ok(Back::Now(note)) => notes.push(note),
            Ok(Back::Already) => untouched.push(change),
            Err(why) => faults.push(why),
        }
    }
    if !untouched.is_empty() {
        tokio::time::sleep(config.timeout).await;
    }
    for change in untouched {
        match revert(change, config).await {
            Ok(Back::Now(note)) => notes.push(note),
            Ok(Back::Already) => {}
            Err(why) => faults.push(why),
        }
    }
    if !faults.is_empty() {
        return Word::NotReverted(faults.join("; "));
    }
    notes.retain(|note| !note.is_empty());
    Word::Reverted(notes.join("; "))
}

async fn apply(change: &Outside, config: &Config) -> Result<(), String> {
    for _ in 0..TRIES {
        let object = read(change, config).await?;
        match standing(change, object.as_ref()) {
            // Asked twice.
            Standing::Ours => return Ok(()),
            Standing::Old => {}
            Standing::Foreign(what) | Standing::Mixed(_, what) => {
                return Err(format!(
                    "somebody else has set {what} of {} since this was planned",
                    change.object
                ));
            }
            Standing::Gone => return Err(format!("{} is not there any more", change.object)),
        }
        let object = object.unwrap_or_default();
        let edits: Vec<&Edit> = change.edits.iter().collect();
        match write(change, config, &object, &edits, Way::There).await {
            Ok(()) => return Ok(()),
            Err(Trouble::Conflict(_)) => {}
            Err(Trouble::Failed(why)) => return Err(why),
        }
    }
    Err(format!("{} was changed by others {TRIES} times meanwhile", change.object))
}

/// Whether it still is as we set it.
async fn check(change: &Outside, config: &Config) -> Kept {
    let object = match read(change, config).await {
        Ok(object) => object,
        Err(why) => return Kept::Word(Word::Unheard(why)),
    };
    let why = match standing(change, object.as_ref()) {
        Standing::Ours => return Kept::Word(Word::InForce),
        Standing::Gone => return Kept::Gone(format!("{} is gone", change.object)),
        Standing::Old => format!("somebody else has set {} back", change.object),
        Standing::Foreign(what) | Standing::Mixed(_, what) => {
            format!("somebody else has set {what} of {}", change.object)
        }
    };
    Kept::Word(Word::Lost { is_foreign: true, why })
}

/// How a change is not in force any more.
enum Back {
    /// The old value was there.
    Already,
    /// It is there now, or somebody else's; what is worth knowing about that.
    Now(String),
}

async fn revert(change: &Outside, config: &Config) -> Result<Back, String> {
    for _ in 0..TRIES {
        let object = read(change, config).await?;
        let (edits, note) = match standing(change, object.as_ref()) {
            Standing::Old => return Ok(Back::Already),
            Standing::Gone => return Ok(Back::Now(format!("{} is gone", change.object))),
            Standing::Foreign(what) => {
                return Ok(Back::Now(format!(
                    "somebody else had set {what} of {}; that stays",
                    change.object
                )));
            }
            Standing::Ours => (change.edits.iter().collect(), String::new()),
            Standing::Mixed(ours, what) => {
                (ours, format!("somebody else had set {what} of {}; that stays", change.object))
            }
        };
        let object = object.unwrap_or_default();
        match write(change, config, &object, &edits, Way::Back).await {
            Ok(()) => return Ok(Back::Now(note)),
            Err(Trouble::Conflict(_)) => {}
            Err(Trouble::Failed(why)) => return Err(why),
        }
    }
    Err(format!("{} was changed by others {TRIES} times meanwhile", change.object))
}

/// The object as it is; `None` where there is none.
async fn read(change: &Outside, config: &Config) -> Result<Option<Value>, String> {
    match (change.runner, &config.kubernetes, &config.docker) {
        (Runner::Kubernetes, Some(at), _) => {
            kubernetes::get(at, &change.object, config.timeout).await
        }
        (Runner::Docker, _, Some(at)) => docker::get(at, &change.object, config.timeout).await,
        (runner, ..) => Err(format!("there is no [act.{runner}] any more")),
    }
}

/// Writes edits to an object that was just read, unless it has changed since.
async fn write(
    change: &Outside,
    config: &Config,
    object: &Value,
    edits: &[&Edit],
    way: Way,
) -> Result<(), Trouble> {
    match (change.runner, &config.kubernetes, &config.docker) {
        (Runner::Kubernetes, Some(at), _) => {
            kubernetes::patch(at, change, object, edits, way, config.timeout).await
        }
        (Runner::Docker, _, Some(at)) => {
            docker::update(at, change, object, edits, way, config.timeout).await
        }
        (runner, ..) => Err(Trouble::Failed(format!("there is no [act.{runner}] any more"))),
    }
}
