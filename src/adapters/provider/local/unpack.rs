//! A zip from outside becomes a folder. Nothing is written outside of it, nothing past the limits, and what is wrong is said with the entry's name.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

/// What a package may be at most: Lambda's own figures for what is unpacked, and bounds for what it does not name.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub zip: u64,
    pub unpacked: u64,
    pub entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { zip: 250 << 20, unpacked: 250 << 20, entries: 100_000 }
    }
}

/// Why a package is not taken.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The package is wrong: whoever made it can mend that.
    #[error("{0}")]
    Package(String),
    /// The disk is.
    #[error("the package could not be unpacked: {0}")]
    Disk(#[from] io::Error),
}

fn wrong<T>(text: impl Into<String>) -> Result<T, UnpackError> {
    Err(UnpackError::Package(text.into()))
}

/// Longest target of a symbolic link.
const LINK_BYTES: u64 = 4096;

/// Unpacks into `root`, which is there and empty, and checks that it is a function.
pub fn unpack(zip: File, root: &Path, limits: &Limits) -> Result<(), UnpackError> {
    let size = zip.metadata()?.len();
    if size > limits.zip {
        return wrong(format!("the zip has {size} bytes, at most {} are allowed", limits.zip));
    }
    let mut archive = ZipArchive::new(io::BufReader::new(zip)).map_err(|error| not_a_zip(&error))?;
    if archive.len() > limits.entries {
        return wrong(format!("the zip has {} entries, at most {} are allowed", archive.len(), limits.entries));
    }
    if archive.has_duplicate_names() {
        return wrong("the zip has two entries of the same name: make it anew instead of adding to it");
    }
    let mut unpacking = Unpacking { root, left: limits.unpacked, limit: limits.unpacked, files: BTreeSet::new(), links: Vec::new() };
    for index in 0..archive.len() {
        unpacking.entry(&mut archive, index)?;
    }
    unpacking.link()?;
    check_bootstrap(root)?;
    sync_folders(root)?;
    Ok(())
}

fn not_a_zip(error: &ZipError) -> UnpackError {
    UnpackError::Package(format!("the artifact is not a zip that can be read ({error}): make it with `zip -r function.zip bootstrap …`"))
}

struct Unpacking<'a> {
    root: &'a Path,
    left: u64,
    limit: u64,
    /// Everything but folders.
    files: BTreeSet<PathBuf>,
    /// Made last, so that nothing is ever written through one.
    links: Vec<(PathBuf, String)>,
}

impl Unpacking<'_> {
    fn entry<R: Read + Seek>(&mut self, archive: &mut ZipArchive<R>, index: usize) -> Result<(), UnpackError> {
        let shown = archive.name_for_index(index).and_then(Result::ok).map_or_else(|| format!("number {index}"), |name| format!("{name:?}"));
        let mut entry = match archive.by_index(index) {
            Ok(entry) => entry,
            Err(ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) | ZipError::InvalidPassword) => {
                return wrong(format!("the zip's entry {shown} is encrypted: make the zip without a password"));
            }
            Err(error) => return wrong(format!("the zip's entry {shown} can not be read ({error}): use stored or deflated entries")),
        };
        let name = match entry.name() {
            Ok(name) => name.into_owned(),
            Err(_) => return wrong(format!("the zip's entry {shown} has a name that is not text")),
        };
        let path = safe_path(&name)?;
        if entry.is_dir() {
            std::fs::create_dir_all(self.root.join(&path)).map_err(|error| self.clash(&name, error))?;
            return Ok(());
        }
        if path.as_os_str().is_empty() || !self.files.insert(path.clone()) {
            return wrong(format!("the zip has two entries {name:?}: make it anew instead of adding to it"));
        }
        if entry.is_symlink() {
            let mut target = String::new();
            if entry.by_ref().take(LINK_BYTES).read_to_string(&mut target).is_err() {
                return wrong(format!("the zip's symbolic link {name:?} has no readable target"));
            }
            if !stays_inside(&path, &target) {
                return wrong(format!("the zip's symbolic link {name:?} leads outside of it, to {target:?}: put a copy of the file into the zip"));
            }
            self.links.push((path, target));
            return Ok(());
        }
        let mode = entry.unix_mode();
        self.file(&name, &path, mode, &mut entry)
    }

    fn file(&mut self, name: &str, path: &Path, mode: Option<u32>, contents: &mut impl Read) -> Result<(), UnpackError> {
        let target = self.root.join(path);
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(|error| self.clash(name, error))?;
        }
        let mut file = File::create_new(&target).map_err(|error| self.clash(name, error))?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = match contents.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return wrong(format!("the zip's entry {name:?} is damaged: {error}")),
            };
            self.left = match self.left.checked_sub(count as u64) {
                Some(left) => left,
                None => {
                    return wrong(format!(
                        "the zip unpacks to more than {} bytes (at the entry {name:?}): leave out what the function does not need",
                        self.limit
                    ));
                }
            };
            file.write_all(&buffer[..count])?;
        }
        // Readable for everybody, as on Lambda: inside, the process is somebody else. Never writable, never set-user-id.
        let executable = mode.is_some_and(|mode| mode & 0o111 != 0);
        file.set_permissions(std::fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?;
        file.sync_all()?;
        Ok(())
    }

    fn link(&self) -> Result<(), UnpackError> {
        for (path, target) in &self.links {
            let place = self.root.join(path);
            let name = path.display().to_string();
            if let Some(parent) = place.parent() {
                std::fs::create_dir_all(parent).map_err(|error| self.clash(&name, error))?;
            }
            std::os::unix::fs::symlink(target, &place).map_err(|error| self.clash(&name, error))?;
        }
        Ok(())
    }

    /// Two entries want the same place, one as a file, the other as a folder.
    fn clash(&self, name: &str, error: io::Error) -> UnpackError {
        match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
                UnpackError::Package(format!("the zip's entry {name:?} is at the same time a file and a folder: make the zip anew"))
            }
            io::ErrorKind::InvalidFilename => UnpackError::Package(format!("the zip's entry {name:?} has a name that is too long")),
            _ => UnpackError::Disk(error),
        }
    }
}

/// Relative, with `/`, and never upwards.
fn safe_path(name: &str) -> Result<PathBuf, UnpackError> {
    let reason = if name.contains('\0') {
        "has a zero byte in its name"
    } else if name.contains('\\') {
        "has a backslash in its name: make the zip with / between folders"
    } else if name.starts_with('/') || name.get(1..2) == Some(":") {
        "is an absolute path: make the zip from inside the folder"
    } else if Path::new(name).components().any(|part| matches!(part, Component::ParentDir)) {
        "leads outside of the zip (..): make the zip from inside the folder"
    } else {
        return Ok(Path::new(name).components().filter(|part| matches!(part, Component::Normal(_))).collect());
    };
    wrong(format!("the zip's entry {name:?} {reason}"))
}

/// By the words of it; the sandbox holds in any case.
fn stays_inside(link: &Path, target: &str) -> bool {
    if target.is_empty() || target.contains('\0') {
        return false;
    }
    let mut depth = link.components().count() as i64 - 1;
    for part in Path::new(target).components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::ParentDir => depth -= 1,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return false,
        }
        if depth < 0 {
            return false;
        }
    }
    true
}

fn check_bootstrap(root: &Path) -> Result<(), UnpackError> {
    let found = root.join("bootstrap").canonicalize().ok().filter(|path| root.canonicalize().is_ok_and(|root| path.starts_with(root)));
    let Some(metadata) = found.and_then(|path| path.metadata().ok()).filter(std::fs::Metadata::is_file) else {
        return wrong(
            "the zip has no file `bootstrap` at its top: a custom runtime begins with an executable of that name. Make the zip from inside the folder",
        );
    };
    if metadata.permissions().mode() & 0o111 == 0 {
        return wrong(
            "`bootstrap` in the zip is not executable: run `chmod +x bootstrap` before you make the zip (some zip tools lose the mode; `zip` keeps it)",
        );
    }
    Ok(())
}

/// Makes the names durable, deepest first. The files are already.
fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    File::open(folder)?.sync_all()
}
