//! Pull requests of the repository's own people.

use tidegate::model::outcome::RunOutcome;

use crate::payloads::{own_pull, pressed};
use crate::town::{SHOP, Town};

const PIPELINE: &str = "\
name: shop
on: { pull_request: {} }
concurrency: { group: \"${{ event.ref }}\", queue: all }
steps:
  work: { run: sh ./work.sh }
";
const TIDY: &str = "\
name: tidy
on: { pull_request: { types: [closed] } }
concurrency: { group: \"${{ event.ref }}\", queue: all }
steps:
  tidy: { run: echo tidied }
";

#[test]
fn they_run_at_once_what_comes_late_ends_nothing_and_closing_is_an_event_too() {
    let town = Town::with(&[(".tidegate/shop.yaml", PIPELINE), (".tidegate/tidy.yaml", TIDY), ("work.sh", "echo first\n")]);
    let base = town.world.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let head = |work: &str| {
        let head = town.push("work.sh", work, "refs/pull/7/head");
        town.github.world().pull(SHOP, 7, &head);
        head
    };
    let (first, second) = (head("echo first\n# changed\n"), head("echo second; sleep 600\n"));
    let deliver = |id: &str, action: &str, head: &str| town.deliver(id, "pull_request", &own_pull(&town.url(), action, head, &base));
    let run = town.asked_one(&deliver("second", "synchronize", &second));
    town.invoked(&run);
    // The forge promises no order.
    let late = deliver("first", "opened", &first)["handled"].to_string();
    assert!(late.contains("another head"), "{late}");

    town.github.world().pulls.get_mut(&(SHOP.to_owned(), 7)).expect("it is there")["state"] = "closed".into();
    let tidy = town.asked_one(&deliver("closed", "closed", &second));
    // To hear of it once more ends nothing that it has started.
    town.world.tidegate(&["deliveries", "replay", "closed"]).expect(0);
    assert_eq!(town.asked_one(&town.handled("closed")), tidy);
    town.deliver("cancel", "check_run", &pressed(&town.url(), "ada", &second, run.as_str(), "cancel"));
    assert_eq!(town.end_of(&run), RunOutcome::Cancelled);
    assert_eq!(town.end_of(&tidy), RunOutcome::Succeeded);
    town.check(run.as_str(), "cancelled");
    town.check(tidy.as_str(), "success");
}
