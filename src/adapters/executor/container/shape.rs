//! What a step's container is like, in the engine's own words. Whatever is not said here is what the engine gives to everybody, so all that matters is said.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountType,
    MountVolumeOptions, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum, VolumeCreateRequest,
};
use rustix::process::{Resource, getrlimit};

use super::super::supervisor::around::{INNER, TMP, WORKSPACE};
use super::surroundings::{Surroundings, beginning};
use crate::adapters::sandbox::{Limits, program_file};
use crate::model::invocation::InvocationSpec;
use crate::model::limits::Network;

pub(super) const HOSTS: &str = "/etc/hosts";

/// What decides about it besides the step.
pub(super) struct Shape<'a> {
    pub(super) spec: &'a InvocationSpec,
    pub(super) surroundings: &'a Surroundings,
    pub(super) env: &'a BTreeMap<String, String>,
    pub(super) limits: &'a Limits,
    pub(super) image: &'a str,
    pub(super) labels: HashMap<String, String>,
    pub(super) name: &'a str,
    /// Who the step is, as the engine counts users.
    pub(super) user: String,
    pub(super) read_only: bool,
    /// The control group that its own is made in.
    pub(super) group: Option<String>,
    /// A first process that reaps, and that a signal ends.
    pub(super) init: bool,
}

/// The workspace as something that the engine mounts and unmounts with the container. `None`: it is a folder.
pub(super) fn volume(name: &str, labels: HashMap<String, String>, surroundings: &Surroundings) -> Option<VolumeCreateRequest> {
    let options = surroundings.overlay.clone()?;
    let options = [("type", "overlay".to_owned()), ("device", "overlay".to_owned()), ("o", options)].map(|(key, value)| (key.to_owned(), value));
    Some(VolumeCreateRequest {
        name: Some(name.to_owned()),
        driver: Some("local".to_owned()),
        driver_opts: Some(options.into()),
        labels: Some(labels),
        ..VolumeCreateRequest::default()
    })
}

impl Shape<'_> {
    pub(super) fn body(self) -> ContainerCreateBody {
        ContainerCreateBody {
            image: Some(self.image.to_owned()),
            entrypoint: Some(vec!["/bin/sh".to_owned()]),
            cmd: Some(vec!["-c".to_owned(), beginning(self.env, self.surroundings.gate.is_some())]),
            env: Some(self.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            user: Some(self.user.clone()),
            working_dir: Some(WORKSPACE.to_owned()),
            hostname: Some("tidegate".to_owned()),
            labels: Some(self.labels.clone()),
            healthcheck: Some(no_health_check()),
            tty: Some(false),
            open_stdin: Some(false),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            host_config: Some(self.host()),
            ..ContainerCreateBody::default()
        }
    }

    fn host(&self) -> HostConfig {
        // With services, all of them have its network, and that is nobody else's.
        let open = self.spec.network == Network::Open && self.spec.services.is_empty();
        // Nobody else is in there whom a low port could deceive.
        let low_ports = ("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        HostConfig {
            network_mode: Some(if open { "bridge" } else { "none" }.to_owned()),
            sysctls: (!self.spec.services.is_empty()).then(|| HashMap::from([low_ports])),
            readonly_rootfs: Some(self.read_only),
            cgroup_parent: self.group.clone(),
            mounts: Some(self.mounts()),
            ..walls(self.limits, self.init, self.spec.limits.log)
        }
    }

    fn mounts(&self) -> Vec<Mount> {
        let inner = Path::new(INNER);
        let mut mounts = vec![
            self.workspace(),
            bind(&self.surroundings.script, &inner.join("script"), true),
            bind(&self.surroundings.places.answers, &inner.join("answers"), false),
        ];
        mounts.extend(self.surroundings.hosts.as_ref().map(|hosts| bind(hosts, Path::new(HOSTS), true)));
        mounts.extend(self.surroundings.gate.as_ref().map(|gate| bind(gate, &inner.join("gate"), true)));
        mounts.extend(program_file().map(|program| bind(&program, &inner.join("bin/tidegate"), true)));
        mounts
    }

    fn workspace(&self) -> Mount {
        if self.surroundings.overlay.is_none() {
            return bind(&self.surroundings.places.upper, Path::new(WORKSPACE), false);
        }
        Mount {
            typ: Some(MountType::VOLUME),
            source: Some(self.name.to_owned()),
            target: Some(WORKSPACE.to_owned()),
            // What the image has at that place is not the commit's.
            volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
            ..Mount::default()
        }
    }
}

/// What every container of ours has around it, the step's and its services'.
pub(super) fn walls(limits: &Limits, init: bool, log: u64) -> HostConfig {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    HostConfig {
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        privileged: Some(false),
        init: init.then_some(true),
        ipc_mode: Some("private".to_owned()),
        auto_remove: Some(false),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        memory: limits.memory_bytes.map(signed),
        // As much as memory: no swap besides.
        memory_swap: limits.memory_bytes.map(signed),
        nano_cpus: limits.cpu_millis.map(|millis| i64::from(millis) * 1_000_000),
        pids_limit: limits.pids.map(i64::from),
        ulimits: Some(ulimits(limits.file_bytes)),
        tmpfs: Some(HashMap::from([("/tmp".to_owned(), format!("rw,nosuid,nodev,exec,mode=1777,size={TMP}"))])),
        shm_size: i64::try_from(TMP).ok(),
        log_config: Some(engines_copy(log)),
        ..HostConfig::default()
    }
}

/// The engine keeps what was said, for whoever takes over from a supervisor that was killed: twice what we keep, and no more.
fn engines_copy(limit: u64) -> HostConfigLogConfig {
    let size = limit.clamp(1 << 20, 1 << 30) / (1 << 10);
    let config = [("max-size", format!("{size}k")), ("max-file", "2".to_owned())].map(|(key, value)| (key.to_owned(), value));
    HostConfigLogConfig { typ: Some("json-file".to_owned()), config: Some(config.into()) }
}

/// One that the image brings would run beside the program.
pub(super) fn no_health_check() -> HealthConfig {
    HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }
}

pub(super) fn bind(source: &Path, target: &Path, read_only: bool) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(source.to_string_lossy().into_owned()),
        target: Some(target.to_string_lossy().into_owned()),
        read_only: Some(read_only),
        bind_options: Some(MountBindOptions { propagation: Some(MountBindOptionsPropagationEnum::PRIVATE), ..MountBindOptions::default() }),
        ..Mount::default()
    }
}

/// As in the sandbox, and never more than this process has: who has less can not give more.
fn ulimits(file_bytes: Option<u64>) -> Vec<ResourcesUlimits> {
    let bounded = |name: &str, resource: Resource, most: u64| {
        let value = getrlimit(resource).maximum.map_or(most, |own| own.min(most));
        let value = i64::try_from(value).ok();
        ResourcesUlimits { name: Some(name.to_owned()), soft: value, hard: value }
    };
    let mut limits = vec![bounded("core", Resource::Core, 0), bounded("nofile", Resource::Nofile, 65_536), bounded("nproc", Resource::Nproc, 30_000)];
    limits.extend(file_bytes.map(|bytes| bounded("fsize", Resource::Fsize, bytes)));
    limits
}
