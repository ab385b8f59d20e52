//! The command with services.

use std::path::PathBuf;
use std::time::Duration;

use super::Stage;
use super::ends::nobody_is_left;
use crate::users::program;

/// A repository with one pipeline, and the real command in it.
struct Person {
    folder: tempfile::TempDir,
}

impl Person {
    fn new(pipeline: &str) -> Self {
        let person = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(person.folder.path().join("repository/.tidegate")).unwrap();
        std::fs::write(person.folder.path().join("repository/.tidegate/pipeline.yaml"), pipeline).unwrap();
        for arguments in ["init --quiet .", "add --all", "-c user.name=A -c user.email=a@example.com commit --quiet --message First"] {
            let mut git = std::process::Command::new("git");
            git.args(arguments.split(' ')).current_dir(person.folder.path().join("repository")).env("HOME", person.folder.path());
            assert!(git.status().unwrap().success(), "git {arguments}");
        }
        person
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(program());
        command.args(arguments).current_dir(self.folder.path().join("repository")).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.folder.path()).env("TIDEGATE_STATE_DIR", self.state());
        command.stdin(std::process::Stdio::null());
        command
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn says(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.command(arguments).output().unwrap();
        (output.status.success(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
    }

    /// The only file of this name below the state folder.
    fn file(&self, name: &str) -> Option<String> {
        let runs = ["runs", "invocations"].map(|folder| std::fs::read_dir(self.state().join(folder)).into_iter().flatten().flatten());
        runs.into_iter().flatten().find_map(|run| std::fs::read_to_string(run.path().join(name)).ok())
    }
}

#[tokio::test]
async fn the_command_runs_services_shows_their_logs_and_may_die() {
    let Some(stage) = Stage::new("the_command_runs_services_shows_their_logs_and_may_die") else { return };
    let web = stage.image("web:1", &["/own/web"]).await;
    let pipeline = |script: &str| {
        format!("name: p\nsteps:\n  test:\n    image: \"{web}\"\n    run: {script}\n    services:\n      web: {{ image: \"{web}\", ready: 80 }}\n")
    };
    let person = Person::new(&pipeline("wget -qO- http://web/"));
    let (ran, said) = person.says(&["run"]);
    assert!(ran, "{said}");
    assert_eq!(person.says(&["runs", "logs", "latest", "test", "--service", "web"]), (true, "web begins\n".to_owned()));
    let (_, said) = person.says(&["runs", "logs", "latest", "--service", "db"]);
    assert!(said.contains("no step asked for has a service \"db\"; there is web"), "{said}");

    let person = Person::new(&pipeline("echo up; sleep 1; wget -qO- http://web/"));
    let mut tidegate = person.command(&["run"]).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    while !person.file("test.1.log").unwrap_or_default().lines().any(|line| line == "up") {
        assert!(tidegate.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(10));
    }
    tidegate.kill().unwrap();
    tidegate.wait().unwrap();
    // Their supervisor goes on to the step's end, with the service.
    let result = loop {
        if let Some(result) = person.file("test.1/result") {
            break result;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(result.contains("\"succeeded\"") && result.contains("\"ready_us\""), "{result}");
    assert!(person.file("test.1.log").unwrap().ends_with("I am web of \n"));
    nobody_is_left(&person.state().display().to_string());
}
