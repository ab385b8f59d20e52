//! AWS's runtime interface emulator, where it is installed.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;

use crate::direct::environment;

pub struct Rie(PathBuf);

pub struct Emulator {
    child: Child,
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Rie {
    pub fn find() -> Option<Self> {
        std::env::var_os("TIDEGATE_BENCH_RIE").map(PathBuf::from).filter(|path| path.exists()).map(Self)
    }

    pub async fn start(&self, handler: &Path) -> Emulator {
        let (address, api) = (free_address(), free_address());
        let mut command = environment(Command::new(&self.0));
        command.args(["--runtime-interface-emulator-address", &address.to_string(), "--runtime-api-address", &api.to_string()]).arg(handler);
        let child = command.spawn().expect("the emulator starts");
        while tokio::net::TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Emulator { child, address, client: Client::builder(TokioExecutor::new()).build_http() }
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

impl Emulator {
    pub async fn invoke(&mut self) -> Duration {
        let begun = Instant::now();
        let uri = format!("http://{}/2015-03-31/functions/function/invocations", self.address);
        let request = Request::post(uri).body(Full::from(r#"{"rawPath":"/orders"}"#)).expect("a request");
        let response = self.client.request(request).await.expect("an answer");
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.expect("a whole answer");
        begun.elapsed()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
