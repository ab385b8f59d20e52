//! A mistake of Tidegate's own in the middle of its work ends what it shows at, and nothing else. A server's parts are put together here as `serve` puts them together, in this
//! process; what differs: asked for one of its own actions, it panics. The next server has that mended.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidegate::adapters::deliveries::{Deliveries, Keep};
use tidegate::adapters::executor::{AnyExecutor, SandboxExecutor};
use tidegate::adapters::journal;
use tidegate::adapters::mailbox::Mailbox;
use tidegate::adapters::provider::LocalOptions;
use tidegate::adapters::sandbox::{self, Isolation};
use tidegate::adapters::source::mirror::Mirrors;
use tidegate::adapters::state::{Owner, StateFolder};
use tidegate::adapters::workspace::Store;
use tidegate::core::queue::Room;
use tidegate::model::event::EventKind;
use tidegate::model::outcome::RunOutcome;
use tidegate::model::request::RequestFact;
use tidegate::model::secret::SecretSource;
use tidegate::model::settings::Limits;
use tidegate::model::time::Timestamp;
use tidegate::runtime::asking::{Asking, OwnAction};
use tidegate::runtime::clock;
use tidegate::runtime::dispatcher::{Dispatcher, Means};
use tidegate::runtime::drive_run::Surroundings;
use tidegate::runtime::hub::{Hub, Told};
use tidegate::runtime::intake::{Intake, Signs, Words};
use tidegate::runtime::rollouts::Rollouts;
use tidegate::runtime::schedule::Schedule;
use tidegate::server::{listen, webhook};
use tokio::sync::{broadcast, watch};

use crate::attacks::scene::is;
use crate::payloads::push;
use crate::town::{SHOP, Town};

const TOOLS: &str = "acme/tools";
const BUILDS: &str = "name: shop\non: { push: {}, schedule: \"* * * * *\" }\nsteps:\n  build: { run: echo built }\n";
const SCANS: &str = "name: shop\non: { push: {}, schedule: \"* * * * *\" }\nsteps:\n  scan: { uses: secret-scan }\n";

/// A server without a gateway, in which nothing ever begins. In the order in which its parts go away.
struct House {
    runtime: tokio::runtime::Runtime,
    schedule: Schedule,
    told: broadcast::Receiver<Told>,
    notes: Vec<String>,
    _open: watch::Sender<bool>,
    _owner: Owner,
}

/// The port was left a while ago: a connection of somebody else may have it for a moment.
async fn bound(address: std::net::SocketAddr) -> tokio::net::TcpListener {
    for _ in 0..600 {
        if let Ok(listener) = tokio::net::TcpListener::bind(address).await {
            return listener;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{address} is taken");
}

impl House {
    fn open(town: &Town, own_action: OwnAction) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let inside = runtime.enter();
        let state = StateFolder::open(town.world.state()).expect("a state folder");
        let owner = state.claim().expect("an owner");
        let journal = journal::open(&state.journal(), owner.id()).expect("a journal");
        let store = Store::open(state.root(), sandbox::outer_uid()).expect("a store");
        let (hub, mirrors) = (Hub::default(), Mirrors::open(&state).expect("mirrors"));
        let told = hub.listen();
        let letters = Mailbox::new(state.folder("letters").expect("a folder"));
        let options = LocalOptions::new("127.0.0.1:0".parse().expect("an address"));
        let sandbox = SandboxExecutor::new(state.root(), store.clone(), Vec::new(), Isolation::Full);
        let around = Surroundings {
            journal: journal.clone(),
            executor: Arc::new(AnyExecutor::Sandbox(sandbox)),
            rollouts: Rollouts::new(journal.clone(), state.clone(), letters.clone(), hub.observer(None), options),
            observer: hub.observer(None),
            state: state.clone(),
            snapshot: PathBuf::new(),
            limits: Limits::default(),
            parallel: NonZeroUsize::MIN,
        };
        let room = Room { runs: 0, repository: 0 };
        let means = Means { around, store, mirrors: mirrors.clone(), hub: hub.clone(), room, github: None };
        let (dispatcher, deciding) = Dispatcher::new(means);
        let asking = Arc::new(Asking { journal: journal.clone(), mirrors, dispatcher, github: None, own_action });
        let deliveries = Deliveries::open(state.root(), Keep::default()).expect("a store");
        let words = Words { journal, state: state.clone(), letters };
        let intake = Intake { deliveries: deliveries.clone(), asking: asking.clone(), words, hub: hub.clone(), signs: Signs::default() };
        let hooks = webhook::router(deliveries, vec![SecretSource::File(town.world.path("secret"))], webhook::Limits::default());
        let listener = runtime.block_on(bound(town.server));
        let (open, closing) = watch::channel(false);
        runtime.spawn(listen::serve(listener, hooks, listen::Limits::default(), closing));
        runtime.spawn(deciding.run());
        runtime.spawn(intake.run());
        let schedule = Schedule::open(&state, asking, hub);
        drop(inside);
        Self { runtime, schedule, told, notes: Vec::new(), _open: open, _owner: owner }
    }

    /// Looks at what is due, so much later.
    fn look(&mut self, minutes: u64) {
        let later = Duration::from_secs(minutes * 60);
        let now = Timestamp::from_micros(clock::now().as_micros() + u64::try_from(later.as_micros()).expect("a time"));
        self.runtime.block_on(self.schedule.look(now));
    }

    /// How often it was noted until now.
    fn noted(&mut self, text: &str) -> usize {
        loop {
            match self.told.try_recv() {
                Ok(Told::Note(note)) => self.notes.push(note),
                Ok(Told::Fact(_) | Told::Log { .. }) => {}
                Err(_) => return self.notes.iter().filter(|note| note.contains(text)).count(),
            }
        }
    }
}

fn mistaken(name: &str) -> Option<String> {
    panic!("nobody has thought of {name}")
}

static TIMES: AtomicUsize = AtomicUsize::new(0);
fn mistaken_and_counted(name: &str) -> Option<String> {
    TIMES.fetch_add(1, Ordering::SeqCst);
    mistaken(name)
}

/// Scheduled runs that a repository was asked for.
fn scheduled(town: &Town, repository: &str) -> usize {
    let is = |fact: &RequestFact| match fact {
        RequestFact::Asked { event, .. } => event.kind == EventKind::Schedule && event.repository == repository,
        _ => false,
    };
    town.requests().iter().filter(|run| town.request(run).iter().any(is)).count()
}

fn pushed(town: &Town, id: &str, (branch, commit): (&str, &str)) {
    let reference = format!("refs/heads/{branch}");
    let answer = town.send(id, "push", &push(&town.url(), &reference, commit));
    assert_eq!(answer.status, 202, "{answer:?}");
}

#[test]
fn a_mistake_in_the_middle_of_a_delivery_ends_that_one_and_is_not_made_again() {
    let mut town = Town::quiet(&[(".tidegate/shop.yaml", BUILDS)]);
    let good = town.push("door.txt", "oak", "refs/heads/main");
    let bad = town.push(".tidegate/shop.yaml", SCANS, "refs/heads/doors");
    let mut house = House::open(&town, mistaken_and_counted);
    // One behind another, in one line.
    town.world.git(&["push", "--quiet", "origin", &format!("{good}:refs/heads/windows")]);
    for (id, branch, commit) in [("before", "main", &good), ("bad", "doors", &bad), ("after", "windows", &good)] {
        pushed(&town, id, (branch, commit));
    }
    let runs = ["before", "after"].map(|id| town.asked_one(&town.handled(id)));
    let failed = town.handled("bad")["handled"].clone();
    is(&failed, "failed", "a mistake of Tidegate's own");
    is(&failed, "failed", "nobody has thought of secret-scan");
    assert_eq!(house.noted("delivery bad could not be handled"), 1, "{:?}", house.notes);
    assert_eq!((TIMES.load(Ordering::SeqCst), town.requests().len()), (1, 2));
    drop(house);

    // Nothing of it is lost: the next version is asked once more, and does what it says.
    town.start();
    for run in runs {
        assert_eq!(town.end_of(&run), RunOutcome::Succeeded);
    }
    town.world.tidegate(&["deliveries", "replay", "bad"]).expect(0);
    let run = town.asked_one(&town.handled("bad"));
    assert_eq!(town.end_of(&run), RunOutcome::Succeeded);
    town.check(run.as_str(), "success");
}

#[test]
fn a_mistake_in_the_schedules_of_one_repository_leaves_those_of_the_others() {
    let town = Town::quiet(&[(".tidegate/shop.yaml", BUILDS)]);
    let bare = town.world.path("served/acme/tools.git");
    let bare = bare.to_str().expect("UTF-8");
    town.world.git(&["init", "--quiet", "--bare", "--initial-branch=main", bare]);
    town.world.git(&["push", "--quiet", bare, "main"]);
    let first = town.world.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let mut house = House::open(&town, mistaken);
    pushed(&town, "shop", ("main", &first));
    let mut tools = push(&town.url().replace(SHOP, TOOLS), "refs/heads/main", &first);
    (tools["repository"]["full_name"], tools["repository"]["id"]) = (TOOLS.into(), 9.into());
    assert_eq!(town.send("tools", "push", &tools).status, 202);
    for id in ["shop", "tools"] {
        town.asked_one(&town.handled(id));
    }
    // From here both are known.
    house.look(0);
    let bad = town.push(".tidegate/shop.yaml", SCANS, "refs/heads/main");
    pushed(&town, "bad", ("main", &bad));
    is(&town.handled("bad")["handled"], "failed", "a mistake of Tidegate's own");
    for minute in 1..=3 {
        house.look(minute);
        assert_eq!(scheduled(&town, SHOP), 0);
        assert!(scheduled(&town, TOOLS) >= 1, "{:?}", house.notes);
    }
    assert_eq!(house.noted("schedules of acme/shop: a mistake of Tidegate's own"), 1, "{:?}", house.notes);

    // Another commit is another chance.
    let good = town.push(".tidegate/shop.yaml", BUILDS, "refs/heads/main");
    pushed(&town, "good", ("main", &good));
    town.asked_one(&town.handled("good"));
    house.look(4);
    assert!(scheduled(&town, SHOP) >= 1, "{:?}", house.notes);
    let all: BTreeMap<String, u64> =
        serde_json::from_slice(&std::fs::read(town.world.state().join("schedules.json")).expect("a file")).expect("a time for each");
    assert_eq!(all.keys().map(String::as_str).collect::<Vec<_>>(), [SHOP, TOOLS]);
}
