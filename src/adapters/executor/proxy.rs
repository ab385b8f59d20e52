//! The proxy of one invocation, in a process of its own beside the sandbox (or the container): begun when there is a socket that listens inside, ended when
//! nothing of the step is left.
//!
//! In a sandbox that socket comes with its `Standing`; for a network that somebody else has made (`none` of an engine's) there is `sandbox::listen_inside`. The
//! step is told by `egress::environment`.

use std::io::{self, Read as _};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::adapters::egress;
use crate::adapters::sandbox::{self, Beside};
use crate::model::egress::{Egress, Policy};

/// It has nothing to do then but to write down what it knows.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of what it writes: several times what a full record has.
const MOST: usize = 8 << 20;

#[derive(Debug)]
pub(super) struct Proxy {
    control: UnixStream,
    learning: bool,
    _process: Beside,
}

impl Proxy {
    /// Serves `listener`, which listens in the network of the step. `held` stays open as long as the process lives. Only for a process with one thread.
    pub(super) fn begin(listener: OwnedFd, policy: Policy, held: BorrowedFd<'_>) -> io::Result<Self> {
        let (control, far) = UnixStream::pair()?;
        let learning = policy == Policy::Learn;
        let process = sandbox::beside(&[listener.as_fd(), far.as_fd(), held], || live(&listener, policy, &far))?;
        Ok(Self { control, learning, _process: process })
    }

    /// The same before there is a network to listen in: it waits for what `serve` gives it.
    pub(super) fn ready(policy: Policy, held: BorrowedFd<'_>) -> io::Result<Self> {
        let (control, far) = UnixStream::pair()?;
        let learning = policy == Policy::Learn;
        let wait = || sandbox::take_over(&far).map_or(ExitCode::FAILURE, |listener| live(&listener, policy, &far));
        let process = sandbox::beside(&[far.as_fd(), held], wait)?;
        Ok(Self { control, learning, _process: process })
    }

    pub(super) fn serve(&self, listener: BorrowedFd<'_>) -> io::Result<()> {
        sandbox::hand_over(&self.control, listener)
    }

    /// Nothing of the step is left: what it tried to reach.
    pub(super) fn end(self) -> Egress {
        let lost = Egress { learning: self.learning, lost: true, ..Egress::default() };
        let mut egress = self.last_words().and_then(|words| sandbox::read_message(words.as_slice())).unwrap_or(lost);
        egress.attempts.truncate(Egress::LIMIT);
        egress
    }

    /// Whatever a step has made of it: not for longer, and not more.
    fn last_words(&self) -> io::Result<Vec<u8>> {
        self.control.shutdown(Shutdown::Write)?;
        let deadline = Instant::now() + PATIENCE;
        let (mut words, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        while words.len() < MOST {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.control.set_read_timeout(Some(left))?;
            match (&self.control).read(&mut buffer) {
                Ok(0) => return Ok(words),
                Ok(length) => words.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(io::Error::other("it does not come to an end"))
    }
}

fn live(listener: &OwnedFd, policy: Policy, control: &UnixStream) -> ExitCode {
    let serve = || {
        let egress = egress::serve(listener.try_clone()?, policy, control.try_clone()?)?;
        control.set_nonblocking(false)?;
        sandbox::write_message(control, &egress)
    };
    let told: io::Result<()> = serve();
    if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
