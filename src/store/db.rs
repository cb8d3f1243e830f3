//! The tables, synchronously.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::Error;
use crate::data::{Alert, Diagnosis, EventTime, Frame, SavedModel};

/// Version of the tables.
const SCHEMA: i64 = 1;
/// Models kept.
const MODELS_KEPT: i64 = 3;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS frame (
    start_ms INTEGER PRIMARY KEY, end_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS alert (
    fingerprint TEXT NOT NULL, starts_at_ms INTEGER NOT NULL, diagnosis TEXT NOT NULL,
    status TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (fingerprint, starts_at_ms));
CREATE TABLE IF NOT EXISTS diagnosis (
    id TEXT PRIMARY KEY, starts_at_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS diagnosis_by_time ON diagnosis (starts_at_ms);
CREATE TABLE IF NOT EXISTS annotation (diagnosis TEXT PRIMARY KEY, grafana_id INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS model (
    id TEXT PRIMARY KEY, trained_at_ms INTEGER NOT NULL, manifest TEXT NOT NULL,
    weights BLOB NOT NULL);
";

/// The open database.
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
        let connection = Connection::open(path)?;
        // WAL: readers never wait for us. FULL: a commit is on the disk when it returns.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let found: i64 = connection.pragma_query_value(None, "user_version", |r| r.get(0))?;
        if found > SCHEMA {
            return Err(Error::Newer { path: path.into(), found, known: SCHEMA });
        }
        connection.execute_batch(TABLES)?;
        connection.pragma_update(None, "user_version", SCHEMA)?;
        Ok(Self { connection })
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

    /// The newest `limit` frames, oldest first.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn frames(&self, limit: usize) -> Result<Vec<Frame>, Error> {
        let sql = "SELECT body FROM frame ORDER BY start_ms DESC LIMIT ?1";
        let mut frames: Vec<Frame> = self.rows("frame", sql, limit)?;
        frames.reverse();
        Ok(frames)
    }

    /// Journals alerts with the diagnoses they lead to, all or none.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_alerts(&mut self, alerts: &[(String, Alert)]) -> Result<(), Error> {
        let transaction = self.connection.transaction()?;
        for (id, alert) in alerts {
            let status = format!("{:?}", alert.status).to_lowercase();
            transaction.execute(
                "INSERT OR REPLACE INTO alert VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    alert.key.fingerprint,
                    alert.key.starts_at.0,
                    id,
                    status,
                    json("alert", alert)?
                ],
            )?;
        }
        Ok(transaction.commit()?)
    }

    /// The newest `limit` alerts, oldest first.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn alerts(&self, limit: usize) -> Result<Vec<Alert>, Error> {
        let sql = "SELECT body FROM alert ORDER BY starts_at_ms DESC LIMIT ?1";
        let mut alerts: Vec<Alert> = self.rows("alert", sql, limit)?;
        alerts.reverse();
        Ok(alerts)
    }

    /// Writes a diagnosis and forgets alerts and diagnoses beyond the newest `keep`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_diagnosis(&self, diagnosis: &Diagnosis, keep: usize) -> Result<(), Error> {
        self.connection.execute(
            "INSERT OR REPLACE INTO diagnosis VALUES (?1, ?2, ?3)",
            params![diagnosis.id, diagnosis.alert.key.starts_at.0, json("diagnosis", diagnosis)?],
        )?;
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        for table in ["diagnosis", "alert"] {
            self.connection.execute(
                &format!(
                    "DELETE FROM {table} WHERE starts_at_ms < (SELECT min(starts_at_ms) FROM
                        (SELECT starts_at_ms FROM {table} ORDER BY starts_at_ms DESC LIMIT ?1))"
                ),
                [keep],
            )?;
        }
        Ok(())
    }

    /// The newest `limit` diagnoses, oldest first.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn diagnoses(&self, limit: usize) -> Result<Vec<Diagnosis>, Error> {
        let sql = "SELECT body FROM diagnosis ORDER BY starts_at_ms DESC LIMIT ?1";
        let mut diagnoses: Vec<Diagnosis> = self.rows("diagnosis", sql, limit)?;
        diagnoses.reverse();
        Ok(diagnoses)
    }

    /// Remembers the Grafana annotation of a diagnosis.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_annotation(&self, diagnosis: &str, grafana_id: i64) -> Result<(), Error> {
        let sql = "INSERT OR REPLACE INTO annotation VALUES (?1, ?2)";
        self.connection.execute(sql, params![diagnosis, grafana_id])?;
        Ok(())
    }

    /// Grafana annotations by diagnosis.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn annotations(&self) -> Result<Vec<(String, i64)>, Error> {
        let mut statement =
            self.connection.prepare("SELECT diagnosis, grafana_id FROM annotation")?;
        let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
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

    fn rows<T: DeserializeOwned>(
        &self,
        table: &'static str,
        sql: &str,
        limit: usize,
    ) -> Result<Vec<T>, Error> {
        let mut statement = self.connection.prepare(sql)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let bodies = statement.query_map([limit], |r| r.get::<_, String>(0))?;
        bodies
            .map(|body| {
                serde_json::from_str(&body?).map_err(|e| Error::Row { table, why: e.to_string() })
            })
            .collect()
    }
}

fn json(table: &'static str, value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|e| Error::Row { table, why: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Interval;

    fn frame(n: i64) -> Frame {
        let interval = Interval { start: EventTime(n * 1000), end: EventTime(n * 1000 + 1000) };
        Frame { interval, rpcs: vec![], services: vec![], completeness: 1.0 }
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
        let back = Db::open(&path).unwrap().frames(10).unwrap();
        assert_eq!(back, [frame(3), frame(4), frame(5)]);
    }

    #[test]
    fn a_file_of_a_later_version_is_refused_with_both_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sage.db");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop(connection);
        let text = Db::open(&path).unwrap_err().to_string();
        assert!(text.contains("schema version 99") && text.contains("up to 1"), "{text}");
    }
}
