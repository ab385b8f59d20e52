//! A root that is an image's instead of one with the host's tools: its layers below, a private writable layer on top.
//!
//! It is entered from a root with the host's tools that stands already (the template's, or one that was built), and takes along what every sandbox has:
//! `/dev`, `/proc` and `/tmp`. The old root is taken away whole.
//!
//! ```text
//! old root                            new root
//!   /workspace ◀─ overlay ───────────▶ /            the image's layers, furniture on top (real folders where things are mounted), and what is written
//!   /dev ───── a copy, read-only ────▶ /dev
//!   /proc, /tmp ─────── moved ───────▶ /proc, /tmp
//!                                      /run/tidegate, /workspace   as everywhere
//! ```

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::process::{chdir, pivot_root};

use super::filetree::{attach, mount_overlay_over, mounting, move_to, overlay, take_the_old_root_away, tmpfs};
use super::spec::{ImageRoot, NetworkOf, SandboxSpec};
use super::sys;
use super::trees::{OverlayTrees, Trees};
use super::wire::{Failure, Stage};

/// An empty folder of the old root.
const PLACE: &str = "/workspace";

pub(super) fn enter(spec: &SandboxSpec, root: &ImageRoot, trees: &Trees) -> Result<(), Failure> {
    let Some(own) = &trees.root else { return Err(Failure { stage: Stage::Specification, why: "the image's layers are missing".to_owned() }) };
    mount_layers(root, own)?;
    let resolver = if spec.network == NetworkOf::Host { fs::read("/etc/resolv.conf").ok() } else { None };
    let moved = |path: &str| open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLOEXEC).map_err(mounting(format_args!("opening {path}")));
    let copied = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let devices = open_tree(CWD, "/dev", copied).map_err(mounting("copying /dev"))?;
    let along = [(devices, "/dev"), (moved("/proc")?, "/proc"), (moved("/tmp")?, "/tmp")];

    chdir(PLACE).map_err(mounting("entering the image"))?;
    pivot_root(".", ".").map_err(mounting("changing the root to the image"))?;
    // The places are the furniture's: real folders, whatever the image has there.
    along.iter().try_for_each(|(mount, at)| move_to(mount.as_fd(), Path::new(at)))?;
    tmpfs(Path::new("/run/tidegate"), "mode=755,size=1m")?;
    if let (Some(overlay), Some(trees)) = (&spec.overlay, &trees.overlay) {
        mount_overlay_over(trees, &overlay.target)?;
    }
    trees.binds.iter().try_for_each(|tree| attach(tree, Path::new("/")))?;
    take_the_old_root_away()?;
    if let Some(text) = resolver {
        fs::write("/etc/resolv.conf", text).map_err(mounting("writing /etc/resolv.conf"))?;
    }
    // An image may name a home, and a folder to begin in, that it does not have; where they can not be made, so be it.
    let _ = root.home.as_ref().map(fs::create_dir_all);
    let _ = fs::create_dir_all(&spec.cwd);
    Ok(())
}

/// All layers are below one folder, which is shown once: a mount for each would cost more than all the rest.
fn mount_layers(root: &ImageRoot, trees: &OverlayTrees) -> Result<(), Failure> {
    let place = Path::new(PLACE);
    let by_number = |mount: &OwnedFd| PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
    move_to(trees.scratch.as_fd(), place)?;
    let Some(folder) = trees.lower.first() else {
        return Err(Failure { stage: Stage::Specification, why: "the image's folder is missing".to_owned() });
    };
    move_to(folder.as_fd(), place)?;
    let open = |path: &PathBuf| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(folder, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
            .map_err(Stage::Overlay.because(format_args!("opening the layer {}", path.display())))
    };
    let layers = root.lower.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    overlay(&by_number(&trees.scratch), &layers.iter().map(by_number).collect::<Vec<_>>(), trees, place)
}

/// As an image's process sees itself it may be anybody, root included. It is the same one unprivileged user outside, and has no more rights: all that
/// changes is the number. The namespace that the number is in is the last that can be made.
pub(super) fn become_its_user(root: &ImageRoot) -> Result<(), Failure> {
    let limit = |number: &str| {
        fs::write("/proc/sys/user/max_user_namespaces", number).map_err(Stage::Privileges.because("forbidding user namespaces inside"))
    };
    limit("1")?;
    sys::unshare(sys::NEW_USER).map_err(Stage::Identity.because("becoming the image's user"))?;
    let maps = [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{} {} 1", root.uid, super::INNER_UID)),
        ("gid_map", format!("{} {} 1", root.gid, super::INNER_UID)),
    ];
    for (file, text) in maps {
        fs::write(format!("/proc/self/{file}"), text).map_err(Stage::Identity.because(format_args!("writing {file}")))?;
    }
    limit("0")
}
