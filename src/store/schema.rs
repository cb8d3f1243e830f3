//! The tables of the database file, and how a file of an earlier version comes to have them.

use std::path::Path;

use rusqlite::Connection;

use super::error::Error;

/// Version of the tables.
const SCHEMA: i64 = 3;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS frame (
    start_ms INTEGER PRIMARY KEY, end_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS alert (
    fingerprint TEXT NOT NULL, starts_at_ms INTEGER NOT NULL, diagnosis TEXT NOT NULL,
    status TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (fingerprint, starts_at_ms));
CREATE TABLE IF NOT EXISTS diagnosis (
    id TEXT PRIMARY KEY, starts_at_ms INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS annotation (
    diagnosis TEXT PRIMARY KEY, grafana_id INTEGER NOT NULL, region INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS model (
    id TEXT PRIMARY KEY, trained_at_ms INTEGER NOT NULL, manifest TEXT NOT NULL,
    weights BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS fix (
    id TEXT PRIMARY KEY, diagnosis TEXT NOT NULL, service TEXT NOT NULL, state TEXT NOT NULL,
    is_over INTEGER NOT NULL, body TEXT NOT NULL);
";

const FROM_1_TO_2: &str = "
BEGIN;
ALTER TABLE annotation ADD COLUMN region INTEGER NOT NULL DEFAULT 0;
DROP INDEX diagnosis_by_time;
PRAGMA user_version = 2;
COMMIT;
";

/// Opens `path`, creating the tables when they are missing.
///
/// # Errors
/// [`Error::Newer`] for a file of a later version, [`Error::Sqlite`] otherwise.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open(path)?;
    // WAL: readers never wait for us. FULL: a commit is on the disk when it returns.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |r| r.get(0))?;
    if found > SCHEMA {
        return Err(Error::Newer { path: path.into(), found, known: SCHEMA });
    }
    if found == 1 {
        connection.execute_batch(FROM_1_TO_2)?;
    }
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "user_version", SCHEMA)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::super::db::Db;
    use super::*;

    #[test]
    fn a_file_of_the_first_version_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sage.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE diagnosis (
                    id TEXT PRIMARY KEY, starts_at_ms INTEGER NOT NULL, body TEXT NOT NULL);
                 CREATE INDEX diagnosis_by_time ON diagnosis (starts_at_ms);
                 CREATE TABLE annotation (diagnosis TEXT PRIMARY KEY, grafana_id INTEGER NOT NULL);
                 INSERT INTO annotation VALUES ('a', 7);
                 PRAGMA user_version = 1;",
            )
            .unwrap();
        drop(connection);
        for _ in 0..2 {
            let db = Db::open(&path).unwrap();
            assert_eq!(db.annotations().unwrap(), [("a".to_string(), 7, 0)]);
        }
    }

    #[test]
    fn a_file_of_a_later_version_is_refused_with_both_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sage.db");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop(connection);
        let text = Db::open(&path).unwrap_err().to_string();
        assert!(text.contains("schema version 99") && text.contains("up to 3"), "{text}");
    }
}
