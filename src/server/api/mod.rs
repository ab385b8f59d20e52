//! The HTTP API: what the command line can do, for programs and other machines. docs/api.md is for those who use it.
//!
//! ```text
//!  request ─▶ around: id, headers, log ─▶ guard: who is it, may they (routes) ─▶ handler ─┬─▶ runtime::records   what is
//!                                                                                         ├─▶ runtime::tell      letters to whoever drives it
//!                                                                                         └─▶ Control            what only the server's loop can do
//! ```
//! `router` is all that a listener needs; it must hand on the peer's address (`into_make_service_with_connect_info::<SocketAddr>()`) for the limit on
//! wrong tokens, and bound heads, connections and slow clients itself.

pub mod actions;
mod around;
pub mod control;
pub mod deliveries;
mod extract;
mod live;
pub mod login;
mod logs;
mod page;
mod problem;
pub mod requests;
pub mod rollouts;
pub mod routes;
pub mod runs;
pub mod system;
mod throttle;
pub mod usage;
mod who;

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes as paths;

use crate::adapters::access::Access;
use crate::adapters::deliveries::Deliveries;
use crate::adapters::mailbox::Mailbox;
use crate::model::access::Person;
use crate::model::settings::{Prices, Server};
use crate::runtime::records::Records;
use crate::server::life::Life;
use crate::server::metrics::Metrics;

pub use problem::Problem;

/// All that the API answers with.
pub struct Parts {
    pub records: Records,
    pub letters: Mailbox,
    pub access: Access,
    pub control: control::Control,
    /// `None`: no deliveries are listened for.
    pub deliveries: Option<Deliveries>,
    pub prices: Prices,
    pub server: Server,
    /// How people log in; `None`: they do not.
    pub oauth: Option<login::Oauth>,
    /// What `observe::follow` and others count in.
    pub metrics: Arc<Metrics>,
    /// What `/readyz` says; live streams end when it drains, and their readers go on at the next process.
    pub life: Life,
}

/// Clones share everything.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

pub struct Inner {
    records: Records,
    letters: Mailbox,
    access: Access,
    control: control::Control,
    deliveries: Option<Deliveries>,
    prices: Prices,
    server: Server,
    people: login::People,
    metrics: Arc<Metrics>,
    life: Life,
    throttle: throttle::Throttle,
    streams: live::Streams,
    summing: tokio::sync::Semaphore,
    described: bytes::Bytes,
}

impl Deref for Api {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("server", &self.server).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("server", &self.server).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Inner {
    /// `https://HOST[:PORT]`, as a browser names it.
    fn origin(&self) -> Option<String> {
        let url = url::Url::parse(self.server.url.as_deref()?).ok()?;
        Some(url.origin().ascii_serialization())
    }

    fn is_admin(&self, person: &Person) -> bool {
        self.server.admins.iter().any(|login| login.eq_ignore_ascii_case(&person.login))
    }
}

/// Everything below one address: `/healthz` and `/readyz` are among it, so whoever merges it leaves out `life::routes`; it also has the fallback for what is
/// nowhere.
pub fn router(parts: Parts) -> Router {
    let (router, described) = all().split_for_parts();
    let api = Api(Arc::new(Inner {
        people: login::People::new(parts.oauth, parts.server.url.clone()),
        records: parts.records,
        letters: parts.letters,
        access: parts.access,
        control: parts.control,
        deliveries: parts.deliveries,
        prices: parts.prices,
        server: parts.server,
        metrics: parts.metrics,
        life: parts.life,
        throttle: throttle::Throttle::default(),
        streams: live::Streams::default(),
        summing: tokio::sync::Semaphore::new(1),
        described: serde_json::to_vec(&system::describe(described)).unwrap_or_default().into(),
    }));
    router
        .route_layer(axum::middleware::from_fn_with_state(api.clone(), who::guard))
        .fallback(async || Problem::unknown("there is nothing at this address; /openapi.json says what there is"))
        .method_not_allowed_fallback(async || Problem::method())
        .layer(DefaultBodyLimit::max(extract::MAX_BODY))
        .layer(axum::middleware::from_fn(around::around))
        .with_state(api)
}

/// The description that the server publishes.
pub fn description() -> OpenApi {
    system::describe(all().into_openapi())
}

fn all() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(paths!(runs::list, actions::start))
        .routes(paths!(runs::show))
        .routes(paths!(runs::facts))
        .routes(paths!(live::run))
        .routes(paths!(usage::of_run))
        .routes(paths!(logs::text))
        .routes(paths!(live::log))
        .routes(paths!(actions::cancel))
        .routes(paths!(actions::rerun))
        .routes(paths!(actions::approve))
        .routes(paths!(actions::reject))
        .routes(paths!(requests::list))
        .routes(paths!(rollouts::list))
        .routes(paths!(rollouts::show))
        .routes(paths!(rollouts::facts))
        .routes(paths!(rollouts::promote))
        .routes(paths!(rollouts::abort))
        .routes(paths!(rollouts::rollback))
        .routes(paths!(deliveries::list))
        .routes(paths!(deliveries::show))
        .routes(paths!(deliveries::replay))
        .routes(paths!(usage::of_all))
        .routes(paths!(system::whoami))
        .routes(paths!(system::metrics))
        .routes(paths!(system::openapi))
        .routes(paths!(system::healthz))
        .routes(paths!(system::readyz))
        .routes(paths!(login::begin))
        .routes(paths!(login::callback))
        .routes(paths!(login::end))
}

/// The one TLS stack has its provider before anything speaks it; whoever was first has installed the same.
pub(crate) fn tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
