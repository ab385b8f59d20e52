//! Bodies on disk: records one after another in files, `STATE/deliveries/N.log`, the newest of which grows.
//!
//! Who appends has the write lock of the database, which says where the log ends: so there is one writer at a time, of however many processes. A file is as long
//! as its room, made ahead of what is written: a sync then has nothing to say about its length, and a full disk shows before anything is written.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::record::{self, Found, Record};

/// A file that has grown beyond is the last but one: bodies leave the disk by whole files.
pub(super) const SEGMENT: u64 = 64 << 20;
/// Room that is made at a time.
const ROOM: u64 = 4 << 20;
/// Slices of one write at most: what Linux takes.
const SLICES: usize = 1024;

/// Where the next record goes, and what stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// Of the file, from 1. With 0 there is none yet.
    pub segment: u64,
    pub place: u64,
    pub chain: u32,
}

impl End {
    /// Here, or at the beginning of another file where this one is long enough.
    pub fn room(self) -> Self {
        if self.segment == 0 || self.place >= SEGMENT { Self { segment: self.segment + 1, place: 0, ..self } } else { self }
    }

    /// Behind a record that was put here.
    pub fn behind(self, length: u64, sum: u32) -> Self {
        Self { place: self.place + length, chain: sum, ..self }
    }
}

/// The file that grows, held open from one batch to the next.
#[derive(Debug)]
pub(super) struct Log {
    folder: PathBuf,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    segment: u64,
    file: File,
    room: u64,
}

impl Log {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, open: None }
    }

    /// On disk when it returns. When it fails, what came of it stands behind the end and is written over.
    pub fn append(&mut self, at: End, records: &[(Record, &[u8])]) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) if open.segment == at.segment && at.place > 0 => open,
            _ => self.open(at)?,
        };
        let length: u64 = records.iter().map(|(record, body)| (record.head.len() + body.len()) as u64).sum();
        open.make_room(at.place + length)?;
        let mut slices: Vec<IoSlice<'_>> = records.iter().flat_map(|(record, body)| [IoSlice::new(&record.head), IoSlice::new(body)]).collect();
        write(&open.file, &mut slices, at.place)?;
        open.file.sync_data()?;
        self.open = Some(open);
        Ok(())
    }

    fn open(&self, at: End) -> io::Result<Open> {
        let path = path(&self.folder, at.segment);
        let begins = at.place == 0;
        // What is there of one that begins is of a process that died over its first records, which nobody was told of.
        let file = OpenOptions::new().read(true).write(true).create(begins).truncate(begins).mode(0o600).open(path)?;
        if begins {
            File::open(&self.folder)?.sync_all()?;
        }
        let room = file.metadata()?.len();
        Ok(Open { segment: at.segment, file, room })
    }
}

impl Open {
    fn make_room(&mut self, needed: u64) -> io::Result<()> {
        if needed <= self.room {
            return Ok(());
        }
        let room = needed.next_multiple_of(ROOM);
        match rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), self.room, room - self.room) {
            // Where the file system can not, it grows as it is written.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.room = room,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

fn write(file: &File, mut slices: &mut [IoSlice<'_>], mut place: u64) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let most = slices.len().min(SLICES);
        match rustix::io::pwritev(file, &slices[..most], place) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                IoSlice::advance_slices(&mut slices, written);
                place += written as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The folder of the logs in a state folder, made where it is not there.
pub(super) fn folder(state: &Path) -> io::Result<PathBuf> {
    let folder = state.join("deliveries");
    match DirBuilder::new().mode(0o700).create(&folder) {
        Ok(()) => File::open(state)?.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    Ok(folder)
}

pub(super) fn path(folder: &Path, segment: u64) -> PathBuf {
    folder.join(format!("{segment}.log"))
}

/// The record at a place, if a whole one stands there. `NotFound` when there is no such file.
pub(super) fn read(folder: &Path, segment: u64, place: u64) -> io::Result<Option<Found>> {
    record::read(&File::open(path(folder, segment))?, place)
}

/// The record that follows on an end, and where it stands: there, or first in the next file.
pub(super) fn next(folder: &Path, end: End) -> io::Result<Option<(End, Found)>> {
    let after = End { segment: end.segment + 1, place: 0, ..end };
    for at in [end, after] {
        match read(folder, at.segment, at.place) {
            Ok(Some(found)) if found.chain == end.chain => return Ok(Some((at, found))),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(None)
}

/// The numbers of all files that are there.
pub(super) fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let names = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    Ok(names.iter().filter_map(|name| name.to_str()?.strip_suffix(".log")?.parse().ok()).collect())
}
