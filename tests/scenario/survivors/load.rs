//! The steps that are killed around, and what is true of each of them when it is left alone.

use tidegate::model::outcome::{Exit, Outcome};

/// In the environment of everything that a step starts.
pub(super) const MARK: &str = "SURVIVORS_TEST";

/// A pipeline of steps of every kind: short and long, talkative, leaving daemons behind, filling memory and `/tmp`, with outputs, too slow, failing, repeated.
pub(super) fn pipeline() -> String {
    format!(
        "\
name: load
on: {{ manual: {{}} }}
env: {{ {MARK}: here }}
steps:
  short: {{ run: echo short }}
  lines: {{ run: 'n=0; while [ $n -lt 20 ]; do n=$((n+1)); echo line $n; sleep 0.03; done' }}
  bulk: {{ run: 'n=0; while [ $n -lt 3000 ]; do n=$((n+1)); echo row $n of what is said at once; done; sleep 0.2' }}
  daemons:
    run: |
      echo begun
      setsid nohup sleep 300 >/dev/null 2>&1 </dev/null &
      (setsid sh -c 'trap \"\" TERM HUP INT; sleep 300; sleep 300' >/dev/null 2>&1 </dev/null &)
      sleep 0.2
      echo left
  memory: {{ run: 'head -c 20000000 /dev/zero | tail -c 10000000 | wc -c; head -c 20000000 /dev/zero > /tmp/fill; sleep 0.3; rm /tmp/fill; echo emptied' }}
  makes: {{ run: 'echo making; mkdir -p made/in; echo contents > made/in/it; echo aside > aside; sleep 0.1', outputs: {{ made: made }} }}
  takes: {{ needs: [makes], run: 'cat made/in/it; test ! -e aside; sleep 0.1; echo taken' }}
  slow: {{ run: 'echo waits; sleep 300', timeout: 1s }}
  stubborn: {{ run: 'trap \"\" TERM; echo stays; sleep 0.4; echo went', timeout: 30s }}
  fails: {{ run: 'echo no; sleep 0.1; exit 7' }}
  again: {{ run: 'echo once more; sleep 0.5; echo done', idempotent: true }}
  repeated: {{ run: 'echo attempt $TIDEGATE_ATTEMPT; sleep 0.1; test $TIDEGATE_ATTEMPT -gt 1', retry: {{ attempts: 3, on: [failed, infrastructure], delay: 100ms }} }}
"
    )
}

/// Something else to start, which ends at once.
pub(super) const OTHER: &str = "name: other\non: { manual: {} }\nsteps:\n  quick: { run: \"true\" }\n";

/// May be begun more than once.
pub(super) fn is_idempotent(step: &str) -> bool {
    step == "again"
}

/// Attempts that may begin: one, unless the file says otherwise.
pub(super) fn may_begin(step: &str) -> usize {
    match step {
        "again" => 2,
        "repeated" => 3,
        _ => 1,
    }
}

/// What an attempt says when it is left alone.
pub(super) fn log(step: &str, attempt: u32) -> String {
    let lines = |count: u32, line: &dyn Fn(u32) -> String| (1..=count).map(line).collect::<String>();
    match step {
        "short" => "short\n".to_owned(),
        "lines" => lines(20, &|n| format!("line {n}\n")),
        "bulk" => lines(3000, &|n| format!("row {n} of what is said at once\n")),
        "daemons" => "begun\nleft\n".to_owned(),
        "memory" => "10000000\nemptied\n".to_owned(),
        "makes" => "making\n".to_owned(),
        "takes" => "contents\ntaken\n".to_owned(),
        "slow" => "waits\n".to_owned(),
        "stubborn" => "stays\nwent\n".to_owned(),
        "fails" => "no\n".to_owned(),
        "again" => "once more\ndone\n".to_owned(),
        "repeated" => format!("attempt {attempt}\n"),
        other => panic!("the load has no step {other}"),
    }
}

/// Whether that is how an attempt ends when it is left alone.
pub(super) fn is_true_end(step: &str, attempt: u32, outcome: &Outcome) -> bool {
    match (step, outcome) {
        ("slow", Outcome::TimedOut { .. }) => true,
        ("fails", Outcome::Failed { exit, .. }) => *exit == Exit::Code(7),
        ("repeated", Outcome::Failed { exit, .. }) => *exit == Exit::Code(1) && attempt == 1,
        ("slow" | "fails", _) => false,
        ("repeated", Outcome::Succeeded) => attempt > 1,
        (_, outcome) => *outcome == Outcome::Succeeded,
    }
}
