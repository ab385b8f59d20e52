//! A server over a state folder with a past, and somebody who asks it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tidegate::adapters::access::Access;
use tidegate::adapters::deliveries::{Deliveries, Keep};
use tidegate::adapters::journal;
use tidegate::adapters::mailbox::Mailbox;
use tidegate::model::access::{Scope, Scopes};
use tidegate::model::delivery::{Delivery, Handled};
use tidegate::model::id::{DeliveryId, RunId};
use tidegate::model::settings::{Price, Prices, Server as Reached};
use tidegate::model::time::Timestamp;
use tidegate::runtime::clock;
use tidegate::runtime::records::Records;
use tidegate::server::api::control::{self, Command, Done};
use tidegate::server::api::login::Oauth;
use tidegate::server::api::{Parts, router};
use tidegate::server::metrics::Metrics;

use crate::past::{self, Story};

pub struct Bench {
    pub story: Story,
    pub runtime: tokio::runtime::Runtime,
    pub address: SocketAddr,
    pub access: Access,
    pub letters: Mailbox,
    /// What the server's loop was asked for.
    pub asked: Arc<Mutex<Vec<Command>>>,
    pub metrics: Arc<Metrics>,
    http: reqwest::Client,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
    /// Every error is a problem as the standard has it.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!((self.status, self.header("content-type")), (status, "application/problem+json"), "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["type"].as_str().is_some_and(|kind| kind.starts_with("urn:tidegate:problem:")), "{problem}");
        problem["detail"].as_str().expect("a detail").to_owned()
    }
}

/// How a bench differs from the usual one.
#[derive(Default)]
pub struct With {
    pub reached: Reached,
    pub oauth: Option<Oauth>,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(With::default())
    }

    pub fn with(with: With) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let story = past::story();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let access = Access::open(&story.state.root().join("access.db")).expect("tokens");
        let letters = Mailbox::new(story.state.folder("letters").expect("a folder"));
        let asked: Arc<Mutex<Vec<Command>>> = Arc::default();
        let (control, mut commands) = control::channel();
        let kept = asked.clone();
        runtime.spawn(async move {
            while let Some(control::Asked { command, answer }) = commands.recv().await {
                kept.lock().expect("nobody panicked").push(command);
                let _ = answer.send(Ok(Done::Asked(vec![RunId::new("new1")])));
            }
        });
        let metrics: Arc<Metrics> = Arc::default();
        let parts = Parts {
            records: Records { state: story.state.clone(), journal: journal::open(&story.state.journal(), "reader").expect("the journal") },
            letters: letters.clone(),
            access: access.clone(),
            control,
            deliveries: Some(runtime.block_on(deliveries(story.state.root()))),
            prices: Prices { gb_second: Some(Price(16_666_700)), request: None, cpu_second: None, currency: Some("USD".to_owned()) },
            server: with.reached,
            oauth: with.oauth,
            metrics: metrics.clone(),
            ready: Box::new(|| Ok(())),
        };
        let address = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let service = router(parts).into_make_service_with_connect_info::<SocketAddr>();
            tokio::spawn(async move { axum::serve(listener, service).await });
            address
        });
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().expect("a client");
        Self { story, runtime, address, access, letters, asked, metrics, http }
    }

    pub fn token(&self, scopes: &[Scope]) -> String {
        let name = format!("t{}", self.access.tokens().expect("listed").len());
        let token = self.access.create_token(&name, &Scopes::new(scopes.iter().copied()), clock::now(), None).expect("a token");
        String::from_utf8(token.reveal().to_vec()).expect("text")
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method.parse().expect("a method"), self.url(path))
    }

    pub fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.runtime.block_on(async {
            let response = request.send().await.expect("an answer");
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Answer { status, headers, body: response.bytes().await.expect("a body").to_vec() }
        })
    }

    pub fn get(&self, path: &str, token: &str) -> Answer {
        self.send(self.request("GET", path).bearer_auth(token))
    }

    pub fn post(&self, path: &str, token: &str, body: &serde_json::Value) -> Answer {
        self.send(self.request("POST", path).bearer_auth(token).json(body))
    }

    pub fn commands(&self) -> Vec<Command> {
        std::mem::take(&mut *self.asked.lock().expect("nobody panicked"))
    }
}

/// Five, of which one waits.
async fn deliveries(state: &std::path::Path) -> Deliveries {
    let store = Deliveries::open(state, Keep::default()).expect("a store");
    for n in 0..5_u64 {
        let delivery = Delivery {
            id: DeliveryId::new(format!("72d3162e-cc78-11e3-81ab-{n:012}")),
            event: "push".to_owned(),
            received: Timestamp::from_micros(1_790_000_000_000_000 + n),
            body: br#"{"ref":"refs/heads/main"}"#.to_vec(),
        };
        let id = delivery.id.clone();
        store.store(delivery).await.expect("stored");
        if n > 0 {
            store.mark_handled(&id, Timestamp::from_micros(1), Handled::Ignored { because: "nothing".to_owned() }).await.expect("marked");
        }
    }
    store
}
