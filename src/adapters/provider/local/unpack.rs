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
    sync_tree(root)?;
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
        Ok(())
    }

    /// All folders first, so that no link is there yet that one of them could be made through.
    fn link(&self) -> Result<(), UnpackError> {
        for (path, _) in &self.links {
            if let Some(parent) = self.root.join(path).parent() {
                std::fs::create_dir_all(parent).map_err(|error| self.clash(&path.display().to_string(), error))?;
            }
        }
        for (path, target) in &self.links {
            std::os::unix::fs::symlink(target, self.root.join(path)).map_err(|error| self.clash(&path.display().to_string(), error))?;
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

/// By the words of it, upwards only at the beginning: behind a name that is a link itself, `..` is somewhere else than the words say.
fn stays_inside(link: &Path, target: &str) -> bool {
    if target.is_empty() || target.contains('\0') {
        return false;
    }
    let (mut depth, mut down) = (link.components().count() as i64 - 1, false);
    for part in Path::new(target).components() {
        match part {
            Component::Normal(_) => down = true,
            Component::ParentDir if down => return false,
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

/// Makes everything durable, deepest first. All at the end, so that the disk can write many files in one go.
fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use zip::write::SimpleFileOptions;

    /// What to put into a zip.
    enum Entry {
        File(&'static str, Vec<u8>),
        Program(&'static str),
        Folder(&'static str),
        Link(&'static str, &'static str),
    }
    use Entry::{File as Plain, Folder, Link, Program};

    fn zip(entries: Vec<Entry>) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default();
        for entry in entries {
            match entry {
                Plain(name, contents) => {
                    zip.start_file(name, options.unix_permissions(0o600)).unwrap();
                    zip.write_all(&contents).unwrap();
                }
                Program(name) => zip.start_file(name, options.unix_permissions(0o4711)).unwrap(),
                Folder(name) => zip.add_directory(name, options).unwrap(),
                Link(name, target) => zip.add_symlink(name, target, options).unwrap(),
            }
        }
        zip.finish().unwrap().into_inner()
    }

    fn try_it(bytes: &[u8]) -> (tempfile::TempDir, Result<(), String>) {
        let folder = tempfile::tempdir().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let limits = Limits { zip: 100_000, unpacked: 50_000, entries: 20 };
        let result = unpack(file, &root, &limits).map_err(|error| error.to_string());
        (folder, result)
    }

    fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
        assert_eq!(from.len(), to.len());
        let places: Vec<usize> = (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
        assert!(!places.is_empty());
        for at in places {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
        bytes
    }

    /// Sets the flag in the local header and in the directory.
    fn said_to_be_encrypted(mut bytes: Vec<u8>) -> Vec<u8> {
        for (header, flags) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
            let at = bytes.windows(4).position(|window| window == header).unwrap();
            bytes[at + flags] |= 1;
        }
        bytes
    }

    #[test]
    fn a_package_is_unpacked_with_modes_and_links_for_everybody_to_read() {
        let entries = vec![
            Program("bootstrap"),
            Folder("lib/"),
            Plain("lib/a/b.txt", b"hello".to_vec()),
            Link("lib/c", "a/b.txt"),
            Link("lib/a/d", "../../lib/a"),
        ];
        let (folder, result) = try_it(&zip(entries));
        result.unwrap();
        let root = folder.path().join("root");
        let mode = |path: &str| root.join(path).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!([mode("bootstrap"), mode("lib"), mode("lib/a/b.txt"), mode("")], [0o755, 0o755, 0o644, 0o755]);
        assert_eq!(std::fs::read_to_string(root.join("lib/c")).unwrap(), "hello");
        assert_eq!(std::fs::read_to_string(root.join("lib/a/d/b.txt")).unwrap(), "hello");
    }

    #[test]
    fn what_is_wrong_with_a_package_is_said_and_nothing_is_written_outside() {
        let plain = |name| Plain(name, b"x".to_vec());
        let with = |entry| zip(vec![Program("bootstrap"), entry]);
        let encrypted = said_to_be_encrypted(zip(vec![Program("bootstrap")]));
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("empty", Vec::new()),
            ("not a zip", b"#!/bin/sh\necho hello\n".to_vec()),
            ("cut short", zip(vec![Plain("bootstrap", vec![7; 1000])])[..100].to_vec()),
            ("empty zip", zip(Vec::new())),
            ("upwards", with(plain("../../evil"))),
            ("upwards within", with(plain("lib/../../evil"))),
            ("absolute", with(plain("/etc/evil"))),
            ("backslash", with(plain("..\\evil"))),
            ("drive", with(plain("C:/evil"))),
            ("link upwards", with(Link("lib", "../../etc"))),
            ("link absolute", with(Link("lib", "/etc/passwd"))),
            ("link down and up", with(Link("d", "lib/../../x"))),
            ("links that climb", zip(vec![Program("bootstrap"), Link("l", "."), Link("up", "l/..")])),
            ("link below a link", zip(vec![Program("bootstrap"), Link("l", "."), Link("up", "l/.."), Link("up/evil/x", "y")])),
            ("link below a harmless link", zip(vec![Program("bootstrap"), Link("l", "."), Link("l/evil/x", "y")])),
            ("below a link", zip(vec![Program("bootstrap"), Link("lib", "."), plain("lib/x")])),
            ("below a file", zip(vec![Program("bootstrap"), plain("bootstrap/x")])),
            ("twice", patched(with(plain("bootstraq")), b"bootstraq", b"bootstrap")),
            ("twice, spelt otherwise", with(plain("./bootstrap"))),
            ("bomb", with(Plain("zeros", vec![0; 50_001]))),
            ("many", zip((0..21).map(|n| Plain(["a", "b", "c", "d", "e", "f", "g"][n % 7].repeat(n + 1).leak(), Vec::new())).collect())),
            ("encrypted", encrypted),
            ("no bootstrap", zip(vec![Program("app/bootstrap")])),
            ("bootstrap is a folder", zip(vec![Folder("bootstrap/")])),
            ("bootstrap is not executable", zip(vec![plain("bootstrap")])),
        ];
        let mut said = String::new();
        for (name, bytes) in cases {
            let (folder, result) = try_it(&bytes);
            let _ = writeln!(said, "{name}: {}", result.err().unwrap_or_else(|| "taken".to_owned()));
            let outside: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(outside, ["root"], "{name}");
        }
        insta::assert_snapshot!(said);
    }

    proptest::proptest! {
        #[test]
        fn no_damage_to_a_zip_upsets_it(at in 0_usize..400, byte: u8) {
            let mut bytes = zip(vec![Program("bootstrap"), Plain("lib/a", vec![1; 100]), Link("b", "lib/a")]);
            let place = at % bytes.len();
            bytes[place] = byte;
            let (folder, _) = try_it(&bytes);
            proptest::prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }
}
