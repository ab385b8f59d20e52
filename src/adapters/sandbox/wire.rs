//! What helper and init tell tidegate, and how: a length (4 bytes, little-endian) and JSON, over the socket that is the helper's stdin.
//! The specification goes the other way in the same form. A listening socket travels beside `Ready`.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg};
use serde::{Deserialize, Serialize};

use super::cgroup::Past;
use crate::model::outcome::Exit;

/// The longest message: an environment is the largest part of one, and the kernel refuses to exec with more.
const LIMIT: usize = 8 << 20;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Report {
    /// The sandbox stands.
    Ready { at_us: u64, isolation: Vec<String> },
    /// The process has been exec'd.
    Started { at_us: u64 },
    /// The process has ended, and everything that it left behind has been killed.
    Exited { at_us: u64, exit: Exit, usage: Usage },
    /// From the helper, last: init is gone, and so is the sandbox.
    Gone {
        at_us: u64,
        exit: Exit,
        usage: Usage,
        /// What the control group says.
        #[serde(default)]
        past: Past,
    },
    /// It came to nothing.
    Failed(Failure),
}

/// Why a sandbox could not be made, or its process not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) stage: Stage,
    pub(super) why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    Specification,
    Identity,
    Namespaces,
    UserMap,
    Mounts,
    Overlay,
    Proc,
    Network,
    Privileges,
    /// A protection that must be there is not.
    Required,
    /// The program is not there or can not be executed: the caller's fault.
    Program,
}

impl Stage {
    /// Ties a cause to its stage: `.map_err(Stage::Mounts.because("…"))`.
    pub(super) fn because<E: std::fmt::Display>(self, what: impl std::fmt::Display) -> impl FnOnce(E) -> Failure {
        move |error| Failure { stage: self, why: format!("{what}: {error}") }
    }
}

/// Processor time and memory of everything that was waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Usage {
    pub(super) user_us: u64,
    pub(super) system_us: u64,
    pub(super) peak_bytes: u64,
    /// From and to storage.
    #[serde(default)]
    pub(super) read_bytes: u64,
    #[serde(default)]
    pub(super) written_bytes: u64,
}

/// A message with its length before it.
pub(super) fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(message).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).ok().filter(|length| *length as usize <= LIMIT).ok_or_else(too_long)?;
    Ok([&length.to_le_bytes()[..], &body].concat())
}

fn too_long() -> io::Error {
    io::Error::other(format!("the specification is longer than {} MiB: shorten its environment", LIMIT >> 20))
}

/// Waits for one message.
pub fn read_blocking<T: for<'a> Deserialize<'a>>(mut from: impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > LIMIT {
        return Err(too_long());
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    serde_json::from_slice(&body).map_err(io::Error::other)
}

/// Sends a report, with a descriptor beside its first bytes.
pub(super) fn send(to: impl AsFd, report: &Report, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let bytes = frame(report)?;
    let descriptors: Vec<_> = descriptor.into_iter().collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    let sent = sendmsg(&to, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    let mut rest = &bytes[sent..];
    while !rest.is_empty() {
        let sent = rustix::net::send(&to, rest, SendFlags::NOSIGNAL)?;
        rest = &rest[sent..];
    }
    Ok(())
}

/// Reports as they come in, in pieces of any size. No I/O but `fill`.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    pub(super) descriptor: Option<OwnedFd>,
}

impl Inbox {
    /// Reads what is there once; `Ok(false)` at the end of the stream, `WouldBlock` when there is nothing yet.
    pub(super) fn fill(&mut self, from: impl AsFd) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(from, &mut [IoSliceMut::new(&mut buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptor = descriptors.last().or(self.descriptor.take());
            }
        }
        self.bytes.extend_from_slice(&buffer[..received.bytes]);
        Ok(received.bytes > 0)
    }

    /// The next whole report, if there is one.
    pub(super) fn next(&mut self) -> io::Result<Option<Report>> {
        let Some(length) = self.bytes.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes) as usize) else { return Ok(None) };
        if length > LIMIT {
            return Err(too_long());
        }
        if self.bytes.len() < 4 + length {
            return Ok(None);
        }
        let report = serde_json::from_slice(&self.bytes[4..4 + length]).map_err(io::Error::other)?;
        self.bytes.drain(..4 + length);
        Ok(Some(report))
    }
}

/// Writes all of a message.
pub fn write_blocking(mut to: impl Write, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&frame(message)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn reports_arrive_whole_however_they_are_cut_and_bring_their_descriptor() {
        let (near, far) = UnixStream::pair().unwrap();
        let ready = Report::Ready { at_us: 7, isolation: vec!["x".repeat(9000)] };
        let sender = std::thread::spawn({
            let ready = ready.clone();
            move || {
                send(&far, &ready, Some(far.as_fd())).unwrap();
                send(&far, &Report::Started { at_us: 8 }, None).unwrap();
            }
        });
        let mut inbox = Inbox::default();
        let mut seen = Vec::new();
        while inbox.fill(&near).unwrap() {
            while let Some(report) = inbox.next().unwrap() {
                seen.push(report);
            }
            if seen.len() == 2 {
                break;
            }
        }
        sender.join().unwrap();
        assert_eq!(seen, [ready, Report::Started { at_us: 8 }]);
        assert!(inbox.descriptor.is_some());
    }

    #[test]
    fn a_length_past_the_limit_is_refused_before_anything_is_allocated() {
        assert!(read_blocking::<Report>(&[0xff_u8; 8][..]).is_err());
    }
}
