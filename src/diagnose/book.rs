//! The alerts that are known, and which of them want a diagnosis. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::config::Config;
use crate::data::{Alert, AlertKey, AlertStatus, Diagnosis, EventTime, Outcome};

/// Further looks at a cause that is known in part.
const LOOKS: u8 = 2;

/// What is known about the cause of an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// Nothing.
    #[default]
    Unknown,
    /// The services, but not every one's resource: counters may move only when what they count is over, a
    /// read for example, so that the next interval can show what the first did not. Or all of it, but in intervals
    /// that only just met the target: the next one may miss it.
    Partial {
        /// How often it will be looked at again.
        looks: u8,
    },
    /// Services and resources.
    Whole,
}

impl Cause {
    /// What `diagnosis` says about it.
    pub fn of(diagnosis: &Diagnosis) -> Self {
        let is_whole = diagnosis.root_causes.iter().all(|c| c.resource.is_some());
        let is_missed = diagnosis.qos.as_ref().is_none_or(|q| q.observed_ms > q.target_ms);
        match diagnosis.outcome {
            Some(Outcome::RootCause) if is_whole && is_missed => Self::Whole,
            Some(Outcome::RootCause) => Self::Partial { looks: LOOKS },
            _ => Self::Unknown,
        }
    }
}

/// One alert and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Identity of its diagnosis.
    pub id: String,
    /// The alert as last delivered.
    pub alert: Alert,
    /// What the last diagnosis came to.
    pub cause: Cause,
}

/// All known alerts, bounded. Beyond the limit those that came first are forgotten, whatever time
/// they are about: an alert about last week is as new as any other.
#[derive(Debug)]
pub struct Book {
    incidents: BTreeMap<AlertKey, Incident>,
    /// In order of arrival.
    arrivals: VecDeque<AlertKey>,
    max: usize,
}

/// One delivery holds more alerts than are kept, so some of its diagnoses could never be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{alerts} alerts in one delivery; at most {max} are kept (diagnose.keep)")]
pub struct TooMany {
    alerts: usize,
    max: usize,
}

/// What a delivery changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery {
    /// Diagnosis ids in the order of the alerts.
    pub ids: Vec<String>,
    /// What must be on disk before the sender hears that all is well.
    pub journal: Vec<(String, Alert)>,
    /// Alerts that are new, or were about to be forgotten: those arrive anew, behind the others.
    pub new: Vec<AlertKey>,
    /// How many alerts are forgotten for the new ones.
    pub forgotten: usize,
    /// Alerts that have ended with this delivery.
    pub resolved: Vec<AlertKey>,
}

/// The identity of an alert's diagnosis: the same for every delivery, on every replica.
pub fn diagnosis_id(key: &AlertKey) -> String {
    let printable = key.fingerprint.chars().filter(char::is_ascii_alphanumeric).take(32);
    format!("{}-{:x}", printable.collect::<String>(), key.starts_at.0)
}

impl Book {
    /// A book of at most `max` alerts, with those of the last run in order of arrival.
    pub fn new(max: usize, restored: impl IntoIterator<Item = (Alert, Cause)>) -> Self {
        let mut book = Self { incidents: BTreeMap::new(), arrivals: VecDeque::new(), max };
        for (alert, cause) in restored {
            book.arrivals.push_back(alert.key.clone());
            let id = diagnosis_id(&alert.key);
            book.incidents.insert(alert.key.clone(), Incident { id, alert, cause });
        }
        book.forget(book.arrivals.len().saturating_sub(max));
        book
    }

    /// What delivering `alerts` would change; nothing is changed yet.
    ///
    /// # Errors
    /// When the book cannot hold all of them.
    pub fn plan(&self, alerts: &[Alert]) -> Result<Delivery, TooMany> {
        let distinct = alerts.iter().map(|a| &a.key).collect::<BTreeSet<_>>().len();
        if distinct > self.max {
            return Err(TooMany { alerts: distinct, max: self.max });
        }
        let mut delivery = Delivery::default();
        for alert in alerts {
            let id = diagnosis_id(&alert.key);
            delivery.ids.push(id.clone());
            let known = self.incidents.get(&alert.key);
            let is_new = known.is_none() && !delivery.new.contains(&alert.key);
            let ends = alert.status == AlertStatus::Resolved
                && known.is_some_and(|k| k.alert.status == AlertStatus::Firing);
            if is_new {
                delivery.new.push(alert.key.clone());
            }
            if ends {
                delivery.resolved.push(alert.key.clone());
            }
            if is_new || ends {
                delivery.journal.push((id, alert.clone()));
            }
        }
        self.make_room(&mut delivery, alerts);
        Ok(delivery)
    }

    /// Chooses what is forgotten. An id that is in the answer must lead to a diagnosis, so an alert
    /// of this very delivery is not forgotten but arrives anew.
    fn make_room(&self, delivery: &mut Delivery, alerts: &[Alert]) {
        for oldest in &self.arrivals {
            if self.arrivals.len() + delivery.new.len() - delivery.forgotten <= self.max {
                return;
            }
            delivery.forgotten += 1;
            if let Some(alert) = alerts.iter().find(|a| a.key == *oldest) {
                delivery.new.push(oldest.clone());
                delivery.journal.push((diagnosis_id(oldest), alert.clone()));
            }
        }
    }

    /// Makes the changes of `delivery`, which is on disk now.
    pub fn apply(&mut self, delivery: &Delivery) {
        self.forget(delivery.forgotten);
        self.arrivals.extend(delivery.new.iter().cloned());
        for (id, alert) in &delivery.journal {
            let incident = self.incidents.entry(alert.key.clone()).or_insert_with(|| Incident {
                id: id.clone(),
                alert: alert.clone(),
                cause: Cause::Unknown,
            });
            incident.alert = alert.clone();
        }
    }

    /// Forgets the `count` alerts that arrived first.
    fn forget(&mut self, count: usize) {
        for key in self.arrivals.drain(..count) {
            self.incidents.remove(&key);
        }
    }

    /// The incident of `key`.
    pub fn get(&self, key: &AlertKey) -> Option<&Incident> {
        self.incidents.get(key)
    }

    /// When the last alert before `key` that has the same labels ended; its begin while its end is not known.
    pub fn last_ended(&self, key: &AlertKey) -> Option<EventTime> {
        let (_, last) = self.incidents.range(..key).next_back()?;
        let Alert { key: AlertKey { fingerprint, starts_at }, ends_at, .. } = &last.alert;
        let ended = ends_at.unwrap_or(*starts_at).min(key.starts_at);
        (*fingerprint == key.fingerprint).then_some(ended)
    }

    /// Notes what a diagnosis came to; false when it is no news: its alert has been forgotten meanwhile, or
    /// another look found nothing that was not known before.
    pub fn settle(&mut self, key: &AlertKey, cause: Cause) -> bool {
        let Some(incident) = self.incidents.get_mut(key) else { return false };
        if let Cause::Partial { looks } = incident.cause
            && cause != Cause::Whole
        {
            incident.cause = Cause::Partial { looks: looks.saturating_sub(1) };
            return false;
        }
        incident.cause = cause;
        true
    }

    /// Alerts that a newly closed interval which ends at `closed` may tell more about: the cause is not
    /// known, or only in part and not for long, and the interval is still within their range.
    pub fn unsettled(&self, closed: EventTime, config: &Config) -> Vec<AlertKey> {
        self.incidents
            .values()
            .filter(|i| {
                !matches!(i.cause, Cause::Whole | Cause::Partial { looks: 0 })
                    && closed <= i.alert.key.starts_at.plus(config.lookahead + config.pending)
                    && closed >= i.alert.key.starts_at.minus(config.pending)
                    && i.alert.ends_at.is_none_or(|ends| closed <= ends.plus(config.pending))
            })
            .map(|i| i.alert.key.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap as Map;

    fn alert(fingerprint: &str, at: i64, status: AlertStatus) -> Alert {
        Alert {
            key: AlertKey { fingerprint: fingerprint.into(), starts_at: EventTime(at) },
            status,
            labels: Map::new(),
            annotations: Map::new(),
            ends_at: (status == AlertStatus::Resolved).then_some(EventTime(at + 60_000)),
        }
    }

    fn deliver(book: &mut Book, alerts: &[Alert]) -> Delivery {
        let delivery = book.plan(alerts).unwrap();
        book.apply(&delivery);
        delivery
    }

    #[test]
    fn a_repeat_changes_nothing_and_keeps_the_id() {
        let mut book = Book::new(10, []);
        let a = alert("f1", 0, AlertStatus::Firing);
        let first = deliver(&mut book, std::slice::from_ref(&a));
        assert_eq!((first.new.len(), first.journal.len()), (1, 1));
        let twice = deliver(&mut book, &[a.clone(), a]);
        assert_eq!(twice.ids, [first.ids[0].clone(), first.ids[0].clone()]);
        assert_eq!((twice.new.len(), twice.journal.len()), (0, 0));
    }

    #[test]
    fn the_same_labels_firing_again_later_is_another_alert() {
        let mut book = Book::new(10, []);
        let ids = [0, 60_000]
            .map(|at| deliver(&mut book, &[alert("f1", at, AlertStatus::Firing)]).ids[0].clone());
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn an_alert_knows_when_the_last_one_like_it_ended() {
        let mut book = Book::new(10, []);
        let [first, again, other] = [("f1", 0), ("f1", 90_000), ("f2", 95_000)]
            .map(|(f, at)| alert(f, at, AlertStatus::Firing));
        deliver(&mut book, &[first.clone(), again.clone(), other.clone()]);
        assert_eq!(book.last_ended(&first.key), None);
        assert_eq!(book.last_ended(&other.key), None);
        assert_eq!(book.last_ended(&again.key), Some(EventTime(0)));
        deliver(&mut book, &[alert("f1", 0, AlertStatus::Resolved)]);
        assert_eq!(book.last_ended(&again.key), Some(EventTime(60_000)));
    }

    #[test]
    fn a_resolve_closes_once() {
        let mut book = Book::new(10, []);
        deliver(&mut book, &[alert("f1", 0, AlertStatus::Firing)]);
        let end = alert("f1", 0, AlertStatus::Resolved);
        assert_eq!(deliver(&mut book, std::slice::from_ref(&end)).resolved.len(), 1);
        assert_eq!(
            deliver(&mut book, &[end]),
            Delivery {
                ids: vec![diagnosis_id(&alert("f1", 0, AlertStatus::Firing).key)],
                ..Delivery::default()
            }
        );
    }

    #[test]
    fn new_intervals_concern_only_open_questions_in_range() {
        let config = Config::default();
        let mut book = Book::new(10, []);
        let a = alert("f1", 1_000_000, AlertStatus::Firing);
        deliver(&mut book, std::slice::from_ref(&a));
        assert_eq!(book.unsettled(EventTime(1_030_000), &config).len(), 1);
        assert_eq!(book.unsettled(EventTime(9_000_000), &config).len(), 0);
        book.settle(&a.key, Cause::Whole);
        assert_eq!(book.unsettled(EventTime(1_030_000), &config).len(), 0);
    }

    #[test]
    fn a_cause_known_in_part_is_looked_at_again_and_kept_until_it_is_whole() {
        let config = Config::default();
        let a = alert("f1", 1_000_000, AlertStatus::Firing);
        let open = |book: &Book| book.unsettled(EventTime(1_030_000), &config).len();
        let mut book = Book::new(10, [(a.clone(), Cause::Partial { looks: LOOKS })]);
        assert!(!book.settle(&a.key, Cause::Unknown), "what was known stays");
        assert_eq!(open(&book), 1);
        let mut found = Book::new(10, [(a.clone(), Cause::Partial { looks: 1 })]);
        assert!(found.settle(&a.key, Cause::Whole));
        assert_eq!(open(&found), 0);
        assert!(!book.settle(&a.key, Cause::Partial { looks: LOOKS }));
        assert_eq!(open(&book), 0, "it was looked at often enough");
    }

    #[test]
    fn beyond_the_limit_the_alert_that_came_first_is_forgotten() {
        let mut book = Book::new(2, []);
        for at in [3, 1, 2] {
            deliver(&mut book, &[alert("f", at, AlertStatus::Firing)]);
        }
        assert!(book.get(&alert("f", 3, AlertStatus::Firing).key).is_none());
        assert!(book.get(&alert("f", 1, AlertStatus::Firing).key).is_some());
    }

    #[test]
    fn every_id_that_is_handed_out_leads_to_an_incident() {
        let mut book = Book::new(3, []);
        let alerts: Vec<Alert> = (0..5).map(|at| alert("f", at, AlertStatus::Firing)).collect();
        deliver(&mut book, &alerts[..3]);
        assert_eq!(book.plan(&alerts[..4]), Err(TooMany { alerts: 4, max: 3 }));
        // The new one pushes out alert 0, which is in the same delivery, and so alert 1 has to go.
        let delivery = deliver(&mut book, &[alerts[0].clone(), alerts[3].clone()]);
        assert_eq!(delivery.new, [alerts[3].key.clone(), alerts[0].key.clone()]);
        let known: Vec<bool> = alerts.iter().map(|a| book.get(&a.key).is_some()).collect();
        assert_eq!(known, [true, false, true, true, false]);
        deliver(&mut book, &[alerts[4].clone()]);
        assert!(book.get(&alerts[2].key).is_none() && book.get(&alerts[0].key).is_some());
    }
}
