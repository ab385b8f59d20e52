//! From init (or the helper, where nothing is isolated) to the program: the last settings, which the program inherits, and its start.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, setrlimit, umask};

use super::spec::{Protection, SandboxSpec};
use super::sys;
use super::wire::{Failure, Stage};

/// Starts the program. Returns its process id when its first instruction is next, or why it never will be.
pub(super) fn start(spec: &SandboxSpec, cwd: &Path) -> Result<i32, Failure> {
    let name = spec.argv.first().map_or("nothing", String::as_str);
    let pid = try_start(spec, cwd).map_err(Stage::Program.because(format_args!("{name} can not be started")))?;
    i32::try_from(pid).map_err(Stage::Program.because("its process id"))
}

fn try_start(spec: &SandboxSpec, cwd: &Path) -> io::Result<u32> {
    umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    #[expect(clippy::disallowed_methods, reason = "this process has one thread and becomes the step's: its folder is the point")]
    std::env::set_current_dir(cwd).map_err(|error| io::Error::other(format!("its folder {} can not be entered: {error}", cwd.display())))?;
    if spec.keeps(Protection::Descriptors) {
        sys::close_all_at_exec()?;
    }
    let (arg0, rest) = spec.argv.split_first().ok_or_else(|| io::Error::other("no program was named"))?;
    // With nothing to be done between fork and exec this is a `posix_spawn`: no memory is copied, and it returns when exec has happened or failed.
    let mut command = Command::new(find(spec)?);
    let child = command.arg0(arg0).args(rest).env_clear().envs(&spec.env).stdin(stdin()?).spawn()?;
    Ok(child.id())
}

/// Nothing, unless what it says goes to a terminal: then somebody is there who answers.
fn stdin() -> io::Result<Stdio> {
    let out = io::stdout();
    Ok(if rustix::termios::isatty(&out) { out.as_fd().try_clone_to_owned()?.into() } else { Stdio::null() })
}

fn find(spec: &SandboxSpec) -> io::Result<PathBuf> {
    let name = spec.argv.first().map(String::as_str).unwrap_or_default();
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let path = spec.env.get("PATH").map_or(super::host::TOOL_PATH, String::as_str);
    let is_program = |file: &PathBuf| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file();
    let found = path.split(':').filter(|folder| !folder.is_empty()).map(|folder| Path::new(folder).join(name)).find(is_program);
    found.ok_or_else(|| io::Error::other(format!("no such program in {path}")))
}
