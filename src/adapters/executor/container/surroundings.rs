//! What a step finds around it in a container: the same as in the sandbox, at the same places.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::super::supervisor::around::{ANSWERS, INNER, Places, told};
use super::super::supervisor::beside;
use super::image::Image;
use crate::adapters::egress;
use crate::adapters::sandbox::{self, INNER_HOME, TOOL_PATH, program_file};
use crate::adapters::workspace::{Scratch, Store, WorkspaceError};
use crate::model::egress::Policy;
use crate::model::invocation::{Discarded, InvocationSpec};

/// A page of options is all that a mount takes.
const OPTIONS: usize = 4000;

/// What engines put into every environment, which no step has asked for.
const ENGINES_OWN: [&str; 3] = ["HOSTNAME", "TERM", "container"];

const GATE: &str = "gate";

pub(super) struct Surroundings {
    pub(super) places: Places,
    pub(super) script: PathBuf,
    /// A FIFO: as long as nobody has written to it, the step does not begin. `None`: it waits for nothing.
    pub(super) gate: Option<PathBuf>,
    /// The names of its services, where it has some.
    pub(super) hosts: Option<PathBuf>,
    /// The workspace as options of an overlay that the engine mounts; without them it is a folder that all layers were copied to.
    pub(super) overlay: Option<String>,
    scratch: Scratch,
}

impl Surroundings {
    pub(super) fn make(store: &Store, name: &str, spec: &InvocationSpec) -> Result<Self, WorkspaceError> {
        let scratch = store.scratch_named(name)?;
        let tree = scratch.folder(store, "tree")?;
        let answers = scratch.folder(store, "answers")?;
        let (upper, work) = (scratch.folder(store, "tree/upper")?, scratch.folder(store, "tree/work")?);
        let script = scratch.path().join("script");
        fs::write(&script, &spec.script).map_err(at(&script))?;
        for name in ANSWERS {
            store.make_file(&answers.join(name))?;
        }
        let gate = waits(spec).then(|| make_gate(&scratch.path().join(GATE))).transpose()?;
        let hosts = (!spec.services.is_empty()).then(|| scratch.path().join("hosts"));
        if let Some(hosts) = &hosts {
            fs::write(hosts, beside::hosts(&spec.services)).map_err(at(hosts))?;
        }
        // An overlay wants something below.
        let mut lower = spec.layers.clone();
        if lower.is_empty() {
            lower.push(scratch.folder(store, "tree/empty")?);
        }
        let places = Places { upper: tree.join("upper"), answers, collecting: scratch.path().join("collecting"), lower };
        let overlay = overlay(&places.lower, &upper, &work);
        Ok(Self { places, script, gate, hosts, overlay, scratch })
    }

    /// What another supervisor has made, for a container that has it already.
    pub(super) fn again(store: &Store, name: &str, spec: &InvocationSpec, overlaid: bool) -> Self {
        let scratch = store.scratch_again(name);
        let (tree, answers) = (scratch.path().join("tree"), scratch.path().join("answers"));
        let places = Places {
            upper: tree.join("upper"),
            answers,
            collecting: scratch.path().join("collecting"),
            lower: if overlaid { spec.layers.clone() } else { Vec::new() },
        };
        let (script, gate) = (scratch.path().join("script"), waits(spec).then(|| scratch.path().join(GATE)));
        Self { places, script, gate, hosts: None, overlay: overlaid.then(String::new), scratch }
    }

    /// For an engine that can not mount an overlay for us.
    pub(super) fn copy_instead(&mut self, owner: Option<u32>) -> Result<(), WorkspaceError> {
        let upper = &self.places.upper;
        for lower in self.places.lower.drain(..) {
            sandbox::copy_tree(&lower, upper).map_err(at(upper))?;
        }
        if let Some(owner) = owner {
            give(upper, owner).map_err(at(upper))?;
        }
        self.overlay = None;
        Ok(())
    }

    /// Removes what the step wrote and was not taken, and says how much that was. The rest goes with the scratch space.
    pub(super) fn discard(self, taken: Discarded) -> Result<(Discarded, Scratch), WorkspaceError> {
        let written = crate::adapters::workspace::remove(&self.places.upper).map_err(at(&self.places.upper))?;
        // What was copied there is not told from what the step wrote.
        let discarded = if self.overlay.is_some() {
            Discarded { files: written.files.saturating_sub(taken.files), bytes: written.bytes.saturating_sub(taken.bytes) }
        } else {
            Discarded::default()
        };
        Ok((discarded, self.scratch))
    }
}

/// Whether there is something that can only be made when its container runs: a way out, or who shares its network.
fn waits(spec: &InvocationSpec) -> bool {
    Policy::of(&spec.network).is_some() || !spec.services.is_empty()
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> WorkspaceError {
    move |error| WorkspaceError::File { path: path.to_owned(), why: error.to_string() }
}

/// Everybody may read it, and it is shown read-only.
fn make_gate(path: &Path) -> Result<PathBuf, WorkspaceError> {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).map_err(|error| at(path)(error.into()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(at(path))?;
    Ok(path.to_owned())
}

fn give(path: &Path, owner: u32) -> std::io::Result<()> {
    std::os::unix::fs::lchown(path, Some(owner), Some(owner))?;
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), owner)?;
        }
    }
    Ok(())
}

/// `None` where that can not be said in an overlay's options.
fn overlay(lower: &[PathBuf], upper: &Path, work: &Path) -> Option<String> {
    let plain = |path: &Path| path.to_str().filter(|text| !text.contains([':', ',', '\\', '"', '\n'])).map(str::to_owned);
    let mut topmost_first = lower.iter().rev().map(|path| plain(path)).collect::<Option<Vec<_>>>()?;
    topmost_first.dedup();
    let (upper, work) = (plain(upper)?, plain(work)?);
    // Its marks are of the kind that a user may set, as in the sandbox.
    let options = format!("nosuid,nodev,lowerdir={},upperdir={upper},workdir={work},userxattr", topmost_first.join(":"));
    (options.len() < OPTIONS).then_some(options)
}

/// All of the environment: what the image brings, what the step declares, and what it is told.
pub(super) fn environment(spec: &InvocationSpec, image: &Image) -> BTreeMap<String, String> {
    let path = image.env.get("PATH").map_or(TOOL_PATH, String::as_str);
    let mut env: BTreeMap<String, String> = [
        ("CI", "true".to_owned()),
        ("HOME", INNER_HOME.to_owned()),
        ("TMPDIR", "/tmp".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("PATH", if program_file().is_some() { format!("{INNER}/bin:{path}") } else { path.to_owned() }),
        ("TIDEGATE", "true".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    env.extend(image.env.iter().filter(|(name, _)| *name != "PATH").map(|(name, value)| (name.clone(), value.clone())));
    let near = || spec.services.iter().map(|service| service.name.as_str());
    env.extend(Policy::of(&spec.network).map(|_| egress::environment(near())).into_iter().flatten());
    env.extend(spec.env.clone());
    // What a step says about itself can not replace what is true.
    env.extend(told(spec, &Path::new(INNER).join("answers")));
    env
}

/// What the shell does before it becomes the step: it waits where there is something to wait for, makes one stream of all that is said, so that it stays in
/// order, and a home.
pub(super) fn beginning(env: &BTreeMap<String, String>, gated: bool) -> String {
    // By the shell alone: an image may have nothing else.
    let wait = if gated { format!("read -r tidegate_gate <{INNER}/gate || exit 1; unset tidegate_gate; ") } else { String::new() };
    let own: Vec<&str> = ENGINES_OWN.into_iter().filter(|name| !env.contains_key(*name)).collect();
    format!("{wait}exec 2>&1; unset {} ; mkdir -p \"$HOME\" 2>/dev/null; exec /bin/sh -eu {INNER}/script", own.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_overlays_options_can_not_say_is_not_said() {
        let made = |lower: &[&str]| overlay(&lower.iter().map(PathBuf::from).collect::<Vec<_>>(), Path::new("/u"), Path::new("/w"));
        assert_eq!(made(&["/a", "/b"]).as_deref(), Some("nosuid,nodev,lowerdir=/b:/a,upperdir=/u,workdir=/w,userxattr"));
        assert_eq!(made(&["/a,upperdir=/etc"]), None);
        assert_eq!(made(&["/a:/etc"]), None);
        assert_eq!(made(&["/a".repeat(3000).as_str()]), None);
    }
}
