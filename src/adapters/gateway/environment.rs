//! What a function's process is told by its environment, and which functions can be hosted here at all.

use std::collections::BTreeMap;
use std::path::Path;

use crate::model::function::{EnvValue, Function};

/// Runtimes that bring their own `bootstrap`.
pub const RUNTIMES: [&str; 3] = ["provided", "provided.al2", "provided.al2023"];

/// Names that Lambda keeps for itself.
const RESERVED: [&str; 18] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];

const ENV_BYTES: usize = 4 << 10;
const LONGEST_TIMEOUT_S: u64 = 900;
const MOST_INSTANCES: u32 = 1000;

/// Why this function can not be hosted, as one sentence that says what to do. `None` when it can.
pub fn why_not(function: &Function) -> Option<String> {
    let name = &function.name;
    if !good_name(name) {
        return Some(format!("the function name {name:?} can not be served: use 1 to 64 letters, digits, - and _"));
    }
    if !RUNTIMES.contains(&function.runtime.as_str()) {
        return Some(format!(
            "function {name}: the runtime {:?} is not supported by the local provider: it hosts custom runtimes ({}). Put an executable `bootstrap` that speaks the \
             Lambda Runtime API into the zip and say runtime: provided.al2023",
            function.runtime,
            RUNTIMES.join(", ")
        ));
    }
    if function.timeout.is_zero() || function.timeout.as_secs() > LONGEST_TIMEOUT_S {
        return Some(format!("function {name}: the timeout must be more than 0 and at most {LONGEST_TIMEOUT_S} s, found {:?}", function.timeout));
    }
    if !(1..=MOST_INSTANCES).contains(&function.concurrency) {
        return Some(format!("function {name}: the concurrency must be between 1 and {MOST_INSTANCES}, found {}", function.concurrency));
    }
    why_not_env(function)
}

fn why_not_env(function: &Function) -> Option<String> {
    let name = &function.name;
    let mut bytes = 0;
    for (key, value) in &function.env {
        if RESERVED.contains(&key.as_str()) {
            return Some(format!("function {name}: the environment variable {key} is set by the runtime itself: choose another name"));
        }
        let good = key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good {
            return Some(format!("function {name}: {key:?} is no name for an environment variable: begin with a letter; letters, digits and _ only"));
        }
        match value {
            EnvValue::Secret(secret) => {
                return Some(format!(
                    "function {name}: the environment variable {key} is the secret {secret:?}: not supported yet by the local provider"
                ));
            }
            EnvValue::Plain(text) if text.contains('\0') => {
                return Some(format!("function {name}: the environment variable {key} contains a zero byte"));
            }
            EnvValue::Plain(text) => bytes += key.len() + text.len(),
        }
    }
    (bytes > ENV_BYTES).then(|| format!("function {name}: its environment has {bytes} bytes, at most {ENV_BYTES} are allowed"))
}

/// Also good as a file's name and as a label of a host.
pub fn good_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Where a process finds what it needs.
pub struct Places<'a> {
    /// `/var/task` inside a sandbox.
    pub task: &'a str,
    /// `host:port` of the Runtime API.
    pub api: &'a str,
    /// Folders of programs in front of the usual ones.
    pub tools: &'a [String],
}

/// All of an instance's environment.
pub fn of(function: &Function, version: u64, stream: &str, places: &Places<'_>) -> BTreeMap<String, String> {
    let task = places.task;
    let mut path: Vec<&str> = places.tools.iter().map(String::as_str).collect();
    path.extend(["/var/lang/bin", "/usr/local/bin", "/usr/bin", "/bin", "/opt/bin"]);
    let mut env = BTreeMap::new();
    let mut set = |key: &str, value: String| drop(env.insert(key.to_owned(), value));
    set("LANG", "en_US.UTF-8".to_owned());
    set("TZ", ":UTC".to_owned());
    set("PATH", path.join(":"));
    set("LD_LIBRARY_PATH", format!("/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:{task}:{task}/lib:/opt/lib"));
    for (key, value) in &function.env {
        // A secret never gets here: `why_not` has refused it.
        if let EnvValue::Plain(value) = value {
            set(key, value.clone());
        }
    }
    // After the function's own, so that these stand whatever it says.
    set("AWS_LAMBDA_RUNTIME_API", places.api.to_owned());
    set("AWS_LAMBDA_FUNCTION_NAME", function.name.clone());
    set("AWS_LAMBDA_FUNCTION_VERSION", version.to_string());
    set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", (function.memory >> 20).max(1).to_string());
    set("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned());
    set("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", function.name));
    set("AWS_LAMBDA_LOG_STREAM_NAME", stream.to_owned());
    set("AWS_EXECUTION_ENV", format!("AWS_Lambda_{}", function.runtime));
    set("AWS_REGION", "local".to_owned());
    set("AWS_DEFAULT_REGION", "local".to_owned());
    set("LAMBDA_TASK_ROOT", task.to_owned());
    set("LAMBDA_RUNTIME_DIR", "/var/runtime".to_owned());
    set("_HANDLER", function.handler.clone());
    env
}

/// The folder of programs in a host tool: its `bin`, or itself.
pub fn tool_path(tool: &Path) -> String {
    let bin = tool.join("bin");
    if bin.is_dir() { bin } else { tool.to_owned() }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::function::Target;
    use std::time::Duration;

    fn function() -> Function {
        Function {
            name: "hello".to_owned(),
            runtime: "provided.al2023".to_owned(),
            handler: "bootstrap".to_owned(),
            memory: 256 << 20,
            timeout: Duration::from_secs(3),
            concurrency: 10,
            env: BTreeMap::new(),
            target: Target::Local,
        }
    }

    #[test]
    fn what_can_not_be_hosted_is_said_in_words() {
        type Change = fn(&mut Function);
        let cases: [(Change, &str); 8] = [
            (|f| f.name = "a/b".to_owned(), "function name"),
            (|f| f.runtime = "python3.13".to_owned(), "runtime \"python3.13\" is not supported"),
            (|f| f.timeout = Duration::ZERO, "timeout"),
            (|f| f.concurrency = 0, "concurrency"),
            (|f| drop(f.env.insert("AWS_REGION".to_owned(), EnvValue::Plain("x".to_owned()))), "AWS_REGION is set by the runtime"),
            (|f| drop(f.env.insert("A=B".to_owned(), EnvValue::Plain("x".to_owned()))), "no name"),
            (|f| drop(f.env.insert("KEY".to_owned(), EnvValue::Secret("key".to_owned()))), "not supported yet"),
            (|f| drop(f.env.insert("BIG".to_owned(), EnvValue::Plain("x".repeat(5000)))), "at most 4096"),
        ];
        assert_eq!(why_not(&function()), None);
        for (change, expected) in cases {
            let mut function = function();
            change(&mut function);
            let found = why_not(&function).unwrap_or_default();
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn the_environment_is_lambdas_and_the_functions_own() {
        let mut function = function();
        function.env.insert("TABLE".to_owned(), EnvValue::Plain("orders".to_owned()));
        function.env.insert("LANG".to_owned(), EnvValue::Plain("C".to_owned()));
        let env = of(&function, 3, "2026/01/01/[3]ab", &Places { task: "/var/task", api: "127.0.0.1:9001", tools: &["/opt/py/bin".to_owned()] });
        assert_eq!(env["TABLE"], "orders");
        assert_eq!(env["LANG"], "C");
        assert_eq!(env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], "256");
        assert_eq!(env["AWS_LAMBDA_FUNCTION_VERSION"], "3");
        assert!(env["PATH"].starts_with("/opt/py/bin:"));
    }
}
