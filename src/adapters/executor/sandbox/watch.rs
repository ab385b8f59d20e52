//! While a step runs: its output goes to the log as it comes, and the first of three things ends it: itself, its deadline, a wish from outside.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::super::supervisor::disk;
use super::super::supervisor::ending::{Patience, Stopped};
use super::super::supervisor::followers::Followers;
use super::super::supervisor::log::Log;
use super::services::Services;
use crate::adapters::sandbox::{Cell, Ended, SandboxError, Standing};

/// How it went.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) stopped: Stopped,
    /// What the sandbox was like; `None` when it was stopped before its process began.
    pub(super) standing: Option<Standing>,
    pub(super) ended: Ended,
}

/// Returns when nothing of the sandbox is left and all that it said is in the log. At its deadline, or when somebody wants it to stop, everything in it gets
/// TERM, and is killed when the grace is over; what it says until then is kept. `begun` is called when its process has begun; when that fails, everything of
/// it is killed.
pub(super) fn until_the_end(
    cell: &mut Cell,
    log: &mut Log,
    followers: &mut Followers,
    patience: Patience,
    disk: &mut disk::Watch,
    services: &mut Services,
    mut begun: impl FnMut(&mut Standing) -> io::Result<()>,
) -> Result<Course, SandboxError> {
    let mut stopped = Stopped::ByItself;
    let mut standing: Option<Standing> = None;
    let mut moment = patience.deadline;
    let mut silent = false;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let look = disk.next;
        let ready = wait(cell, followers, services, silent, moment.map_or(look, |moment| moment.min(look)))?;
        if services.attend(log) {
            followers.tell();
        }
        if ready.reports
            && let Some(mut found) = cell.listen()?
        {
            begun(&mut found)?;
            standing = Some(found);
        }
        if ready.output {
            match rustix::io::read(&cell.output, &mut buffer) {
                // The last process that could say anything is gone, or has closed its output and goes on.
                Ok(0) => silent = true,
                Ok(length) => {
                    log.write(&buffer[..length]);
                    followers.tell();
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(_) => silent = true,
            }
        }
        if silent && let Some(ended) = cell.ended() {
            return Ok(Course { stopped, standing, ended });
        }
        let late = moment.is_some_and(|moment| moment <= Instant::now());
        let unwanted = ready.followers && followers.hear();
        match stopped {
            Stopped::ByItself if late || unwanted => {
                stopped = if unwanted { Stopped::Cancelled } else { Stopped::TimedOut };
                // Before its process has begun there is nobody to be asked.
                moment = if standing.is_some() { Instant::now().checked_add(patience.grace) } else { Some(Instant::now()) };
                cell.terminate();
            }
            Stopped::TimedOut | Stopped::Cancelled if late => {
                cell.kill();
                moment = None;
            }
            // At once: every moment more is more of it.
            Stopped::ByItself => {
                if let Some(excess) = disk.look() {
                    stopped = Stopped::TooMuch(excess);
                    cell.kill();
                    moment = None;
                }
            }
            _ => {}
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Ready {
    reports: bool,
    output: bool,
    followers: bool,
}

fn wait(cell: &Cell, followers: &Followers, services: &Services, silent: bool, moment: Instant) -> io::Result<Ready> {
    let left = Timespec::try_from(moment.saturating_duration_since(Instant::now())).ok();
    // One that has said its last word is readable for ever.
    let mut watched: Vec<BorrowedFd<'_>> = Vec::with_capacity(4);
    if cell.ended().is_none() {
        watched.push(cell.reports());
    }
    let reports = watched.len();
    if !silent {
        watched.push(cell.output.as_fd());
    }
    let output = watched.len();
    watched.extend(followers.descriptors());
    let of_followers = watched.len();
    watched.extend(services.descriptors());
    let mut polled: Vec<PollFd<'_>> = watched.iter().map(|descriptor| PollFd::from_borrowed_fd(*descriptor, PollFlags::IN)).collect();
    match poll(&mut polled, left.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let any = |range: std::ops::Range<usize>| polled[range].iter().any(|one| !one.revents().is_empty());
    Ok(Ready { reports: any(0..reports), output: any(reports..output), followers: any(output..of_followers) })
}
