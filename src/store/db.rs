//! The tables, synchronously.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::Error;
use super::schema;
use crate::data::{Alert, Diagnosis, EventTime, FixRecord, Frame, SavedModel};

/// Models kept.
const MODELS_KEPT: i64 = 3;

/// The open database. Rows of alerts and diagnoses keep their place when they change, so that the
/// order of `rowid` is the order of arrival.
#[derive(Debug)]
pub struct Db {
    connection: Connection,
}

impl Db {
    /// Opens `path`, creating the tables when they are missing.
    ///
    /// # Errors
    /// [`Error::Newer`] for a file of a later version, [`Error::Sqlite`] otherwise.
    pub fn open(path: &Path) -> Result<Self, Error> {
        schema::open(path).map(|connection| Self { connection })
    }

    /// Writes a closed frame and forgets all but the newest `keep`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_frame(&self, frame: &Frame, keep: usize) -> Result<(), Error> {
        self.connection.execute(
            "INSERT OR REPLACE INTO frame VALUES (?1, ?2, ?3)",
            params![frame.interval.start.0, frame.interval.end.0, json("frame", frame)?],
        )?;
        self.connection.execute(
            "DELETE FROM frame WHERE start_ms < (SELECT min(start_ms) FROM
                (SELECT start_ms FROM frame ORDER BY start_ms DESC LIMIT ?1))",
            [i64::try_from(keep).unwrap_or(i64::MAX)],
        )?;
        Ok(())
    }

    /// The newest `limit` frames, oldest first, as far as they take at most `bytes_max` in memory.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn frames(&self, limit: usize, bytes_max: u64) -> Result<Vec<Frame>, Error> {
        let sql = "SELECT body FROM frame ORDER BY start_ms DESC LIMIT ?1";
        let mut bytes = 0;
        let mut frames: Vec<Frame> =
            self.rows_while("frame", sql, limit, |frame: &mut Frame| {
                bytes += frame.held_bytes() as u64;
                bytes <= bytes_max
            })?;
        frames.reverse();
        Ok(frames)
    }

    /// Journals alerts with the diagnoses they lead to, all or none, and forgets all but the `keep`
    /// that came last.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_alerts(&mut self, alerts: &[(String, Alert)], keep: usize) -> Result<(), Error> {
        let transaction = self.connection.transaction()?;
        for (id, alert) in alerts {
            let status = format!("{:?}", alert.status).to_lowercase();
            transaction.execute(
                "INSERT INTO alert VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (fingerprint, starts_at_ms) DO UPDATE SET
                    diagnosis = excluded.diagnosis, status = excluded.status, body = excluded.body",
                params![
                    alert.key.fingerprint,
                    alert.key.starts_at.0,
                    id,
                    status,
                    json("alert", alert)?
                ],
            )?;
            // One by one: an alert that the others pushed out arrives anew at the end of `alerts`.
            forget(&transaction, "alert", keep)?;
        }
        Ok(transaction.commit()?)
    }

    /// The `limit` alerts that came last, in order of arrival.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn alerts(&self, limit: usize) -> Result<Vec<Alert>, Error> {
        let sql = "SELECT body FROM alert ORDER BY rowid DESC LIMIT ?1";
        let mut alerts: Vec<Alert> = self.rows("alert", sql, limit)?;
        alerts.reverse();
        Ok(alerts)
    }

    /// Writes a diagnosis and forgets, with their annotations, all but the `keep` that came last.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_diagnosis(&mut self, diagnosis: &Diagnosis, keep: usize) -> Result<(), Error> {
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "INSERT INTO diagnosis VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            params![diagnosis.id, diagnosis.alert.key.starts_at.0, json("diagnosis", diagnosis)?],
        )?;
        forget(&transaction, "diagnosis", keep)?;
        transaction.execute(
            "DELETE FROM annotation WHERE diagnosis NOT IN (SELECT id FROM diagnosis)",
            [],
        )?;
        Ok(transaction.commit()?)
    }

    /// The `limit` diagnoses that came last, in order of arrival. Those that would make all take more than
    /// `bytes_max` in memory come short: without any, their alerts would be answered once more.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn diagnoses(&self, limit: usize, bytes_max: u64) -> Result<Vec<Diagnosis>, Error> {
        let sql = "SELECT body FROM diagnosis ORDER BY rowid DESC LIMIT ?1";
        let mut bytes = 0;
        let mut diagnoses = self.rows_while("diagnosis", sql, limit, |d: &mut Diagnosis| {
            let whole = d.held_bytes() as u64;
            if bytes + whole > bytes_max && !d.is_short() {
                d.shorten();
            }
            bytes += d.held_bytes() as u64;
            true
        })?;
        diagnoses.reverse();
        Ok(diagnoses)
    }

    /// Remembers the Grafana annotation of a diagnosis, and a hash of the region it shows.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_annotation(
        &self,
        diagnosis: &str,
        grafana_id: i64,
        region: i64,
    ) -> Result<(), Error> {
        let sql = "INSERT OR REPLACE INTO annotation VALUES (?1, ?2, ?3)";
        self.connection.execute(sql, params![diagnosis, grafana_id, region])?;
        Ok(())
    }

    /// Diagnosis, Grafana's id and hash of the region of each annotation.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn annotations(&self) -> Result<Vec<(String, i64, i64)>, Error> {
        let mut statement =
            self.connection.prepare("SELECT diagnosis, grafana_id, region FROM annotation")?;
        let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes a fix and forgets all but the `keep` that came last. One under way is never forgotten.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_fix(&mut self, fix: &FixRecord, keep: usize) -> Result<(), Error> {
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "INSERT INTO fix VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (id) DO UPDATE SET
                state = excluded.state, is_over = excluded.is_over, body = excluded.body",
            params![
                fix.id,
                fix.diagnosis,
                fix.service,
                fix.state.name(),
                !fix.state.is_in_flight(),
                json("fix", fix)?
            ],
        )?;
        transaction.execute(
            "DELETE FROM fix WHERE is_over AND rowid <=
                (SELECT rowid FROM fix ORDER BY rowid DESC LIMIT 1 OFFSET ?1)",
            [i64::try_from(keep).unwrap_or(i64::MAX)],
        )?;
        Ok(transaction.commit()?)
    }

    /// All fixes, in order of arrival.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn fixes(&self) -> Result<Vec<FixRecord>, Error> {
        self.rows("fix", "SELECT body FROM fix ORDER BY rowid LIMIT ?1", usize::MAX)
    }

    /// Saves a model; the newest few are kept.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_model(&mut self, model: &SavedModel) -> Result<(), Error> {
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "INSERT OR REPLACE INTO model VALUES (?1, ?2, ?3, ?4)",
            params![model.id, model.trained_at.0, model.manifest, model.weights],
        )?;
        transaction.execute(
            "DELETE FROM model WHERE id NOT IN
                (SELECT id FROM model ORDER BY trained_at_ms DESC, rowid DESC LIMIT ?1)",
            [MODELS_KEPT],
        )?;
        Ok(transaction.commit()?)
    }

    /// The newest model.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn newest_model(&self) -> Result<Option<SavedModel>, Error> {
        let sql = "SELECT id, trained_at_ms, manifest, weights FROM model
                   ORDER BY trained_at_ms DESC, rowid DESC LIMIT 1";
        let row = |r: &rusqlite::Row<'_>| {
            Ok(SavedModel {
                id: r.get(0)?,
                trained_at: EventTime(r.get(1)?),
                manifest: r.get(2)?,
                weights: r.get(3)?,
            })
        };
        Ok(self.connection.query_row(sql, [], row).optional()?)
    }

    /// Bodies of a table. One that cannot be read costs nothing but itself.
    fn rows<T: DeserializeOwned>(
        &self,
        table: &'static str,
        sql: &str,
        limit: usize,
    ) -> Result<Vec<T>, Error> {
        self.rows_while(table, sql, limit, |_| true)
    }

    /// Rows up to the first that `fits`, which may change them, does not take.
    fn rows_while<T: DeserializeOwned>(
        &self,
        table: &'static str,
        sql: &str,
        limit: usize,
        mut fits: impl FnMut(&mut T) -> bool,
    ) -> Result<Vec<T>, Error> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let mut read = Vec::new();
        while let Some(row) = rows.next()? {
            let body = row.get::<_, String>(0).map_err(|e| e.to_string());
            match body.and_then(|body| serde_json::from_str(&body).map_err(|e| e.to_string())) {
                Ok(mut value) => {
                    if !fits(&mut value) {
                        break;
                    }
                    read.push(value);
                }
                Err(why) => {
                    let file = self.connection.path();
                    tracing::warn!(table, file, why, "a row cannot be read; it is left out");
                }
            }
        }
        Ok(read)
    }
}

/// Forgets all rows but the `keep` that came last.
fn forget(connection: &Connection, table: &str, keep: usize) -> Result<(), Error> {
    connection.execute(
        &format!(
            "DELETE FROM {table} WHERE rowid <=
                (SELECT rowid FROM {table} ORDER BY rowid DESC LIMIT 1 OFFSET ?1)"
        ),
        [i64::try_from(keep).unwrap_or(i64::MAX)],
    )?;
    Ok(())
}

fn json(table: &'static str, value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|e| Error::Row { table, why: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{AlertKey, AlertStatus, FixState, Interval};

    fn frame(n: i64) -> Frame {
        let interval = Interval { start: EventTime(n * 1000), end: EventTime(n * 1000 + 1000) };
        Frame { interval, rpcs: vec![], services: vec![], completeness: 1.0, replicas: vec![] }
    }

    #[test]
    fn frames_come_back_in_order_and_only_the_newest_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sage.db");
        let db = Db::open(&path).unwrap();
        for n in [3, 1, 2, 5, 4] {
            db.put_frame(&frame(n), 3).unwrap();
        }
        drop(db);
        let back = Db::open(&path).unwrap().frames(10, u64::MAX).unwrap();
        assert_eq!(back, [frame(3), frame(4), frame(5)]);
    }

    fn alert(fingerprint: &str, starts_at: i64, status: AlertStatus) -> Alert {
        Alert {
            key: AlertKey { fingerprint: fingerprint.into(), starts_at: EventTime(starts_at) },
            status,
            labels: Default::default(),
            annotations: Default::default(),
            ends_at: None,
        }
    }

    #[test]
    fn alerts_are_forgotten_in_the_order_in_which_they_came() {
        let dir = tempfile::tempdir().unwrap();
        let mut db = Db::open(&dir.path().join("sage.db")).unwrap();
        let firing = AlertStatus::Firing;
        for (name, at) in [("a", 3), ("b", 1), ("c", 2)] {
            db.put_alerts(&[(name.into(), alert(name, at, firing))], 3).unwrap();
        }
        // A change leaves the place; what is pushed out and delivered again comes last.
        db.put_alerts(&[("a".into(), alert("a", 3, AlertStatus::Resolved))], 3).unwrap();
        let [d, a] = [("d", 0), ("a", 3)].map(|(n, at)| (n.into(), alert(n, at, firing)));
        db.put_alerts(&[d, a], 3).unwrap();
        let names: Vec<String> =
            db.alerts(9).unwrap().into_iter().map(|a| a.key.fingerprint).collect();
        assert_eq!(names, ["c", "d", "a"]);
    }

    fn fix(id: &str, state: FixState) -> FixRecord {
        FixRecord {
            id: id.into(),
            diagnosis: "d".into(),
            service: "redis".into(),
            resource: None,
            state,
            reason: String::new(),
            qos: None,
            observed_ms: None,
            predicted_ms: 21.4,
            probability: 0.97,
            alert: AlertStatus::Firing,
            rungs: vec![],
            rung: 0,
            left_out: vec![],
            was_applied: true,
            watch: Default::default(),
            created_at: EventTime(1),
            updated_at: EventTime(2),
            steps: vec![],
        }
    }

    #[test]
    fn fixes_come_back_as_they_were_and_those_under_way_are_never_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let mut db = Db::open(&dir.path().join("sage.db")).unwrap();
        db.put_fix(&fix("a", FixState::Holding), 2).unwrap();
        for id in ["b", "c", "d"] {
            db.put_fix(&fix(id, FixState::Watching), 2).unwrap();
            db.put_fix(&fix(id, FixState::Done), 2).unwrap();
        }
        let expected = [("a", FixState::Holding), ("c", FixState::Done), ("d", FixState::Done)];
        assert_eq!(db.fixes().unwrap(), expected.map(|(id, state)| fix(id, state)));
        db.put_fix(&fix("a", FixState::Done), 2).unwrap();
        db.put_fix(&fix("e", FixState::Done), 2).unwrap();
        let ids: Vec<String> = db.fixes().unwrap().into_iter().map(|f| f.id).collect();
        assert_eq!(ids, ["d", "e"]);
    }

    #[test]
    fn an_unreadable_row_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("sage.db")).unwrap();
        for n in 1..=3 {
            db.put_frame(&frame(n), 10).unwrap();
        }
        let broken = "UPDATE frame SET body = ?1 WHERE start_ms = 2000";
        for body in [&"{" as &dyn rusqlite::ToSql, &vec![0xff_u8]] {
            db.connection.execute(broken, [body]).unwrap();
            assert_eq!(db.frames(10, u64::MAX).unwrap(), [frame(1), frame(3)]);
        }
    }
}
