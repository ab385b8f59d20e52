//! The checks. Each looks at one thing and changes nothing.

use std::path::Path;

use super::super::args::Global;
use super::super::settings;
use super::walls;
use crate::adapters::executor::{self, Engine, EngineError};
use crate::adapters::sandbox::{self, Verdict};
use crate::adapters::state;

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Good,
    /// Steps run without it; some may miss it.
    Advice,
    /// Steps can not be isolated.
    Missing,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl Check {
    pub(super) fn good(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state: State::Good, detail: detail.into(), remedy: None }
    }

    pub(super) fn advice(name: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state: State::Advice, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    fn missing(name: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state: State::Missing, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}

pub(super) fn all(global: &Global) -> Vec<Check> {
    let mut checks = isolation();
    checks.extend(settings(global));
    checks.extend(["git", "python3"].map(tool));
    checks.push(state_folder(global.state_dir.as_deref()));
    checks.extend(walls::all());
    checks.push(container_engine());
    checks
}

fn isolation() -> Vec<Check> {
    let what = |name: &str| match name {
        "namespaces" => "user, mount, PID, IPC and UTS namespaces",
        "user-map" => "the step is somebody without rights outside",
        "mounts" => "host tools are shown read-only",
        "proc" => "the step sees its own processes only",
        "overlay" => "a private writable layer over the commit",
        "network" => "an empty network: loopback only",
        _ => "no capabilities, no new privileges, no namespaces of its own",
    };
    let capabilities = sandbox::probe();
    let checks = capabilities.iter().map(|capability| match &capability.verdict {
        Verdict::Present { .. } => Check::good(capability.name, what(capability.name)),
        Verdict::Missing { why, remedy } => Check::missing(capability.name, why, format!("{remedy}; or run without isolation: --allow-unisolated")),
    });
    let who = match sandbox::outer_uid() {
        Some(uid) => Check::good("user", format!("tidegate is root; steps run as user {uid}, who is nobody else")),
        None => Check::good("user", "tidegate is an ordinary user; steps have no more rights than it has"),
    };
    checks.chain([who]).collect()
}

/// Which file holds, and whether the machine gives what it requires.
fn settings(global: &Global) -> Vec<Check> {
    let found = match settings::load(global) {
        Ok(found) => found,
        Err(error) => return vec![Check::missing("settings", error.to_string(), "mend the file, or name another one with --config FILE")],
    };
    let file = match (&found.path, settings::usual(|name| std::env::var_os(name))) {
        (Some(path), _) => Check::good("settings", path.display().to_string()),
        (None, Some(usual)) => Check::good("settings", format!("none; {} would be used if it were there", usual.display())),
        (None, None) => Check::good("settings", "none"),
    };
    let require = &found.settings.require;
    if require.is_empty() {
        return vec![file];
    }
    let required = match sandbox::try_protections(require) {
        Verdict::Present { .. } => Check::good("required", format!("{}: all there", require.join(", "))),
        Verdict::Missing { why, remedy } => Check::missing("required", why, format!("{remedy}; or take it out of `require:` in the settings")),
    };
    vec![file, required]
}

/// Whether steps will find a program.
fn tool(name: &str) -> Check {
    let shown = sandbox::TOOL_PATH.split(':').map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    if let Some(path) = shown {
        return Check::good(name, format!("{} is visible in the sandbox", path.display()));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let elsewhere = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    match elsewhere {
        Some(path) => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            let folder = if folder.ends_with("bin") { folder.parent().unwrap_or(folder) } else { folder };
            Check::advice(
                name,
                format!("{} is on this machine but not visible in the sandbox", path.display()),
                format!("run with --host-tools {}", folder.display()),
            )
        }
        None => Check::advice(name, "is not installed", format!("install {name} if your steps use it; Tidegate itself does not need it")),
    }
}

fn state_folder(chosen: Option<&Path>) -> Check {
    let folder = match state::locate(chosen, |name| std::env::var_os(name)) {
        Ok(folder) => folder,
        Err(error) => return Check::missing("state folder", error.to_string(), "name a folder with --state-dir DIR"),
    };
    let shown = folder.display();
    // The folder itself may not be there yet.
    let Some(existing) = folder.ancestors().find(|path| path.exists()).filter(|path| path.is_dir()) else {
        return Check::missing("state folder", format!("{shown} can not be made"), "name another folder with --state-dir DIR");
    };
    if rustix::fs::access(existing, rustix::fs::Access::WRITE_OK).is_err() {
        return Check::missing("state folder", format!("{shown} can not be written to"), "name another folder with --state-dir DIR");
    }
    let Ok(stat) = rustix::fs::statfs(existing) else {
        return Check::advice(
            "state folder",
            format!("{shown} is on an unknown file system"),
            "choose a folder on ext4, xfs, btrfs or tmpfs with --state-dir DIR",
        );
    };
    let free = stat.f_bavail.saturating_mul(u64::try_from(stat.f_bsize).unwrap_or(0)) >> 30;
    match file_system(u64::try_from(stat.f_type).unwrap_or(0)) {
        Kind::Good(name) => Check::good("state folder", format!("{shown}, on {name} with {free} GiB free")),
        Kind::Bad(name) => Check::advice(
            "state folder",
            format!("{shown} is on {name}, which can not hold an overlay's writable layer"),
            "choose a folder on ext4, xfs, btrfs or tmpfs with --state-dir DIR",
        ),
        Kind::Unknown => Check::good("state folder", format!("{shown}, with {free} GiB free")),
    }
}

enum Kind {
    Good(&'static str),
    Bad(&'static str),
    Unknown,
}

/// By the magic numbers of statfs(2).
fn file_system(magic: u64) -> Kind {
    match magic {
        0xef53 => Kind::Good("ext4"),
        0x5846_5342 => Kind::Good("xfs"),
        0x9123_683e => Kind::Good("btrfs"),
        0x0102_1994 => Kind::Good("tmpfs"),
        0x794c_7630 => Kind::Bad("another overlay (a container's)"),
        0x6969 => Kind::Bad("NFS"),
        0x6573_5546 => Kind::Bad("FUSE"),
        _ => Kind::Unknown,
    }
}

fn container_engine() -> Check {
    let name = "container engine";
    let found = executor::find_engine(None, |name| std::env::var_os(name)).and_then(|socket| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let silent = |error: std::io::Error| EngineError::Silent { socket: socket.clone(), why: error.to_string() };
        runtime.map_err(silent)?.block_on(Engine::at(&socket))
    });
    match found {
        Ok(engine) => {
            let alone = matches!(sandbox::try_isolation(), Verdict::Missing { .. });
            let auto = if alone { "--executor auto as well, as nothing else isolates here" } else { "--executor auto runs them in the sandbox" };
            let detail = format!("{} at {}; --executor container runs steps with `image` there, {auto}", engine.name, engine.socket.display());
            Check::good(name, detail)
        }
        Err(EngineError::None) => Check::advice(name, "none found", "nothing to do: steps run in the sandbox, which needs none"),
        Err(error) => Check::advice(name, error.to_string(), "needed for --executor container only: steps run in the sandbox without it"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_state_folder_that_can_not_be_made_is_missing_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let check = state_folder(Some(&file.join("below/it")));
        assert_eq!((check.state, check.remedy.as_deref()), (State::Missing, Some("name another folder with --state-dir DIR")));
        assert_ne!(state_folder(Some(&folder.path().join("new/below"))).state, State::Missing);
    }
}
