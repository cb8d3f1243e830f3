//! Old values on disk, before anything is changed: one file a fix.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_setfd};
use serde::{Deserialize, Serialize};

use super::clock;
use super::crash;
use super::error::Error;
use super::place::Place;
use crate::data::FixId;

/// The form of the entries; another one is not guessed at.
const FORMAT: u32 = 1;

/// What must be known to undo a fix, whatever happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    format: u32,
    pub(crate) fix: FixId,
    pub(crate) place: Place,
    /// What was there.
    pub(crate) old: String,
    /// What we may have left there: the value, or two while one replaces the other.
    pub(crate) written: Vec<String>,
    /// Whether `written` was read back; until then the kernel may have rounded it.
    pub(crate) settled: bool,
    /// The boot it belongs to.
    pub(crate) boot: String,
    /// When it was applied, for people.
    pub(crate) since: jiff::Timestamp,
    /// Who asked: a user of this node,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<u32>,
    /// or a sidecar of another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<String>,
    /// Why.
    pub(crate) note: String,
}

impl Record {
    pub(crate) fn new(fix: FixId, place: Place, old: String, new: String) -> Self {
        Self {
            format: FORMAT,
            fix,
            place,
            old,
            written: vec![new],
            settled: false,
            boot: String::new(),
            since: jiff::Timestamp::UNIX_EPOCH,
            uid: None,
            peer: None,
            note: String::new(),
        }
    }

    /// What the knob was last set to.
    pub(crate) fn now(&self) -> &str {
        self.written.last().map_or(&*self.old, |text| text)
    }
}

/// The directory of the entries, held by one helper at a time.
#[derive(Debug)]
pub(crate) struct Journal {
    dir: PathBuf,
    /// For the sync of names.
    handle: File,
    /// Held as long as we run.
    _lock: File,
}

impl Journal {
    /// Opens the directory, or makes it, and locks it. Waits as long as `patience` for the lock.
    ///
    /// Children inherit the lock: a `tc` that outlives a killed helper may still be changing something,
    /// and the next helper must not look before it is done.
    ///
    /// # Errors
    /// When others could write there, or another helper does.
    pub(crate) fn open(path: &Path, patience: Duration) -> Result<Self, Error> {
        let fail = |source| Error::Open { what: path.into(), source };
        if !path.exists() {
            DirBuilder::new().mode(0o700).recursive(true).create(path).map_err(fail)?;
        }
        let handle = File::open(path).map_err(fail)?;
        let meta = handle.metadata().map_err(fail)?;
        let uid = rustix::process::geteuid().as_raw();
        if meta.uid() != uid || meta.mode() & 0o022 != 0 {
            return Err(Error::Untrusted { path: path.into(), uid });
        }
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(fail)?;
        let end = clock::since_boot() + patience;
        while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            if clock::since_boot() >= end {
                return Err(Error::Running { path: path.into() });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        fcntl_setfd(&lock, FdFlags::empty()).map_err(|e| fail(e.into()))?;
        Ok(Self { dir: path.into(), handle, _lock: lock })
    }

    fn file(&self, fix: &FixId) -> PathBuf {
        self.dir.join(format!("{fix}.json"))
    }

    /// Makes an entry safe, in place of an earlier one of the same fix. It is there wholly or not at all.
    pub(crate) fn put(&self, record: &Record) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(record).map_err(io::Error::other)?;
        text.push(b'\n');
        let temporary = self.dir.join(format!("{}.new", record.fix));
        crash::point();
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        crash::point();
        file.write_all(&text)?;
        file.sync_all()?;
        crash::point();
        fs::rename(&temporary, self.file(&record.fix))?;
        crash::point();
        self.handle.sync_all()?;
        crash::point();
        Ok(())
    }

    /// Forgets a fix whose place is as it was.
    pub(crate) fn remove(&self, fix: &FixId) -> io::Result<()> {
        crash::point();
        match fs::remove_file(self.file(fix)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        crash::point();
        self.handle.sync_all()
    }

    /// All entries, and those that cannot be read.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(crate) fn read(&self) -> Result<(Vec<Record>, Vec<Error>), Error> {
        let fail = |source| Error::Open { what: self.dir.clone(), source };
        let (mut records, mut unreadable) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.dir).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            match path.extension().and_then(|e| e.to_str()) {
                Some("json") => match read_record(&path) {
                    Ok(record) => records.push(record),
                    Err(cause) => unreadable.push(Error::Journal { path, cause }),
                },
                // Not renamed yet, so nothing was changed after it.
                Some("new") => fs::remove_file(&path).map_err(fail)?,
                _ => {}
            }
        }
        records.sort_by(|a, b| a.fix.cmp(&b.fix));
        Ok((records, unreadable))
    }
}

fn read_record(path: &Path) -> Result<Record, String> {
    let text = fs::read(path).map_err(|e| e.to_string())?;
    let record: Record = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    if record.format != FORMAT {
        return Err(format!("format {} is not {FORMAT}", record.format));
    }
    Ok(record)
}
