//! About the server itself: what it understands, whether it is well, and who asks.

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, InfoBuilder, OpenApi, Ref, ResponseBuilder};

use super::Api;
use super::login::cookies;
use super::problem::{MEDIA_TYPE, Problem};
use super::routes::{self, Needs};
use super::who::Caller;

/// Who asks.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Whoami {
    /// `token NAME` or `@LOGIN`
    pub name: String,
    /// Of a token, or `admin` of an admin; other people's depend on the repository.
    pub scopes: Vec<String>,
}

/// Says who asks, and what they may.
#[utoipa::path(get, path = "/api/v1/whoami", tag = "server", responses((status = 200, body = Whoami)))]
pub async fn whoami(State(api): State<Api>, caller: Caller) -> Json<Whoami> {
    let scopes = match &caller {
        Caller::Token { scopes, .. } => scopes.iter().map(|scope| scope.word().to_owned()).collect(),
        Caller::Person { person, .. } if api.is_admin(person) => vec!["admin".to_owned()],
        _ => Vec::new(),
    };
    Json(Whoami { name: caller.name(), scopes })
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "server", responses((status = 200, body = Object)))]
pub async fn openapi(State(api): State<Api>) -> ([(HeaderName, &'static str); 1], Bytes) {
    ([(CONTENT_TYPE, "application/json")], api.described.clone())
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "server", responses((status = 200, body = String, content_type = "text/plain; charset=utf-8")))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// All that it needs is there, so it may be sent something to do.
#[utoipa::path(get, path = "/readyz", tag = "server", responses((status = 200, body = String, content_type = "text/plain; charset=utf-8")))]
pub async fn readyz(State(api): State<Api>) -> Result<&'static str, Problem> {
    match (api.ready)() {
        Ok(()) => Ok("ready\n"),
        Err(why) => Err(Problem::unavailable(why)),
    }
}

/// Numbers for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "server",
    responses((status = 200, body = String, content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8")))]
pub async fn metrics(State(api): State<Api>) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    crate::server::observe::count(&api.records.journal, &api.metrics).await?;
    api.metrics.streams(api.streams.open());
    Ok(([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], api.metrics.text()))
}

/// What every route has in common is said once here, from the same table that it is held by.
pub fn describe(mut described: OpenApi) -> OpenApi {
    described.info = InfoBuilder::new()
        .title("Tidegate")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Runs, rollouts and deliveries of one Tidegate server."))
        .license(Some(utoipa::openapi::LicenseBuilder::new().name("Apache-2.0 OR MIT").identifier(Some("Apache-2.0 OR MIT")).build()))
        .build();
    let components = described.components.get_or_insert_default();
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A token: tgp_…")).build();
    components.add_security_scheme("token", SecurityScheme::Http(token));
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(cookies::PLAIN))));
    let (name, problem) = (Problem::name().into_owned(), <Problem as utoipa::PartialSchema>::schema());
    components.schemas.insert(name.clone(), problem);
    for (path, item) in &mut described.paths.paths {
        let methods = [(axum::http::Method::GET, &mut item.get), (axum::http::Method::POST, &mut item.post)];
        for (method, operation) in methods {
            let Some(operation) = operation else { continue };
            let mut problems = vec![("400", "It is not understood."), ("500", "Something is wrong with the server."), ("503", "Not now.")];
            if path.contains('{') || path.contains("deliveries") {
                problems.push(("404", "There is no such thing."));
            }
            if path.contains('{') {
                problems.push(("409", "It is not so, or not any more; or several begin like this."));
            }
            if method == axum::http::Method::POST {
                problems.extend([("409", "It is not so, or not any more."), ("413", "The body is too large."), ("415", "The body is no JSON.")]);
            }
            if path.contains("/logs/") {
                problems.push(("416", "There is no such range."));
            }
            match routes::of(&method, path) {
                Some((Needs::Scope(scope), _)) => {
                    problems.extend([("401", "Nobody, or nobody any more."), ("403", "Not allowed."), ("429", "Too many wrong tokens.")]);
                    let needed = [scope.word().to_owned()];
                    operation.security = Some(vec![SecurityRequirement::new("token", needed.clone()), SecurityRequirement::new("session", needed)]);
                    operation.description =
                        Some(format!("{}\n\nScope: `{scope}`.", operation.description.clone().unwrap_or_default()).trim().to_owned());
                }
                _ => operation.security = Some(Vec::new()),
            }
            for (status, why) in problems {
                let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(name.clone()))).build();
                let response = ResponseBuilder::new().description(why).content(MEDIA_TYPE, content).build();
                operation.responses.responses.entry(status.to_owned()).or_insert(response.into());
            }
        }
    }
    described
}
