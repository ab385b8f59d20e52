//! A file of any size → its sightings, with one window of it in memory at a time.
//!
//! ```text
//! file    ├────────────────────────────────────────────┤
//! window  ├──────── new ────────┼ overlap ┤                matches that start in the overlap wait for the next window,
//!                          ├ctx ┼──────── new ──────┼ …    which sees them whole and a little of what stands before them
//! ```

use std::io::{self, Read};

use super::Sighting;
use super::matcher::Matcher;
use super::name::sighting;
use super::text::unfold;

const WINDOW: usize = 1 << 20;
/// A secret and what its pattern needs around it is shorter than this.
const OVERLAP: usize = 8 << 10;
const CONTEXT: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) sightings: Vec<Sighting>,
    pub(super) more: u64,
    pub(super) bytes: u64,
    /// The file went on past the limit.
    pub(super) cut: bool,
}

/// Reads `file` to its end or to `limit` bytes, and keeps at most `most` sightings.
pub(super) fn scan(matcher: &Matcher, path: &str, file: impl Read, limit: u64, most: usize) -> io::Result<Seen> {
    scan_by(WINDOW, matcher, path, file, limit, most)
}

fn scan_by(size: usize, matcher: &Matcher, path: &str, file: impl Read, limit: u64, most: usize) -> io::Result<Seen> {
    let mut file = file.take(limit.saturating_add(1));
    let mut seen = Seen::default();
    let mut window: Vec<u8> = Vec::new();
    let mut place = Place::default();
    // Offset in the window from which matches are new.
    let mut new = 0;
    loop {
        let wanted = size.saturating_sub(window.len()) as u64;
        let got = file.by_ref().take(wanted).read_to_end(&mut window)? as u64;
        seen.bytes += got;
        if seen.bytes > limit {
            window.truncate(window.len() - usize::try_from(seen.bytes - limit).unwrap_or(0).min(window.len()));
            seen.bytes = limit;
            seen.cut = true;
        }
        let last = seen.cut || got < wanted;
        let horizon = if last { window.len() } else { window.len() - OVERLAP };
        for (start, found) in matches(matcher, path, &window) {
            if start < new || start >= horizon {
                continue;
            }
            if seen.sightings.len() >= most {
                seen.more += 1;
                continue;
            }
            let (line, column) = place.of(&window, start);
            seen.sightings.push(Sighting { line, column, ..found });
        }
        if last {
            return Ok(seen);
        }
        let keep = horizon.saturating_sub(CONTEXT);
        place.advance(&window[..keep]);
        window.drain(..keep);
        new = horizon - keep;
    }
}

/// Matches in the bytes as they are and in the UTF-16 texts among them, by offset in the bytes.
fn matches(matcher: &Matcher, path: &str, bytes: &[u8]) -> Vec<(usize, Sighting)> {
    let mut all: Vec<(usize, Sighting)> = matcher.hits(path, bytes).iter().map(|hit| (hit.start, sighting(hit, path.to_owned(), 0, 0))).collect();
    if let Some(unfolded) = unfold(bytes) {
        let hits = matcher.hits(path, &unfolded.text);
        all.extend(hits.iter().map(|hit| (unfolded.offsets[hit.start], sighting(hit, path.to_owned(), 0, 0))));
        all.sort_by_key(|(start, _)| *start);
    }
    all
}

/// What came before the window.
#[derive(Debug, Default)]
struct Place {
    lines: u32,
    /// Characters of the line that the window starts in the middle of.
    columns: u32,
}

impl Place {
    fn of(&self, window: &[u8], at: usize) -> (u32, u32) {
        let before = &window[..at];
        let line_start = before.iter().rposition(|byte| *byte == b'\n');
        let here = characters(&before[line_start.map_or(0, |line| line + 1)..]);
        let columns = if line_start.is_some() { here } else { self.columns.saturating_add(here) };
        (self.lines.saturating_add(lines(before)).saturating_add(1), columns.saturating_add(1))
    }

    fn advance(&mut self, gone: &[u8]) {
        let (line, column) = self.of(gone, gone.len());
        self.lines = line - 1;
        self.columns = column - 1;
    }
}

fn lines(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(u32::MAX)
}

/// In UTF-8 every byte but the following ones of a letter starts one.
fn characters(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    static MATCHER: std::sync::LazyLock<Matcher> = std::sync::LazyLock::new(|| Matcher::new().expect("the rules load"));

    fn token() -> String {
        format!("{}{}", "ghp", "_A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8")
    }

    fn places(size: usize, text: &[u8]) -> Vec<(u32, u32)> {
        let seen = scan_by(size, &MATCHER, "x", text, u64::MAX, 1000).unwrap();
        assert_eq!(seen.bytes, text.len() as u64);
        seen.sightings.iter().map(|one| (one.line, one.column)).collect()
    }

    #[test]
    fn lines_and_columns_count_characters() {
        assert_eq!(places(WINDOW, format!("a\nß ü: {}\n", token()).as_bytes()), [(2, 6)]);
    }

    #[test]
    fn a_file_past_the_limit_is_cut_and_says_so() {
        let text = format!("{}{}", " ".repeat(100), token());
        let seen = scan_by(WINDOW, &MATCHER, "x", text.as_bytes(), 100, 10).unwrap();
        assert!(seen.cut && seen.bytes == 100 && seen.sightings.is_empty());
        let seen = scan_by(WINDOW, &MATCHER, "x", text.as_bytes(), text.len() as u64, 10).unwrap();
        assert!(!seen.cut && seen.sightings.len() == 1);
    }

    #[test]
    fn sightings_past_the_limit_are_counted() {
        let seen = scan_by(WINDOW, &MATCHER, "x", format!("{}\n", token()).repeat(5).as_bytes(), u64::MAX, 2).unwrap();
        assert_eq!((seen.sightings.len(), seen.more), (2, 3));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        /// Nothing that a file can hold stops a scan.
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..4096), text in ".{0,200}") {
            places(OVERLAP + 2 * CONTEXT, &[&bytes[..], text.as_bytes(), &bytes[..]].concat().repeat(3));
        }

        /// However a file is cut into windows, each secret is seen once and in its place.
        #[test]
        fn windows_change_nothing(gaps in proptest::collection::vec(0usize..20_000, 1..6), lines in any::<bool>(), size in 9_000usize..30_000) {
            let filler = if lines { "some words\n" } else { "no end of line " };
            let text: String = gaps.iter().map(|gap| format!("{} {} ", filler.repeat(gap / filler.len()), token())).collect();
            let whole = places(usize::MAX >> 1, text.as_bytes());
            prop_assert_eq!(whole.len(), gaps.len());
            prop_assert_eq!(places(size, text.as_bytes()), whole);
        }
    }
}
