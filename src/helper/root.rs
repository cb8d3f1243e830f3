//! Directories of the kernel, and the only way to a file in them: part by part, no symlink, no `..`.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{self, CWD, FileType, Mode, OFlags};
use serde::{Deserialize, Serialize};

/// Longest path below a root.
const PATH_BYTES_MAX: usize = 2048;
/// What is read of one file at most. The kernel's files here are a few lines.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// A path below a root, such as `/system.slice/a.service`; `/` is the root itself.
///
/// No part is empty, `.` or `..`, so that it means the same to everybody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct RelPath(String);

impl RelPath {
    /// Checks a path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parts = text.strip_prefix('/').ok_or("a path must start with /")?;
        if text.len() > PATH_BYTES_MAX {
            return Err(format!("a path has at most {PATH_BYTES_MAX} bytes"));
        }
        let is_plain = |p: &str| {
            !p.is_empty() && p != "." && p != ".." && !p.contains(|c: char| c.is_control())
        };
        if !parts.is_empty() && !parts.split('/').all(is_plain) {
            return Err("a path has no empty part, no '.', no '..', no control character".into());
        }
        Ok(Self(text.into()))
    }

    /// The root itself.
    pub(crate) fn root() -> Self {
        Self("/".into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0 == "/"
    }

    fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|p| !p.is_empty())
    }

    /// The path of a child. `name` is one part, as directories have them.
    pub(crate) fn child(&self, name: &str) -> Self {
        if self.is_root() { Self(format!("/{name}")) } else { Self(format!("{}/{name}", self.0)) }
    }

    /// Whether `other` is this, or below it.
    pub(crate) fn holds(&self, other: &Self) -> bool {
        self.is_root()
            || other.0.strip_prefix(&self.0).is_some_and(|r| r.is_empty() || r.starts_with('/'))
    }
}

impl TryFrom<String> for RelPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<RelPath> for String {
    fn from(path: RelPath) -> Self {
        path.0
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which directory it is, whatever its name: a cgroup that was made again under the old name is
/// another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    dev: u64,
    ino: u64,
}

impl Identity {
    /// Its number among the directories of its tree.
    pub(crate) fn number(self) -> u64 {
        self.ino
    }
}

/// An opened directory that everything of its kind hangs off.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    path: PathBuf,
    follows_last: bool,
}

const TO_WALK: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Root {
    /// Opens `path`; what the operator names may be a symlink.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let fd = fs::openat(CWD, path, TO_WALK, Mode::empty())?;
        Ok(Self { fd, path: path.into(), follows_last: false })
    }

    /// The same for a directory whose entries are symlinks of the kernel's own, as `/sys/class/net` is.
    pub(crate) fn open_links(path: &Path) -> io::Result<Self> {
        Ok(Self { follows_last: true, ..Self::open(path)? })
    }

    /// The directory at `path`.
    pub(crate) fn dir(&self, path: &RelPath) -> io::Result<Dir> {
        let mut fd = fs::openat(&self.fd, ".", TO_WALK, Mode::empty())?;
        let mut parts = path.parts().peekable();
        while let Some(part) = parts.next() {
            let is_link_allowed = self.follows_last && parts.peek().is_none();
            let no_follow = if is_link_allowed { OFlags::empty() } else { OFlags::NOFOLLOW };
            fd = fs::openat(&fd, part, TO_WALK | no_follow, Mode::empty())?;
        }
        let shown = self.path.join(path.as_str().trim_start_matches('/'));
        Ok(Dir { fd, shown })
    }
}

/// One opened directory.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    shown: PathBuf,
}

impl Dir {
    /// Its path, for people.
    pub(crate) fn shown(&self) -> &Path {
        &self.shown
    }

    pub(crate) fn identity(&self) -> io::Result<Identity> {
        let stat = fs::fstat(&self.fd)?;
        Ok(Identity { dev: stat.st_dev, ino: stat.st_ino })
    }

    /// Whether there is a file of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        fs::statat(&self.fd, name, fs::AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::RegularFile)
    }

    fn open(&self, name: &str, mode: OFlags) -> io::Result<std::fs::File> {
        let flags = mode | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = fs::openat(&self.fd, name, flags, Mode::empty())?;
        if FileType::from_raw_mode(fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("not a regular file"));
        }
        Ok(file.into())
    }

    /// All of a file.
    pub(crate) fn read(&self, name: &str) -> io::Result<String> {
        let mut text = String::new();
        let file = self.open(name, OFlags::RDONLY)?;
        file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    }

    /// All of a file of at most `most` bytes; a longer one is a fault.
    pub(crate) fn read_whole(&self, name: &str, most: u64) -> io::Result<String> {
        let mut text = String::new();
        let file = self.open(name, OFlags::RDONLY)?;
        file.take(most + 1).read_to_string(&mut text)?;
        if text.len() as u64 > most {
            return Err(io::Error::other(format!("{name} has more than {most} bytes")));
        }
        Ok(text)
    }

    /// The first line of a file.
    pub(crate) fn read_line(&self, name: &str) -> io::Result<String> {
        Ok(self.read(name)?.lines().next().unwrap_or_default().trim().into())
    }

    /// Writes `text` and a line end, in one call, as kernel files want it.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let mut file = self.open(name, OFlags::WRONLY)?;
        super::crash::point();
        let line = format!("{text}\n");
        let written = file.write(line.as_bytes())?;
        super::crash::point();
        if written == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// The same directory, opened once more.
    pub(crate) fn again(&self) -> io::Result<Self> {
        Ok(Self {
            fd: fs::openat(&self.fd, ".", TO_WALK, Mode::empty())?,
            shown: self.shown.clone(),
        })
    }

    /// A directory in here.
    pub(crate) fn child(&self, name: &str) -> io::Result<Self> {
        let fd = fs::openat(&self.fd, name, TO_WALK | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(Self { fd, shown: self.shown.join(name) })
    }

    /// Makes a directory in here.
    pub(crate) fn make(&self, name: &str) -> io::Result<()> {
        Ok(fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o755))?)
    }

    /// Removes a directory in here. Those of the kernel's own trees need not be empty.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(fs::unlinkat(&self.fd, name, fs::AtFlags::REMOVEDIR)?)
    }

    /// Names of the directories in here, at most `most`.
    pub(crate) fn directories(&self, most: usize) -> io::Result<Vec<String>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let here = fs::openat(&self.fd, ".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(&here)? {
            let entry = entry?;
            let name = entry.file_name().to_str().unwrap_or_default();
            if entry.file_type() == FileType::Directory && ![".", "..", ""].contains(&name) {
                names.push(name.to_string());
            }
            if names.len() >= most {
                break;
            }
        }
        Ok(names)
    }
}
