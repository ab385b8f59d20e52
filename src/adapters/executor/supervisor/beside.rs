//! What services are to a step wherever both live: the same addresses, the same patience, the same words about one that did not do its part.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::model::outcome::Exit;
use crate::model::service::{Ready, Service};

/// Who is not ready by then will hardly ever be.
pub(in super::super) const LONGEST: Duration = Duration::from_secs(60);

/// Each has one of its own, so that two of them can listen on the same port when they listen there.
pub(in super::super) fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, u8::try_from(number + 1).unwrap_or(u8::MAX))
}

/// The names of all of them, as everybody's `/etc/hosts` has them.
pub(in super::super) fn hosts(services: &[Service]) -> String {
    let names = services.iter().enumerate().map(|(number, service)| format!("{} {}\n", address(number), service.name));
    std::iter::once("127.0.0.1 localhost tidegate\n::1 localhost\n".to_owned()).chain(names).collect()
}

/// The end of one that nobody had wanted to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Early {
    Ended(Exit),
    /// Its program never ran: why.
    NotBegun(String),
}

impl Early {
    /// `before`: what should have come first. `log`: the end of what it said.
    pub(in super::super) fn told(&self, name: &str, before: &str, log: &[u8]) -> String {
        let how = match self {
            Self::NotBegun(why) => return format!("the service {name} could not begin: {why}"),
            Self::Ended(Exit::Code(code)) => format!("it exited with {code}"),
            Self::Ended(Exit::Signal(signal)) => format!("it was killed by signal {signal}"),
            Self::Ended(Exit::None) => "it was killed".to_owned(),
        };
        format!("the service {name} had ended before {before}: {how}{}", last_words(log))
    }

    /// For the record.
    pub(in super::super) fn exit(&self) -> Exit {
        match self {
            Self::Ended(exit) => *exit,
            Self::NotBegun(_) => Exit::None,
        }
    }
}

/// Why the step does not begin. `image`: its reference in full. `stands`: its program has begun.
pub(in super::super) fn not_ready(service: &Service, number: usize, image: &str, stands: bool, after: Duration, log: &[u8]) -> String {
    let (name, address) = (&service.name, address(number));
    let what = match &service.ready {
        Some(Ready::Port(port)) if stands => {
            format!("nobody answers on port {port} of {address} (let it listen on 0.0.0.0 or on {name}, not on localhost only)")
        }
        Some(Ready::Command(command)) if stands => format!("`{}` has not succeeded", command.lines().next().unwrap_or_default()),
        _ => "it has not begun".to_owned(),
    };
    format!("the service {name} ({image}) was not ready after {} s: {what}{}", after.as_secs(), last_words(log))
}

/// The end of its log, in a line.
fn last_words(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log).into_owned();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last: Vec<String> = lines[lines.len().saturating_sub(3)..].iter().map(|line| line.chars().take(300).collect()).collect();
    if last.is_empty() { ", and said nothing".to_owned() } else { format!("; its log ends with: {}", last.join(" | ")) }
}

/// What is said of an image that does nothing by itself.
pub(in super::super) fn nothing_to_run(image: &str) -> String {
    format!("{image} has neither an entry point nor a command, so there is nothing to run")
}
