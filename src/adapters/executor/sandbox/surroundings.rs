//! What a step finds around it: a scratch folder with its script, its answer files and its writable layer, and the sandbox that shows them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::supervisor::around::{ANSWERS, INNER, Places, TMP, WORKSPACE, limits_of, told};
use crate::adapters::egress;
use crate::adapters::image::Image;
use crate::adapters::sandbox::{self, Bind, INNER_HOME, ImageRoot, Isolation, NetworkOf, Overlay, SandboxSpec, TOOL_PATH, program_file};
use crate::adapters::workspace::{Removed, Scratch, Store, WorkspaceError, count};
use crate::model::egress::Policy;
use crate::model::invocation::{Discarded, InvocationSpec};
use crate::model::limits::Network;

pub(super) struct Surroundings {
    pub(super) sandbox: SandboxSpec,
    pub(super) places: Places,
    scratch: Scratch,
}

impl Surroundings {
    pub(super) fn make(
        store: &Store,
        name: &str,
        spec: &InvocationSpec,
        image: Option<&Image>,
        host_tools: &[PathBuf],
        isolation: Isolation,
        required: &[String],
    ) -> Result<Self, WorkspaceError> {
        let scratch = store.scratch_named(name)?;
        let tree = scratch.folder(store, "tree")?;
        let answers = scratch.folder(store, "answers")?;
        let _ = (scratch.folder(store, "tree/upper")?, scratch.folder(store, "tree/work")?);
        let root = image.map(|image| root(store, &scratch, image, "root")).transpose()?;
        // An image has its own, for another system perhaps.
        let host_tools = if image.is_some() { &[] } else { host_tools };
        let script = scratch.path().join("script");
        fs::write(&script, &spec.script).map_err(|error| WorkspaceError::File { path: script.clone(), why: error.to_string() })?;
        for name in ANSWERS {
            store.make_file(&answers.join(name))?;
        }
        if isolation == Isolation::None {
            let _ = (scratch.folder(store, "home")?, scratch.folder(store, "tmp")?);
        }
        let places = Places {
            upper: tree.join("upper"),
            answers: answers.clone(),
            lower: match isolation {
                Isolation::Full => spec.layers.clone(),
                Isolation::None => Vec::new(), // Copied into the upper one.
            },
            collecting: scratch.path().join("collecting"),
        };
        let overlay = Overlay { lower: spec.layers.clone(), upper: tree.join("upper"), work: tree.join("work"), target: WORKSPACE.into() };
        let seen = match isolation {
            Isolation::Full => Seen::isolated(),
            Isolation::None => Seen::bare(scratch.path()),
        };
        // Without a network of its own it has the machine's, whatever it asked for; the record says so.
        let filtered = Policy::of(&spec.network).is_some();
        let own = program_file();
        let limits = limits_of(&spec.resources);
        let mut read_only = vec![Bind { source: script, target: seen.script.clone() }];
        read_only.extend(host_tools.iter().map(|folder| Bind { source: folder.clone(), target: folder.clone() }));
        read_only.extend(own.map(|program| Bind { source: program, target: Path::new(INNER).join("bin/tidegate") }));
        let sandbox = SandboxSpec {
            isolation,
            argv: vec!["/bin/sh".to_owned(), "-eu".to_owned(), seen.script.display().to_string()],
            env: environment(spec, image, host_tools, &seen, filtered && isolation == Isolation::Full),
            root,
            cwd: WORKSPACE.into(),
            hostname: "tidegate".to_owned(),
            overlay: Some(overlay),
            read_only,
            writable: vec![Bind { source: answers, target: Path::new(INNER).join("answers") }],
            tmp_size: TMP,
            network: if spec.network == Network::Open { NetworkOf::Host } else { NetworkOf::Own },
            listen: (filtered && isolation == Isolation::Full).then_some(egress::PORT),
            required: sandbox::required_for(required, &limits),
            limits,
            lifted: Vec::new(),
        };
        Ok(Self { sandbox, places, scratch })
    }

    /// Another file for the step to see, and to run instead of its script.
    pub(super) fn run_instead(&mut self, text: &str, arguments: &[&str]) -> Result<(), WorkspaceError> {
        let (source, target) = (self.scratch.path().join("instead"), Path::new(INNER).join("shell"));
        fs::write(&source, text).map_err(|error| WorkspaceError::File { path: source.clone(), why: error.to_string() })?;
        self.sandbox.argv = ["/bin/sh", &target.display().to_string()].into_iter().chain(arguments.iter().copied()).map(str::to_owned).collect();
        self.sandbox.read_only.push(Bind { source, target });
        Ok(())
    }

    pub(super) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// It is on one network with its services, whose names are in this file.
    pub(super) fn share(&mut self, hosts: PathBuf) {
        self.sandbox.network = NetworkOf::Shared;
        self.sandbox.read_only.push(Bind { source: hosts, target: "/etc/hosts".into() });
    }

    /// A place for what is made of it.
    pub(super) fn aside(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Where what it writes ends up on disk.
    pub(super) fn written(&self) -> Vec<PathBuf> {
        std::iter::once(&self.places.upper).chain(self.sandbox.root.as_ref().map(|root| &root.upper)).cloned().collect()
    }

    /// All that counts as written: its answers too, which it may make files beside.
    pub(super) fn watched(&self) -> Vec<PathBuf> {
        self.written().into_iter().chain([self.places.answers.clone()]).collect()
    }

    /// Says how much of what the step wrote was not taken, and lets go of the scratch space: with that it is all removed, once nobody waits for it.
    pub(super) fn discard(self, taken: Discarded) -> Result<(Discarded, Scratch), WorkspaceError> {
        let mut written = Removed::default();
        for folder in self.written() {
            let counted = count(&folder).map_err(|error| WorkspaceError::File { path: folder.clone(), why: error.to_string() })?;
            written.files += counted.files;
            written.bytes += counted.bytes;
        }
        // Without isolation the layers were copied there too: what the step itself wrote is not known.
        let known = self.sandbox.isolation == Isolation::Full;
        let discarded = if known {
            Discarded { files: written.files.saturating_sub(taken.files), bytes: written.bytes.saturating_sub(taken.bytes) }
        } else {
            Discarded::default()
        };
        Ok((discarded, self.scratch))
    }
}

/// An image's layers, and an empty one for what is written outside of the workspace.
pub(super) fn root(store: &Store, scratch: &Scratch, image: &Image, name: &str) -> Result<ImageRoot, WorkspaceError> {
    let _ = scratch.folder(store, name)?;
    let (upper, work) = (scratch.folder(store, &format!("{name}/upper"))?, scratch.folder(store, &format!("{name}/work"))?);
    let home = image.user.home.as_ref().map(PathBuf::from);
    Ok(ImageRoot { folder: image.folder.clone(), lower: image.layers.clone(), upper, work, uid: image.user.uid, gid: image.user.gid, home })
}

/// Where the step sees things.
struct Seen {
    script: PathBuf,
    answers: PathBuf,
    home: PathBuf,
    tmp: PathBuf,
    programs: Vec<PathBuf>,
}

impl Seen {
    fn isolated() -> Self {
        let inner = Path::new(INNER);
        Self {
            script: inner.join("script"),
            answers: inner.join("answers"),
            home: INNER_HOME.into(),
            tmp: "/tmp".into(),
            programs: vec![inner.join("bin")],
        }
    }

    fn bare(scratch: &Path) -> Self {
        let programs = program_file().and_then(|program| program.parent().map(Path::to_path_buf));
        Self {
            script: scratch.join("script"),
            answers: scratch.join("answers"),
            home: scratch.join("home"),
            tmp: scratch.join("tmp"),
            programs: programs.into_iter().collect(),
        }
    }
}

/// All of it: what the step declares, and what it is told. Nothing of tidegate's own environment.
fn environment(spec: &InvocationSpec, image: Option<&Image>, host_tools: &[PathBuf], seen: &Seen, proxied: bool) -> BTreeMap<String, String> {
    let tools = host_tools.iter().map(|folder| Some(folder.join("bin")).filter(|bin| bin.is_dir()).unwrap_or_else(|| folder.clone()));
    let mut path: Vec<String> = tools.chain(seen.programs.iter().cloned()).map(|folder| folder.display().to_string()).collect();
    path.push(image.and_then(|image| image.env.get("PATH").cloned()).unwrap_or_else(|| TOOL_PATH.to_owned()));
    let mut env: BTreeMap<String, String> = [
        ("CI", "true".to_owned()),
        ("HOME", seen.home.display().to_string()),
        ("TMPDIR", seen.tmp.display().to_string()),
        ("LANG", "C.UTF-8".to_owned()),
        ("PATH", path.join(":")),
        ("TIDEGATE", "true".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if let Some(image) = image {
        env.extend(image.user.home.clone().map(|home| ("HOME".to_owned(), home)));
        env.extend(image.env.iter().filter(|(name, _)| *name != "PATH").map(|(name, value)| (name.clone(), value.clone())));
    }
    env.extend(proxied.then(|| egress::environment(spec.services.iter().map(|service| service.name.as_str()))).into_iter().flatten());
    env.extend(spec.env.clone());
    // What a step says about itself can not replace what is true.
    env.extend(told(spec, &seen.answers));
    env
}
