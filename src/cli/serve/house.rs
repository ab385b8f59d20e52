//! All that a server is besides its gateway: put together here, and nowhere else.
//!
//! ```text
//!  webhook ─▶ deliveries ─▶ intake ─┐
//!  schedule ────────────────────────┼─▶ asking ─▶ dispatcher ─▶ runs ─▶ hub ─▶ reports
//!  API ─▶ obey ─────────────────────┘                                    journal ─▶ metrics, traces
//! ```

use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use super::super::pipeline::own_action;
use super::super::session::{Session, processors};
use super::at_work::AtWork;
use super::obey::Obeying;
use crate::adapters::access::Access;
use crate::adapters::deliveries::{Deliveries, Keep};
use crate::adapters::journal::Watch;
use crate::adapters::mailbox::Mailbox;
use crate::adapters::source::mirror::Mirrors;
use crate::core::queue::Room;
use crate::model::settings::Settings;
use crate::runtime::asking::{Asking, SharedAsking};
use crate::runtime::dispatcher::{Deciding, Dispatcher, Means};
use crate::runtime::drive_run::Surroundings;
use crate::runtime::hub::{Hub, Told};
use crate::runtime::intake::{Intake, Signs, Words};
use crate::runtime::records::Records;
use crate::runtime::reports::{Pace, Reports};
use crate::runtime::schedule::Schedule;
use crate::runtime::tidying::Tidying;
use crate::server::api::{self, Parts, control, login};
use crate::server::life::Life;
use crate::server::metrics::Metrics;
use crate::server::traces::Traces;
use crate::server::{listen, observe, webhook};

/// Runs at once, where the settings do not say: what runs waits for room for each of its steps anyway.
const RUNS: usize = 32;

/// A server that has been put together and does nothing yet.
pub struct House {
    pub dispatcher: Dispatcher,
    pub deciding: Deciding,
    pub around: Surroundings,
    reports: Option<Reports>,
    hub: Hub,
    /// From the first moment: what recovery notes and ends is heard as well.
    told: [Receiver<Told>; 2],
    asking: SharedAsking,
    intake: Intake,
    deliveries: Deliveries,
    metrics: Arc<Metrics>,
    traces: Option<Traces>,
    obeying: Obeying,
    router: Router,
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("House").finish_non_exhaustive()
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

impl House {
    /// Opens everything. Needs a tokio runtime around it.
    pub async fn build(session: &Session, settings: &Settings, life: &Life) -> Result<Self, Failed> {
        let hub = Hub::default();
        let told = [hub.listen(), hub.listen()];
        let state = session.state.clone();
        let metrics = Arc::new(Metrics::default());
        let counted = metrics.clone();
        let journal = session.journal.clone().watched(Watch::new(move |took| counted.appended(took)));
        let mirrors = Mirrors::open(&state)?;
        let rollouts = session.rollouts.observed_by(hub.observer(None));
        let around = Surroundings {
            observer: hub.observer(None),
            rollouts,
            journal: journal.clone(),
            ..session.around(std::path::PathBuf::new(), processors())
        };
        let room = Room { runs: RUNS, repository: RUNS / 2 };
        let reports = Reports::start(settings, journal.clone(), state.clone(), hub.observer(None), Pace::default()).await?;
        let github = reports.as_ref().map(|reports| reports.github().clone());
        let means =
            Means { around: around.clone(), store: session.store.clone(), mirrors: mirrors.clone(), hub: hub.clone(), room, github: github.clone() };
        let (dispatcher, deciding) = Dispatcher::new(means);
        let asking = Arc::new(Asking { journal: journal.clone(), mirrors, dispatcher: dispatcher.clone(), github, own_action });
        let deliveries = Deliveries::open(state.root(), keep(settings))?;
        let letters = Mailbox::new(state.folder("letters")?);
        let words = Words { journal: journal.clone(), state: state.clone(), letters: letters.clone() };
        let intake = Intake { deliveries: deliveries.clone(), asking: asking.clone(), words, hub: hub.clone(), signs: Signs::default() };
        let endpoint = settings.server.traces.clone().or_else(|| std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok());
        let traces = endpoint.map(|url| Traces::open(&url)).transpose()?;
        let (control, asked) = control::channel();
        let obeying = Obeying::new(asked, asking.clone(), session, letters.clone());
        let parts = Parts {
            records: Records { state: state.clone(), journal: journal.clone() },
            letters,
            access: Access::open(&state.access())?,
            control,
            deliveries: Some(deliveries.clone()),
            prices: settings.prices.clone(),
            server: settings.server.clone(),
            oauth: settings.github.as_ref().map(login::Oauth::new).transpose()?.flatten(),
            life: life.clone(),
            metrics: metrics.clone(),
        };
        let secrets = settings.github.as_ref().map(|github| github.webhook_secrets.clone()).unwrap_or_default();
        let router =
            api::router(parts).merge(counted_hooks(webhook::router(deliveries.clone(), secrets, webhook::Limits::default()), metrics.clone()));
        Ok(Self { dispatcher, deciding, around, reports, hub, told, asking, intake, deliveries, metrics, traces, obeying, router })
    }

    /// Everything begins: connections are taken, deliveries handled, runs begun.
    pub fn open(self, listener: TcpListener, life: &Life, state: &crate::adapters::state::StateFolder) -> std::io::Result<Opened> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let door = tokio::spawn(listen::serve(listener, self.router, listen::Limits::default(), life.draining()));
        let schedule = Schedule::open(state, self.asking.clone(), self.hub);
        let journal = self.asking.journal.clone();
        let counting = self.metrics.clone();
        let tidying = Tidying::start(self.asking.mirrors.clone())?;
        let [for_reports, for_log] = self.told;
        let mut at_work = AtWork::default();
        at_work.begin("decides which runs begin", self.deciding.run());
        at_work.begin("handles deliveries", self.intake.run());
        at_work.begin("does what the API is told", self.obeying.run());
        at_work.begin("looks at schedules", schedule.run());
        at_work.begin("follows the journal", observe::follow(journal, self.metrics, self.traces));
        at_work.begin("writes the log", note(for_log));
        if let Some(reports) = self.reports.clone() {
            at_work.begin("hears what is to be reported", report(reports, for_reports));
        }
        if let Some(reports) = self.reports.clone() {
            at_work.begin("counts reports", count_reports(reports, counting));
        }
        drop(self.deliveries);
        Ok(Opened { door, at_work, dispatcher: self.dispatcher, reports: self.reports, tidying })
    }
}

/// It is waited for once, by who closes.
async fn finished(task: &JoinHandle<()>) {
    while !task.is_finished() {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

/// A server at work.
#[derive(Debug)]
pub struct Opened {
    door: JoinHandle<()>,
    at_work: AtWork,
    dispatcher: Dispatcher,
    reports: Option<Reports>,
    tidying: Tidying,
}

impl Opened {
    /// Until a part of it has ended that never should: which, and why.
    pub async fn broken(&mut self) -> String {
        tokio::select! {
            why = self.at_work.ended() => why,
            () = finished(&self.door) => "the part that takes connections has ended".to_owned(),
        }
    }

    /// Requests under way are answered; nothing else begins any more. What runs is left to the next process, which finds it as it is.
    pub async fn close(self) {
        drop(self.tidying);
        let _ = self.door.await;
        self.dispatcher.stop().await;
        self.at_work.abort();
        if let Some(reports) = self.reports {
            reports.close().await;
        }
    }
}

/// What happens is reported. Never ends.
async fn report(reports: Reports, told: Receiver<Told>) {
    reports.listen(told).await;
}

/// What is noted is said in the log.
async fn note(mut told: Receiver<Told>) {
    loop {
        match told.recv().await {
            Ok(Told::Note(note)) => tracing::warn!("{}", crate::report::run::text::clean(&note)),
            Ok(Told::Fact(_) | Told::Log { .. }) => {}
            Err(RecvError::Lagged(missed)) => tracing::debug!("{missed} things were not heard of"),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Where the settings say nothing, as the store itself would have it.
fn keep(settings: &Settings) -> Keep {
    let (own, wanted) = (Keep::default(), settings.server.deliveries);
    Keep { time: wanted.keep.unwrap_or(own.time), bytes: wanted.bytes.unwrap_or(own.bytes) }
}

/// How many reports the forge has not got yet. Never ends.
async fn count_reports(reports: Reports, metrics: Arc<Metrics>) {
    loop {
        metrics.reports(reports.pending());
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
}

/// Every delivery is counted, with what it was answered.
fn counted_hooks(router: Router, metrics: Arc<Metrics>) -> Router {
    router.layer(axum::middleware::from_fn(move |request: axum::extract::Request, next: axum::middleware::Next| {
        let metrics = metrics.clone();
        async move {
            let event = request.headers().get("x-github-event").and_then(|event| event.to_str().ok()).unwrap_or_default().to_owned();
            let answer = next.run(request).await;
            metrics.delivery(&event, answer.status().as_u16());
            answer
        }
    }))
}
