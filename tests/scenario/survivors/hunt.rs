//! Finds the processes of one world and kills them. They are told from all others by the binary: the world has a name for it of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::load::MARK;
use crate::support::{World, program};

pub(super) struct Grounds<'a> {
    world: &'a World,
    program: PathBuf,
    /// Invocations of which a process was killed: `RUN/NODE.ATTEMPT`.
    pub(super) shot: BTreeSet<String>,
}

impl<'a> Grounds<'a> {
    pub(super) fn new(world: &'a World) -> Self {
        let (from, program) = (program(), world.path("tidegate-survivors"));
        fs::hard_link(&from, &program).or_else(|_| fs::copy(&from, &program).map(drop)).expect("the binary under another name");
        Self { world, program, shot: BTreeSet::new() }
    }

    pub(super) fn start(&self, arguments: &[&str]) -> Child {
        let like = self.world.command(arguments);
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(self.world.repository()).env_clear();
        command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary")
    }

    /// All that runs the world's binary, but no zombie.
    fn family(&self) -> Vec<i32> {
        processes().filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == self.program)).collect()
    }

    /// The invocation whose lock a process holds: it is its supervisor, or the helper or the init of its sandbox.
    fn owned_by(&self, pid: i32) -> Option<String> {
        let records = self.world.state().join("invocations");
        let mut open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
        let lock = open.find(|target| target.starts_with(&records) && target.file_name().is_some_and(|name| name == "lock"))?;
        Some(lock.parent()?.strip_prefix(&records).ok()?.to_str()?.to_owned())
    }

    /// Kills a supervisor, a helper or an init; false when there is none.
    pub(super) fn shoot_an_owner(&mut self, random: &mut fastrand::Rng) -> bool {
        let mut family = self.family();
        random.shuffle(&mut family);
        // What init has just forked is the step itself.
        family.retain(|pid| number_inside(*pid).is_none_or(|inside| inside == "1"));
        let Some((pid, invocation)) = family.into_iter().find_map(|pid| Some((pid, self.owned_by(pid)?))) else { return false };
        let _ = kill(pid, Signal::KILL);
        self.shot.insert(invocation);
        true
    }

    /// Kills a nursery or a helper that waits for somebody. Stopped first, so that it does not become somebody's between the look and the kill.
    pub(super) fn shoot_a_bystander(&mut self, random: &mut fastrand::Rng, but: &[i32]) -> bool {
        let mut family = self.family();
        random.shuffle(&mut family);
        for pid in family.into_iter().filter(|pid| !but.contains(pid) && number_inside(*pid).is_none()) {
            if self.owned_by(pid).is_none() && kill(pid, Signal::STOP) {
                self.shot.extend(self.owned_by(pid));
                return kill(pid, Signal::KILL);
            }
        }
        false
    }

    /// What lives of it all: Tidegate's processes, and what steps started.
    pub(super) fn survivors(&self) -> Vec<String> {
        let mark = format!("{MARK}=here");
        let marked =
            |pid: &i32| fs::read(format!("/proc/{pid}/environ")).is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == mark.as_bytes()));
        let steps = processes().filter(marked);
        let said = |pid: i32| format!("{pid} {}", fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " "));
        self.family().into_iter().chain(steps).map(said).collect()
    }
}

fn kill(pid: i32, signal: Signal) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| kill_process(pid, signal).is_ok())
}

fn processes() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Its number in a sandbox; `None` outside. One that has just ended is said to be in one.
fn number_inside(pid: i32) -> Option<String> {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return Some(String::new()) };
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    numbers.split_ascii_whitespace().nth(1).map(str::to_owned)
}

/// Control groups of Tidegate's whose helper does not live any more, where what this test starts makes them: in the groups that the test is in itself (others
/// are other people's), with version 2 also above.
pub(super) fn dead_groups() -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").expect("its groups");
    let mut found = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let place = Path::new("/sys/fs/cgroup").join(controllers).join(path.trim_start_matches('/'));
        let above = if controllers.is_empty() { 16 } else { 1 };
        place.ancestors().take(above).take_while(|at| at.starts_with("/sys/fs/cgroup")).for_each(|at| look_for_groups(at, &mut found));
    }
    found
}

fn look_for_groups(at: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(at).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name();
        let Some((pid, birth)) = name.to_str().and_then(|name| name.strip_prefix("tidegate-")?.split_once('-')) else { continue };
        if birth_of(pid).as_deref() != Some(birth) {
            found.push(entry.path());
        }
    }
}

fn birth_of(pid: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19).map(str::to_owned)
}
