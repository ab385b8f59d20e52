//! What an engine's errors mean to a person, and what to do about them.

use std::error::Error as _;

use bollard::errors::Error;

use crate::model::outcome::{Exit, Outcome};

/// All of an error's chain in one line.
pub(super) fn why(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => told(message),
        Error::DockerStreamError { error } => told(error),
        Error::SocketNotFoundError(path) => format!("there is no socket {path}: is the engine running?"),
        Error::RequestTimeoutError => "it did not answer in time: is it overloaded, or stopped?".to_owned(),
        other => {
            let mut text = other.to_string();
            let mut source = other.source();
            while let Some(inner) = source {
                text = inner.to_string();
                source = inner.source();
            }
            if text.contains("Permission denied") {
                return "permission denied on its socket: run tidegate as a user who may use it (a member of its group), or as root".to_owned();
            }
            if text.contains("Connection refused") {
                return "nobody answers at its socket: start it (`systemctl start docker`)".to_owned();
            }
            told(&text)
        }
    }
}

/// Whether nobody is there any more who could answer.
pub(super) fn is_gone(error: &Error) -> bool {
    // What can not be understood was said by somebody.
    !matches!(
        error,
        Error::DockerResponseServerError { .. }
            | Error::DockerStreamError { .. }
            | Error::DockerContainerWaitError { .. }
            | Error::JsonDataError { .. }
            | Error::JsonSerdeError { .. }
    )
}

pub(super) fn is_status(error: &Error, status: u16) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code, .. } if *status_code == status)
}

/// Whether this is what an engine's own first process says of a program that it can not start.
pub(super) fn said_by_init(text: &str) -> bool {
    let text = text.to_lowercase();
    text.starts_with("[fatal tini") || text.contains("failed to exec pid1") || text.starts_with("catatonit")
}

/// The first line, without what would move a terminal's cursor.
fn told(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(500).collect()
}

/// What to do about a disk that is full.
pub(super) const NO_ROOM: &str =
    "the container engine has no room left on its disk; remove what is not needed (`docker system prune`) or give it a larger one";

/// What of an engine's words about an image or a container means something to a person. There are no codes for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    NoRoom,
    NotLetIn,
    OtherMachine,
    NotThere,
}

impl Refusal {
    pub(super) fn of(why: &str) -> Option<Self> {
        let has = |words: &[&str]| words.iter().any(|words| why.contains(words));
        if has(&["no space left on device", "disk quota exceeded"]) {
            return Some(Self::NoRoom);
        }
        if has(&[
            "unauthorized",
            "denied:",
            "access denied",
            "resource is denied",
            "no basic auth",
            "authentication required",
            "invalid username/password",
        ]) {
            return Some(Self::NotLetIn);
        }
        if has(&["no matching manifest", "no image found in manifest list"]) {
            return Some(Self::OtherMachine);
        }
        has(&["manifest unknown", "not found"]).then_some(Self::NotThere)
    }
}

/// Why a container could not be made or started. Whose fault it is is in the words: engines have no codes for it.
pub(super) fn not_started(error: &Error, image: &str, doing: &str) -> Outcome {
    let why = why(error);
    let reason = match why.as_str() {
        _ if is_gone(error) => format!("the container engine went away while {doing}: {why}"),
        text if text.contains("exec format error") => {
            format!("the image {image} is for another kind of machine (exec format error): name one for this machine's architecture")
        }
        text if Refusal::of(text) == Some(Refusal::NoRoom) => format!("{NO_ROOM} ({text}, while {doing})"),
        text if no_shell(text) => {
            return Outcome::Failed {
                exit: Exit::None,
                reason: format!("the image {image} has no /bin/sh, which `run` is executed by: name an image with a shell"),
            };
        }
        text => format!("the container engine failed at {doing}: {text}"),
    };
    Outcome::Infrastructure { reason }
}

fn no_shell(text: &str) -> bool {
    text.contains("/bin/sh") && ["no such file", "not found", "No such file"].iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(message: &str) -> Outcome {
        let error = Error::DockerResponseServerError { status_code: 500, message: message.to_owned() };
        not_started(&error, "app:1", "starting the container")
    }

    #[test]
    fn whose_fault_it_is_follows_from_the_engines_words() {
        let reason = |outcome| match outcome {
            Outcome::Infrastructure { reason } => format!("infrastructure: {reason}"),
            Outcome::Failed { reason, .. } => format!("failed: {reason}"),
            other => format!("{other:?}"),
        };
        for (message, begins) in [
            ("failed: exec: \"/bin/sh\": stat /bin/sh: no such file or directory: unknown", "failed: the image app:1 has no /bin/sh"),
            ("exec /bin/sh: exec format error", "infrastructure: the image app:1 is for another kind of machine"),
            ("write /var/lib/x: no space left on device", "infrastructure: the container engine has no room left on its disk"),
            ("something\nelse \u{1b}[2J", "infrastructure: the container engine failed at starting the container: something"),
        ] {
            let said = reason(answered(message));
            assert!(said.starts_with(begins), "{said}");
        }
    }
}
