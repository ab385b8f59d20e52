//! One service, from its beginning to its end.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::super::super::supervisor::beside::{Early, address, not_ready, nothing_to_run};
use super::super::super::supervisor::log::Log;
use super::super::super::supervisor::request::Request;
use super::room::Room;
use crate::adapters::image::Image;
use crate::adapters::sandbox::{self, Cell, PrivateNetwork};
use crate::adapters::state::service_log;
use crate::model::invocation::ImageRecord;
use crate::model::service::{Ready, Service, ServiceRecord};

/// What it says at once, before somebody else has his turn.
const PIECES: usize = 4;

pub(super) struct One {
    service: Service,
    number: usize,
    image: ImageRecord,
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
            return Err(io::Error::other(nothing_to_run(&image.reference)));
        }
        let number = request.spec.services.iter().position(|one| one.name == service.name).unwrap_or_default();
        let log = Log::make(&service_log(&request.log, &service.name), request.spec.limits.log, 0)?;
        Ok(Self {
            service: service.clone(),
            number,
            image: ImageRecord { reference: image.reference.clone(), digest: image.digest.clone() },
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
        self.early.as_ref().map(|early| early.told(&self.service.name, before, self.log.tail()))
    }

    pub(super) fn not_ready(&self, after: Duration) -> String {
        not_ready(&self.service, self.number, &self.image.reference, self.stands, after, self.log.tail())
    }

    pub(super) fn ready(&self) -> Option<&Ready> {
        self.service.ready.as_ref()
    }

    pub(super) fn address(&self) -> Ipv4Addr {
        address(self.number)
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
        let ended = self.early.map(|early| early.exit());
        ServiceRecord {
            name: self.service.name,
            image: self.image,
            ready_us: self.ready_us,
            ended,
            log_bytes: kept.bytes,
            log_dropped_bytes: kept.dropped,
        }
    }
}
