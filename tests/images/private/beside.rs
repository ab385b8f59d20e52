//! Services whose images are another registry's than the step's: each registry hears what is known for itself, and nothing else.

use std::path::Path;

use super::{Home, PASSWORD, USER, basic, configuration, holding, nowhere, seen, tells, wait_for};
use crate::builder::{Made, image, own_busybox};
use crate::registry::registry;
use crate::support::{Seen, World};

/// For the services' registry, which does not let in who says the step's.
pub(super) const OTHER: &str = "an0ther one";
pub(super) const OTHER_HTPASSWD: &str = "ada:$2y$05$bcdefghijklmnopqrstuvu/YFiABrW5h2uZ8xY5qhd3jcotivax.C\n";

fn standing() -> Made {
    image(&[own_busybox()]).with("Cmd", serde_json::json!(["/bin/sh", "-c", "touch /tmp/stands; sleep 300"]))
}

fn world(image: &str, beside: &str, script: &str) -> World {
    let file = format!(
        "name: private\non: {{ manual: {{}} }}\nsteps:\n  inside:\n    image: {image}\n    run: {script}\n    retry: {{ attempts: 1 }}\n    services:\n      beside: {{ image: \"{beside}\", ready: test -e /tmp/stands }}\n"
    );
    World::with(&[(".tidegate/private.yaml", &file)])
}

fn auths(known: &[(&str, &str)]) -> String {
    let auths: serde_json::Map<_, _> =
        known.iter().map(|(host, password)| ((*host).to_owned(), serde_json::json!({"auth": basic(USER, password)}))).collect();
    serde_json::json!({ "auths": auths }).to_string()
}

pub(super) fn other_is_nowhere(world: &World, said: &str) {
    let spellings = [OTHER.to_owned(), basic(USER, OTHER)];
    assert!(!spellings.iter().any(|spelling| said.contains(spelling)), "{said}");
    let files = spellings.iter().flat_map(|spelling| files_with(&world.state(), spelling)).collect::<Vec<_>>();
    assert_eq!(files, Vec::<std::path::PathBuf>::new());
}

fn files_with(folder: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let has = |bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    super::files(folder).into_iter().filter(|file| std::fs::read(file).is_ok_and(|bytes| has(&bytes))).collect()
}

#[tokio::test]
async fn a_service_is_pulled_with_what_is_known_for_its_own_registry() {
    let test = "private::beside::a_service_is_pulled_with_what_is_known_for_its_own_registry";
    let Some(open) = registry(test) else { return };
    open.push("own/app:1", &image(&[own_busybox()])).await;
    let digest = open.push("own/beside:1", &standing()).await;
    for home in Home::all(test) {
        let (steps, services) = (home.closed(&open), home.closed_to(&open, OTHER_HTPASSWD));
        let (own, other) = (steps.host(), services.host());
        let (name, beside) = (steps.name("own/app:1"), services.name("own/beside:1"));
        let world = world(&name, &beside, "echo ran");
        let with = |what: &str, known: &[(&str, &str)]| {
            let folder = configuration(&world, what, &auths(known));
            seen(home.run(&world, "always", &[("DOCKER_CONFIG", folder.as_os_str())]))
        };

        let without = with("without", &[(&own, PASSWORD)]).expect(4);
        let wrong = with("wrong", &[(&own, PASSWORD), (&other, PASSWORD)]).expect(4);
        for (seen, says) in [(&without, "without credentials"), (&wrong, "does not take the credentials that are known for it")] {
            let said = seen.all();
            assert!(said.contains(says) && said.contains(&format!("docker login {other}")), "{}: {said}", home.name());
            assert!(said.contains("infrastructure") && !said.contains("ran\n"), "{}: {said}", home.name());
            nowhere(&world, seen);
        }

        let seen = with("both", &[(&own, PASSWORD), (&other, OTHER)]).expect(0);
        assert!(seen.all().contains("ran"), "{}: {}", home.name(), seen.all());
        nowhere(&world, &seen);
        other_is_nowhere(&world, &seen.all());
        let record = world.tidegate(&["--json", "runs", "show", "latest"]).expect(0).all();
        assert!(record.contains(&digest), "{}: {record}", home.name());
        nowhere(&world, &Seen { code: 0, out: record.clone(), err: String::new() });
        other_is_nowhere(&world, &record);
        home.forget(&name);
        home.forget(&beside);
    }
}

/// What another supervisor would go on with is on disk by then.
#[tokio::test]
async fn while_a_step_with_services_runs_no_file_has_a_password() {
    let test = "private::beside::while_a_step_with_services_runs_no_file_has_a_password";
    let Some(open) = registry(test) else { return };
    open.push("own/app:1", &image(&[own_busybox()])).await;
    open.push("own/beside:1", &standing()).await;
    for home in Home::all(test) {
        let (steps, services) = (home.closed(&open), home.closed_to(&open, OTHER_HTPASSWD));
        let (name, beside) = (steps.name("own/app:1"), services.name("own/beside:1"));
        // Until somebody has looked: it is told so by its end.
        let world = world(&name, &beside, "echo begun; sleep 300");
        let folder = configuration(&world, "both", &auths(&[(&steps.host(), PASSWORD), (&services.host(), OTHER)]));
        let mut command = home.run(&world, "always", &[("DOCKER_CONFIG", folder.as_os_str())]);
        let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let log = wait_for(|| {
            let run = std::fs::read_dir(world.state().join("runs")).ok()?.flatten().next()?.path();
            std::fs::read_to_string(run.join("inside.1.log")).ok().filter(|log| log.lines().any(|line| line == "begun"))
        });
        assert!(!tells(log.as_bytes()), "{log}");
        if matches!(home, Home::Engine(_)) {
            assert!(super::files(&world.state()).iter().any(|file| file.ends_with("plan")), "{}: nobody could go on with it", home.name());
        }
        assert_eq!(holding(&world.state()), Vec::<std::path::PathBuf>::new(), "{}", home.name());
        other_is_nowhere(&world, &log);
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
        let seen = Seen::of(&child.wait_with_output().unwrap());
        nowhere(&world, &seen);
        other_is_nowhere(&world, &seen.all());
        home.forget(&name);
        home.forget(&beside);
    }
}
