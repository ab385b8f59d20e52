//! What killed processes have left in a mirror.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tidegate::adapters::source::mirror::{Limits, Mirrors, Tidied};
use tidegate::adapters::state::StateFolder;

use crate::mirror::main_branch;
use crate::packs;
use crate::tidying::{SHOP, door, few, folder, folders, grown, tidy};

fn touched(path: &Path, at: SystemTime) {
    File::options().write(true).create(true).truncate(false).open(path).expect("a file").set_modified(at).expect("set");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_in_the_middle_of_it_has_damaged_nothing() {
    let (scene, _, commits) = grown(12).await;
    let before = packs::objects(&folder(&scene.mirrors));
    let copy = |name: &str| {
        let to = scene.place.path().join(name);
        let copied = Command::new("cp").arg("-a").arg(scene.place.path().join("state")).arg(&to).status().expect("cp");
        assert!(copied.success());
        (Mirrors::open(&StateFolder::open(to.clone()).expect("a state folder")).expect("mirrors"), to)
    };
    let asked = AtomicUsize::new(0);
    copy("counted").0.tidy(SHOP, &few(), &|| asked.fetch_add(1, Ordering::SeqCst) < usize::MAX).expect("tidied");
    let all = asked.into_inner();
    // The last ones are asked between the removals of old packs.
    let moments = [1, 8, 20, all / 3, all / 2, all.saturating_sub(40), all.saturating_sub(12), all.saturating_sub(8), all.saturating_sub(4)];
    let mut killed = 0;
    for at in moments {
        let (mirrors, state) = copy(&format!("killed-{at}"));
        let mut victim = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "leftovers::the_victim", "--ignored", "--nocapture"])
            .env("VICTIM", &state)
            .env("VICTIM_AT", at.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a victim");
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(victim.stdout.take().expect("its output"))).map_while(Result::ok);
        killed += usize::from(lines.any(|line| line.contains("the victim is asked")));
        victim.kill().expect("killed");
        victim.wait().expect("it ended");
        let mirror = folder(&mirrors);
        assert_eq!(packs::objects(&mirror), before, "killed at {at} of {all}");
        while tidy(&mirrors, &few()).expect("tidied") != Tidied::Nothing {}
        assert_eq!(packs::objects(&mirror), before, "and again after {at} of {all}");
        assert!(packs::packs(&mirror).len() <= few().packs, "{:?}", packs::packs(&mirror));
        assert_eq!(door(&mirrors, &commits[5]), "door 5 of 12\n");
        assert_eq!(folders(&mirror), 1, "nothing is left beside it");
    }
    // How often it is asked depends a little on how fast it is: the last ones may have ended before.
    assert!(killed >= 5, "{killed} of {}", moments.len());
}

#[test]
#[ignore = "is started by the story above, to be killed"]
fn the_victim() {
    let state = StateFolder::open(PathBuf::from(std::env::var_os("VICTIM").expect("a folder"))).expect("a state folder");
    let at: usize = std::env::var("VICTIM_AT").expect("a moment").parse().expect("a number");
    let asked = AtomicUsize::new(0);
    let go_on = || {
        if asked.fetch_add(1, Ordering::SeqCst) + 1 == at {
            println!("the victim is asked");
            loop {
                std::thread::park();
            }
        }
        true
    };
    Mirrors::open(&state).expect("mirrors").tidy(SHOP, &few(), &go_on).expect("tidied");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_killed_processes_have_left_goes_when_nobody_can_be_at_it_any_more() {
    let (scene, ..) = grown(3).await;
    let mirror = folder(&scene.mirrors);
    let before = packs::objects(&mirror);
    let whole = packs::packs(&mirror);
    let digits = "0123456789abcdef0123456789abcdef01234567";
    let in_packs = [format!("pack-{digits}.pack"), format!("pack-{}.idx", digits.replace('0', "f")), "pack_git2_a1b2c3".into(), "tmp_pack_x".into()];
    let mut left: Vec<PathBuf> = in_packs.iter().map(|name| mirror.join("objects/pack").join(name)).collect();
    left.push(mirror.join("config.lock"));
    for path in &left {
        File::create(path).expect("a file");
    }
    tidy(&scene.mirrors, &Limits::default()).expect("tidied");
    assert!(left.iter().all(|path| path.exists()), "somebody may be at it");
    left.iter().for_each(|path| touched(path, SystemTime::UNIX_EPOCH));
    tidy(&scene.mirrors, &Limits::default()).expect("tidied");
    assert!(!left.iter().any(|path| path.exists()), "{left:?}");
    assert_eq!((packs::packs(&mirror), packs::objects(&mirror)), (whole, before));
}

/// A lock that nobody holds would keep a branch where it is for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_a_killed_process_was_writing_is_written_by_the_next_one() {
    let (scene, ..) = grown(0).await;
    let lock = folder(&scene.mirrors).join("refs/tidegate/heads/main.lock");
    // However long what follows takes.
    touched(&lock, SystemTime::now() + Duration::from_secs(3_600));
    let next = scene.commit("elm", "refs/heads/main");
    let error = scene.fetch(main_branch(), None).await.expect_err("somebody may be at it");
    assert!(error.is_passing() && error.to_string().contains("lock"), "{error}");
    touched(&lock, SystemTime::UNIX_EPOCH);
    assert_eq!(scene.fetch(main_branch(), None).await.expect("fetched"), next);
}
