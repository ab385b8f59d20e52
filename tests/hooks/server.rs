//! The real server with nothing but the route for webhooks: in this process, or in one that can be killed.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tidegate::adapters::deliveries::{Deliveries, Filter, Keep, Known, Page};
use tidegate::model::secret::SecretSource;
use tidegate::server::{listen, problem, webhook};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::client::SECRET;

pub struct Server {
    pub address: SocketAddr,
    _folder: TempDir,
    pub deliveries: Deliveries,
    pub runtime: Runtime,
    closing: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
}

impl Server {
    pub fn start() -> Self {
        Self::with(webhook::Limits::default(), listen::Limits::default(), Keep::default())
    }

    pub fn with(hooks: webhook::Limits, limits: listen::Limits, keep: Keep) -> Self {
        let folder = TempDir::with_prefix("tidegate-hooks-").expect("a folder");
        std::fs::write(folder.path().join("secret"), format!("{SECRET}\n")).expect("a secret");
        let source = SecretSource::File(folder.path().join("secret"));
        Self::of(folder, vec![source], hooks, limits, keep)
    }

    pub fn of(folder: TempDir, secrets: Vec<SecretSource>, hooks: webhook::Limits, limits: listen::Limits, keep: Keep) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let deliveries = Deliveries::open(folder.path(), keep).expect("a store");
        let (closing, closed) = watch::channel(false);
        let router = webhook::router(deliveries.clone(), secrets, hooks).fallback(problem::not_found);
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = runtime.spawn(listen::serve(listener, router, limits, closed));
        Self { address, _folder: folder, deliveries, runtime, closing, serving }
    }

    /// Everything in the store, in the order of arrival.
    pub fn stored(&self) -> Vec<Known> {
        let page = Page { before: None, limit: usize::MAX };
        let mut all = self.runtime.block_on(self.deliveries.list(Filter::default(), page)).expect("a list");
        all.reverse();
        all
    }

    pub fn ids(&self) -> Vec<String> {
        self.stored().iter().map(|known| known.id.to_string()).collect()
    }

    /// Nothing new is taken from now on.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Until what was under way is answered.
    pub fn wait(&mut self) {
        self.runtime.block_on(&mut self.serving).expect("no panic");
    }
}

/// A server of its own process, over a folder that outlives it.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

const FOLDER: &str = "TIDEGATE_TEST_HOOKS_FOLDER";

impl Process {
    /// This very program, with one test in it that serves.
    pub fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "server::a_process_of_its_own_serves", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a process");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.split_once("listening on ")?.1.parse().ok()).expect("an address");
        Self { child, address }
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("dead");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In the process that was started for it this serves until it is killed; everywhere else it starts that process and looks whether it answers.
#[test]
fn a_process_of_its_own_serves() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        let folder = TempDir::with_prefix("tidegate-hooks-").expect("a folder");
        let mut process = Process::start(folder.path());
        assert_eq!(crate::client::Post::new("1", "ping", "{}").send(process.address).status, 202);
        process.kill();
        return;
    };
    let folder = std::path::PathBuf::from(folder);
    std::fs::write(folder.join("secret"), SECRET).expect("a secret");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let deliveries = Deliveries::open(&folder, Keep::default()).expect("a store");
        let router = webhook::router(deliveries, vec![SecretSource::File(folder.join("secret"))], webhook::Limits::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("listening on {}", listener.local_addr().expect("an address"));
        let (_open, closed) = watch::channel(false);
        listen::serve(listener, router, listen::Limits::default(), closed).await;
    });
}
