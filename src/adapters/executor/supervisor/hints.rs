//! Why a step failed, in a sentence, with what to do where that can be known: a tool that is on the machine but not shown in the sandbox.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::adapters::sandbox::Limits;
use crate::model::outcome::Exit;

/// `host_path`: the `PATH` of whoever started tidegate.
pub(in super::super) fn why(exit: Exit, tail: &[u8], host_tools: &[PathBuf], host_path: &str) -> String {
    let host_path = std::env::split_paths(host_path).collect::<Vec<_>>();
    explain(exit, &String::from_utf8_lossy(tail), host_tools, &host_path)
}

/// The same for a step in an engine's container.
pub(in super::super) fn why_in_container(code: i32, tail: &[u8], limits: &Limits, image: &str) -> String {
    match code {
        127 => why_in_image(Exit::Code(127), tail, image),
        // Not every engine says that this was for want of memory.
        137 if let Some(memory) = limits.memory_bytes => {
            let limit = super::limits::shown(memory);
            format!(
                "exited with 137: it, or a command in it, was killed; perhaps it needed more memory than its limit of {limit}: raise `resources: {{ memory: … }}`"
            )
        }
        // The first process of a container only passes on a number.
        129..=159 => format!("exited with {code}: it, or a command in it, was ended by signal {} ({})", code - 128, signal(code - 128)),
        code => explain(Exit::Code(code), "", &[], &[]),
    }
}

/// Of a step in an image, which has its own tools.
pub(in super::super) fn why_in_image(exit: Exit, tail: &[u8], image: &str) -> String {
    let missing = String::from_utf8_lossy(tail).lines().rev().find_map(missing_tool).map(|tool| format!(" ({tool}); {image} does not have it"));
    match exit {
        Exit::Code(127) => format!("exited with 127: a command was not found{}", missing.unwrap_or_default()),
        exit => explain(exit, "", &[], &[]),
    }
}

/// A script needs a shell, and an image may have none.
pub(in super::super) fn no_shell(image: &str, why: &str) -> String {
    format!("{image} has no /bin/sh, which `run:` needs ({why}): use an image with a shell, often a variant of the same one")
}

fn explain(exit: Exit, tail: &str, host_tools: &[PathBuf], host_path: &[PathBuf]) -> String {
    match exit {
        Exit::Code(127) => {
            let missing = tail.lines().rev().find_map(missing_tool);
            let hint = missing.map(|tool| hint(tool, host_tools, host_path)).unwrap_or_default();
            format!("exited with 127: a command was not found{hint}")
        }
        Exit::Code(126) => {
            "exited with 126: a command is there but can not be executed (is it marked executable, and for this kind of machine?)".to_owned()
        }
        Exit::Code(code) => format!("exited with {code}"),
        Exit::Signal(number) => format!("was killed by signal {number} ({})", signal(number)),
        Exit::None => "did not run".to_owned(),
    }
}

/// `x: 3: tool: not found` as dash says it, `x: line 3: tool: command not found` as bash does.
fn missing_tool(line: &str) -> Option<&str> {
    let before = line.strip_suffix(": not found").or_else(|| line.strip_suffix(": command not found"))?;
    let tool = before.rsplit(": ").next()?;
    let plain = !tool.is_empty() && tool.len() < 100 && tool.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+'));
    plain.then_some(tool)
}

fn hint(tool: &str, host_tools: &[PathBuf], host_path: &[PathBuf]) -> String {
    let is_program = |path: &PathBuf| path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    let visible = |path: &Path| {
        path.starts_with("/usr") || path.starts_with("/bin") || path.starts_with("/sbin") || host_tools.iter().any(|shown| path.starts_with(shown))
    };
    let found = host_path.iter().filter(|folder| folder.is_absolute() && !visible(folder)).map(|folder| folder.join(tool)).find(is_program);
    let Some(found) = found else {
        return format!(" ({tool}); install it on this machine");
    };
    // rustup's programs only call those of a toolchain.
    if found.canonicalize().is_ok_and(|real| real.ends_with("rustup")) {
        return format!(
            " ({tool}); it is rustup's at {} and not visible in the sandbox: add --host-tools \"$(rustc --print sysroot)\"",
            found.display()
        );
    }
    let folder = found.parent().unwrap_or(&found);
    let shown = if folder.ends_with("bin") { folder.parent().unwrap_or(folder) } else { folder };
    format!(" ({tool}); it is at {} on this machine but not visible in the sandbox: add --host-tools {}", found.display(), shown.display())
}

fn signal(number: i32) -> &'static str {
    match number {
        1 => "hung up",
        2 => "interrupted",
        4 => "illegal instruction",
        6 => "aborted",
        7 => "bus error",
        8 => "arithmetic error",
        9 => "killed; perhaps the machine ran out of memory",
        11 => "segmentation fault",
        13 => "broken pipe",
        15 => "terminated",
        _ => "see signal(7)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_the_sandbox_does_not_show_is_pointed_at() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::fs::write(bin.join("newt"), "").unwrap();
        std::fs::set_permissions(bin.join("newt"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let explained = |tail: &str, tools: &[PathBuf]| {
            explain(Exit::Code(127), tail, tools, std::slice::from_ref(&bin)).replace(&folder.path().display().to_string(), "/x")
        };
        let pointed = "exited with 127: a command was not found (newt); it is at /x/bin/newt on this machine but not visible in the sandbox: add --host-tools /x";
        assert_eq!(explained("hello\n/run/tidegate/script: 2: newt: not found\n", &[]), pointed);
        assert_eq!(explained("script: line 2: newt: command not found", &[]), pointed);
        assert_eq!(
            explained("script: 2: newt: not found", &[folder.path().into()]),
            "exited with 127: a command was not found (newt); install it on this machine"
        );
        assert_eq!(explained("script: 2: ../../etc: not found", &[]), "exited with 127: a command was not found");
    }
}
