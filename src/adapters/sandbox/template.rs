//! What all sandboxes have alike, built once: a mount namespace with a root that holds the host's tools, made-up files of `/etc`, devices, and empty places for
//! the rest. A sandbox's namespaces are cloned from it, so that it begins with a root that is right: nothing of the host has to be taken away first (taking a
//! mount away waits for every processor), and little is left to be mounted.
//!
//! The nursery holds two mount namespaces by their descriptors, its own and the template's, and its children go from one to the other. An ordinary user's
//! nursery first makes itself a user namespace in which it may do so; root needs none.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::thread::{CapabilitySet, LinkNameSpaceType, move_into_link_name_space};

use super::spec::{Isolation, NetworkOf, SandboxSpec};
use super::wire::{Failure, Stage};
use super::{filetree, host, sys};
use crate::model::outcome::Exit;

/// The name of every machine that is one of these.
pub(super) const HOSTNAME: &str = "tidegate";

/// Where something may be shown in a sandbox that is made of the template: empty folders, and empty files.
const FOLDERS: [&str; 3] = ["workspace", "run/tidegate/bin", "run/tidegate/answers"];
const FILES: [&str; 2] = ["run/tidegate/script", "run/tidegate/bin/tidegate"];

#[derive(Debug)]
struct Template {
    /// The mount namespace of the nursery: the host's, or a copy that follows it.
    home: OwnedFd,
    made: OwnedFd,
    /// What was copied, as it was.
    stamps: Vec<Stamp>,
    /// When they were compared last.
    looked: Instant,
}

/// Of a file or a link: when one of them differs, it is another one.
type Stamp = (PathBuf, Option<(u64, u64, i64, i64)>);

/// Of this process and those forked from it.
static TEMPLATE: Mutex<Option<Template>> = Mutex::new(None);

fn place() -> MutexGuard<'static, Option<Template>> {
    TEMPLATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the template, or makes it again when something that it has copied is no longer as it was. Only for a process with one thread. Where it can not be
/// made there is none, and every sandbox is built on its own.
/// Answers whether it did.
pub(super) fn refresh() -> bool {
    let mut place = place();
    if let Some(template) = &mut *place {
        // A burst of requests needs no second look.
        if template.looked.elapsed() < Duration::from_millis(20) {
            return false;
        }
        template.looked = Instant::now();
        if template.stamps == stamps() {
            return false;
        }
    }
    *place = may_mount().then(make).and_then(Result::ok);
    true
}

/// An ordinary user's right to mount: in a user namespace of its own, in which every user is who he was. Best effort; only for a process with one thread.
pub(super) fn become_able_to_mount() {
    if may_mount() {
        return;
    }
    // Some systems give the namespace and no rights in it, and there is no way back: somebody else tries it first.
    let tried = match sys::fork(0) {
        Ok(None) => sys::leave(if enter_own_namespaces().is_ok() && may_mount() { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        Ok(Some(child)) => sys::wait(child.as_raw_nonzero().get()),
        Err(error) => Err(error),
    };
    if matches!(tried, Ok(Some(sys::Reaped { exit: Exit::Code(0), .. }))) {
        let _ = enter_own_namespaces();
    }
}

fn enter_own_namespaces() -> io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    sys::unshare(sys::NEW_USER | sys::NEW_MOUNT)?;
    for (file, text) in [("setgroups", "deny".to_owned()), ("uid_map", format!("{uid} {uid} 1")), ("gid_map", format!("{gid} {gid} 1"))] {
        fs::write(format!("/proc/self/{file}"), text)?;
    }
    Ok(())
}

/// Whether this process may mount things and open parts of the file tree as mounts.
pub(super) fn may_mount() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_CHROOT))
}

/// Whether a sandbox like this can be made of a template.
pub(super) fn fits(spec: &SandboxSpec) -> bool {
    let at = |path: &Path, names: &[&str]| path.strip_prefix("/").is_ok_and(|path| names.iter().any(|name| Path::new(name) == path));
    let mut binds = spec.read_only.iter().chain(&spec.writable).map(|bind| &bind.target);
    spec.isolation == Isolation::Full
        && spec.hostname == HOSTNAME
        && spec.network == NetworkOf::Own
        && !spec.lifted.iter().any(|lifted| lifted.is_of_the_template())
        && spec.overlay.as_ref().is_none_or(|overlay| overlay.target == Path::new("/workspace") && overlay.lower.len() < 100)
        && binds.all(|target| at(target, &FOLDERS) || at(target, &FILES))
}

pub(super) fn exists() -> bool {
    place().is_some()
}

/// Into the template's mount namespace. What is cloned there has a copy of it.
pub(super) fn enter() -> rustix::io::Result<()> {
    go(|template| &template.made)
}

/// Back, to where the host's files are.
pub(super) fn leave() -> rustix::io::Result<()> {
    go(|template| &template.home)
}

fn go(to: impl Fn(&Template) -> &OwnedFd) -> rustix::io::Result<()> {
    place().as_ref().map_or(Ok(()), |template| into(to(template).as_fd()))
}

fn into(namespace: BorrowedFd<'_>) -> rustix::io::Result<()> {
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::Mount))
}

/// For whoever is in a sandbox already: nothing leads from there to the host's files.
pub(super) fn forget() {
    *place() = None;
}

/// Its descriptors, for whoever closes all others.
pub(super) fn descriptors() -> Vec<RawFd> {
    place().iter().flat_map(|template| [template.home.as_raw_fd(), template.made.as_raw_fd()]).collect()
}

fn make() -> Result<Template, Failure> {
    let because = |what| Stage::Namespaces.because::<rustix::io::Errno>(what);
    let own = || rustix::fs::openat(CWD, "/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    // Before anything is copied: what changes meanwhile is noticed then.
    let stamps = stamps();
    let home = own().map_err(because("opening the mount namespace"))?;
    // Whoever may not come back must not go: in a user namespace, the way to the mounts of the one above is closed.
    into(home.as_fd()).map_err(because("trying the way back"))?;
    sys::unshare(sys::NEW_MOUNT).map_err(Stage::Namespaces.because("making a mount namespace"))?;
    let built = filetree::build_template(HOSTNAME, &FOLDERS, &FILES).and_then(|()| own().map_err(because("opening the template")));
    into(home.as_fd()).map_err(because("going back"))?;
    Ok(Template { home, made: built?, stamps, looked: Instant::now() })
}

fn stamps() -> Vec<Stamp> {
    let stamp = |path: PathBuf| {
        let seen = fs::symlink_metadata(&path).ok().map(|meta| (meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()));
        (path, seen)
    };
    host::copied().map(stamp).collect()
}
