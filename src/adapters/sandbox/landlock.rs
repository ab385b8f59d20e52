//! Landlock: a second opinion on every path, by other code of the kernel than the mounts'. Everything can be read and executed, and only what is meant
//! to be written can be written. Where the host's network is shared it is the only wall before its abstract Unix sockets.

use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, Scope,
};

use super::spec::SandboxSpec;

/// The newest whose every right is meant here. Of an older kernel's the crate takes what there is.
const WANTED: ABI = ABI::V6;

/// Confines this process and all that come of it. `false` where the kernel has no Landlock.
pub(super) fn apply(spec: &SandboxSpec) -> Result<bool, RulesetError> {
    let all = AccessFs::from_all(WANTED);
    let mut rules = Ruleset::default().handle_access(all)?.scope(Scope::from_all(WANTED))?.create()?;
    let shown = AccessFs::from_read(WANTED);
    // All of an image's root is the sandbox's own; there the mounts say what can be written.
    rules = beneath(rules, "/".as_ref(), if spec.root.is_some() { all } else { shown })?;
    // Devices and /proc: what is there can be written, nothing can be made.
    let used = shown | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    for path in ["/dev", "/proc"] {
        rules = beneath(rules, path.as_ref(), used)?;
    }
    // With the right to refer: otherwise no file could be moved from one folder to another.
    let workspace = spec.overlay.as_ref().map(|overlay| overlay.target.as_path());
    let binds = spec.writable.iter().map(|bind| bind.target.as_path());
    for path in ["/tmp", "/dev/shm"].into_iter().map(Path::new).chain(workspace).chain(binds) {
        rules = beneath(rules, path, all)?;
    }
    Ok(rules.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

/// What a process of ours beside a sandbox may do with files: read what a resolver reads. It waits for nobody on TCP, and reaches no abstract socket.
pub(super) fn apply_beside() -> Result<bool, RulesetError> {
    let all = AccessFs::from_all(WANTED);
    let mut rules = Ruleset::default().handle_access(all)?.handle_access(AccessNet::BindTcp)?.scope(Scope::from_all(WANTED))?.create()?;
    for path in ["/etc", "/usr", "/lib", "/lib64", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/nix/store"] {
        rules = beneath(rules, path.as_ref(), AccessFs::from_read(WANTED))?;
    }
    Ok(rules.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

/// Grants rights below a path. A bound file is given those of a file.
fn beneath(rules: landlock::RulesetCreated, path: &Path, rights: BitFlags<AccessFs>) -> Result<landlock::RulesetCreated, RulesetError> {
    let rights = if path.is_dir() { rights } else { rights & AccessFs::from_file(WANTED) };
    // A path that can not be opened is given nothing.
    let Ok(place) = PathFd::new(path) else { return Ok(rules) };
    rules.add_rule(PathBeneath::new(place, rights))
}
