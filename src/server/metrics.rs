//! Numbers for Prometheus, in the words of docs/architecture.md. Every label has a fixed set of values: what comes from outside is `other` where it is not known.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::model::fact::{Fact, RolloutFact, RunFact};

/// A label's value: one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Word(&'static str);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Delivery {
    event: Word,
    answer: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Invocation {
    outcome: Word,
    executor: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Phase {
    phase: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    route: String,
    status: Word,
}

/// GitHub's events that a server is likely to be sent.
const EVENTS: [&str; 16] = [
    "push",
    "pull_request",
    "issue_comment",
    "check_run",
    "check_suite",
    "release",
    "workflow_dispatch",
    "repository_dispatch",
    "deployment",
    "merge_group",
    "ping",
    "installation",
    "installation_repositories",
    "create",
    "delete",
    "status",
];

/// From a millisecond to an hour.
fn seconds() -> Histogram {
    Histogram::new([0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0])
}

#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    deliveries: Family<Delivery, Counter>,
    runs: Family<State, Gauge>,
    ended: Family<Outcome, Counter>,
    rollouts: Family<Outcome, Counter>,
    invocations: Family<Invocation, Counter>,
    phases: Family<Phase, Histogram, fn() -> Histogram>,
    waited: Histogram,
    appended: Histogram,
    reports: Gauge,
    answers: Family<Answer, Counter>,
    streams: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut me = Self {
            registry: Registry::with_prefix("tidegate"),
            deliveries: Family::default(),
            runs: Family::default(),
            ended: Family::default(),
            rollouts: Family::default(),
            invocations: Family::default(),
            phases: Family::new_with_constructor(seconds),
            waited: seconds(),
            appended: Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]),
            reports: Gauge::default(),
            answers: Family::default(),
            streams: Gauge::default(),
        };
        let to = &mut me.registry;
        to.register("deliveries", "Webhook requests, by event and answer", me.deliveries.clone());
        to.register("runs", "Runs that have not ended, and requests for some", me.runs.clone());
        to.register("runs_ended", "Runs that have ended", me.ended.clone());
        to.register("rollouts_ended", "Rollouts that have ended", me.rollouts.clone());
        to.register("invocations", "Invocations that have ended", me.invocations.clone());
        to.register("invocation_phase_seconds", "Time in each phase of an invocation", me.phases.clone());
        to.register("queue_wait_seconds", "From being asked for until a run has begun", me.waited.clone());
        to.register("journal_append_seconds", "Until facts are on disk", me.appended.clone());
        to.register("reports_pending", "Reports that the forge has not got yet", me.reports.clone());
        to.register("answers", "Answers of the API, by route and kind of status", me.answers.clone());
        to.register("streams", "Streams of events that are open", me.streams.clone());
        me
    }
}

impl Metrics {
    /// A webhook request that was answered so.
    pub fn delivery(&self, event: &str, status: u16) {
        let event = EVENTS.into_iter().find(|known| *known == event).unwrap_or("other");
        let answer = match status {
            200 => "repeated",
            202 => "stored",
            401 | 403 => "refused",
            503 => "overloaded",
            400..=499 => "invalid",
            _ => "other",
        };
        self.deliveries.get_or_create(&Delivery { event: Word(event), answer: Word(answer) }).inc();
    }

    /// A fact of the journal, whoever wrote it.
    pub fn fact(&self, fact: &Fact) {
        match fact {
            Fact::Run(RunFact::InvocationEnded { outcome, record, .. }) => {
                let executor = record.as_ref().map_or("none", |record| match record.executor.as_str() {
                    "sandbox" => "sandbox",
                    "container" => "container",
                    _ => "other",
                });
                self.invocations.get_or_create(&Invocation { outcome: Word(outcome.word()), executor: Word(executor) }).inc();
                let Some(phases) = record.as_ref().map(|record| record.phases) else { return };
                let all = [
                    ("queued", phases.queued_us),
                    ("workspace", phases.workspace_us),
                    ("setup", phases.setup_us),
                    ("exec", phases.exec_us),
                    ("run", phases.run_us),
                    ("collect", phases.collect_us),
                ];
                for (phase, us) in all {
                    self.phases.get_or_create(&Phase { phase: Word(phase) }).observe(us as f64 / 1e6);
                }
            }
            Fact::Run(RunFact::Ended { outcome }) => drop(self.ended.get_or_create(&Outcome { outcome: Word(outcome.word()) }).inc()),
            Fact::Rollout(RolloutFact::Ended { outcome }) => drop(self.rollouts.get_or_create(&Outcome { outcome: Word(outcome.word()) }).inc()),
            _ => {}
        }
    }

    /// How long a request had waited when its run began.
    pub fn waited(&self, time: Duration) {
        self.waited.observe(time.as_secs_f64());
    }

    /// How long an append took.
    pub fn appended(&self, time: Duration) {
        self.appended.observe(time.as_secs_f64());
    }

    /// Runs that are under way, and requests that wait.
    pub fn runs(&self, running: usize, waiting: usize) {
        for (state, many) in [("running", running), ("waiting", waiting)] {
            self.runs.get_or_create(&State { state: Word(state) }).set(i64::try_from(many).unwrap_or(i64::MAX));
        }
    }

    /// Reports that are still to be made.
    pub fn reports(&self, pending: usize) {
        self.reports.set(i64::try_from(pending).unwrap_or(i64::MAX));
    }

    pub fn streams(&self, open: usize) {
        self.streams.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// `route` is a path of the table, with its parameters' names.
    pub fn answer(&self, route: &str, status: u16) {
        let status = match status / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => "other",
        };
        self.answers.get_or_create(&Answer { route: route.to_owned(), status: Word(status) }).inc();
    }

    /// As Prometheus reads it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to text does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_makes_no_new_labels() {
        let metrics = Metrics::default();
        for n in 0..1_000 {
            metrics.delivery(&format!("push\"}} {n}"), 202);
        }
        metrics.delivery("push", 503);
        metrics.appended(Duration::from_millis(3));
        let text = metrics.text();
        assert!(text.contains("tidegate_deliveries_total{event=\"other\",answer=\"stored\"} 1000\n"), "{text}");
        assert!(text.contains("tidegate_deliveries_total{event=\"push\",answer=\"overloaded\"} 1\n"), "{text}");
        assert!(text.contains("tidegate_journal_append_seconds_count 1\n") && text.ends_with("# EOF\n"), "{text}");
    }
}
