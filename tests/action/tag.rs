//! A tag that was moved while its release was built or waited for its approver: the steps of the workflow that publishes, as they stand in its file.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const WORKFLOW: &str = include_str!("../../.github/workflows/release.yml");
const TAG: &str = "v1.2.3";

/// The script of one step.
fn script(name: &str) -> String {
    let step = WORKFLOW.split(&format!("- name: {name}\n")).nth(1).unwrap_or_else(|| panic!("no step {name:?}"));
    let (first, rest) = step.split_once("run: ").expect("it runs something").1.split_once('\n').expect("a line");
    if first != "|" {
        return first.to_owned();
    }
    let indent = " ".repeat(10);
    rest.lines().map_while(|line| line.strip_prefix(&indent)).map(|line| format!("{line}\n")).collect()
}

/// What everybody gets the repository from, the checkout of the job, and somebody who may push.
struct Scene {
    place: TempDir,
    built: String,
}

impl Scene {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let scene = Self { built: String::new(), place };
        let (remote, ours) = (scene.path("remote"), scene.path("ours"));
        scene.git("", &["init", "--quiet", "--bare", &remote]);
        scene.git("", &["init", "--quiet", &ours]);
        scene.git("ours", &["remote", "add", "origin", &remote]);
        let built = scene.commit("built");
        scene.git("ours", &["push", "--quiet", "origin", "HEAD:refs/heads/main"]);
        scene.git("", &["clone", "--quiet", "--branch", "main", &remote, &scene.path("job")]);
        std::fs::create_dir_all(scene.place.path().join("job/packaging")).unwrap();
        std::fs::create_dir_all(scene.place.path().join("job/dist")).unwrap();
        std::fs::write(scene.place.path().join("job/dist/tidegate.tar.gz"), "").unwrap();
        let release = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/release.sh");
        std::os::unix::fs::symlink(release, scene.place.path().join("job/packaging/release.sh")).unwrap();
        Self { built, ..scene }
    }

    fn path(&self, name: &str) -> String {
        self.place.path().join(name).display().to_string()
    }

    fn git(&self, folder: &str, arguments: &[&str]) -> String {
        let config = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"];
        let output = Command::new("git").current_dir(self.place.path().join(folder)).args(config).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, subject: &str) -> String {
        self.git("ours", &["commit", "--quiet", "--allow-empty", "-m", subject]);
        self.git("ours", &["rev-parse", "HEAD"])
    }

    /// The tag at what is checked out, wherever it was before.
    fn tag(&self, more: &[&str]) {
        self.git("ours", &[&["tag", "--force"], more, &[TAG]].concat());
        self.git("ours", &["push", "--quiet", "--force", "origin", &format!("refs/tags/{TAG}")]);
    }

    /// As the runner runs it, with a `gh` that writes down what it is told, and does `meanwhile` when a draft is made. Answers what it was told to do.
    fn step(&self, name: &str, meanwhile: &str) -> (Output, Vec<String>) {
        let (programs, told) = (self.place.path().join("programs"), self.place.path().join("told"));
        std::fs::create_dir_all(&programs).unwrap();
        let _ = std::fs::remove_file(&told);
        let gh = format!("#!/bin/sh\necho \"$1 $2 $3\" >> '{}'\n[ \"$2\" != create ] || {{ {meanwhile}; }}\n", told.display());
        std::fs::write(programs.join("gh"), gh).unwrap();
        std::fs::set_permissions(programs.join("gh"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let output = Command::new("bash")
            .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &script(name)])
            .current_dir(self.place.path().join("job"))
            .env("PATH", std::env::join_paths([programs, "/usr/bin".into(), "/bin".into()]).unwrap())
            .envs([("TAG", TAG), ("GITHUB_SHA", &self.built)])
            .output()
            .unwrap();
        let told = std::fs::read_to_string(told).unwrap_or_default();
        (output, told.lines().map(str::to_owned).collect())
    }

    #[track_caller]
    fn is_refused(&self, name: &str, meanwhile: &str, why: &str, told: &[&str]) {
        let (output, said) = self.step(name, meanwhile);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && words.contains(why), "expected {why:?}: {words}");
        assert_eq!(said, told);
    }
}

const EARLY: &str = "the tag is where it was";
const PUBLISH: &str = "release";
const MADE: [&str; 2] = ["release create v1.2.3", "release edit v1.2.3"];

#[test]
fn what_is_published_is_what_the_tag_names_when_it_is_published() {
    let scene = Scene::new();
    // Of either kind; and others that end like it are others.
    for kind in [&[][..], &["--annotate", "--message", "A release"]] {
        scene.tag(kind);
        scene.git("ours", &["push", "--quiet", "--force", "origin", &format!("{}:refs/tags/x/refs/tags/{TAG}", scene.commit("another"))]);
        scene.git("ours", &["reset", "--quiet", "--hard", &scene.built]);
        for (step, told) in [(EARLY, &[][..]), (PUBLISH, &MADE)] {
            let (output, said) = scene.step(step, ":");
            assert!(output.status.success(), "{step}: {}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(said, told);
        }
    }
}

#[test]
fn a_tag_that_was_moved_after_the_build_is_not_published() {
    let scene = Scene::new();
    let evil = scene.commit("evil");
    for kind in [&[][..], &["--annotate", "--message", "A release"]] {
        scene.tag(kind);
        scene.is_refused(EARLY, ":", &format!("{TAG} is at {evil} now, and {} was built", scene.built), &[]);
    }
    scene.git("ours", &["push", "--quiet", "origin", &format!(":refs/tags/{TAG}")]);
    scene.is_refused(EARLY, ":", "is not there any more", &[]);
    std::fs::rename(scene.path("remote"), scene.path("away")).unwrap();
    scene.is_refused(EARLY, ":", "does not say where v1.2.3 is", &[]);
}

#[test]
fn a_tag_that_is_moved_while_it_is_published_leaves_nothing() {
    let scene = Scene::new();
    scene.tag(&[]);
    let evil = scene.commit("evil");
    scene.git("ours", &["push", "--quiet", "origin", "HEAD:refs/heads/evil"]);
    let moved = format!("git -C '{}' update-ref refs/tags/{TAG} {evil}", scene.path("remote"));
    scene.is_refused(PUBLISH, &moved, "nothing is published", &["release create v1.2.3", "release delete v1.2.3"]);
}
