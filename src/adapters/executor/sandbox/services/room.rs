//! What a service finds around it: its image with a writable layer that is thrown away, a few files, and nothing of the step's.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::super::supervisor::around::{INNER, TMP, limits_of};
use super::super::super::supervisor::beside;
use super::super::super::supervisor::request::Request;
use super::super::Setup;
use super::super::surroundings::{Surroundings, root};
use crate::adapters::image::Image;
use crate::adapters::sandbox::{self, Bind, INNER_HOME, Isolation, NetworkOf, SandboxSpec, TOOL_PATH};
use crate::adapters::workspace::{Scratch, Store, WorkspaceError};
use crate::model::service::{Ready, Service};

pub(super) struct Room {
    pub(super) sandbox: SandboxSpec,
    pub(super) written: PathBuf,
    /// What a command that says whether it is ready leaves.
    pub(super) sign: Option<PathBuf>,
}

/// Tries the command until it succeeds once, beside the image's own program and not as its child.
const BEGIN: &str = include_str!("begin.sh");

pub(super) fn make(
    store: &Store,
    surroundings: &Surroundings,
    request: &Request,
    setup: &Setup,
    number: usize,
    image: &Image,
    hosts: PathBuf,
) -> Result<Room, WorkspaceError> {
    let Some(service) = request.spec.services.get(number) else {
        return Err(WorkspaceError::File { path: hosts, why: "there is no such service".to_owned() });
    };
    let folder = format!("service-{number}");
    let scratch = surroundings.scratch();
    let own = scratch.folder(store, &folder)?;
    let root = root(store, scratch, image, &format!("{folder}-root"))?;
    let mut argv = image.program.clone();
    let (mut read_only, mut writable) = (vec![Bind { source: hosts, target: "/etc/hosts".into() }], Vec::new());
    let mut sign = None;
    if let Some(Ready::Command(command)) = &service.ready {
        let answers = scratch.folder(store, &format!("{folder}/answers"))?;
        for (name, text) in [("begin", BEGIN), ("ready", command)] {
            let (source, target) = (own.join(name), Path::new(INNER).join(name));
            write(&source, text)?;
            read_only.push(Bind { source, target });
        }
        sign = Some(answers.join("ready"));
        writable.push(Bind { source: answers, target: Path::new(INNER).join("answers") });
        argv.splice(0..0, ["/bin/sh".to_owned(), Path::new(INNER).join("begin").display().to_string()]);
    }
    let limits = limits_of(&request.spec.resources);
    let written = root.upper.clone();
    let sandbox = SandboxSpec {
        isolation: Isolation::Full,
        argv,
        env: environment(service, image),
        root: Some(root),
        cwd: image.working_dir.clone().unwrap_or_else(|| "/".into()),
        hostname: service.name.clone(),
        overlay: None,
        read_only,
        writable,
        tmp_size: TMP,
        network: NetworkOf::Shared,
        listen: None,
        required: sandbox::required_for(&setup.required, &limits),
        limits,
        lifted: Vec::new(),
    };
    Ok(Room { sandbox, written, sign })
}

/// As an image's process finds it anywhere: nothing of the step's, and nothing of Tidegate's own.
fn environment(service: &Service, image: &Image) -> BTreeMap<String, String> {
    let home = image.user.home.clone().unwrap_or_else(|| INNER_HOME.to_owned());
    let mut env = BTreeMap::from([("PATH".to_owned(), TOOL_PATH.to_owned()), ("HOME".to_owned(), home)]);
    env.extend(image.env.clone());
    env.extend(service.env.clone());
    env
}

/// The names of all of them, for all of them and for the step.
pub(super) fn hosts(scratch: &Scratch, services: &[Service]) -> Result<PathBuf, WorkspaceError> {
    let file = scratch.path().join("hosts");
    write(&file, &beside::hosts(services))?;
    Ok(file)
}

fn write(path: &Path, text: &str) -> Result<(), WorkspaceError> {
    fs::write(path, text).map_err(|error: io::Error| WorkspaceError::File { path: path.to_owned(), why: error.to_string() })
}
