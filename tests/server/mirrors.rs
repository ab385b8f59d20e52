//! A mirror that has grown for years is put in order by a server while it serves.

use rustix::process::Signal;
use tidegate::model::outcome::RunOutcome;

use crate::packs;
use crate::payloads::{push, rerequested};
use crate::town::Town;

const PIPELINE: &str = "name: shop\non: { push: {} }\nsteps:\n  build: { run: cat door.txt }\n";

#[test]
fn an_old_mirror_is_put_in_order_when_a_server_starts_and_serves_all_that_it_had() {
    let mut town = Town::with(&[(".tidegate/shop.yaml", PIPELINE), ("door.txt", "oak\n")]);
    let url = town.url();
    let ran = |town: &Town, id: &str, commit: &str, says: &str| {
        let run = town.asked_one(&town.deliver(id, "push", &push(&url, "refs/heads/main", commit)));
        assert_eq!(town.end_of(&run), RunOutcome::Succeeded);
        assert!(town.world.tidegate(&["runs", "logs", run.as_str(), "build"]).expect(0).out.contains(says));
        run
    };
    let old = town.push("door.txt", "ash\n", "refs/heads/main");
    let first = ran(&town, "first", &old, "ash");
    town.stop(Signal::TERM);
    // As an earlier version has left it, after two hundred and ten pushes. The first commit is forced away.
    let mirrors = std::fs::read_dir(town.world.state().join("mirrors")).expect("mirrors").map(|entry| entry.expect("an entry").path());
    let mirror = mirrors.into_iter().find(|path| path.is_dir()).expect("a mirror");
    packs::leave(&mirror, 210);
    let reference = mirror.join("refs/tidegate/commits").join(&old);
    std::fs::create_dir_all(reference.parent().expect("a folder")).expect("made");
    std::fs::write(&reference, format!("{old}\n")).expect("written");
    let objects = packs::objects(&mirror);
    town.world.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let new = town.push("door.txt", "elm\n", "refs/heads/main");
    assert!(packs::packs(&mirror).len() > 200);

    town.start();
    ran(&town, "second", &new, "elm");
    let packing = mirror.with_file_name(format!("{}.packing", mirror.file_name().expect("a name").display()));
    // One, and what was fetched meanwhile.
    town.until("a mirror in order", || (packs::packs(&mirror).len() <= 3 && !packing.exists() && !reference.exists()).then_some(()));
    let again = town.asked_one(&town.deliver("again", "check_run", &rerequested(&url, "ada", &old, first.as_str())));
    assert_eq!(town.end_of(&again), RunOutcome::Succeeded);
    assert!(town.world.tidegate(&["runs", "logs", again.as_str(), "build"]).expect(0).out.contains("ash"));
    ran(&town, "third", &old, "ash");
    let left = packs::objects(&mirror);
    assert!(objects.iter().all(|object| left.contains(object)), "{} of {}", left.len(), objects.len());
}
