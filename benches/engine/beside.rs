//! What a step in an engine is compared with: the same one in Tidegate's sandbox, and Podman's own command.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate::adapters::executor::{Executor as _, SandboxExecutor, Watcher};
use tidegate::adapters::sandbox::{self, Isolation};
use tidegate::adapters::workspace::Store;
use tidegate::model::id::RunId;
use tidegate::model::outcome::Outcome;

use super::common::{Silent, busybox_image, made, step};
use super::{Way, block_on, engines, finish, way};

/// A step with nothing but the host's tools, and one on the layers of an image, each cold and warm.
pub fn in_the_sandbox(folder: &Path) -> Vec<Way> {
    let of = |name: &str, image: Option<&'static str>, warm: bool| {
        let state = made(folder, &name.replace([' ', ','], "-"));
        let store = Store::open(&state, sandbox::outer_uid()).expect("a store");
        if let Some(image) = image {
            busybox_image(&state, &store, image);
        }
        let commit = made(&state, "commit");
        let executor = SandboxExecutor::new(&state, store, Vec::new(), Isolation::Full);
        let counter = AtomicUsize::new(0);
        let run = move || {
            let run = RunId::new(format!("r{}", counter.fetch_add(1, Ordering::Relaxed)));
            let mut spec = step(&run, "true", vec![commit.clone()]);
            spec.image = image.map(str::to_owned);
            let (node, log) = (spec.node.clone(), state.join(run.as_str()));
            let (_keep, cancel) = tokio::sync::watch::channel(false);
            let result = block_on(executor.invoke(spec, &log, Watcher { log: Box::new(Silent), cancel }));
            assert_eq!(result.outcome, Outcome::Succeeded);
            executor.forget(&run, &node, 1);
        };
        Way { warm, ..way(name.to_owned(), run) }
    };
    vec![
        of("Tidegate's sandbox, image, cold", Some("bench:1"), false),
        of("Tidegate's sandbox, image, warm", Some("bench:1"), true),
        of("Tidegate's sandbox, host's tools, cold", None, false),
        of("Tidegate's sandbox, host's tools, warm", None, true),
    ]
}

/// Podman without a service, in folders of its own, with the runtime that works here.
pub fn podman_run(folder: &Path) -> Result<Way, String> {
    let docker = engines::all().into_iter().next().ok_or("there is no engine to take the image from")?;
    let image = folder.join("image.tar");
    engines::lines(&docker, &["save", "--output", &image.to_string_lossy(), engines::IMAGE]);
    let (root, run) = (folder.join("podman"), folder.join("podman-run"));
    let podman = move |runtime: &str| {
        let mut command = Command::new("podman");
        command.arg("--runtime").arg(runtime).arg("--root").arg(&root).arg("--runroot").arg(&run).stdin(Stdio::null());
        command
    };
    let loaded = podman("crun").args(["load", "--input"]).arg(&image).output().map_err(|_| "install the package `podman`".to_owned())?;
    if !loaded.status.success() {
        return Err(String::from_utf8_lossy(&loaded.stderr).trim().to_owned());
    }
    let arguments =
        ["run", "--rm", "--init", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096", engines::IMAGE, "true"];
    let mut why = String::new();
    for runtime in ["crun", "runc"] {
        let tried = podman(runtime).args(arguments).output().map_err(|error| error.to_string())?;
        if tried.status.success() {
            return Ok(way(format!("`podman run --rm`, {runtime}"), move || {
                let mut command = podman(runtime);
                command.args(arguments);
                finish(command);
            }));
        }
        why = String::from_utf8_lossy(&tried.stderr).trim().to_owned();
    }
    Err(why)
}
