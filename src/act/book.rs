//! All fixes: who may begin, what is kept, what is asked. Pure; time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::config::Config;
use super::event::{Command, Event, Word};
use super::machine::{Machine, is_stuck};
use crate::data::{
    ActMode, AlertStatus, EventTime, FixProblem, FixRecord, FixState, FixWish, Frame,
};

/// The fixes of a sidecar, in order of arrival.
#[derive(Debug)]
pub struct Book {
    config: Config,
    fixes: Vec<FixRecord>,
    newest: Option<Arc<Frame>>,
    /// Commands that have not ended, by fix.
    asked: BTreeMap<String, usize>,
    /// Fixes that have changed since they were last asked for.
    changed: BTreeSet<String>,
}

impl Book {
    /// A book with the fixes of the last run, and the newest frame there is.
    pub fn new(config: Config, mut restored: Vec<FixRecord>, newest: Option<Arc<Frame>>) -> Self {
        for rung in restored.iter_mut().flat_map(|fix| &mut fix.rungs) {
            rung.mode = config.mode_of(rung.kind);
        }
        let (asked, changed) = (BTreeMap::new(), BTreeSet::new());
        Self { config, fixes: restored, newest, asked, changed }
    }

    /// All fixes, in order of arrival.
    pub fn fixes(&self) -> &[FixRecord] {
        &self.fixes
    }

    /// The fix of that id.
    pub fn get(&self, id: &str) -> Option<&FixRecord> {
        self.fixes.iter().find(|fix| fix.id == id)
    }

    /// Whether a plan for this fix would be news: there is none yet, or one that never began.
    pub fn wants_plan(&self, id: &str) -> bool {
        self.get(id).is_none_or(|fix| {
            !fix.was_applied && matches!(fix.state, FixState::Declined | FixState::Proposed)
        })
    }

    /// The fixes that have changed since the last call.
    pub fn take_changed(&mut self) -> Vec<FixRecord> {
        let changed = std::mem::take(&mut self.changed);
        self.fixes.iter().filter(|fix| changed.contains(&fix.id)).cloned().collect()
    }

    /// Takes an event in; returns what is to be asked. What has changed must be on disk before that.
    pub fn on(&mut self, event: Event, now: EventTime) -> Vec<Command> {
        let mut commands = Vec::new();
        match event {
            Event::Planned(fix) => self.planned(*fix, now),
            Event::Resolved { diagnosis } => {
                let is_its = |fix: &FixRecord| {
                    fix.diagnosis == diagnosis && fix.alert == AlertStatus::Firing
                };
                self.each(now, is_its, &mut commands, |m| {
                    m.resolved();
                    None
                });
            }
            Event::Frame(frame) => {
                self.newest = Some(frame.clone());
                self.each(now, |_| true, &mut commands, |m| m.frame(&frame));
            }
            Event::Told { fix, rung, word } => self.told((&fix, rung), &word, now, &mut commands),
            Event::Tick => {
                let asked = self.asked.clone();
                self.each(now, |_| true, &mut commands, |m| m.tick(asked.contains_key(&m.fix.id)));
            }
        }
        self.admit_all(now, &mut commands);
        self.count(&commands);
        commands
    }

    /// Grants an operator's wish, or says why not.
    ///
    /// # Errors
    /// When there is no such fix, or it is not in a state for that.
    pub fn wish(
        &mut self,
        id: &str,
        wish: FixWish,
        now: EventTime,
    ) -> Result<Vec<Command>, FixProblem> {
        let at = self.fixes.iter().position(|fix| fix.id == id);
        let at = at.ok_or_else(|| FixProblem::Unknown(format!("no fix {id:?}")))?;
        let mut machine = Machine { fix: &mut self.fixes[at], config: &self.config, now };
        let mut commands = Vec::new();
        match wish {
            FixWish::Approve => machine.approve()?,
            FixWish::Revert => commands.extend(machine.unwanted("reverted on request")?),
        }
        self.changed.insert(id.into());
        self.admit_all(now, &mut commands);
        self.count(&commands);
        Ok(commands)
    }

    /// Goes on after a restart: what the configuration no longer lets be done is taken back; of the rest
    /// the helpers are asked at the first tick.
    pub fn take_up(&mut self, now: EventTime) -> Vec<Command> {
        let mut commands = Vec::new();
        let config = self.config.clone();
        let is_banned = |fix: &FixRecord| {
            let mode = fix.current().map_or(ActMode::Observe, |r| config.mode_of(r.kind));
            let is_meant = matches!(mode, ActMode::Approve | ActMode::Auto);
            fix.state.is_in_flight() && !(is_meant && config.may_help(&fix.service))
        };
        self.each(now, is_banned, &mut commands, |m| {
            m.unwanted("the configuration does not allow it any more").ok().flatten()
        });
        // The time without a sidecar is not held against a fix: its helper knows whether it is in force.
        self.each(
            now,
            |fix| fix.state.is_in_force(),
            &mut commands,
            |m| {
                (m.fix.watch.renewed_at, m.fix.watch.looked_at) = (Some(now), Some(now));
                None
            },
        );
        // What could not be taken back is tried at once: whatever was in the way may be mended by now.
        self.each(
            now,
            |fix| fix.state == FixState::Reverting,
            &mut commands,
            |m| {
                m.fix.watch.tried_at = None;
                None
            },
        );
        self.count(&commands);
        commands
    }

    fn count(&mut self, commands: &[Command]) {
        for command in commands {
            *self.asked.entry(command.order().fix.clone()).or_default() += 1;
        }
    }

    fn each(
        &mut self,
        now: EventTime,
        is_meant: impl Fn(&FixRecord) -> bool,
        commands: &mut Vec<Command>,
        step: impl Fn(&mut Machine<'_>) -> Option<Command>,
    ) {
        let Self { config, fixes, changed, .. } = self;
        for fix in fixes.iter_mut().filter(|fix| !fix.state.is_over() && is_meant(fix)) {
            let before = (fix.state, fix.reason.clone(), fix.alert, fix.watch.clone());
            commands.extend(step(&mut Machine { fix, config, now }));
            if before != (fix.state, fix.reason.clone(), fix.alert, fix.watch.clone()) {
                changed.insert(fix.id.clone());
            }
        }
    }

    fn told(
        &mut self,
        (id, rung): (&str, usize),
        word: &Word,
        now: EventTime,
        commands: &mut Vec<Command>,
    ) {
        if let Some(left) = self.asked.get_mut(id) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.asked.remove(id);
            }
        }
        // What was asked of an earlier rung says nothing about this one.
        let is_meant = |fix: &FixRecord| fix.id == id && fix.rung == rung;
        self.each(now, is_meant, commands, |m| m.word(word.clone()));
    }

    fn planned(&mut self, fix: FixRecord, now: EventTime) {
        let id = fix.id.clone();
        match self.fixes.iter_mut().find(|old| old.id == id) {
            Some(old) => {
                let is_open = !old.was_applied
                    && matches!(old.state, FixState::Declined | FixState::Proposed);
                let is_same = (&old.rungs, &old.resource) == (&fix.rungs, &fix.resource);
                // The alert may have resolved while this was being planned.
                if !is_open || is_same || old.alert == AlertStatus::Resolved {
                    return;
                }
                let (created_at, mut steps) = (old.created_at, std::mem::take(&mut old.steps));
                steps.truncate(8);
                steps.extend(fix.steps.iter().cloned());
                *old = FixRecord { created_at, steps, updated_at: now, ..fix };
            }
            None => {
                self.fixes.push(fix);
                while self.fixes.len() > self.config.keep {
                    let over = self.fixes.iter().position(|f| !f.state.is_in_flight());
                    self.fixes.remove(over.unwrap_or(0));
                }
            }
        }
        self.changed.insert(id);
    }

    /// Lets fixes begin that may, in order of arrival, and says of the others what they wait for.
    fn admit_all(&mut self, now: EventTime, commands: &mut Vec<Command>) {
        for at in 0..self.fixes.len() {
            if !matches!(self.fixes[at].state, FixState::Proposed | FixState::Approved) {
                continue;
            }
            let verdict = self.admit(at, now);
            let fix = &mut self.fixes[at];
            let before = (fix.state, fix.reason.clone());
            let mut machine = Machine { fix, config: &self.config, now };
            match verdict {
                Ok(()) => commands.push(machine.begin()),
                Err(why) => machine.wait(why),
            }
            if before != (fix.state, fix.reason.clone()) {
                self.changed.insert(self.fixes[at].id.clone());
            }
        }
    }

    /// Whether a fix may begin now; else what it waits for.
    fn admit(&self, at: usize, now: EventTime) -> Result<(), String> {
        let fix = &self.fixes[at];
        let Some(rung) = fix.current() else { return Err("there is no such rung".into()) };
        match (self.config.mode_of(rung.kind), fix.state) {
            (ActMode::Observe | ActMode::Suggest, _) => {
                return Err(format!("suggested only: {}", rung.what));
            }
            (ActMode::Approve, FixState::Proposed) => {
                return Err(format!("waits for approval: {}", rung.what));
            }
            _ => {}
        }
        if !self.config.may_help(&fix.service) {
            return Err(format!("waits: {} is not in act.services any more", fix.service));
        }
        if fix.alert != AlertStatus::Firing {
            return Err("waits: the alert does not fire".into());
        }
        let newest = self.newest.as_deref();
        let is_violated = fix.qos.as_ref().and_then(|q| q.is_violated(newest?));
        if is_violated != Some(true) {
            return Err("waits: the newest interval does not miss the target".into());
        }
        let in_flight = || self.fixes.iter().filter(|f| f.state.is_in_flight());
        if let Some(other) = in_flight().find(|f| f.service == fix.service) {
            return Err(format!("waits: {} is under way for {}", other.id, fix.service));
        }
        let most = self.config.fixes_max;
        // What is stuck may be so for days: its service waits, the others need not.
        if in_flight().filter(|f| !is_stuck(f)).count() >= most {
            return Err(format!("waits: {most} fixes are in force (act.fixes_max)"));
        }
        let ended = self.fixes.iter().filter(|f| {
            f.id != fix.id && f.service == fix.service && f.was_applied && f.state.is_over()
        });
        let until = ended.map(|f| f.updated_at.plus(self.config.cool_down)).max();
        match until.filter(|until| *until > now) {
            Some(until) => Err(format!("waits: act.cool_down of {} until {until}", fix.service)),
            None => Ok(()),
        }
    }
}
