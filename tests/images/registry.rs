//! A real registry on loopback (Debian's `docker-registry`), filled by hand, and a world that pulls from it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tempfile::TempDir;
use tidegate::adapters::executor::{Executor as _, LogSink, SandboxExecutor, Watcher};
use tidegate::adapters::image::{ImageError, Images, Limits, PullPolicy};
use tidegate::adapters::sandbox::{self, Isolation};
use tidegate::adapters::workspace::Store;
use tidegate::model::invocation::{InvocationResult, InvocationSpec};
use tokio::sync::watch;

use crate::step::step;

use crate::builder::{Made, digest};
use crate::users::program;

pub struct Registry {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None`, and written down as skipped, where there is no registry to be had.
pub fn registry(test: &str) -> Option<Registry> {
    if let Ok(registry) = Registry::start("") {
        return Some(registry);
    }
    skip(test, "there is no docker-registry here: apt-get install docker-registry busybox-static");
    None
}

pub fn skip(test: &str, reason: &str) {
    use std::io::Write as _;
    if let Some(file) = std::env::var_os("TIDEGATE_TEST_SKIPS") {
        let mut file = std::fs::File::options().append(true).create(true).open(file).unwrap();
        writeln!(file, "{test}\t{reason}").unwrap();
    }
}

impl Registry {
    pub fn start(extra: &str) -> std::io::Result<Self> {
        Self::begin(extra, Command::new("docker-registry"))
    }

    /// As somebody may start it: in another network, say.
    pub fn begin(extra: &str, mut command: Command) -> std::io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let config = folder.path().join("config.yml");
        let data = folder.path().join("data");
        let extra = extra.replace("FOLDER", &folder.path().display().to_string());
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n{extra}",
            data.display()
        );
        std::fs::write(&config, text)?;
        command.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self { child: command.env("OTEL_TRACES_EXPORTER", "none").spawn()?, folder, port };
        while !registry.listens() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(registry)
    }

    /// As those see it who are in its network.
    fn listens(&self) -> bool {
        let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", self.child.id())).unwrap_or_default();
        table.contains(&format!("0100007F:{:04X} 00000000:0000 0A", self.port))
    }

    /// What it keeps is another's as well from now on.
    pub fn copy_of(&self, other: &Self) {
        let (from, to) = (other.folder.path().join("data/."), self.folder.path().join("data"));
        assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    }

    /// A file beside its configuration.
    pub fn put(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.host())
    }

    fn client(&self) -> Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::new(ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() })
    }

    /// Answers the digest of its manifest.
    pub async fn push(&self, name: &str, made: &Made) -> String {
        let reference = Reference::try_from(self.name(name)).unwrap();
        let client = self.client();
        client.store_auth_if_needed(reference.registry(), &RegistryAuth::Anonymous).await;
        for bytes in made.layers.iter().map(|(bytes, _)| bytes.clone()).chain([made.config_bytes()]) {
            let digest = digest(&bytes);
            client.push_blob(&reference, bytes, &digest).await.unwrap();
        }
        self.push_manifest(name, &made.manifest()).await
    }

    pub async fn push_manifest(&self, name: &str, manifest: &serde_json::Value) -> String {
        let reference = Reference::try_from(self.name(name)).unwrap();
        let client = self.client();
        client.store_auth_if_needed(reference.registry(), &RegistryAuth::Anonymous).await;
        let bytes = serde_json::to_vec(manifest).unwrap();
        let kind = manifest["mediaType"].as_str().unwrap().parse().unwrap();
        client.push_manifest_raw(&reference, bytes.clone(), kind).await.unwrap();
        digest(&bytes)
    }

    /// Where it keeps a blob: for changing it.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        self.folder.path().join("data/docker/registry/v2/blobs/sha256").join(&hex[..2]).join(hex).join("data")
    }
}

/// A state folder with its images, and an executor that uses them.
pub struct World {
    pub state: TempDir,
    pub store: Store,
    pub images: Images,
    pub executor: Arc<SandboxExecutor>,
}

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl LogSink for Log {
    fn write(&mut self, bytes: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(bytes);
    }
}

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl World {
    pub fn new() -> Self {
        Self::limited(Limits::default())
    }

    pub fn limited(limits: Limits) -> Self {
        sandbox::set_program(program());
        let state = tempfile::tempdir().unwrap();
        std::fs::set_permissions(state.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let store = Store::open(state.path(), sandbox::outer_uid()).unwrap();
        let images = Images::with_limits(state.path(), store.clone(), sandbox::outer_uid(), limits).unwrap();
        let executor = Arc::new(SandboxExecutor::new(state.path(), store.clone(), Vec::new(), Isolation::Full));
        Self { state, store, images, executor }
    }

    pub async fn pull(&self, name: &str) -> Result<String, ImageError> {
        self.images.obtain(name, PullPolicy::Missing, &mut |_| {}).await.map(|(image, _)| image.digest)
    }

    /// A name for one image, made of these layers.
    pub async fn run(&self, spec: InvocationSpec) -> (InvocationResult, String) {
        let log = Log::default();
        let (_keep, cancel) = watch::channel(false);
        let file = self.state.path().join("log");
        let (run, node) = (spec.run.clone(), spec.node.clone());
        let result = self.executor.invoke(spec, &file, Watcher { log: Box::new(log.clone()), cancel }).await;
        assert_eq!(std::fs::read_to_string(&file).unwrap_or_default(), log.text(), "what is shown is what is kept");
        let _ = std::fs::remove_file(&file);
        self.executor.forget(&run, &node, 1);
        (result, log.text())
    }

    /// What a script says in an image, without the lines of the pull.
    pub async fn says(&self, image: &str, script: &str) -> String {
        let (result, log) = self.run(spec(image, script)).await;
        let own: Vec<&str> = log.lines().filter(|line| !line.starts_with("[tidegate: ")).collect();
        format!(
            "{}{}",
            own.join("\n"),
            if result.outcome == tidegate::model::outcome::Outcome::Succeeded { String::new() } else { format!(" {:?}", result.outcome) }
        )
    }

    /// Names in a folder of the images'.
    pub fn there(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.state.path().join("images").join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with("furniture"))
            .collect();
        names.sort();
        names
    }

    /// What pulls and invocations left in the scratch space: a moment after they have ended, nothing.
    pub fn leftovers(&self) -> Vec<PathBuf> {
        let look = || -> Vec<PathBuf> {
            let (own, _) = self.store.own();
            std::fs::read_dir(own).unwrap().map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("lock")).collect()
        };
        for _ in 0..300 {
            if look().is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        look()
    }
}

pub fn spec(image: &str, script: &str) -> InvocationSpec {
    InvocationSpec { image: Some(image.to_owned()), ..step("build", script) }
}
