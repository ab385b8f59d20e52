//! A person at a terminal, in front of the program.

use std::process::{Command, Stdio};

use crate::support::World;

/// Speaks with the binary at a terminal of 33 × 77: waits for a text, then types. `KILL` kills it instead. Says at the end whether the terminal is as it was.
const TERMINAL: &str = "
import fcntl, json, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 77, 0, 0))
before, seen, at = termios.tcgetattr(terminal), b'', 0
def hear():
    global seen
    try:
        said = os.read(terminal, 65536)
    except OSError:
        return False
    seen += said
    return len(said) > 0
for expected, typed in json.loads(sys.argv[1]):
    while seen.find(expected.encode(), at) < 0:
        if not hear():
            sys.exit('it ended before it said ' + expected + ': ' + seen.decode(errors='replace'))
    at = seen.find(expected.encode(), at) + len(expected.encode())
    if typed == 'KILL':
        os.kill(pid, 9)
    else:
        os.write(terminal, typed.encode())
code = 0
while hear():
    pass
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
os.write(1, seen + (b'\\nRESTORED' if termios.tcgetattr(terminal) == before else b'\\nCHANGED'))
sys.exit(code)
";

/// All that was shown, and the exit code.
pub fn at_a_terminal(world: &World, arguments: &[&str], talk: &[(&str, &str)]) -> (Option<i32>, String) {
    let tidegate = world.command(arguments);
    let mut command = Command::new("timeout");
    command.args(["120", "python3", "-c", TERMINAL]).arg(serde_json::to_string(talk).expect("JSON"));
    command.arg(tidegate.get_program()).args(tidegate.get_args()).current_dir(world.repository()).env_clear();
    command.envs(tidegate.get_envs().filter_map(|(key, value)| Some((key, value?)))).env("TERM", "xterm");
    let output = command.stdin(Stdio::null()).output().expect("python3");
    (output.status.code(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}
