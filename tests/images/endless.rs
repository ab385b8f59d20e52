//! A registry that never comes to an end: what it answers is read as far as it may be long, and no further.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate::adapters::image::ImageError;

use crate::builder::{Layer, image};
use crate::byhand;
use crate::registry::World;

/// More than sockets hold, and far less than fills a memory.
const BOUND: u64 = 64 << 20;

struct Answer {
    /// Status and headers.
    head: String,
    body: Vec<u8>,
    /// Then something without an end.
    endless: bool,
}

fn answer(head: impl Into<String>, body: impl Into<Vec<u8>>, endless: bool) -> Answer {
    Answer { head: head.into(), body: body.into(), endless }
}

const WELL: &str = "200 OK";

struct Registry {
    host: String,
    /// Bytes of what has no end.
    sent: Arc<AtomicU64>,
    asked: Arc<AtomicU64>,
}

impl Registry {
    /// Answers by the path that was asked for; the address is its own.
    fn serving(answers: impl Fn(&str, &str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (sent, asked) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let registry = Self { host: host.clone(), sent: sent.clone(), asked: asked.clone() };
        byhand::answers(listener, move |head, stream| {
            asked.fetch_add(1, Ordering::SeqCst);
            say(stream, answers(head.split(' ').nth(1).unwrap_or_default(), &host), &sent);
        });
        registry
    }

    async fn pulled(&self) -> ImageError {
        let world = World::new();
        let error = world.pull(&format!("{}/own/app:1", self.host)).await.expect_err("there is no end");
        assert!(world.there("layers").is_empty() && world.leftovers().is_empty(), "nothing of it is kept");
        let sent = self.sent.load(Ordering::SeqCst);
        assert!(sent < BOUND, "{sent} bytes were taken: {error}");
        error
    }
}

fn say(mut stream: TcpStream, answer: Answer, sent: &AtomicU64) {
    let Answer { head, body, endless } = answer;
    let length = if endless { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let begun = write!(stream, "HTTP/1.1 {head}\r\n{length}connection: close\r\n\r\n").and_then(|()| stream.write_all(&body));
    if begun.is_err() || !endless {
        return;
    }
    let spaces = vec![b' '; 1 << 16];
    while stream.write_all(&spaces).is_ok() {
        sent.fetch_add(spaces.len() as u64, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_manifest_without_an_end_is_given_up_where_it_is_too_long() {
    let said = Registry::serving(|_, _| answer(WELL, "{", true)).pulled().await;
    assert!(matches!(&said, ImageError::Malformed { why, .. } if why == "its manifest is larger than 4194304 bytes"), "{said}");
}

#[tokio::test]
async fn a_complaint_without_an_end_is_read_to_where_it_says_enough() {
    let said = Registry::serving(|_, _| answer("500 No", "no ", true)).pulled().await;
    assert!(matches!(&said, ImageError::Registry { why, .. } if why == "it said 500"), "{said}");
}

#[tokio::test]
async fn a_token_without_an_end_lets_nobody_in() {
    let asks = |path: &str, host: &str, status: &str| match path.starts_with("/token") {
        true => answer(status, r#"{"token":""#, true),
        false => answer(format!("401 Who\r\nwww-authenticate: Bearer realm=\"http://{host}/token\",service=\"x\""), "", false),
    };
    let said = Registry::serving(move |path, host| asks(path, host, WELL)).pulled().await;
    assert!(matches!(&said, ImageError::Malformed { why, .. } if why == "its token is larger than 262144 bytes"), "{said}");
    let said = Registry::serving(move |path, host| asks(path, host, "403 No")).pulled().await;
    assert!(matches!(&said, ImageError::Unauthorised { .. }), "{said}");
}

#[tokio::test]
async fn who_is_sent_on_and_on_gives_up() {
    let registry = Registry::serving(|path, host| answer(format!("302 There\r\nlocation: http://{host}{path}x"), "", false));
    let said = registry.pulled().await;
    assert!(matches!(&said, ImageError::Unreachable { why, .. } if why.contains("redirect")), "{said}");
    let asked = registry.asked.load(Ordering::SeqCst);
    assert!(asked <= 3 * 6, "three tries of six requests each are the most: {asked}");
}

#[tokio::test]
async fn nobody_is_asked_for_a_token_where_others_can_listen() {
    let registry = Registry::serving(|_, _| answer("401 Who\r\nwww-authenticate: Bearer realm=\"http://192.0.2.1/token\"", "", false));
    let said = registry.pulled().await;
    assert!(matches!(&said, ImageError::Registry { why, .. } if why.contains("http://192.0.2.1, which is not HTTPS")), "{said}");
}

#[tokio::test]
async fn a_configuration_is_not_longer_than_it_may_be_and_not_longer_than_it_is_said_to_be() {
    let manifest = |size: u64, digest: Option<&str>| {
        let mut manifest = image(&[Layer::default().file("a", "a")]).manifest();
        manifest["config"]["size"] = size.into();
        if let Some(digest) = digest {
            manifest["config"]["digest"] = digest.into();
        }
        serde_json::to_vec(&manifest).unwrap()
    };
    let serving = |manifest: Vec<u8>| {
        Registry::serving(move |path, _| if path.contains("/manifests/") { answer(WELL, manifest.clone(), false) } else { answer(WELL, "{", true) })
    };
    let large = serving(manifest(5 << 20, None));
    let said = large.pulled().await;
    assert!(matches!(&said, ImageError::Malformed { why, .. } if why.contains("has 5242880 bytes, and 4194304 are the most")), "{said}");
    assert_eq!(large.asked.load(Ordering::SeqCst), 1, "it was not asked for");

    let said = serving(manifest(100, None)).pulled().await;
    assert!(matches!(&said, ImageError::Digest { expected, .. } if expected == "100 bytes"), "{said}");

    let elsewhere = serving(manifest(100, Some("sha256:../../../../token")));
    let said = elsewhere.pulled().await;
    assert!(matches!(&said, ImageError::Malformed { why, .. } if why.contains("which is no sha256 digest")), "{said}");
    assert_eq!(elsewhere.asked.load(Ordering::SeqCst), 1, "no path is made of what is no digest");
}
