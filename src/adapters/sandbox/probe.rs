//! What this machine can isolate: found out by doing it, not by reading version numbers.

use std::collections::BTreeMap;
use std::fs;

use super::cgroup::Limits;
use super::launch::{SandboxError, launch};
use super::required::{missing, required_for};
use super::spec::{Isolation, NetworkOf, Overlay, SandboxSpec};
use super::wire::{Failure, Report, Stage, read_blocking};

/// One thing that a sandbox needs, and whether it is there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Capability {
    pub name: &'static str,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Present {
        detail: String,
    },
    /// What to do about it is part of the answer.
    Missing {
        why: String,
        remedy: String,
    },
}

impl Verdict {
    pub fn is_present(&self) -> bool {
        matches!(self, Self::Present { .. })
    }
}

/// Everything that a sandbox needs, in the order in which it is made. What comes after the first that is missing is not known.
pub fn probe() -> Vec<Capability> {
    let names = ["namespaces", "user-map", "mounts", "proc", "overlay", "network", "privileges"];
    let reached = |stage: Stage| match stage {
        Stage::Specification | Stage::Identity | Stage::Namespaces => 0,
        Stage::UserMap => 1,
        Stage::Mounts => 2,
        Stage::Proc => 3,
        Stage::Overlay => 4,
        Stage::Network => 5,
        Stage::Privileges | Stage::Required | Stage::Program => 6,
    };
    let failure = attempt(Limits::default()).err();
    let broken = failure.as_ref().map_or(names.len(), |failure| reached(failure.stage));
    let present = names.iter().take(broken).map(|name| Capability { name, verdict: Verdict::Present { detail: "works".to_owned() } });
    let missing = failure.map(|failure| Capability { name: names[broken.min(names.len() - 1)], verdict: verdict_of(failure) });
    present.chain(missing).collect()
}

/// Whether a whole sandbox can be made here. Takes a few milliseconds.
pub fn try_isolation() -> Verdict {
    attempt(Limits::default()).map_or_else(verdict_of, |isolation| Verdict::Present { detail: isolation.join(", ") })
}

/// Everything that holds a step here, by the names in an invocation's record. `None` where there is no sandbox.
pub fn try_everything() -> Option<Vec<String>> {
    let limits = Limits { memory_bytes: Some(1 << 30), cpu_millis: Some(1000), pids: Some(100), file_bytes: Some(1 << 30) };
    attempt(limits).ok()
}

/// Whether a whole sandbox can be made here, with every protection of `required` in force; if not, what is missing, why, and what to do.
pub fn try_protections(required: &[String]) -> Verdict {
    // Small ones: that they can be set is what counts.
    let limits = Limits { memory_bytes: Some(64 << 20), cpu_millis: Some(1000), pids: Some(64), ..Limits::default() };
    let isolation = match attempt(limits) {
        Ok(isolation) => isolation,
        Err(failure) => return verdict_of(failure),
    };
    let missing = missing(&required_for(required, &limits), &isolation);
    let Some(first) = missing.first() else { return Verdict::Present { detail: isolation.join(", ") } };
    let (why, remedy) = about(first);
    Verdict::Missing { why: format!("{}: {why}", missing.join(", ")), remedy: remedy.to_owned() }
}

/// Why a protection is not there where the rest of a sandbox is.
fn about(protection: &str) -> (&'static str, &'static str) {
    match protection {
        "seccomp" => ("the kernel takes no filter of system calls", "use a kernel with CONFIG_SECCOMP_FILTER"),
        "landlock" => {
            ("the kernel has no Landlock, or it is not switched on", "use Linux 5.13 or newer with `landlock` in the `lsm=` of its command line")
        }
        name if name.starts_with("cgroup") => (
            "Tidegate has no control groups that it may make others in",
            "run it as root, or let systemd hand a group over to it: `systemd-run --user --scope -p Delegate=yes tidegate …`",
        ),
        _ => ("this machine does not hold it", "see `tidegate doctor`"),
    }
}

fn verdict_of(failure: Failure) -> Verdict {
    let remedy = remedy(failure.stage);
    Verdict::Missing { why: SandboxError::from(failure).to_string(), remedy }
}

/// Runs `/bin/true` in a sandbox with everything.
fn attempt(limits: Limits) -> Result<Vec<String>, Failure> {
    let plain = |error: std::io::Error| Failure { stage: Stage::Specification, why: error.to_string() };
    let folder = tempfile::tempdir().map_err(plain)?;
    let at = |name: &str| {
        let path = folder.path().join(name);
        let made =
            fs::create_dir(&path).and_then(|()| super::outer_uid().map_or(Ok(()), |uid| std::os::unix::fs::chown(&path, Some(uid), Some(uid))));
        made.map(|()| path)
    };
    let overlay = Overlay {
        lower: vec![at("lower").map_err(plain)?],
        upper: at("upper").map_err(plain)?,
        work: at("work").map_err(plain)?,
        target: "/workspace".into(),
    };
    let spec = SandboxSpec {
        isolation: Isolation::Full,
        argv: vec!["/bin/true".to_owned()],
        env: BTreeMap::new(),
        root: None,
        cwd: "/workspace".into(),
        hostname: "tidegate".to_owned(),
        overlay: Some(overlay),
        read_only: Vec::new(),
        writable: Vec::new(),
        tmp_size: 1 << 20,
        network: NetworkOf::Own,
        listen: None,
        limits,
        required: Vec::new(),
        lifted: Vec::new(),
    };
    let launched = launch(&spec).map_err(plain)?;
    let mut names = Vec::new();
    let outcome = loop {
        match read_blocking(&launched.control) {
            Ok(Report::Ready { isolation, .. }) => names = isolation,
            Ok(Report::Started { .. }) => break Ok(names),
            Ok(Report::Failed(failure)) => break Err(failure),
            Ok(Report::Exited { .. } | Report::Gone { .. }) => {}
            Err(_) => break Err(Failure { stage: Stage::Namespaces, why: "the helper ended without a word".to_owned() }),
        }
    };
    // Its end, and then nothing holds the folder any more.
    let _ = launched.control.shutdown(std::net::Shutdown::Write);
    while read_blocking::<Report>(&launched.control).is_ok() {}
    // The overlay's own work folder is closed to everybody; a temporary folder's guard could not remove it for an ordinary user.
    let work = folder.path().join("work/work");
    let _ = fs::set_permissions(&work, std::os::unix::fs::PermissionsExt::from_mode(0o700));
    outcome
}

fn remedy(stage: Stage) -> String {
    let set = |file: &str, value: &str| fs::read_to_string(format!("/proc/sys/{file}")).is_ok_and(|text| text.trim() == value);
    if matches!(stage, Stage::Namespaces | Stage::UserMap | Stage::Mounts) {
        if set("kernel/apparmor_restrict_unprivileged_userns", "1") {
            return "AppArmor forbids unprivileged user namespaces: `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or give the tidegate binary an AppArmor profile that allows `userns`".to_owned();
        }
        if set("kernel/unprivileged_userns_clone", "0") {
            return "unprivileged user namespaces are switched off: `sudo sysctl kernel.unprivileged_userns_clone=1`".to_owned();
        }
        if set("user/max_user_namespaces", "0") {
            return "user namespaces are switched off: `sudo sysctl user.max_user_namespaces=10000`".to_owned();
        }
    }
    match stage {
        Stage::Namespaces | Stage::UserMap => {
            "in a container, allow user namespaces (docker run --security-opt seccomp=unconfined, or run tidegate on the host)"
        }
        Stage::Overlay => {
            "overlayfs in user namespaces needs Linux 5.11 and a state folder on ext4, xfs, btrfs or tmpfs: choose one with --state-dir"
        }
        Stage::Proc => "/proc is partly hidden here, as containers do it: run tidegate on the host, or with `--security-opt systempaths=unconfined`",
        Stage::Mounts => "the sandbox needs Linux 5.12 or newer and leave to mount in its own namespace",
        Stage::Network => "a network namespace of its own needs CONFIG_NET_NS in the kernel",
        Stage::Required => "see `tidegate doctor` for what this machine can hold",
        Stage::Privileges | Stage::Identity => "run tidegate as an ordinary user, or as a root that has its capabilities",
        Stage::Specification => "is the temporary folder ($TMPDIR) writable?",
        Stage::Program => "/bin/true should be there; is this an unusual distribution?",
    }
    .to_owned()
}
