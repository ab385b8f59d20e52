//! crun or runc, given what it needs to run `/bin/true` of this machine: an OCI bundle with the host's tools, read-only.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

pub struct Bundle {
    program: &'static str,
    folder: PathBuf,
    counter: AtomicUsize,
}

/// A machine with version 1 of control groups and something of version 2 beside it is refused by crun. Nobody here needs the latter then: the bench begins
/// again with that hidden from all of it.
pub fn hide_version_2() {
    use std::os::unix::process::CommandExt as _;
    const HIDDEN: &str = "TIDEGATE_BENCH_HIDDEN";
    let unified = "/sys/fs/cgroup/unified";
    let refused = std::fs::read_to_string(format!("{unified}/cgroup.controllers")).is_ok_and(|controllers| !controllers.trim().is_empty());
    if !refused || std::env::var_os(HIDDEN).is_some() {
        return;
    }
    let Ok(own) = std::env::current_exe() else { return };
    let script = format!("umount --lazy {unified} && exec \"$0\" \"$@\"");
    let mut again = Command::new("unshare");
    again.args(["--mount", "--propagation", "private", "sh", "-c", &script]).arg(own).args(std::env::args_os().skip(1)).env(HIDDEN, "1");
    // Where it can not be done, crun is missing, and says why.
    let _ = again.exec();
}

impl Bundle {
    pub fn make(below: &Path) -> Result<Self, String> {
        Self::of("crun", below)
    }

    /// For `crun` or `runc`.
    pub fn of(program: &'static str, below: &Path) -> Result<Self, String> {
        let folder = below.join(format!("{program}-bundle"));
        std::fs::create_dir_all(folder.join("rootfs")).map_err(|error| error.to_string())?;
        let made = Command::new(program).arg("spec").current_dir(&folder).output().map_err(|_| format!("install the package `{program}`"))?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into_owned());
        }
        let path = folder.join("config.json");
        let text = std::fs::read(&path).map_err(|error| error.to_string())?;
        let mut config: serde_json::Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        config["root"] = serde_json::json!({ "path": "rootfs", "readonly": true });
        config["process"]["terminal"] = false.into();
        config["process"]["args"] = serde_json::json!(["/bin/true"]);
        let tools = ["/usr", "/bin", "/lib", "/lib64"].into_iter().filter(|tool| Path::new(tool).exists());
        if let Some(mounts) = config["mounts"].as_array_mut() {
            mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
            mounts.extend(tools.map(|tool| serde_json::json!({ "destination": tool, "source": tool, "type": "bind", "options": ["bind", "ro"] })));
        }
        std::fs::write(&path, config.to_string()).map_err(|error| error.to_string())?;
        let bundle = Self { program, folder, counter: AtomicUsize::new(0) };
        let tried = bundle.command().output().map_err(|error| error.to_string())?;
        if tried.status.success() { Ok(bundle) } else { Err(String::from_utf8_lossy(&tried.stderr).trim().to_owned()) }
    }

    /// crun without control groups: it knows version 2 and version 1, not both beside each other. runc always makes some.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        let id = format!("bench-{}-{}", std::process::id(), self.counter.fetch_add(1, Ordering::Relaxed));
        command.args((self.program == "crun").then_some("--cgroup-manager=disabled"));
        command.args(["run", "--bundle"]).arg(&self.folder).arg(id);
        command
    }
}
