//! A provider in a folder of its own, and a client of its gateway.

use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::client::legacy::{Client as Legacy, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tempfile::TempDir;
use tidegate::adapters::provider::{Local, LocalOptions, Provider as _};
use tidegate::model::function::Function;
use tidegate::model::release::Release;
use tidegate::model::traffic::{Destination, TrafficSplit};

use crate::packages::{options, zip_fixture};

/// A provider of its own, in a folder that goes with it.
pub struct Stage {
    pub folder: TempDir,
    pub local: Local,
    pub client: Client,
}

impl Stage {
    pub async fn new() -> Self {
        Self::with(options()).await
    }

    pub async fn with(options: LocalOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::connect(folder.path(), &options).await.unwrap();
        let client = Client::new(local.address());
        Self { folder, local, client }
    }

    /// Publishes a fixture, without traffic.
    pub async fn publish(&self, function: &Function, fixture: &str) -> Release {
        let (zip, digest) = zip_fixture(self.folder.path(), fixture);
        self.local.publish(function, &zip, &digest).await.unwrap()
    }

    /// Publishes a fixture and gives it all traffic.
    pub async fn serve(&self, function: &Function, fixture: &str) -> Release {
        let release = self.publish(function, fixture).await;
        self.shift(&function.name, &TrafficSplit::all(Destination::Release(release.id.clone()))).await;
        release
    }

    pub async fn shift(&self, function: &str, split: &TrafficSplit) {
        let revision = self.local.traffic(function).await.unwrap().revision;
        self.local.shift(function, split, revision).await.unwrap();
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.client.get(path).await
    }

    pub fn totals(&self, function: &str, release: &Release) -> tidegate::adapters::gateway::Totals {
        let all = self.local.gateway().unwrap().totals(function);
        all.get(&Destination::Release(release.id.clone())).copied().unwrap_or_default()
    }

    /// All that the instances of a function have printed, as far as it was kept.
    pub fn logs(&self, function: &str) -> String {
        let folder = self.folder.path().join("local/logs").join(function);
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder).map(|entries| entries.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default();
        files.sort();
        files.iter().map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()).collect()
    }
}

#[derive(Clone)]
pub struct Client {
    http: Legacy<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { http: Legacy::builder(TokioExecutor::new()).build_http(), address }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(format!("http://{}{path}", self.address)).body(Full::default()).unwrap()).await
    }

    pub async fn post(&self, path: &str, kind: &str, body: impl Into<Bytes>) -> Answer {
        self.send(Request::post(format!("http://{}{path}", self.address)).header("content-type", kind).body(Full::new(body.into())).unwrap()).await
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let (head, body) = self.http.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body: String::from_utf8_lossy(&body).into_owned() }
    }
}
