//! The file tree inside, built from detached mounts:
//!
//! ```text
//! /            a small tmpfs, read-only in the end           /workspace   overlay: what is written over the commit and the outputs of needs
//! /usr, …      the host's tools, read-only                   /tmp         private, of limited size     /dev/shm   likewise
//! /etc         a few files, most made up                     /proc        fresh: only what runs inside
//! /dev         null zero full random urandom and links       and what the specification binds
//! ```
//!
//! It is built beside the old root, which is then taken away: what was not put in is not there. `/sys` is not put in.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags, mount, mount_change, mount_remount, move_mount, unmount};
use rustix::process::{chdir, pivot_root};

use super::host::Shown;
use super::spec::{Protection, SandboxSpec};
use super::trees::{OverlayTrees, Tree, Trees, inside, open_host, whole_proc};
use super::wire::{Failure, Stage};
use super::{image_root, sys};

/// The stage: a tmpfs over the old `/tmp` that holds the new root, and the trees below the overlay while it is mounted.
const STAGE: &str = "/tmp";
const NEW: &str = "new";
/// An empty folder that nobody writes to, relative to the new root.
pub(super) const EMPTY: &str = "run/tidegate/empty";

pub(super) fn mounting<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> Failure {
    Stage::Mounts.because(what)
}

pub(super) fn build(spec: &SandboxSpec, trees: Trees) -> Result<(), Failure> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).map_err(mounting("making mounts private"))?;
    tmpfs(Path::new(STAGE), "mode=755,size=1m")?;
    chdir(STAGE).map_err(mounting("entering the stage"))?;
    fs::create_dir(NEW).map_err(mounting("making the new root"))?;
    tmpfs(Path::new(NEW), "mode=755,size=16m")?;
    let new = Path::new(NEW);

    show_host(&trees.host, &trees.rest)?;
    // While the old root is still there: a fresh procfs is only given to those who see a whole one.
    folder(&new.join("proc"))?;
    if spec.keeps(Protection::FreshProc) && spec.keeps(Protection::PidNamespace) {
        fresh_proc(new)?
    } else {
        attach(&whole_proc()?, new)?
    }
    folder(&new.join(EMPTY))?;
    private_folders(new, spec.tmp_size)?;
    device_links()?;
    if let Some(root) = &spec.root {
        folder(&new.join("workspace"))?;
        chdir(NEW).map_err(mounting("entering the new root"))?;
        pivot_root(".", ".").map_err(mounting("changing the root"))?;
        take_the_old_root_away()?;
        // In the copy of it that goes along, nothing shall be made.
        make_the_root_read_only()?;
        if spec.keeps(Protection::MaskedProc) && spec.keeps(Protection::FreshProc) && spec.keeps(Protection::PidNamespace) {
            mask_proc()?;
        }
        return image_root::enter(spec, root, &trees);
    }
    if let (Some(overlay), Some(trees)) = (&spec.overlay, &trees.overlay) {
        mount_overlay(trees, &inside(&overlay.target)?)?;
    }

    chdir(NEW).map_err(mounting("entering the new root"))?;
    pivot_root(".", ".").map_err(mounting("changing the root"))?;
    // From here on no path, not even one that leads through a link of the workspace, can end on the host: only now the rest.
    for tree in &trees.binds {
        attach(tree, Path::new("/"))?;
    }
    drop(trees);
    take_the_old_root_away()?;
    if spec.keeps(Protection::UserNamespaces) {
        forbid_user_namespaces()?;
    }
    make_the_root_read_only()?;
    if spec.keeps(Protection::MaskedProc) && spec.keeps(Protection::FreshProc) && spec.keeps(Protection::PidNamespace) {
        mask_proc()?;
    }
    Ok(())
}

/// The same root without what is one sandbox's own: empty places instead. The whole `/proc` of the host is below the one that every sandbox mounts: only who
/// sees a whole one is given a fresh one.
pub(super) fn build_template(hostname: &str, folders: &[&str], files: &[&str]) -> Result<(), Failure> {
    let (host, rest) = open_host(hostname, false)?;
    let proc = whole_proc()?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).map_err(mounting("making mounts private"))?;
    tmpfs(Path::new(STAGE), "mode=755,size=1m")?;
    chdir(STAGE).map_err(mounting("entering the stage"))?;
    fs::create_dir(NEW).map_err(mounting("making the new root"))?;
    tmpfs(Path::new(NEW), "mode=755,size=16m")?;
    let new = Path::new(NEW);
    show_host(&host, &rest)?;
    attach(&proc, new)?;
    for path in ["tmp", "dev/shm", EMPTY].iter().chain(folders) {
        folder(&new.join(path))?;
    }
    for path in files {
        let place = new.join(path);
        with_parents(&place, || fs::write(&place, ""))?;
    }
    device_links()?;
    chdir(NEW).map_err(mounting("entering the new root"))?;
    pivot_root(".", ".").map_err(mounting("changing the root"))?;
    take_the_old_root_away()?;
    make_the_root_read_only()
}

/// In a copy of the template, what needs to know nothing of what will run.
pub(super) fn prepare(tmp_size: u64) -> Result<(), Failure> {
    fresh_proc(Path::new("/"))?;
    mask_proc()?;
    private_folders(Path::new("/"), tmp_size)?;
    forbid_user_namespaces()
}

/// And the rest. `prepared_size` is what `/tmp` has been given.
pub(super) fn furnish(spec: &SandboxSpec, trees: &Trees, prepared_size: u64) -> Result<(), Failure> {
    if spec.tmp_size != prepared_size {
        let size = c_string(format!("size={}", spec.tmp_size).as_ref())?;
        for path in ["/tmp", "/dev/shm"] {
            mount_remount(path, MountFlags::NOSUID | MountFlags::NODEV, size.as_c_str()).map_err(mounting(format_args!("bounding {path}")))?;
        }
    }
    if let Some(root) = &spec.root {
        return image_root::enter(spec, root, trees);
    }
    if let (Some(overlay), Some(trees)) = (&spec.overlay, &trees.overlay) {
        mount_overlay_over(trees, &overlay.target)?;
    }
    // The places are the template's own and lead nowhere else.
    trees.binds.iter().try_for_each(|tree| move_to(tree.mount.as_fd(), &Path::new("/").join(&tree.at)))
}

fn fresh_proc(root: &Path) -> Result<(), Failure> {
    mount("proc", root.join("proc"), "proc", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)
        .map_err(Stage::Proc.because("mounting /proc"))
}

/// What `/proc` says of the machine and its devices that no step needs. Most of it is root's alone anyway; this holds when one of its files is not.
/// `subset=pid` would hide all of it at once, and with it `cpuinfo`, `meminfo`, `stat` and `sys`, without which many tools do not run.
const MASKED_FILES: [&str; 11] =
    ["cmdline", "interrupts", "kallsyms", "kcore", "key-users", "keys", "latency_stats", "sched_debug", "sysrq-trigger", "timer_list", "timer_stats"];
const MASKED_FOLDERS: [&str; 5] = ["acpi", "asound", "bus", "fs", "scsi"];

/// Each costs some microseconds; those that this kernel does not have, next to nothing.
fn mask_proc() -> Result<(), Failure> {
    let empty = format!("/{EMPTY}");
    let files = MASKED_FILES.iter().map(|name| ("/dev/null", name));
    let folders = MASKED_FOLDERS.iter().map(|name| (empty.as_str(), name));
    for (nothing, name) in files.chain(folders) {
        let at = Path::new("/proc").join(name);
        match mount(nothing, &at, "", MountFlags::BIND, None) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(Stage::Proc.because(format_args!("masking {}", at.display()))(error)),
        }
    }
    Ok(())
}

fn show_host(trees: &[Tree], rest: &[Shown]) -> Result<(), Failure> {
    trees.iter().try_for_each(|tree| attach(tree, Path::new(NEW)))?;
    rest.iter().try_for_each(put)
}

pub(super) fn take_the_old_root_away() -> Result<(), Failure> {
    // The old root lies on top of the new one, and `.` is where it can be reached. One unmount for everything: each costs a grace period.
    unmount(".", UnmountFlags::DETACH).map_err(mounting("taking the old root away"))?;
    chdir("/").map_err(mounting("entering the root"))
}

/// Nobody may have a user namespace of his own in here: with one come capabilities, and with them most of the kernel.
fn forbid_user_namespaces() -> Result<(), Failure> {
    fs::write("/proc/sys/user/max_user_namespaces", "0").map_err(Stage::Privileges.because("forbidding user namespaces inside"))
}

fn make_the_root_read_only() -> Result<(), Failure> {
    let root = rustix::fs::open("/", rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())
        .map_err(mounting("opening the root"))?;
    sys::set_root_read_only(root.as_fd()).map_err(mounting("making the root read-only"))
}

pub(super) fn tmpfs(at: &Path, options: &str) -> Result<(), Failure> {
    let options = c_string(options.as_ref())?;
    mount("tmpfs", at, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(options.as_c_str()))
        .map_err(mounting(format_args!("mounting a tmpfs at {}", at.display())))
}

fn c_string(text: &OsStr) -> Result<CString, Failure> {
    CString::new(text.as_bytes()).map_err(Stage::Specification.because("a path with a zero byte"))
}

fn folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(mounting(format_args!("making {}", path.display())))
}

/// Puts a tree at its place, making the place where there is none.
pub(super) fn attach(tree: &Tree, root: &Path) -> Result<(), Failure> {
    let at = root.join(&tree.at);
    if tree.folder {
        folder(&at)?;
    } else if !at.exists() {
        with_parents(&at, || fs::write(&at, ""))?;
    }
    move_to(tree.mount.as_fd(), &at)
}

pub(super) fn move_to(mount: BorrowedFd<'_>, at: &Path) -> Result<(), Failure> {
    move_mount(mount, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(mounting(format_args!("showing {}", at.display())))
}

fn put(shown: &Shown) -> Result<(), Failure> {
    let (Shown::Link { at, .. } | Shown::Text { at, .. } | Shown::Tree { at, .. }) = shown;
    let place = Path::new(NEW).join(at);
    with_parents(&place, || match shown {
        Shown::Link { to, .. } => symlink(to, &place),
        Shown::Text { text, .. } => fs::write(&place, text),
        Shown::Tree { .. } => Ok(()),
    })
}

/// Makes something, and the folders above it only where they are missing: mostly they are there.
fn with_parents(place: &Path, make: impl Fn() -> io::Result<()>) -> Result<(), Failure> {
    let made = match make() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            place.parent().map_or(Ok(()), folder)?;
            make()
        }
        other => other,
    };
    made.map_err(mounting(format_args!("making {}", place.display())))
}

fn private_folders(root: &Path, tmp_size: u64) -> Result<(), Failure> {
    for (path, options) in [("tmp", format!("mode=1777,size={tmp_size}")), ("dev/shm", format!("mode=1777,size={tmp_size}"))] {
        folder(&root.join(path))?;
        tmpfs(&root.join(path), &options)?;
    }
    folder(&root.join("tmp/home"))
}

fn device_links() -> Result<(), Failure> {
    for (to, at) in [("/proc/self/fd", "fd"), ("fd/0", "stdin"), ("fd/1", "stdout"), ("fd/2", "stderr")] {
        let at = Path::new(NEW).join("dev").join(at);
        symlink(to, &at).map_err(mounting(format_args!("making {}", at.display())))?;
    }
    Ok(())
}

/// Mounts the overlay from trees put on the stage for as long as that takes; the overlay keeps what it needs of them.
fn mount_overlay(trees: &OverlayTrees, target: &Path) -> Result<(), Failure> {
    let target = Path::new(NEW).join(target);
    folder(&target)?;
    let scratch = staged("w", trees.scratch.as_fd())?;
    let lower = trees.lower.iter().enumerate().map(|(number, mount)| staged(&number.to_string(), mount.as_fd())).collect::<Result<Vec<_>, _>>()?;
    overlay(&scratch, &lower, trees, &target)
}

/// Where there is no stage that is taken away later, the target itself is one: the scratch folder and the layers are mounted there, one over the other, and the
/// overlay over all of them. Each is named by its descriptor. What is covered can not be uncovered again by anybody inside.
pub(super) fn mount_overlay_over(trees: &OverlayTrees, target: &Path) -> Result<(), Failure> {
    let place = |mount: &OwnedFd| {
        move_to(mount.as_fd(), target)?;
        Ok(PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd())))
    };
    let scratch = place(&trees.scratch)?;
    let lower = trees.lower.iter().map(place).collect::<Result<Vec<_>, Failure>>()?;
    overlay(&scratch, &lower, trees, target)
}

pub(super) fn overlay(scratch: &Path, lower: &[PathBuf], trees: &OverlayTrees, target: &Path) -> Result<(), Failure> {
    if lower.is_empty() {
        let flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV;
        return mount(scratch.join(&trees.upper), target, "", flags, None).map_err(Stage::Overlay.because("showing the workspace"));
    }
    let mut options = b"userxattr,volatile,lowerdir=".to_vec();
    for (number, path) in lower.iter().rev().enumerate() {
        options.extend_from_slice(if number > 0 { b":" } else { b"" });
        options.extend_from_slice(path.as_os_str().as_bytes());
    }
    for (option, path) in [(&b",upperdir="[..], &trees.upper), (&b",workdir="[..], &trees.work)] {
        options.extend_from_slice(option);
        escaped(&mut options, scratch.join(path).as_os_str());
    }
    if options.len() > 4000 {
        let why = format!("{} layers are too many for one workspace: let the step need fewer others", trees.lower.len());
        return Err(Failure { stage: Stage::Overlay, why });
    }
    let options = c_string(OsStr::from_bytes(&options))?;
    mount("overlay", target, "overlay", MountFlags::NOSUID | MountFlags::NODEV, Some(options.as_c_str()))
        .map_err(Stage::Overlay.because("mounting the workspace"))
}

fn staged(name: &str, mount: BorrowedFd<'_>) -> Result<PathBuf, Failure> {
    let place = PathBuf::from(name);
    folder(&place)?;
    move_to(mount, &place)?;
    Ok(place)
}

/// An overlay's options part at commas and colons.
fn escaped(options: &mut Vec<u8>, path: &OsStr) {
    for byte in path.as_bytes() {
        if matches!(byte, b',' | b':' | b'\\') {
            options.push(b'\\');
        }
        options.push(*byte);
    }
}
