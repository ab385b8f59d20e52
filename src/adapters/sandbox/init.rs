//! PID 1 of a sandbox. It builds the file tree, gives up everything that it does not need, starts the process, and reaps.
//! When the process ends, whatever it left behind is killed.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal, setsid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::cgroup::Group;
use super::helper::become_user;
use super::spec::{NetworkOf, Protection, SandboxSpec};
use super::trees::{self, Trees};
use super::wire::{Failure, Report, Stage, send};
use super::{INNER_UID, exec, filetree, image_root, landlock, prepared, required, rlimits, seccomp, sys, template};

/// What init was given by the helper that cloned it.
pub(super) struct Beginning {
    pub(super) spec: SandboxSpec,
    /// Opened already where the helper was root.
    pub(super) trees: Option<Trees>,
    /// To tidegate.
    pub(super) control: OwnedFd,
    /// Its other end is the helper's: a byte means that the user map is written, closed that the helper is dead.
    pub(super) helper: OwnedFd,
    /// The limits that its control group holds, by name.
    pub(super) held: Vec<String>,
    pub(super) group: Option<Group>,
}

pub(super) fn run(beginning: Beginning) -> ! {
    template::forget();
    let control = match beginning.control.try_clone() {
        Ok(control) => control,
        Err(_) => std::process::exit(1),
    };
    let code = live(beginning).map_or_else(
        |failure| {
            let _ = send(&control, &Report::Failed(failure), None);
            1
        },
        |()| 0,
    );
    std::process::exit(code)
}

/// Init of a sandbox that is made of the template.
pub(super) fn run_prepared(helper: UnixStream, group: Option<Group>) -> ! {
    let helper = OwnedFd::from(helper);
    template::forget();
    let joined = join(group);
    let told = become_inner_user(&helper).and_then(|()| prepare()).and_then(|()| {
        let from = helper.try_clone().map(UnixStream::from).and_then(|from| prepared::receive_order(&from));
        from.map_err(Stage::Specification.because("waiting for what to be"))
    });
    // Whom it could tell is told by its end: whoever needed it builds another one.
    let Ok(told) = told else { std::process::exit(1) };
    let failed = |failure| {
        let _ = send(&told.control, &Report::Failed(failure), None);
        std::process::exit(1)
    };
    let redirected = sys::redirect(told.output.as_fd(), 1).and_then(|()| sys::redirect(told.output.as_fd(), 2));
    let furnished = redirected.map_err(Stage::Specification.because("its output")).and_then(|()| filetree::furnish(&told.spec, &told.trees, TMP));
    let Ok(control) = told.control.try_clone() else { std::process::exit(1) };
    let lived = joined.and(furnished).and_then(|()| {
        let listener = listen(&told.spec)?;
        drop((told.trees, told.output));
        live_on(&told.spec, &told.held, control, &helper, listener)
    });
    lived.map_or_else(failed, |()| std::process::exit(0))
}

/// What `/tmp` has where nobody says otherwise.
const TMP: u64 = 1 << 30;

fn prepare() -> Result<(), Failure> {
    rustix::system::sethostname(template::HOSTNAME.as_bytes()).map_err(Stage::Namespaces.because("naming the sandbox"))?;
    filetree::prepare(TMP)?;
    loopback()
}

fn live(beginning: Beginning) -> Result<(), Failure> {
    let Beginning { spec, trees, control, helper, held, group } = beginning;
    join(group)?;
    become_inner_user(&helper)?;
    let trees = trees.map_or_else(|| trees::open(&spec), Ok)?;
    rustix::system::sethostname(spec.hostname.as_bytes()).map_err(Stage::Namespaces.because("naming the sandbox"))?;
    filetree::build(&spec, trees)?;
    // A shared one has it from whoever made it.
    if spec.network == NetworkOf::Own {
        loopback()?;
    }
    let listener = listen(&spec)?;
    live_on(&spec, &held, control, &helper, listener)
}

/// From a file tree that stands to the end.
fn live_on(spec: &SandboxSpec, held: &[String], control: OwnedFd, helper: &OwnedFd, listener: Option<OwnedFd>) -> Result<(), Failure> {
    // Becoming somebody else has closed this process's own files to it. Nobody else is in here yet; the privileges' end closes them again.
    set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(Stage::Privileges.because("opening the counters"))?;
    let counters = sys::storage_counters();
    let before = sys::storage_traffic(counters.as_ref());
    if let Some(root) = &spec.root {
        image_root::become_its_user(root)?;
    }
    give_up_privileges(spec)?;
    stay_with(helper)?;
    let _ = setsid();
    take_terminal()?;
    let walls = raise_walls(spec)?;

    let told = |error: io::Error| Failure { stage: Stage::Specification, why: format!("tidegate is gone: {error}") };
    let isolation = isolation(spec, &walls, held);
    required::insist(&spec.required, &isolation)?;
    let ready = Report::Ready { at_us: sys::monotonic_us(), isolation };
    send(&control, &ready, listener.as_ref().map(AsFd::as_fd)).map_err(told)?;
    drop(listener);
    sys::default_signals();
    // Before there is anything to end; exec gives the program the default again.
    sys::pass_on_termination();
    let process = exec::start(spec, &spec.cwd)?;
    send(&control, &Report::Started { at_us: sys::monotonic_us() }, None).map_err(told)?;
    silence().map_err(told)?;

    let ended = reap_until(process).map_err(told)?;
    let at_us = sys::monotonic_us();
    sys::kill_everything();
    while sys::wait(-1).map_err(told)?.is_some() {}
    let usage = sys::usage_since(before, counters.as_ref());
    send(&control, &Report::Exited { at_us, exit: ended.exit, usage }, None).map_err(told)
}

/// Before anything is done or started.
fn join(group: Option<Group>) -> Result<(), Failure> {
    group.map_or(Ok(()), Group::enter).map_err(Stage::Namespaces.because("joining its control group"))
}

/// Waits until there is somebody to be, and becomes that. The capabilities in the new namespaces stay, as long as the file tree needs them.
fn become_inner_user(helper: &OwnedFd) -> Result<(), Failure> {
    let mut byte = [0];
    if !matches!(rustix::io::read(helper, &mut byte), Ok(1)) {
        // The helper is gone, or about to say itself what is wrong.
        std::process::exit(1);
    }
    become_user(INNER_UID, INNER_UID).map_err(Stage::Identity.because("becoming the user inside"))
}

/// What the process says may go to a terminal: it then belongs to this session, and keys that interrupt reach who runs in it.
fn take_terminal() -> Result<(), Failure> {
    let out = io::stdout();
    if !rustix::termios::isatty(&out) {
        return Ok(());
    }
    rustix::process::ioctl_tiocsctty(&out).map_err(Stage::Privileges.because("taking the terminal"))
}

fn socket() -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

fn loopback() -> Result<(), Failure> {
    loopback_up().map_err(Stage::Network.because("switching loopback on"))
}

/// In the network of this thread.
pub(super) fn loopback_up() -> io::Result<()> {
    sys::loopback_up(socket()?.as_fd())
}

fn listen(spec: &SandboxSpec) -> Result<Option<OwnedFd>, Failure> {
    let Some(port) = spec.listen else { return Ok(None) };
    listen_at(port).map(Some).map_err(Stage::Network.because(format_args!("listening on 127.0.0.1:{port}")))
}

/// In the network of this thread.
pub(super) fn listen_at(port: u16) -> io::Result<OwnedFd> {
    let listener = socket()?;
    rustix::net::sockopt::set_socket_reuseaddr(&listener, true)?;
    rustix::net::bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    rustix::net::listen(&listener, 128)?;
    Ok(listener)
}

/// No capability is left in any set, none can come back by exec, nobody can trace this process, and the caller's keys are out of reach.
fn give_up_privileges(spec: &SandboxSpec) -> Result<(), Failure> {
    let because = |what| Stage::Privileges.because::<rustix::io::Errno>(what);
    if spec.keeps(Protection::NoNewPrivileges) {
        rustix::thread::set_no_new_privs(true).map_err(because("refusing new privileges"))?;
    }
    if spec.keeps(Protection::Capabilities) { drop_capabilities() } else { keep_capabilities() }.map_err(because("dropping capabilities"))?;
    if spec.keeps(Protection::Keyring) {
        sys::fresh_keyring();
    }
    let dumpable = if spec.keeps(Protection::Untraceable) { DumpableBehavior::NotDumpable } else { DumpableBehavior::Dumpable };
    set_dumpable_behavior(dumpable).map_err(because("refusing to be traced"))
}

pub(super) fn drop_capabilities() -> rustix::io::Result<()> {
    bar_capabilities();
    let _ = rustix::thread::clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets)
}

/// None comes back by exec. Those that this process has it keeps.
pub(super) fn bar_capabilities() {
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if rustix::thread::remove_capability_from_bounding_set(one).is_err() {
            break; // The kernel knows no more of them.
        }
    }
}

/// For a test: what init has in its own user namespace, the program has as well.
fn keep_capabilities() -> rustix::io::Result<()> {
    let own = rustix::thread::capabilities(None)?;
    rustix::thread::set_capabilities(None, CapabilitySets { inheritable: own.permitted, ..own })?;
    own.permitted.iter().try_for_each(|one| rustix::thread::configure_capability_in_ambient_set(one, true))
}

/// The last thing before the process starts: what this process may still do is what the process may. Answers what is in force; the kernel may lack some.
fn raise_walls(spec: &SandboxSpec) -> Result<Vec<&'static str>, Failure> {
    let mut walls = Vec::new();
    if spec.keeps(Protection::Rlimits) {
        rlimits::apply(spec.limits.file_bytes).map_err(Stage::Privileges.because("bounding resources"))?;
        walls.push("rlimits");
    }
    if spec.keeps(Protection::Landlock) && landlock::apply(spec).map_err(Stage::Privileges.because("confining it with Landlock"))? {
        walls.push("landlock");
    }
    if spec.keeps(Protection::Seccomp) && seccomp::apply() {
        walls.push("seccomp");
    }
    Ok(walls)
}

/// Dies with the helper, also when the helper died a moment ago.
fn stay_with(helper: &OwnedFd) -> Result<(), Failure> {
    let because = |what| Stage::Privileges.because::<rustix::io::Errno>(what);
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(because("binding to the helper's life"))?;
    let mut ends = [PollFd::new(helper, PollFlags::IN)];
    poll(&mut ends, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).map_err(because("looking for the helper"))?;
    if ends[0].revents().is_empty() { Ok(()) } else { Err(Failure { stage: Stage::Privileges, why: "the helper is gone".to_owned() }) }
}

/// Lets go of the output: it must end when the last process that writes to it does.
pub(super) fn silence() -> io::Result<()> {
    let nothing = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    (0..3).try_for_each(|number| sys::redirect(nothing.as_fd(), number))
}

/// Reaps until this one ends.
pub(super) fn reap_until(process: i32) -> io::Result<sys::Reaped> {
    loop {
        match sys::wait(-1)? {
            Some(reaped) if reaped.pid == process => return Ok(reaped),
            Some(_) => {}
            None => return Err(io::Error::other("the process is not a child")),
        }
    }
}

fn isolation(spec: &SandboxSpec, walls: &[&'static str], held: &[String]) -> Vec<String> {
    let mut names = vec![
        "user-namespace",
        "mount-namespace",
        "pid-namespace",
        "ipc-namespace",
        "uts-namespace",
        if spec.root.is_some() { "image-root" } else { "read-only-tools" },
        "private-tmp",
        "no-capabilities",
        "no-new-privileges",
        "no-user-namespaces",
        "private-keyring",
    ];
    if spec.network != NetworkOf::Host {
        names.extend(["network-namespace", "no-network"]);
    }
    names.extend(walls);
    if spec.overlay.is_some() {
        names.push("overlay-workspace");
    }
    names.into_iter().map(str::to_owned).chain(held.iter().cloned()).collect()
}
