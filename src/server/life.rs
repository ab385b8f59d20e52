//! Whether this process serves, and what it says of that to whoever asks: `/healthz` and `/readyz`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// What dead processes left is looked at first.
    Starting,
    Serving,
    /// No new connections; requests under way are answered.
    Draining,
}

/// Clones are the same life.
#[derive(Debug, Clone)]
pub struct Life {
    stage: Arc<watch::Sender<Stage>>,
    draining: Arc<watch::Sender<bool>>,
}

impl Default for Life {
    fn default() -> Self {
        Self { stage: Arc::new(watch::Sender::new(Stage::Starting)), draining: Arc::new(watch::Sender::new(false)) }
    }
}

impl Life {
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Everything that `/readyz` promises can be done.
    pub fn serve(&self) {
        self.advance(Stage::Serving);
    }

    /// From now on nothing new; there is no way back.
    pub fn drain(&self) {
        self.advance(Stage::Draining);
        self.draining.send_replace(true);
    }

    /// What [`super::listen::serve`] and everything that never ends by itself (live events) waits for.
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// For the API's `/readyz`.
    pub fn ready(&self) -> Result<(), String> {
        match self.stage() {
            Stage::Serving => Ok(()),
            Stage::Starting => Err("starting".to_owned()),
            Stage::Draining => Err("draining".to_owned()),
        }
    }

    fn advance(&self, to: Stage) {
        self.stage.send_if_modified(|stage| {
            let later = to > *stage;
            *stage = to.max(*stage);
            later
        });
    }
}

/// `GET /healthz`: 200 as long as this process answers at all, so that nobody kills one that drains. `GET /readyz`: 200 only while it takes new work. Of a server
/// without an API, which has the same two.
pub fn routes(life: Life) -> Router {
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready)).with_state(life)
}

async fn ready(State(life): State<Life>) -> (StatusCode, String) {
    match life.ready() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_goes_one_way() {
        let life = Life::default();
        assert_eq!(life.stage(), Stage::Starting);
        life.serve();
        assert_eq!(life.stage(), Stage::Serving);
        assert!(!*life.draining().borrow());
        life.drain();
        life.serve();
        assert_eq!(life.stage(), Stage::Draining, "what drains never serves again");
        assert!(*life.draining().borrow());
    }
}
