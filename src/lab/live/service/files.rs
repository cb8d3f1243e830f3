//! Files of a service: one that is read past the page cache, and one that memory is to hold.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{Advice, OFlags};

/// Bytes of the file that is read from the disk.
const DISK_BYTES: u64 = 64 << 20;
/// Bytes of the file that memory is to hold.
pub(in crate::lab::live) const PAGES_BYTES: u64 = 48 << 20;
/// Bytes of a page, and what direct reads are aligned to.
const PAGE: usize = 4096;

/// The files, where an operation needs them.
#[derive(Debug)]
pub(super) struct Files {
    disk: Option<File>,
    pages: Option<File>,
}

/// Puts a file of so many bytes there, and its contents on the disk.
fn make(path: &Path, bytes: u64) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    let block: Vec<u8> =
        (0..1_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for _ in 0..bytes / block.len() as u64 {
        file.write_all(&block)?;
    }
    file.sync_all()
}

impl Files {
    /// Makes those that are needed, in `dir`.
    pub(super) fn make(dir: &Path, needs_disk: bool, needs_pages: bool) -> std::io::Result<Self> {
        let (mut disk, mut pages) = (None, None);
        if needs_disk {
            let path = dir.join("disk");
            make(&path, DISK_BYTES)?;
            let direct = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
            // A file system in memory knows no direct reads; then the page cache must do.
            let open = std::fs::OpenOptions::new().read(true).custom_flags(direct).open(&path);
            disk = Some(open.or_else(|_| File::open(&path))?);
        }
        if needs_pages {
            let path = dir.join("pages");
            make(&path, PAGES_BYTES)?;
            let file = File::open(&path)?;
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
            rustix::fs::fadvise(&file, 0, None, Advice::Random)?;
            pages = Some(file);
        }
        let files = Self { disk, pages };
        files.warm_up()?;
        Ok(files)
    }

    /// Brings the second file into memory.
    fn warm_up(&self) -> std::io::Result<()> {
        let Some(file) = &self.pages else { return Ok(()) };
        let mut block = vec![0; PAGE];
        for at in (0..PAGES_BYTES).step_by(PAGE) {
            file.read_at(&mut block, at)?;
        }
        Ok(())
    }

    /// Reads `bytes` from a place of the disk that `chance` chooses.
    pub(super) fn read_disk(&self, bytes: u32, chance: u64) -> std::io::Result<()> {
        let Some(file) = &self.disk else { return Ok(()) };
        let bytes = bytes as usize;
        // Direct reads want an aligned buffer; a page more than needed has one in it.
        let mut buffer = vec![0_u8; bytes + PAGE];
        let start = buffer.as_ptr().align_offset(PAGE);
        let places = (DISK_BYTES - bytes as u64) / PAGE as u64;
        let at = chance % places.max(1) * PAGE as u64;
        file.read_at(&mut buffer[start..start + bytes], at).map(drop)
    }

    /// Looks up `count` pages that `chance` chooses.
    pub(super) fn read_pages(&self, count: u32, mut chance: u64) -> std::io::Result<()> {
        let Some(file) = &self.pages else { return Ok(()) };
        let mut block = [0; PAGE];
        for _ in 0..count {
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let page = (chance >> 33) % (PAGES_BYTES / PAGE as u64);
            file.read_at(&mut block, page * PAGE as u64)?;
        }
        Ok(())
    }
}
