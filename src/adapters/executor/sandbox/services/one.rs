//! One service, from its beginning to its end.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;
use std::time::Instant;

use super::super::super::supervisor::log::Log;
use super::super::super::supervisor::request::Request;
use super::address;
use super::room::Room;
use crate::adapters::image::Image;
use crate::adapters::sandbox::{self, Cell, PrivateNetwork};
use crate::adapters::state::service_log;
use crate::model::invocation::ImageRecord;
use crate::model::outcome::Exit;
use crate::model::service::{Ready, Service, ServiceRecord};

/// What it says at once, before somebody else has his turn.
const PIECES: usize = 4;

pub(super) struct One {
    pub(super) name: String,
    pub(super) image: ImageRecord,
    pub(super) address: Ipv4Addr,
    pub(super) ready: Option<Ready>,
    pub(super) sign: Option<PathBuf>,
    pub(super) ready_us: Option<u64>,
    pub(super) written: PathBuf,
    /// Its program has begun.
    pub(super) stands: bool,
    pub(super) since: Instant,
    cell: Cell,
    log: Log,
    silent: bool,
    /// How it ended, or why it never began.
    early: Option<Early>,
    told: bool,
    killed: bool,
    buffer: Vec<u8>,
}

/// Before the step did.
#[derive(Debug, Clone)]
enum Early {
    Ended(Exit),
    NotBegun(String),
}

impl One {
    pub(super) fn begin(
        service: &Service,
        room: Room,
        image: &Image,
        network: &PrivateNetwork,
        request: &Request,
        lock: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        if image.program.is_empty() {
            return Err(io::Error::other(format!("{} has neither an entry point nor a command, so there is nothing to run", image.reference)));
        }
        let number = request.spec.services.iter().position(|one| one.name == service.name).unwrap_or_default();
        let log = Log::make(&service_log(&request.log, &service.name), request.spec.limits.log, 0)?;
        Ok(Self {
            name: service.name.clone(),
            image: ImageRecord { reference: image.reference.clone(), digest: image.digest.clone() },
            address: address(number),
            ready: service.ready.clone(),
            sign: room.sign,
            ready_us: None,
            written: room.written,
            stands: false,
            since: Instant::now(),
            cell: sandbox::begin_beside(&room.sandbox, network, lock)?,
            log,
            silent: false,
            early: None,
            told: false,
            killed: false,
            buffer: vec![0; 1 << 16],
        })
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let reports = self.cell.ended().is_none().then(|| self.cell.reports());
        reports.into_iter().chain((!self.silent).then(|| self.cell.output.as_fd()))
    }

    /// Takes in what it has said, and what has become of it.
    pub(super) fn attend(&mut self) {
        for _ in 0..PIECES {
            if self.silent {
                break;
            }
            match rustix::io::read(&self.cell.output, &mut self.buffer) {
                Ok(0) => self.silent = true,
                Ok(length) => self.log.write(&self.buffer[..length]),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => break,
                Err(_) => self.silent = true,
            }
        }
        if self.cell.ended().is_none() {
            match self.cell.listen() {
                Ok(Some(_)) => self.stands = true,
                Ok(None) => {}
                Err(error) if !self.killed => {
                    self.early.get_or_insert(Early::NotBegun(error.to_string()));
                }
                Err(_) => {}
            }
        }
        if let Some(ended) = self.cell.ended()
            && !self.killed
        {
            self.early.get_or_insert(Early::Ended(ended.exit));
        }
    }

    /// What is to be said of its end, once, when it has said all that it had to say.
    pub(super) fn news(&mut self) -> Option<String> {
        if self.told || !self.is_gone() {
            return None;
        }
        let end = self.early_end(if self.ready_us.is_some() { "the step did" } else { "it was ready" })?;
        self.told = true;
        Some(end)
    }

    /// Set when it has ended though nobody wanted it to.
    pub(super) fn early_end(&self, before: &str) -> Option<String> {
        let name = &self.name;
        let how = match self.early.as_ref()? {
            Early::NotBegun(why) => return Some(format!("the service {name} could not begin: {why}")),
            Early::Ended(Exit::Code(code)) => format!("it exited with {code}"),
            Early::Ended(Exit::Signal(signal)) => format!("it was killed by signal {signal}"),
            Early::Ended(Exit::None) => "it was killed".to_owned(),
        };
        Some(format!("the service {name} had ended before {before}: {how}{}", self.last_words()))
    }

    /// The end of its log, in a line.
    pub(super) fn last_words(&self) -> String {
        let text = String::from_utf8_lossy(self.log.tail()).into_owned();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last: Vec<String> = lines[lines.len().saturating_sub(3)..].iter().map(|line| line.chars().take(300).collect()).collect();
        if last.is_empty() { ", and said nothing".to_owned() } else { format!("; its log ends with: {}", last.join(" | ")) }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.silent && self.cell.ended().is_some()
    }

    pub(super) fn kill(&mut self) {
        // Whatever it has said of its end until now was its own.
        self.attend();
        self.killed = true;
        self.cell.kill();
    }

    pub(super) fn record(self) -> ServiceRecord {
        let kept = self.log.finish();
        let ended = match self.early {
            Some(Early::Ended(exit)) => Some(exit),
            Some(Early::NotBegun(_)) => Some(Exit::None),
            None => None,
        };
        ServiceRecord { name: self.name, image: self.image, ready_us: self.ready_us, ended, log_bytes: kept.bytes, log_dropped_bytes: kept.dropped }
    }
}
