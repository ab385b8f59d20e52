//! From a forked child to the program: the last steps before somebody else's code runs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit, setsid, umask};

use super::spec::SandboxSpec;
use super::sys;
use super::wire::{Failure, Stage};

/// Forks, and executes the program in the child. Returns the child when the program's first instruction is next, or why it never will be.
pub(super) fn start(spec: &SandboxSpec, cwd: &Path, before: impl FnOnce() -> io::Result<()>) -> Result<i32, Failure> {
    let failed = || Stage::Program.because::<io::Error>(format!("{} can not be started", spec.argv.first().map_or("nothing", String::as_str)));
    let (told, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| failed()(error.into()))?;
    match sys::fork(0).map_err(failed())? {
        None => {
            drop(told);
            let error = before().and_then(|()| become_program(spec, cwd)).map_or_else(|error| error, |never| match never {});
            // Exec never returns when it works: the pipe's other end then sees it closed, with nothing in it.
            let _ = File::from(tell).write_all(error.to_string().as_bytes());
            std::process::exit(127)
        }
        Some(child) => {
            drop(tell);
            await_exec(told).map_err(|error| {
                let _ = sys::wait(child.as_raw_nonzero().get());
                failed()(error)
            })?;
            Ok(child.as_raw_nonzero().get())
        }
    }
}

fn await_exec(told: OwnedFd) -> io::Result<()> {
    let mut why = String::new();
    File::from(told).read_to_string(&mut why)?;
    if why.is_empty() { Ok(()) } else { Err(io::Error::other(why)) }
}

fn become_program(spec: &SandboxSpec, cwd: &Path) -> io::Result<std::convert::Infallible> {
    let _ = setsid();
    umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    std::env::set_current_dir(cwd).map_err(|error| io::Error::other(format!("its folder {} can not be entered: {error}", cwd.display())))?;
    let nothing = File::open("/dev/null")?;
    sys::redirect(nothing.as_fd(), 0)?;
    sys::default_signals();
    let program = find(spec)?;
    sys::close_all_at_exec()?;
    let (arg0, rest) = spec.argv.split_first().ok_or_else(|| io::Error::other("no program was named"))?;
    Err(Command::new(program).arg0(arg0).args(rest).env_clear().envs(&spec.env).exec())
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
