//! A `serve` that starts takes the place of the one that serves the same state folder, and the port is never closed in between.
//!
//! ```text
//! new ── what protocol ──▶ old        STATE/handover.sock; only the same user, by the socket's mode and the kernel's word for who is there
//! new ◀─ its listeners ─── old        SCM_RIGHTS: the same sockets, so the same queue of connections. Both hold them; the old one still accepts
//!     new gets ready: whatever can go wrong goes wrong here, and the old one serves on
//! new ── go ─────────────▶ old        accepts no more, answers what is under way, ends. Connections wait in the kernel's queue meanwhile
//! new ◀─ its end ───────── old        the kernel says it (pidfd), however it comes about: all locks of the old one are free then
//! ```
//! Not two sockets on one port (`SO_REUSEPORT`): the kernel gives each its own queue, and what waits in the old one's is reset when that is closed.
//!
//! Runs are nobody's to stop here: supervisors own what runs, and the next process finds their records, as after a crash.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg};
use rustix::process::{PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

const SOCKET: &str = "handover.sock";
const PROTOCOL: u32 = 1;
/// More ports than there will ever be.
const LISTENERS: usize = 8;
const MESSAGE_BYTES: usize = 4096;
/// For one message of whoever is at the other end.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// For the new one to get ready. The old one serves meanwhile.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// For the old one to let requests under way end. Its own limits are shorter.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(60);
/// What the new one says when it is ready.
const GO: &[u8] = b"go\n";

#[derive(Debug, Serialize, Deserialize)]
struct Ask {
    protocol: u32,
    version: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    /// Their names, in the order of the descriptors.
    Listeners(Vec<String>),
    Refused(String),
}

#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    #[error("process {pid} serves this state folder and does not hand over: {why}. End it, or choose another folder with --state-dir")]
    Refused { pid: i32, why: String },
    #[error("process {pid} was asked to leave and is still there after {} s: end it, and start again", LEAVE_TIMEOUT.as_secs())]
    Stays { pid: i32 },
    #[error("the process that served before can not be watched: {0}")]
    Watch(io::Error),
}

/// A socket's path may have at most 107 bytes; this one is short wherever the state folder is. The file must stay open while the path is used.
fn short(state: &Path) -> io::Result<(std::fs::File, PathBuf)> {
    let folder = std::fs::File::open(state)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
    Ok((folder, path))
}

/// What the process before us gave.
#[derive(Debug)]
pub struct Taken {
    pub listeners: BTreeMap<String, TcpListener>,
    pub predecessor: Predecessor,
}

/// The process that serves, until it is told to leave. Dropped without, it serves on.
#[derive(Debug)]
pub struct Predecessor {
    pid: i32,
    process: OwnedFd,
    stream: UnixStream,
}

/// Asks the process that serves this state folder for its listeners; `None` where nobody serves. Waits: to be called before there is a runtime.
pub fn ask(state: &Path) -> Result<Option<Taken>, HandoverError> {
    let Some(stream) = connect(state) else { return Ok(None) };
    let Some(pid) = rustix::net::sockopt::socket_peercred(&stream).ok().map(|peer| peer.pid) else { return Ok(None) };
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        // It has ended since.
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(error) => return Err(HandoverError::Watch(error.into())),
    };
    let refused = |why: String| HandoverError::Refused { pid: pid.as_raw_pid(), why };
    match exchange(&stream) {
        Ok((Answer::Listeners(names), descriptors)) if names.len() == descriptors.len() => {
            let listeners = names.into_iter().zip(descriptors.into_iter().map(TcpListener::from)).collect();
            Ok(Some(Taken { listeners, predecessor: Predecessor { pid: pid.as_raw_pid(), process, stream } }))
        }
        Ok((Answer::Listeners(names), descriptors)) => Err(refused(format!("{} sockets came for {} names", descriptors.len(), names.len()))),
        Ok((Answer::Refused(why), _)) => Err(refused(why)),
        Err(_) if has_ended(&process, Duration::ZERO) => Ok(None),
        Err(error) => Err(refused(error.to_string())),
    }
}

fn connect(state: &Path) -> Option<UnixStream> {
    let (_folder, path) = short(state).ok()?;
    let stream = UnixStream::connect(path).ok()?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).and_then(|()| stream.set_write_timeout(Some(ANSWER_TIMEOUT))).ok()?;
    Some(stream)
}

fn exchange(mut stream: &UnixStream) -> io::Result<(Answer, Vec<OwnedFd>)> {
    let mut ask = serde_json::to_vec(&Ask { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned() })?;
    ask.push(b'\n');
    stream.write_all(&ask)?;
    let (mut text, mut descriptors) = (Vec::new(), Vec::new());
    while !text.ends_with(b"\n") {
        let mut bytes = [0; MESSAGE_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(LISTENERS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        text.extend_from_slice(&bytes[..received.bytes]);
        if received.bytes == 0 || text.len() > MESSAGE_BYTES {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "its answer was cut short"));
        }
    }
    Ok((serde_json::from_slice(&text)?, descriptors))
}

impl Predecessor {
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Tells it to leave and waits until it has. Killed meanwhile, it has left as well.
    pub fn leave(self) -> Result<(), HandoverError> {
        // Whether it could still be told or not, its end is what counts.
        let _ = (&self.stream).write_all(GO);
        if has_ended(&self.process, LEAVE_TIMEOUT) { Ok(()) } else { Err(HandoverError::Stays { pid: self.pid }) }
    }
}

fn has_ended(process: &OwnedFd, within: Duration) -> bool {
    let until = Instant::now() + within;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = rustix::event::Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&timeout)) {
            Ok(ended) if ended > 0 => return true,
            Ok(_) | Err(rustix::io::Errno::INTR) if !left.is_zero() => {}
            _ => return false,
        }
    }
}

/// The side of the process that serves: what it gives to the one after it.
#[derive(Debug)]
pub struct Offer {
    socket: UnixListener,
    listeners: Vec<(String, TcpListener)>,
}

impl Offer {
    /// Takes the place of a socket that a dead process has left, or one that has just left: the caller is the one that serves this state folder.
    /// Needs a tokio runtime around it.
    pub fn new(state: &Path, listeners: Vec<(String, TcpListener)>) -> io::Result<Self> {
        let (_folder, path) = short(state)?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { socket, listeners })
    }

    /// Returns the process that takes our place, when it is ready to. Whoever asks and then does not say so is forgotten. May be dropped and called again.
    pub async fn successor(&self) -> i32 {
        loop {
            let stream = match self.socket.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!("a process that wants to take this one's place could not be heard: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            match self.hand_over(stream).await {
                Ok(pid) => return pid,
                Err(error) => tracing::warn!("a process that wanted to take this one's place did not: {error}"),
            }
        }
    }

    async fn hand_over(&self, stream: tokio::net::UnixStream) -> io::Result<i32> {
        let us = rustix::process::geteuid().as_raw();
        let peer = stream.peer_cred()?;
        if peer.uid() != us && peer.uid() != 0 {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("it is user {}'s", peer.uid())));
        }
        let stream = stream.into_std()?;
        let listeners = self.listeners.iter().map(|(name, listener)| Ok((name.clone(), listener.try_clone()?))).collect::<io::Result<Vec<_>>>()?;
        // Few bytes, and with time limits; it is not worth a state machine.
        tokio::task::spawn_blocking(move || give(&stream, &listeners)).await.map_err(io::Error::other)??;
        Ok(peer.pid().unwrap_or_default())
    }
}

fn give(mut stream: &UnixStream, listeners: &[(String, TcpListener)]) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    let ask: Ask = serde_json::from_slice(&read_line(stream)?)?;
    if ask.protocol != PROTOCOL {
        let why = format!("it is of version {} and does not understand version {}", env!("CARGO_PKG_VERSION"), ask.version);
        stream.write_all(&line(&Answer::Refused(why.clone()))?)?;
        return Err(io::Error::other(why));
    }
    let names = listeners.iter().map(|(name, _)| name.clone()).collect();
    let answer = line(&Answer::Listeners(names))?;
    let descriptors: Vec<_> = listeners.iter().map(|(_, listener)| listener.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(LISTENERS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other(format!("more than {LISTENERS} listeners")));
    }
    let sent = sendmsg(stream, &[IoSlice::new(&answer)], &mut control, SendFlags::NOSIGNAL)?;
    stream.write_all(&answer[sent..])?;
    stream.set_read_timeout(Some(READY_TIMEOUT))?;
    if read_line(stream)? == GO { Ok(()) } else { Err(io::Error::other("it said something else than that it is ready")) }
}

fn line(answer: &Answer) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(answer)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Byte by byte: what stands behind the line is the next message.
fn read_line(mut stream: &UnixStream) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    while !text.ends_with(b"\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        text.extend_from_slice(&byte);
        if text.len() > MESSAGE_BYTES {
            return Err(io::Error::other(format!("its message is longer than {MESSAGE_BYTES} bytes")));
        }
    }
    Ok(text)
}
