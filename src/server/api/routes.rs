//! What each route asks for. A route that is not in the table is refused, so that none is forgotten.

use axum::http::Method;

use crate::model::access::Scope;

/// Whose repository a route is about: people have rights of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The run of the path.
    Run,
    /// The run that the path's rollout belongs to.
    Rollout,
    /// The query's `repository`.
    Query,
    /// The body says: the handler asks.
    Body,
    /// None: people need to be among the server's admins.
    Server,
    /// Nothing that anybody is kept from.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Anybody may.
    Nothing,
    Scope(Scope),
}

type Route = (Method, &'static str, Needs, About);

const fn read(path: &'static str, about: About) -> Route {
    (Method::GET, path, Needs::Scope(Scope::Read), about)
}

const fn post(path: &'static str, scope: Scope, about: About) -> Route {
    (Method::POST, path, Needs::Scope(scope), about)
}

const fn open(method: Method, path: &'static str) -> Route {
    (method, path, Needs::Nothing, About::Nothing)
}

/// As docs/api.md has it.
pub const ROUTES: [Route; 31] = [
    read("/api/v1/runs", About::Query),
    post("/api/v1/runs", Scope::Run, About::Body),
    read("/api/v1/runs/{run}", About::Run),
    read("/api/v1/runs/{run}/facts", About::Run),
    read("/api/v1/runs/{run}/events", About::Run),
    read("/api/v1/runs/{run}/usage", About::Run),
    read("/api/v1/runs/{run}/logs/{node}/{attempt}", About::Run),
    read("/api/v1/runs/{run}/logs/{node}/{attempt}/events", About::Run),
    post("/api/v1/runs/{run}/cancel", Scope::Run, About::Run),
    post("/api/v1/runs/{run}/rerun", Scope::Run, About::Run),
    post("/api/v1/runs/{run}/approve", Scope::Approve, About::Run),
    post("/api/v1/runs/{run}/reject", Scope::Approve, About::Run),
    read("/api/v1/requests", About::Query),
    read("/api/v1/rollouts", About::Server),
    read("/api/v1/rollouts/{rollout}", About::Rollout),
    read("/api/v1/rollouts/{rollout}/facts", About::Rollout),
    post("/api/v1/rollouts/{rollout}/promote", Scope::Deploy, About::Rollout),
    post("/api/v1/rollouts/{rollout}/abort", Scope::Deploy, About::Rollout),
    post("/api/v1/rollouts/{rollout}/rollback", Scope::Deploy, About::Rollout),
    (Method::GET, "/api/v1/deliveries", Needs::Scope(Scope::Admin), About::Server),
    (Method::GET, "/api/v1/deliveries/{delivery}", Needs::Scope(Scope::Admin), About::Server),
    post("/api/v1/deliveries/{delivery}/replay", Scope::Admin, About::Server),
    read("/api/v1/usage", About::Query),
    (Method::GET, "/api/v1/whoami", Needs::Scope(Scope::Read), About::Nothing),
    read("/metrics", About::Server),
    open(Method::GET, "/openapi.json"),
    open(Method::GET, "/healthz"),
    open(Method::GET, "/readyz"),
    open(Method::GET, "/login"),
    open(Method::GET, "/login/callback"),
    open(Method::POST, "/logout"),
];

/// What this route asks for. HEAD is GET without what it answers.
pub fn of(method: &Method, path: &str) -> Option<(Needs, About)> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    ROUTES.iter().find(|(with, at, ..)| with == method && *at == path).map(|(_, _, needs, about)| (*needs, *about))
}
