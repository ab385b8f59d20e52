//! Services end with their step, whoever dies. (Those of the sandbox whose helpers are killed: tests/images/services/ends.rs.)

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tidegate::adapters::executor::{AnyExecutor, Executor as _};
use tidegate::model::invocation::{InvocationResult, InvocationSpec};
use tidegate::model::limits::Network;
use tidegate::model::outcome::{Exit, Outcome};
use tidegate::model::service::Ready;
use tokio::sync::watch;

use super::{WEB, infrastructure, service, stages};
use crate::executor::{Log, Scene, lock_holders, processes_with, spec};

impl Scene {
    /// Runs it beside something that happens meanwhile, which may want it to stop.
    async fn beside(&self, asked: InvocationSpec, meanwhile: impl AsyncFnOnce(&Log, watch::Sender<bool>)) -> (InvocationResult, String) {
        let (cancel, cancelled) = watch::channel(false);
        let (log, file, run, node) = (Log::default(), self.log(), asked.run.clone(), asked.node.clone());
        let (result, ()) = tokio::join!(self.executor.invoke(asked, &file, log.watched(cancelled)), meanwhile(&log, cancel));
        self.executor.forget(&run, &node, 1);
        let said = std::fs::read_to_string(&file).unwrap_or_default();
        let _ = std::fs::remove_file(&file);
        (result, said)
    }

    /// Kills whoever owns the only invocation.
    fn kill_the_supervisor(&self) {
        let [supervisor] = lock_holders(self.state.path())[..] else { panic!("one supervisor") };
        kill_process(Pid::from_raw(supervisor).unwrap(), Signal::KILL).unwrap();
    }
}

#[tokio::test]
async fn services_end_with_the_step_however_that_ends() {
    for scene in stages() {
        let mark = format!("8{}", std::process::id());
        let sleep = format!("sleep\x00{mark}");
        let idle = scene.shell("idle-ends:1", &format!("trap '' TERM; echo up; sleep {mark}; sleep {mark}"));
        let with = |script: &str| InvocationSpec {
            services: vec![service("db", &idle, Some(Ready::Command("true".to_owned())))],
            grace: Duration::from_millis(100),
            ..spec(script)
        };
        for (script, timeout, expected) in [("true", 60, "succeeded"), ("exit 1", 60, "failed"), ("sleep 1000", 3, "timed-out")] {
            let (result, _) = scene.stand(InvocationSpec { timeout: Duration::from_secs(timeout), ..with(script) }).await;
            assert_eq!(result.outcome.word(), expected, "{}", scene.name);
            // Nothing has to be waited for: it was gone before the result was there.
            assert!(processes_with(&sleep).is_empty());
            assert_eq!(result.record.services[0].ended, None, "{}: nobody blames it for being ended", scene.name);
        }
        let stop = async |log: &Log, cancel: watch::Sender<bool>| {
            log.says("running").await;
            cancel.send(true).unwrap();
        };
        let (result, _) = scene.beside(with("echo running; sleep 1000"), stop).await;
        assert_eq!((result.outcome.word(), scene.objects()), ("cancelled", vec![]), "{}", scene.name);
        assert!(processes_with(&sleep).is_empty());
        // While they are waited for.
        let waited = InvocationSpec { services: vec![service("db", &idle, Some(Ready::Port(1)))], ..with("true") };
        let stop = async |_: &Log, cancel: watch::Sender<bool>| {
            while processes_with(&sleep).is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            cancel.send(true).unwrap();
        };
        let (result, _) = scene.beside(waited, stop).await;
        assert_eq!((result.outcome.word(), scene.objects()), ("cancelled", vec![]), "{}", scene.name);
        assert!(!result.record.started && processes_with(&sleep).is_empty());
        assert_eq!(scene.leftovers(), [""; 0]);
    }
}

#[tokio::test]
async fn a_step_whose_supervisor_was_killed_before_its_services_were_ready_has_not_begun_and_leaves_nothing() {
    for scene in stages().into_iter().filter(Scene::is_engine) {
        let mark = format!("7{}", std::process::id());
        let idle = scene.shell("idle-wait:1", &format!("sleep {mark}"));
        let asked = InvocationSpec { services: vec![service("db", &idle, Some(Ready::Port(1)))], ..spec("echo never") };
        let kill = async |_: &Log, _keep: watch::Sender<bool>| {
            while processes_with(&format!("sleep\x00{mark}")).is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            scene.kill_the_supervisor();
        };
        let (result, log) = scene.beside(asked, kill).await;
        assert!(infrastructure(&result).contains("supervisor was killed"), "{result:?}");
        assert!(!result.record.started && !log.contains("never"), "{}: {log}", scene.name);
        assert_eq!((scene.objects(), scene.leftovers()), (vec![], vec![]), "{}", scene.name);
    }
}

#[tokio::test]
async fn a_step_with_services_whose_supervisor_was_killed_is_gone_on_with_and_nothing_is_lost() {
    for scene in stages().into_iter().filter(Scene::is_engine) {
        let web = scene.shell("web:1", WEB);
        let counts = scene.shell("counts:1", "n=0; while [ $n -lt 50 ]; do n=$((n + 1)); echo $n; sleep 0.1; done; sleep 1000");
        let seed = scene.shell("seed:1", "echo seeded");
        let script = "echo begun; n=0; while [ $n -lt 60 ]; do sleep 0.1; n=$((n+1)); wget -qO /tmp/said http://web/; echo line $n of $(cat /tmp/said); done; echo v=1 >> \"$TIDEGATE_OUTPUT\"";
        let mut web = service("web", &web, Some(Ready::Port(80)));
        web.env.insert("TOKEN".to_owned(), "s3cr3t".to_owned());
        let services = vec![web, service("counts", &counts, None), service("seed", &seed, None)];
        let kill = async |log: &Log, _keep: watch::Sender<bool>| {
            for line in ["line 8 of", "line 16 of"] {
                log.says(line).await;
                let record = std::fs::read_dir(scene.state.path().join("invocations/r1")).unwrap().next().unwrap().unwrap().path();
                let plan = std::fs::read_to_string(record.join("plan")).unwrap();
                assert!(!plan.contains("s3cr3t"), "{plan}");
                scene.kill_the_supervisor();
            }
        };
        let (result, log) = scene.beside(InvocationSpec { services, ..spec(script) }, kill).await;
        assert_eq!(result.outcome, Outcome::Succeeded, "{}: {log}", scene.name);
        let own: String = log.lines().filter(|line| !line.starts_with("[tidegate: ")).map(|line| format!("{line}\n")).collect();
        let lines: String = (1..=60).map(|n| format!("line {n} of I am web\n")).collect();
        assert_eq!(own, format!("begun\n{lines}"), "{}", scene.name);
        assert_eq!(scene.log_of("web"), "web begins\n", "{}", scene.name);
        assert_eq!(scene.log_of("counts"), (1..=50).map(|n| format!("{n}\n")).collect::<String>(), "{}", scene.name);
        let seen: Vec<_> = result.record.services.iter().map(|one| (one.name.as_str(), one.ready_us.is_some(), one.ended)).collect();
        assert_eq!(seen, [("web", true, None), ("counts", true, None), ("seed", true, Some(Exit::Code(0)))], "{}", scene.name);
        assert_eq!((result.values["v"].as_str(), result.record.started), ("1", true));
        assert_eq!((scene.objects(), scene.leftovers()), (vec![], vec![]), "{}", scene.name);
        let AnyExecutor::Container(executor) = &scene.executor.executor else { panic!("a container") };
        assert_eq!(executor.tidy().await.unwrap(), 0, "nothing was left to tidy up");
    }
}

/// Its way out dies with its supervisor.
#[tokio::test]
async fn a_step_with_services_and_a_way_out_ends_with_its_supervisor_and_leaves_nothing() {
    for scene in stages().into_iter().filter(Scene::is_engine) {
        let web = scene.shell("web:1", WEB);
        let asked = InvocationSpec {
            services: vec![service("web", &web, Some(Ready::Port(80)))],
            network: Network::Only(vec!["example.com".parse().unwrap()]),
            ..spec("echo running; sleep 1000")
        };
        let kill = async |log: &Log, _keep: watch::Sender<bool>| {
            log.says("running").await;
            let holders = lock_holders(scene.state.path());
            // The supervisor, and its proxy.
            assert_eq!(holders.len(), 2, "{holders:?}");
            kill_process(Pid::from_raw(holders[0].min(holders[1])).unwrap(), Signal::KILL).unwrap();
        };
        let (result, _) = scene.beside(asked, kill).await;
        assert!(infrastructure(&result).contains("supervisor was killed") && result.record.started, "{result:?}");
        assert_eq!((scene.objects(), scene.leftovers()), (vec![], vec![]), "{}", scene.name);
    }
}
