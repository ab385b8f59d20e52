//! Everything of the host that a sandbox shows, opened as detached mounts before its file tree is built.
//!
//! A helper that is root opens them as root (its state folder may be closed to everybody else) before anything becomes an unprivileged user for good.
//! An ordinary user's helper opens the same things by the same function, but inside the new namespaces, where it may. From then on there is no difference.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::host::{self, Shown};
use super::spec::{NetworkOf, Protection, SandboxSpec};
use super::sys;
use super::wire::{Failure, Stage};

/// Who a sandbox's process is outside when root starts it: a user that no system gives to anybody (not a system user, not in a subordinate range).
const UNPRIVILEGED: u32 = 1_900_000_000;

/// Whom the writable folders of a sandbox must belong to, where that is not the caller itself: files that a step shall be able to change
/// (scratch folders, the trees below an overlay) must be given to this user.
pub fn outer_uid() -> Option<u32> {
    // Who this process is outside does not change.
    static OUTER: OnceLock<Option<u32>> = OnceLock::new();
    *OUTER.get_or_init(find_outer_uid)
}

fn find_outer_uid() -> Option<u32> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    // The root of a rootless container is an ordinary user with a name: it has no such user to give anything to.
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| is_mapped(UNPRIVILEGED, &map)).then_some(UNPRIVILEGED)
}

/// Whether a user exists in a user namespace, by its map: lines of first inside, first outside, how many.
fn is_mapped(uid: u32, map: &str) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        matches!(numbers[..], [inside, _, count] if (inside..inside.saturating_add(count)).contains(&u64::from(uid)))
    })
}

/// One detached mount and its place inside, relative to the new root.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) mount: OwnedFd,
    pub(super) at: PathBuf,
    pub(super) folder: bool,
}

#[derive(Debug)]
pub(super) struct Trees {
    pub(super) host: Vec<Tree>,
    /// Links and made-up files.
    pub(super) rest: Vec<Shown>,
    pub(super) overlay: Option<OverlayTrees>,
    /// An image's: its only lower one is the folder that holds all layers.
    pub(super) root: Option<OverlayTrees>,
    pub(super) binds: Vec<Tree>,
}

#[derive(Debug)]
pub(super) struct OverlayTrees {
    /// Lowest first.
    pub(super) lower: Vec<OwnedFd>,
    /// The folder that holds both `upper` and `work`: an overlay wants them on one mount.
    pub(super) scratch: OwnedFd,
    pub(super) upper: PathBuf,
    pub(super) work: PathBuf,
}

const TOOL: u64 = sys::READ_ONLY | sys::NO_SETUID | sys::NO_DEVICES;
const WRITABLE: u64 = sys::NO_SETUID | sys::NO_DEVICES;

pub(super) fn open(spec: &SandboxSpec) -> Result<Trees, Failure> {
    let (host, rest) = open_host(&spec.hostname, spec.network == NetworkOf::Host)?;
    Ok(Trees { host, rest, ..open_own(spec)? })
}

/// What every sandbox has.
pub(super) fn open_host(hostname: &str, host_network: bool) -> Result<(Vec<Tree>, Vec<Shown>), Failure> {
    let (mut host, mut rest) = (Vec::new(), Vec::new());
    for shown in host::shown(hostname, host_network) {
        match shown {
            Shown::Tree { source, at } => host.push(tree(&source, at, TOOL)?),
            other => rest.push(other),
        }
    }
    for device in host::DEVICES {
        let source = Path::new(device);
        host.push(tree(source, inside(source)?, sys::NO_SETUID)?);
    }
    Ok((host, rest))
}

/// What only this one has.
pub(super) fn open_own(spec: &SandboxSpec) -> Result<Trees, Failure> {
    let mut trees = Trees { host: Vec::new(), rest: Vec::new(), overlay: None, root: None, binds: Vec::new() };
    trees.overlay = spec.overlay.as_ref().map(|overlay| open_overlay(&overlay.lower, &overlay.upper, &overlay.work)).transpose()?;
    trees.root = spec.root.as_ref().map(|root| open_overlay(std::slice::from_ref(&root.folder), &root.upper, &root.work)).transpose()?;
    let devices = if spec.keeps(Protection::NoDevices) { sys::NO_DEVICES } else { 0 };
    for (binds, attributes) in [(&spec.read_only, sys::READ_ONLY), (&spec.writable, 0)] {
        for bind in binds {
            trees.binds.push(tree(&bind.source, inside(&bind.target)?, attributes | sys::NO_SETUID | devices)?);
        }
    }
    // A place inside another one comes after it.
    trees.binds.sort_by_key(|tree| tree.at.components().count());
    Ok(trees)
}

/// The `/proc` that this process sees.
pub(super) fn whole_proc() -> Result<Tree, Failure> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let mount = open_tree(CWD, "/proc", flags).map_err(Stage::Proc.because("opening /proc"))?;
    Ok(Tree { mount, at: "proc".into(), folder: true })
}

fn open_overlay(lower: &[PathBuf], upper: &Path, work: &Path) -> Result<OverlayTrees, Failure> {
    let ancestor = common(upper, work);
    let relative = |path: &Path| path.strip_prefix(&ancestor).map(Path::to_path_buf).unwrap_or_default();
    Ok(OverlayTrees {
        lower: lower.iter().map(|path| detached(path, TOOL)).collect::<Result<_, _>>()?,
        scratch: detached(&ancestor, WRITABLE)?,
        upper: relative(upper),
        work: relative(work),
    })
}

fn common(one: &Path, other: &Path) -> PathBuf {
    one.components().zip(other.components()).take_while(|(a, b)| a == b).map(|(part, _)| part).collect()
}

/// Where a path inside is, seen from the new root. Refuses what would climb out of it.
pub(super) fn inside(path: &Path) -> Result<PathBuf, Failure> {
    use std::path::Component;
    let mut relative = PathBuf::new();
    for part in path.components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => relative.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(Failure {
                    stage: Stage::Specification,
                    why: format!("{} has `..` in it: write the place inside plainly", path.display()),
                });
            }
        }
    }
    Ok(relative)
}

fn tree(source: &Path, at: PathBuf, attributes: u64) -> Result<Tree, Failure> {
    let kind = fs::metadata(source).map_err(Stage::Mounts.because(format_args!("{} can not be shown in the sandbox", source.display())))?;
    Ok(Tree { mount: detached(source, attributes)?, at, folder: kind.is_dir() })
}

fn detached(source: &Path, attributes: u64) -> Result<OwnedFd, Failure> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let because = || Stage::Mounts.because::<std::io::Error>(format!("{} can not be shown in the sandbox", source.display()));
    let mount = open_tree(CWD, source, flags).map_err(|error| because()(error.into()))?;
    sys::set_mount(mount.as_fd(), attributes).map_err(because())?;
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rootless_containers_root_has_nobody_to_become() {
        assert!(is_mapped(UNPRIVILEGED, "         0          0 4294967295\n"));
        assert!(!is_mapped(UNPRIVILEGED, "         0       1000          1\n         1     100000      65536\n"));
        assert!(!is_mapped(UNPRIVILEGED, ""));
    }

    #[test]
    fn a_place_inside_can_not_climb_out() {
        assert_eq!(inside(Path::new("/run/./x")).unwrap(), Path::new("run/x"));
        assert!(inside(Path::new("/run/../../x")).is_err());
    }
}
