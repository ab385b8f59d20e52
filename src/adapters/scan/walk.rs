//! Folders → files → sightings, on all processors.

use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::ignored::Ignored;
use super::matcher::Matcher;
use super::{Limits, Scan, ScanError, Sighting, name, window};

/// Sightings in memory at once.
const MOST_HELD: usize = 200_000;

const NO_FILE: &str = "neither a file, a folder nor a link";

/// Something to read, and how it is shown.
#[derive(Debug)]
enum Source {
    File(PathBuf),
    /// A link is not followed, but where it points to is a text in the commit.
    Link(Vec<u8>),
}

#[derive(Debug)]
struct Entry {
    source: Source,
    shown: String,
}

/// Looks at every file in `paths` (relative to `base`), and at the names on the way.
pub fn scan(base: &Path, paths: &[PathBuf], limits: &Limits) -> Result<Scan, ScanError> {
    let matcher = Matcher::new()?;
    let mut walk = Walk { matcher: &matcher, limits, scan: Scan::default(), entries: Vec::new() };
    for path in paths {
        walk.root(base, path)?;
    }
    let Walk { mut scan, entries, .. } = walk;
    read_all(&matcher, limits, &entries, &mut scan);
    scan.sightings.sort_by(|a, b| (&a.path, a.line, a.column, &a.rule).cmp(&(&b.path, b.line, b.column, &b.rule)));
    // The same path given twice.
    scan.sightings.dedup();
    let past = scan.sightings.len().saturating_sub(limits.sightings);
    scan.sightings.truncate(limits.sightings);
    scan.more += past as u64;
    scan.unscanned.sort();
    Ok(scan)
}

struct Walk<'a> {
    matcher: &'a Matcher,
    limits: &'a Limits,
    scan: Scan,
    entries: Vec<Entry>,
}

impl Walk<'_> {
    fn root(&mut self, base: &Path, path: &Path) -> Result<(), ScanError> {
        let full = base.join(path).canonicalize().map_err(|_| ScanError::Missing(path.to_path_buf()))?;
        let mut shown = if path.is_absolute() { "/".to_owned() } else { String::new() };
        for part in path.components() {
            match part {
                Component::Normal(part) => shown = self.named(&shown, &part.to_string_lossy()),
                Component::ParentDir => shown = joined(&shown, ".."),
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
        if full.is_dir() {
            let ignored = Ignored::around(&full);
            return self.folder(&full, &shown, ignored.as_ref());
        }
        if full.is_file() {
            return self.entry(Source::File(full), shown);
        }
        // A pipe would keep us waiting, a device would never end.
        self.scan.unscanned.push((shown, NO_FILE.to_owned()));
        Ok(())
    }

    /// The path of `part` in `parent`, as shown. What is seen in the name is a sighting.
    fn named(&mut self, parent: &str, part: &str) -> String {
        let (shown, seen) = name::look(self.matcher, part);
        let path = joined(parent, &shown);
        self.scan.sightings.extend(seen.into_iter().map(|seen| Sighting { path: path.clone(), ..seen }));
        path
    }

    fn entry(&mut self, source: Source, shown: String) -> Result<(), ScanError> {
        if self.entries.len() >= self.limits.entries {
            return Err(ScanError::TooMany(self.limits.entries));
        }
        self.entries.push(Entry { source, shown });
        Ok(())
    }

    fn folder(&mut self, root: &Path, shown: &str, ignored: Option<&Ignored>) -> Result<(), ScanError> {
        let mut left = vec![(root.to_path_buf(), shown.to_owned(), 0usize)];
        let mut folders = 0;
        while let Some((folder, shown, depth)) = left.pop() {
            folders += 1;
            if folders > self.limits.entries {
                return Err(ScanError::TooMany(self.limits.entries));
            }
            if depth > self.limits.depth {
                self.scan.unscanned.push((shown, format!("more than {} folders deep", self.limits.depth)));
                continue;
            }
            let listing = match fs::read_dir(&folder) {
                Ok(listing) => listing,
                Err(error) => {
                    self.scan.unscanned.push((shown, error.to_string()));
                    continue;
                }
            };
            for item in listing {
                let (item, kind) = match item.and_then(|item| item.file_type().map(|kind| (item, kind))) {
                    Ok(pair) => pair,
                    Err(error) => {
                        self.scan.unscanned.push((shown.clone(), error.to_string()));
                        continue;
                    }
                };
                if item.file_name() == ".git" {
                    continue;
                }
                if ignored.is_some_and(|ignored| ignored.leaves_out(&item.path(), kind.is_dir())) {
                    self.scan.ignored += 1;
                    continue;
                }
                let path = self.named(&shown, &item.file_name().to_string_lossy());
                if kind.is_dir() {
                    left.push((item.path(), path, depth + 1));
                } else if kind.is_file() {
                    self.entry(Source::File(item.path()), path)?;
                } else if kind.is_symlink() {
                    let target = fs::read_link(item.path()).map(|target| target.into_os_string().into_encoded_bytes()).unwrap_or_default();
                    self.entry(Source::Link(target), path)?;
                } else {
                    self.scan.unscanned.push((path, NO_FILE.to_owned()));
                }
            }
        }
        Ok(())
    }
}

fn joined(parent: &str, part: &str) -> String {
    match parent {
        "" => part.to_owned(),
        "/" => format!("/{part}"),
        _ => format!("{parent}/{part}"),
    }
}

/// Reads the entries, each processor taking the next one that is left.
fn read_all(matcher: &Matcher, limits: &Limits, entries: &[Entry], scan: &mut Scan) {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(scan);
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(entries.len());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let seen = read(matcher, limits, entry);
                    let mut scan = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    match seen {
                        Ok(seen) => {
                            scan.files += 1;
                            scan.bytes += seen.bytes;
                            scan.more += seen.more;
                            // Sorted and cut at the end, so that the same ones are kept each time; this bounds the memory until then.
                            let room = MOST_HELD.saturating_sub(scan.sightings.len());
                            scan.more += seen.sightings.len().saturating_sub(room) as u64;
                            scan.sightings.extend(seen.sightings.into_iter().take(room));
                            if seen.cut {
                                scan.unscanned.push((entry.shown.clone(), format!("what comes behind its first {} bytes", limits.file)));
                            }
                        }
                        Err(error) => scan.unscanned.push((entry.shown.clone(), error.to_string())),
                    }
                }
            });
        }
    });
}

fn read(matcher: &Matcher, limits: &Limits, entry: &Entry) -> std::io::Result<window::Seen> {
    match &entry.source {
        Source::File(path) => window::scan(matcher, &entry.shown, File::open(path)?, limits.file, limits.sightings),
        Source::Link(target) => window::scan(matcher, &entry.shown, target.as_slice(), limits.file, limits.sightings),
    }
}
