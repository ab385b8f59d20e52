//! What was due while nobody was there is asked for when somebody is, once, however often the server dies over it.

use std::collections::BTreeMap;

use rustix::process::Signal;

use crate::payloads::push;
use crate::town::{SHOP, Town};

// The server dies at any moment, also between the word that a step starts and its supervisor: what may not run again would then end as nobody's.
const PIPELINE: &str =
    "name: nightly\non: { schedule: \"*/10 * * * *\" }\nsteps:\n  look: { run: echo looked, retry: { attempts: 5, on: [infrastructure] } }\n";
/// Microseconds.
const TEN_MINUTES: u64 = 600_000_000;

fn looked(town: &Town) -> Option<u64> {
    let bytes = std::fs::read(town.world.state().join("schedules.json")).ok()?;
    serde_json::from_slice::<BTreeMap<String, u64>>(&bytes).expect("a time for each repository").get(SHOP).copied()
}

#[test]
fn every_moment_that_was_due_is_asked_for_once() {
    let mut town = Town::with(&[(".tidegate/nightly.yaml", PIPELINE)]);
    let commit = town.world.git(&["rev-parse", "HEAD"]).trim().to_owned();
    // From here the repository is known.
    let heard = town.deliver("d1", "push", &push(&town.url(), "refs/heads/main", &commit));
    assert_eq!(town.asked(&heard), []);
    let first = town.until("the first look", || looked(&town));
    let after = first - 6 * TEN_MINUTES;
    for _ in 0..3 {
        // As one who dies before it is written down.
        town.stop(Signal::KILL);
        std::fs::write(town.world.state().join("schedules.json"), serde_json::json!({ SHOP: after }).to_string()).expect("written");
        town.start();
        town.until("every moment, once", || {
            let until = looked(&town).filter(|until| *until > after)?;
            let asked = town.requests().len() as u64;
            // Unless another one has come in between.
            (looked(&town) == Some(until)).then(|| assert_eq!(asked, until / TEN_MINUTES - after / TEN_MINUTES))
        });
    }
    let runs = town.requests();
    assert!(runs.len() >= 6, "{runs:?}");
    for run in runs {
        assert_eq!(town.end_of(&run), tidegate::model::outcome::RunOutcome::Succeeded);
        town.check(run.as_str(), "success");
    }
}
