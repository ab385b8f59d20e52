//! What a step says besides its log and its values: what it found, and its summary. Taken however it ended, as who finds something usually fails; and whatever is wrong
//! with them changes nothing of how it ended.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

use super::limits::shown;
use crate::adapters::workspace::Store;
use crate::model::finding::{Found, StepSummary};
use crate::model::invocation::{CaptureLimits, InvocationRecord};

/// Notes both in the record. What the findings say is not looked at here: they are kept as they are.
pub(in super::super) fn take(store: &Store, answers: &Path, limits: &CaptureLimits, record: &mut InvocationRecord) {
    record.found = findings(store, &answers.join("findings"), limits.findings).unwrap_or_else(|why| {
        let problem = Some(format!("$TIDEGATE_FINDINGS {why}"));
        Found { problem, ..Found::default() }
    });
    record.summary = summary(&answers.join("summary"), limits.summary).unwrap_or_else(|why| {
        let problem = Some(format!("$TIDEGATE_SUMMARY {why}"));
        StepSummary { problem, ..StepSummary::default() }
    });
}

fn findings(store: &Store, path: &Path, most: u64) -> Result<Found, String> {
    let (file, length) = open(path)?;
    let too_long = || format!("is longer than its limit of {}: report fewer findings, or leave them as a file in `outputs`", shown(most));
    if length > most {
        return Err(too_long());
    }
    let bytes = read(file, most.saturating_add(1))?;
    if bytes.len() as u64 > most {
        return Err(too_long());
    }
    if bytes.is_empty() {
        return Ok(Found::default());
    }
    let stored = store.take_in_bytes(&bytes).map_err(|error| format!("could not be kept: {error}"))?;
    Ok(Found { file: Some(stored.digest), ..Found::default() })
}

fn summary(path: &Path, most: u64) -> Result<StepSummary, String> {
    let (file, length) = open(path)?;
    let bytes = read(file, most)?;
    let dropped_bytes = length.saturating_sub(bytes.len() as u64);
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if dropped_bytes > 0 && text.ends_with('\u{fffd}') {
        // Cut within a character.
        text.truncate(text.trim_end_matches('\u{fffd}').len());
    }
    Ok(StepSummary { text, dropped_bytes, problem: None })
}

/// The step may have put anything in the file's place: no link is followed, nothing is waited for.
fn open(path: &Path) -> Result<(File, u64), String> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    #[expect(clippy::cast_possible_wrap, reason = "flags are bits")]
    let opened = File::options().read(true).custom_flags(flags.bits() as i32).open(path);
    let unreadable = |error: io::Error| match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => NO_FILE.to_owned(),
        _ => format!("can not be read any more: {error}"),
    };
    let file = opened.map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if meta.is_file() { Ok((file, meta.len())) } else { Err(NO_FILE.to_owned()) }
}

const NO_FILE: &str = "is no longer a file: write to it, and put nothing in its place";

fn read(file: File, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(|error| format!("can not be read any more: {error}"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn of(make: impl Fn(&Path)) -> InvocationRecord {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path(), None).unwrap();
        let limits = CaptureLimits { findings: 100, summary: 10, ..CaptureLimits::default() };
        for name in ["findings", "summary"] {
            make(&state.path().join(name));
        }
        let mut record = InvocationRecord::default();
        take(&store, state.path(), &limits, &mut record);
        if let Some(file) = &record.found.file {
            let kept = fs::read(crate::adapters::workspace::stored(state.path(), file)).unwrap();
            assert_eq!(kept, fs::read(state.path().join("findings")).unwrap(), "as it was left");
        }
        record
    }

    #[test]
    fn a_file_is_kept_and_an_empty_one_is_nothing() {
        let record = of(|path| fs::write(path, "# hello").unwrap());
        assert!(record.found.file.is_some() && record.found.problem.is_none());
        assert_eq!(record.summary, StepSummary { text: "# hello".to_owned(), ..StepSummary::default() });
        assert_eq!(of(|path| fs::write(path, "").unwrap()), InvocationRecord::default());
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        let record = of(|path| File::create(path).unwrap().set_len(1 << 40).unwrap());
        assert_eq!(record.found.file, None);
        assert!(record.found.problem.unwrap().starts_with("$TIDEGATE_FINDINGS is longer than its limit of 100 bytes"));
        assert_eq!((record.summary.text.len(), record.summary.dropped_bytes), (10, (1 << 40) - 10));
        let cut = of(|path| fs::write(path, "123456789ü").unwrap()).summary;
        assert_eq!((cut.text.as_str(), cut.dropped_bytes), ("123456789", 1));
    }

    #[test]
    fn nothing_else_in_its_place_is_followed_or_waited_for() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        fs::write(secret.path(), "root:secret").unwrap();
        let places: [&dyn Fn(&Path); 5] = [
            &|path| symlink(secret.path(), path).unwrap(),
            &|path| mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap(),
            &|path| fs::create_dir(path).unwrap(),
            &|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
            &|_| {},
        ];
        for make in places {
            let record = of(make);
            assert_eq!((record.found.file, record.summary.text), (None, String::new()));
            assert!(record.found.problem.is_some() && record.summary.problem.is_some());
        }
    }
}
