//! The engine on this machine: where its socket is, and what it can do. Anything that speaks the Docker API on a Unix socket will do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bollard::models::{SystemInfo, SystemInfoCgroupVersionEnum, SystemVersion};
use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};
use serde::{Deserialize, Serialize};

use super::counted::Groups;
use crate::adapters::sandbox;

/// Seconds that an engine may take to answer, where it has nothing to wait for.
const PATIENCE: u64 = 120;

/// Why there is no engine to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    #[error(
        "no container engine was found: start Docker or Podman's socket (`systemctl start docker`, `systemctl --user start podman.socket`), or name its socket with --engine"
    )]
    None,
    #[error("{from} is {value}: Tidegate speaks to engines over a Unix socket only; give unix:///PATH")]
    Remote { from: String, value: String },
    #[error("the container engine does not answer at {}: {why}", socket.display())]
    Silent { socket: PathBuf, why: String },
}

/// An engine that has answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    pub socket: PathBuf,
    /// As a person would call it: `Docker Engine 27.1`, `Podman 4.3.1`.
    pub name: String,
    pub(super) podman: bool,
    /// It runs as an ordinary user: then root inside is that user outside.
    pub(super) rootless: bool,
    /// It runs on another kernel than we do, as in a virtual machine: what it says of processes is not true here.
    #[serde(default)]
    pub(super) elsewhere: bool,
    /// How its containers' control groups can be read; `None`: not by us.
    #[serde(default)]
    pub(super) groups: Option<Groups>,
    /// Where it keeps everything.
    #[serde(default)]
    pub(super) root: Option<PathBuf>,
    /// The machine's, as images name it.
    pub(super) architecture: String,
    /// What of limits and protections it can hold, by name.
    pub(super) holds: Vec<String>,
    version: (usize, usize),
}

/// Where an engine's socket is: what was chosen, else what the usual variables say, else where engines usually have it.
pub fn find(chosen: Option<&str>, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, EngineError> {
    let variable = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty());
    let named = chosen.map(|value| ("--engine".to_owned(), value.to_owned()));
    let named = named.or_else(|| ["DOCKER_HOST", "CONTAINER_HOST"].iter().find_map(|name| Some(((*name).to_owned(), variable(name)?))));
    if let Some((from, value)) = named {
        let path = value.strip_prefix("unix://").unwrap_or(&value);
        return if path.starts_with('/') { Ok(path.into()) } else { Err(EngineError::Remote { from, value }) };
    }
    let own = variable("XDG_RUNTIME_DIR").map(|folder| Path::new(&folder).join("podman/podman.sock"));
    let usual = ["/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock"].into_iter().map(PathBuf::from);
    // One of ours before one that may be closed to us.
    let mut there: Vec<PathBuf> = usual.chain(own).filter(|path| path.exists()).collect();
    there.sort_by_key(|path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_err());
    there.into_iter().next().ok_or(EngineError::None)
}

impl Engine {
    /// Asks the engine who it is.
    pub async fn at(socket: &Path) -> Result<Self, EngineError> {
        let silent = |error: bollard::errors::Error| EngineError::Silent { socket: socket.to_owned(), why: super::words::why(&error) };
        let docker = connect(socket, API_DEFAULT_VERSION).map_err(silent)?;
        let docker = docker.negotiate_version().await.map_err(silent)?;
        let (version, info) = (docker.version().await.map_err(silent)?, docker.info().await.map_err(silent)?);
        let ClientVersion { major_version, minor_version } = docker.client_version();
        let answering = tokio::net::UnixStream::connect(socket).await.and_then(|stream| stream.peer_cred()).ok();
        let peer = Peer {
            by_somebody: answering.is_some_and(|peer| peer.uid() != 0),
            has_our_groups: answering.and_then(|peer| peer.pid()).is_some_and(sandbox::has_our_groups),
        };
        Ok(Self::of(socket, &version, &info, (major_version, minor_version), peer))
    }

    fn of(socket: &Path, version: &SystemVersion, info: &SystemInfo, api: (usize, usize), peer: Peer) -> Self {
        let podman = version.components.iter().flatten().any(|component| component.name.starts_with("Podman"));
        let number = version.version.as_deref().unwrap_or("of no known version");
        let options: Vec<&str> = info.security_options.iter().flatten().map(String::as_str).collect();
        let has = |name: &str| options.iter().any(|option| option.split(',').any(|part| part == format!("name={name}")));
        let elsewhere = info.kernel_version.as_deref().is_some_and(|kernel| rustix::system::uname().release().to_bytes() != kernel.as_bytes());
        // Not every engine says so. In a virtual machine it is not the engine who answers, but somebody who passes on.
        let rootless = has("rootless") || (peer.by_somebody && !elsewhere);
        // Version 1 of control groups is root's alone. Podman says that it has them, and leaves the limits out.
        let groups = !(rootless && info.cgroup_version == Some(SystemInfoCgroupVersionEnum::_1));
        let known = [
            ("seccomp", has("seccomp")),
            ("cgroup-memory", groups && info.memory_limit == Some(true)),
            ("cgroup-pids", groups && info.pids_limit == Some(true)),
            ("cgroup-cpu", groups && info.cpu_cfs_quota == Some(true)),
        ];
        Self {
            socket: socket.to_owned(),
            name: format!("{} {number}", if podman { "Podman" } else { "Docker Engine" }),
            podman,
            rootless,
            elsewhere,
            groups: if rootless || elsewhere || !peer.has_our_groups { None } else { Groups::of(info.cgroup_driver) },
            root: info.docker_root_dir.as_ref().filter(|root| root.starts_with('/')).map(PathBuf::from),
            architecture: version.arch.clone().unwrap_or_default(),
            holds: known.into_iter().filter(|(_, held)| *held).map(|(name, _)| name.to_owned()).collect(),
            version: api,
        }
    }

    /// Whether its containers have a protection, by its name in a record.
    pub fn holds(&self, protection: &str) -> bool {
        super::perform::ALWAYS.contains(&protection) || protection == "no-network" || self.holds.iter().any(|held| held == protection)
    }

    pub(super) fn connect(&self) -> Result<Docker, bollard::errors::Error> {
        connect(&self.socket, &ClientVersion { major_version: self.version.0, minor_version: self.version.1 })
    }
}

/// Who answers at a socket.
#[derive(Debug, Clone, Copy)]
struct Peer {
    /// Not root.
    by_somebody: bool,
    has_our_groups: bool,
}

fn connect(socket: &Path, version: &ClientVersion) -> Result<Docker, bollard::errors::Error> {
    Docker::connect_with_unix(&socket.to_string_lossy(), PATIENCE, version)
}

#[cfg(test)]
mod tests {
    use bollard::models::SystemInfoCgroupDriverEnum;

    use super::*;

    fn found(chosen: Option<&str>, variables: &[(&str, &str)]) -> Result<PathBuf, EngineError> {
        find(chosen, |name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn a_socket_that_was_named_is_taken_before_any_other() {
        let docker = ("DOCKER_HOST", "unix:///run/a.sock");
        assert_eq!(found(Some("/run/mine.sock"), &[docker]), Ok("/run/mine.sock".into()));
        assert_eq!(found(None, &[("CONTAINER_HOST", "unix:///run/b.sock"), docker]), Ok("/run/a.sock".into()));
        assert_eq!(found(None, &[("CONTAINER_HOST", "unix:///run/b.sock"), ("DOCKER_HOST", "")]), Ok("/run/b.sock".into()));
    }

    #[test]
    fn an_engine_of_an_ordinary_user_holds_no_limits_where_control_groups_are_roots() {
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        let asked = |version, by_somebody, kernel: &str| {
            let info = SystemInfo {
                memory_limit: Some(true),
                cgroup_version: Some(version),
                kernel_version: Some(kernel.to_owned()),
                cgroup_driver: Some(SystemInfoCgroupDriverEnum::CGROUPFS),
                ..SystemInfo::default()
            };
            let peer = Peer { by_somebody, has_our_groups: true };
            let engine = Engine::of(Path::new("/x"), &SystemVersion::default(), &info, (1, 41), peer);
            assert_eq!(engine.groups.is_some(), !engine.rootless && !engine.elsewhere);
            (engine.rootless, engine.holds("cgroup-memory"))
        };
        assert_eq!(asked(SystemInfoCgroupVersionEnum::_1, false, &kernel), (false, true));
        assert_eq!(asked(SystemInfoCgroupVersionEnum::_1, true, &kernel), (true, false));
        assert_eq!(asked(SystemInfoCgroupVersionEnum::_2, true, &kernel), (true, true));
        assert_eq!(asked(SystemInfoCgroupVersionEnum::_1, true, "another"), (false, true));
    }

    #[test]
    fn an_engine_elsewhere_is_refused_in_words() {
        let refused = found(None, &[("DOCKER_HOST", "tcp://10.0.0.1:2375")]).unwrap_err().to_string();
        assert_eq!(refused, "DOCKER_HOST is tcp://10.0.0.1:2375: Tidegate speaks to engines over a Unix socket only; give unix:///PATH");
    }
}
