//! What a step says, to a file, up to a limit. Every byte is kept or counted.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::model::id::Digest;

pub(in super::super) struct Log {
    /// `None` once it could not be written to.
    file: Option<File>,
    folder: PathBuf,
    limit: u64,
    kept: u64,
    dropped: u64,
    digest: Sha256,
    tail: Vec<u8>,
}

/// What became of all that was said.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Kept {
    pub(in super::super) bytes: u64,
    pub(in super::super) dropped: u64,
    /// Of the file; `None` when it could not be written to.
    pub(in super::super) digest: Option<Digest>,
}

const TAIL: usize = 4096;

impl Log {
    /// `said`: bytes that were written to it before, which stay there and count.
    pub(in super::super) fn make(path: &Path, limit: u64, said: u64) -> io::Result<Self> {
        // What was said is never overwritten.
        let file = File::options().create(true).append(true).read(true).open(path)?;
        let mut before = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(&file, said), &mut before)?;
        let mut log = Self::of(file, path.parent().unwrap_or(Path::new("/")), limit.max(said));
        log.digest.update(&before);
        log.kept = before.len() as u64;
        Ok(log)
    }

    fn of(file: File, folder: &Path, limit: u64) -> Self {
        Self { file: Some(file), folder: folder.to_owned(), limit, kept: 0, dropped: 0, digest: Sha256::new(), tail: Vec::new() }
    }

    pub(in super::super) fn write(&mut self, bytes: &[u8]) {
        let end = &bytes[bytes.len().saturating_sub(TAIL)..];
        self.tail.extend_from_slice(end);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
        let room = if self.file.is_some() { usize::try_from(self.limit - self.kept).unwrap_or(usize::MAX) } else { 0 };
        let (kept, dropped) = bytes.split_at(bytes.len().min(room));
        self.append(kept);
        if self.dropped == 0 && !dropped.is_empty() {
            let limit = self.limit;
            self.append_uncounted(
                format!("\n[tidegate: the log is longer than its limit of {limit} bytes; the rest is counted and dropped]\n").as_bytes(),
            );
        }
        self.dropped += dropped.len() as u64;
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.append_uncounted(bytes) { self.kept += bytes.len() as u64 } else { self.dropped += bytes.len() as u64 }
    }

    /// A full disk ends the log, not the step.
    fn append_uncounted(&mut self, bytes: &[u8]) -> bool {
        let written = self.file.as_mut().is_some_and(|file| file.write_all(bytes).is_ok());
        if written {
            self.digest.update(bytes);
        } else {
            self.file = None;
        }
        written
    }

    /// The end of what was said, kept or not.
    pub(in super::super) fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// On disk when it returns, and its name as well.
    pub(in super::super) fn finish(mut self) -> Kept {
        let digest = self.file.as_ref().map(|_| Digest::from_sha256(self.digest.finalize().into()));
        // An empty file has nothing that could be lost.
        if let Some(file) = self.file.take().filter(|_| self.kept > 0) {
            let _ = file.sync_data().and_then(|()| File::open(&self.folder)?.sync_all());
        }
        Kept { bytes: self.kept, dropped: self.dropped, digest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_kept_or_counted_and_the_end_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Log::make(&path, 10, 0).unwrap();
        log.write(b"12345678");
        log.write(b"9abcdef");
        log.write(b"the end");
        assert_eq!(log.tail(), b"123456789abcdefthe end");
        let kept = log.finish();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(kept, Kept { bytes: 10, dropped: 12, digest: Some(Digest::from_sha256(Sha256::digest(&text).into())) });
        assert_eq!(text, "123456789a\n[tidegate: the log is longer than its limit of 10 bytes; the rest is counted and dropped]\n");
    }

    #[test]
    fn a_full_disk_ends_the_log_and_not_the_step() {
        let mut log = Log::of(File::create("/dev/full").unwrap(), Path::new("/dev"), 100);
        log.write(b"lost");
        log.write(b"as well");
        assert_eq!(log.tail(), b"lostas well");
        assert_eq!(log.finish(), Kept { bytes: 0, dropped: 11, digest: None });
    }
}
