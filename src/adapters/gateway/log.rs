//! An instance's log: its first and its last mebibyte, however much it prints.
//!
//! ```text
//! NAME.log          the head
//! NAME.log.tail-0   ┐ each at most LOG_TAIL; when one is full the other is begun anew,
//! NAME.log.tail-1   ┘ so that at least the last LOG_TAIL bytes are there
//! ```

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::options::{LOG_FILES, LOG_HEAD, LOG_TAIL};

/// Bytes of the end that are kept in memory, to be shown with a failure.
const RECENT: usize = 4 << 10;

/// Never fails: a log that can not be written is no reason to stop serving. The first failure is said once.
#[derive(Debug)]
pub struct InstanceLog {
    path: PathBuf,
    file: Option<File>,
    part: Part,
    room: u64,
    recent: VecDeque<u8>,
    broken: bool,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Head,
    Tail(bool),
}

impl InstanceLog {
    /// The file is made when there is something to write.
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None, part: Part::Head, room: LOG_HEAD, recent: VecDeque::new(), broken: false }
    }

    pub fn write(&mut self, mut bytes: &[u8]) {
        let keep = &bytes[bytes.len().saturating_sub(RECENT)..];
        self.recent.extend(keep);
        let over = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..over);
        while !bytes.is_empty() && !self.broken {
            if self.room == 0 {
                self.turn();
            }
            let now = bytes.len().min(usize::try_from(self.room).unwrap_or(usize::MAX));
            let (first, rest) = bytes.split_at(now);
            if let Err(error) = self.put(first) {
                self.broken = true;
                tracing::warn!(path = %self.path.display(), %error, "the log of an instance can not be written");
            }
            self.room -= now as u64;
            bytes = rest;
        }
    }

    fn turn(&mut self) {
        self.part = match self.part {
            Part::Head => Part::Tail(false),
            Part::Tail(second) => Part::Tail(!second),
        };
        self.file = None;
        self.room = LOG_TAIL;
    }

    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.file.is_none() {
            let path = match self.part {
                Part::Head => self.path.clone(),
                Part::Tail(second) => tail_path(&self.path, second),
            };
            if let (Part::Head, Some(folder)) = (self.part, path.parent()) {
                std::fs::create_dir_all(folder)?;
                thin_out(folder);
            }
            self.file = Some(File::create(path)?);
        }
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(bytes))
    }

    /// The last lines, for people.
    pub fn last_lines(&self) -> String {
        let (first, second) = self.recent.as_slices();
        let text = String::from_utf8_lossy(&[first, second].concat()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

fn tail_path(path: &Path, second: bool) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(if second { ".tail-1" } else { ".tail-0" });
    PathBuf::from(name)
}

/// Names begin with the time, so the oldest come first.
fn thin_out(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut heads: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    heads.sort();
    for old in &heads[..(heads.len() + 1).saturating_sub(LOG_FILES).min(heads.len())] {
        for path in [old.clone(), tail_path(old, false), tail_path(old, true)] {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_its_head_and_its_tail_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f/1.log");
        let mut log = InstanceLog::new(path.clone());
        let line = [b'x'; 65_537];
        for _ in 0..100 {
            log.write(&line);
        }
        log.write(b"\nthe end");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), LOG_HEAD);
        let tails: u64 = [false, true].iter().filter_map(|second| std::fs::metadata(tail_path(&path, *second)).ok()).map(|file| file.len()).sum();
        assert!((LOG_TAIL..=2 * LOG_TAIL).contains(&tails), "{tails}");
        assert!(log.last_lines().ends_with("\nthe end"));
    }

    #[test]
    fn old_logs_make_room() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..LOG_FILES * 2 {
            InstanceLog::new(folder.path().join(format!("{n:03}.log"))).write(b"hello");
        }
        let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left.len(), LOG_FILES);
        assert_eq!(left[0], *format!("{LOG_FILES:03}.log"));
    }
}
