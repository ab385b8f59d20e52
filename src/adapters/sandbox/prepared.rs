//! A sandbox made of the template, in two halves. The first needs to know nothing of what will run in it: namespaces, `/proc`, `/tmp`, loopback. It can be done ahead,
//! and the sandbox then waits (the warm pool). The second half shows what the specification names, gives everything up, and starts the process.
//!
//! ```text
//! helper                                          init
//!   clone from the template's namespaces ───────▶ waits for its user map
//!   writes the map ──────────── go ─────────────▶ mounts /proc, /tmp, /dev/shm; loopback up
//!   (waits for somebody who wants it)             waits
//!   opens trees, as who may ── specification ───▶ shows them, gives up, starts
//! ```
//! Nothing of one sandbox reaches another: what waits has not been anybody's.

use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::cgroup::{self, Group};
use super::helper::{leave_groups, map_user};
use super::spec::SandboxSpec;
use super::trees::{OverlayTrees, Tree, Trees};
use super::wire::{Failure, Stage, frame, read_blocking};
use super::{init, sys, template, trees};

/// As many as the kernel lets travel at once.
const DESCRIPTORS: usize = 253;

/// A sandbox that waits. Dropping it kills it.
pub(super) struct Prepared {
    init: Pid,
    socket: UnixStream,
    /// Its mount namespace: who has it open keeps its end off the way of those who wait for the sandbox's.
    mounts: OwnedFd,
    taken: bool,
    group: Option<Group>,
}

/// One that is somebody's now.
pub(super) struct Begun {
    pub(super) init: Pid,
    /// Closed, init knows that the helper is dead.
    pub(super) alive: UnixStream,
    pub(super) mounts: OwnedFd,
    pub(super) group: Option<Group>,
}

/// What goes to init beside the descriptors: the control socket, the output, then the trees' mounts in this order.
type Order<Spec> = (Spec, Overlays, Vec<(PathBuf, bool)>, Vec<String>);

/// That of the workspace, and that of an image's root.
type Overlays = [Option<OverlayOrder>; 2];

#[derive(Serialize, Deserialize)]
struct OverlayOrder {
    lower: usize,
    upper: PathBuf,
    work: PathBuf,
}

/// The first half; with a control group or without.
pub(super) fn prepare(grouped: bool) -> Result<Prepared, Failure> {
    let plain = |error: io::Error| Failure { stage: Stage::Namespaces, why: error.to_string() };
    let outer = trees::outer_uid();
    let (mut socket, far) = UnixStream::pair().map_err(plain)?;
    let namespaces = sys::NEW_USER | sys::NEW_MOUNT | sys::NEW_PID | sys::NEW_IPC | sys::NEW_UTS | sys::NEW_NETWORK;
    leave_groups(outer)?;
    let mut group = grouped.then(Group::make).flatten();
    template::enter().map_err(Stage::Namespaces.because("entering the template"))?;
    let Some(init) = Group::fork(&mut group, namespaces).map_err(Stage::Namespaces.because("making namespaces"))? else {
        drop(socket);
        init::run_prepared(far, group)
    };
    drop(far);
    let mut prepared = Prepared { init, mounts: mounts_of(init)?, socket: socket.try_clone().map_err(plain)?, taken: false, group };
    map_user(init, outer)?;
    template::leave().map_err(Stage::Namespaces.because("leaving the template"))?;
    // An early end of this process is the child's as well: it waits for the byte that says that it is somebody.
    socket.write_all(&[1]).map_err(plain)?;
    prepared.socket = socket;
    Ok(prepared)
}

/// Held open, the end of a sandbox's mounts, for which the kernel waits for every processor, keeps nobody waiting who waits for the sandbox's.
pub(super) fn mounts_of(init: Pid) -> Result<OwnedFd, Failure> {
    let path = format!("/proc/{}/ns/mnt", init.as_raw_nonzero());
    rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(Stage::Namespaces.because("opening the sandbox's mounts"))
}

impl Prepared {
    /// The second half: everything that init needs, and then it is on its own.
    pub(super) fn begin(mut self, spec: &SandboxSpec, control: BorrowedFd<'_>, output: BorrowedFd<'_>) -> Result<Begun, Failure> {
        let Trees { overlay, root, binds, .. } = trees::open_own(spec)?;
        let mut descriptors = vec![control, output];
        let held = cgroup::hold(self.group.as_ref(), &spec.limits);
        let mut order: Order<&SandboxSpec> = (spec, [None, None], Vec::new(), held.into_iter().map(str::to_owned).collect());
        for (overlay, order) in [&overlay, &root].into_iter().zip(&mut order.1) {
            let Some(overlay) = overlay else { continue };
            *order = Some(OverlayOrder { lower: overlay.lower.len(), upper: overlay.upper.clone(), work: overlay.work.clone() });
            descriptors.push(overlay.scratch.as_fd());
            descriptors.extend(overlay.lower.iter().map(std::os::fd::AsFd::as_fd));
        }
        for tree in &binds {
            order.2.push((tree.at.clone(), tree.folder));
            descriptors.push(tree.mount.as_fd());
        }
        let alive = self.socket.try_clone().map_err(Stage::Specification.because("keeping init's socket"))?;
        let mounts = self.mounts.try_clone().map_err(Stage::Specification.because("keeping init's mounts"))?;
        // From here on it may run: whoever asked must not try anything else.
        send_order(&self.socket, &order, &descriptors).map_err(Stage::Specification.because("telling init what to be"))?;
        self.taken = true;
        Ok(Begun { init: self.init, alive, mounts, group: self.group.take() })
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if !self.taken {
            let _ = kill_process(self.init, Signal::KILL);
            let _ = sys::wait(self.init.as_raw_nonzero().get());
        }
    }
}

fn send_order(to: &UnixStream, order: &Order<&SandboxSpec>, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = frame(order)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if descriptors.len() > DESCRIPTORS || !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many trees"));
    }
    let sent = sendmsg(to, &[IoSlice::new(&bytes[..1])], &mut ancillary, SendFlags::NOSIGNAL)?;
    (&*to).write_all(&bytes[sent..])
}

/// What init was told, and what it was given.
pub(super) struct Told {
    pub(super) spec: SandboxSpec,
    pub(super) held: Vec<String>,
    pub(super) trees: Trees,
    pub(super) control: OwnedFd,
    pub(super) output: OwnedFd,
}

/// Init's side of `begin`. Waits.
pub(super) fn receive_order(from: &UnixStream) -> io::Result<Told> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut first = [0];
    let received = loop {
        match recvmsg(from, &mut [IoSliceMut::new(&mut first)], &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Err(io::Error::other("the helper is gone"));
    }
    let rights = ancillary.drain().filter_map(|message| if let RecvAncillaryMessage::ScmRights(found) = message { Some(found) } else { None });
    let mut given = rights.flatten().collect::<Vec<OwnedFd>>().into_iter();
    let (spec, laid, places, held): Order<SandboxSpec> = read_blocking(io::Read::chain(&first[..], from))?;
    let mut next = || given.next().ok_or_else(|| io::Error::other("a descriptor is missing"));
    let (control, output) = (next()?, next()?);
    let mut laid = laid.into_iter().map(|order| {
        let Some(OverlayOrder { lower, upper, work }) = order else { return Ok::<_, io::Error>(None) };
        let scratch = next()?;
        Ok(Some(OverlayTrees { lower: (0..lower).map(|_| next()).collect::<io::Result<_>>()?, scratch, upper, work }))
    });
    let (overlay, root) = (laid.next().transpose()?.flatten(), laid.next().transpose()?.flatten());
    drop(laid);
    let binds = places.into_iter().map(|(at, folder)| Ok(Tree { mount: next()?, at, folder })).collect::<io::Result<_>>()?;
    Ok(Told { spec, held, trees: Trees { host: Vec::new(), rest: Vec::new(), overlay, root, binds }, control, output })
}
