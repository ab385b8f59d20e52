//! The pipeline format: every key there is, what may stand behind it, and whether this version can do it.

use super::fields as f;
use super::shape::{Key, Shape, key};
use Shape::{Bool, Choice, Either, Keys, List, Named, Optional, Scalar};

static TEXT: Shape = Scalar(&f::TEXT);
static TEMPLATE: Shape = Scalar(&f::TEMPLATE);
static NAME: Shape = Scalar(&f::NAME);
static DURATION: Shape = Scalar(&f::DURATION);
static TIMEOUT: Shape = Scalar(&f::TIMEOUT);
static SIZE: Shape = Scalar(&f::SIZE);
static SHARE: Shape = Scalar(&f::SHARE);
static COUNT: Shape = Scalar(&f::COUNT);
static PATH: Shape = Scalar(&f::PATH);
pub static GLOBS: Shape = Either { expected: "a pattern or a list of patterns", of: &[&List(&Scalar(&f::GLOB)), &Scalar(&f::GLOB)] };
static NAMES: Shape = Either { expected: "a step's name or a list of names", of: &[&List(&NAME), &NAME] };

pub static SECRET: [Key; 1] = [key("secret", &NAME, "The name of a secret.").required()];
pub static ENV: Shape = Named { names: &f::VARIABLE, of: &Either { expected: "text or { secret: NAME }", of: &[&Keys(&SECRET), &TEMPLATE] } };

static NETWORK: Shape =
    Either { expected: "none, open, learn, or a list of hosts", of: &[&List(&Scalar(&f::EGRESS)), &Choice(&["none", "open", "learn"])] };

pub static RESOURCES: [Key; 4] = [
    key("cpu", &Scalar(&f::CPU), "Processors; fractions are allowed."),
    key("memory", &SIZE, "Memory of all processes together."),
    key("pids", &COUNT, "Processes and threads at once."),
    key("disk", &SIZE, "Bytes that may be written."),
];

static PUSH: [Key; 3] = [
    key("branches", &GLOBS, "Branches that start the pipeline; without it, all."),
    key("tags", &GLOBS, "Tags that start the pipeline; without it, none."),
    key("paths", &GLOBS, "At least one changed path must match."),
];
static PULL_REQUEST: [Key; 3] = [
    key("branches", &GLOBS, "Branches that the pull request wants to get into."),
    key("paths", &GLOBS, "At least one changed path must match."),
    key("types", &ACTIONS, "What happens to it: opened, synchronize and reopened when left out."),
];
static ACTIONS: Shape = Either { expected: "a word such as opened, or a list of them", of: &[&List(&NAME), &NAME] };
static TYPES: [Key; 1] = [key("types", &ACTIONS, "What exactly happened; without it, all.")];
static MERGE_GROUP: [Key; 1] = [key("branches", &GLOBS, "Branches that are merged into; without it, all.")];
static DEPLOYMENT: [Key; 1] = [key("environments", &GLOBS, "Environments that are deployed to; without it, all.")];
pub static PARAMETER: [Key; 5] = [
    key("type", &Choice(&["string", "number", "boolean"]), "What a value must be; string when left out."),
    key("choices", &List(&Scalar(&f::MATRIX_VALUE)), "The only values there are."),
    key("default", &Scalar(&f::MATRIX_VALUE), "The value when none is given."),
    key("required", &Bool, "Whether a value must be given."),
    key("description", &TEXT, "What it is for."),
];
static MANUAL: [Key; 1] = [key("params", &Named { names: &f::NAME, of: &Optional(&Keys(&PARAMETER)) }, "What `--param` may set.")];
static ON: [Key; 8] = [
    key("release", &Optional(&Keys(&TYPES)), "A release was published; other things that happen to it only if types names them."),
    key("merge_group", &Optional(&Keys(&MERGE_GROUP)), "A merge queue wants to know whether a group of changes is good."),
    key("deployment", &Optional(&Keys(&DEPLOYMENT)), "Somebody asked the forge for a deployment."),
    key("repository_dispatch", &Optional(&Keys(&TYPES)), "A program asked for it through the forge."),
    key("push", &Optional(&Keys(&PUSH)), "A branch or tag was pushed."),
    key("pull_request", &Optional(&Keys(&PULL_REQUEST)), "A pull request was opened or changed."),
    key("schedule", &Either { expected: "a schedule or a list of them", of: &[&List(&Scalar(&f::CRON)), &Scalar(&f::CRON)] }, "Cron, in UTC."),
    key("manual", &Optional(&Keys(&MANUAL)), "Started by a person."),
];

static GROUP: [Key; 3] = [
    key("group", &TEMPLATE, "Runs of the same group do not run at once.").required(),
    key("supersede", &Bool, "A newer run of the group cancels the older one."),
    key("queue", &Choice(&["latest", "all"]), "Who of the group may wait: only the newest (else), or everybody in turn."),
];

static DEFAULTS: [Key; 3] = [
    key("timeout", &TIMEOUT, "How long an attempt of a step may take."),
    key("network", &NETWORK, "What a step may reach: none, open, learn, or a list of hosts."),
    key("resources", &Keys(&RESOURCES), "What a step may use at most."),
];

static RETRY: [Key; 3] = [
    key("attempts", &Scalar(&f::ATTEMPTS), "All attempts, the first included."),
    key("on", &List(&Choice(&["infrastructure", "timeout", "failed"])), "Which ends are tried again; infrastructure when left out."),
    key("delay", &DURATION, "How long to wait before the next attempt."),
];
static GATE: [Key; 2] = [
    key("fail", &Choice(&["low", "medium", "high", "critical"]), "Findings at or above fail the step.").required(),
    key("only", &Choice(&["all", "new"]), "Only findings that the base commit did not have.").later(),
];
static SERVICE: [Key; 4] = [
    key("image", &TEMPLATE, "The container image.").required(),
    key("user", &TEXT, "Who it runs as, by the image's own users; whom the image names when left out."),
    key("env", &ENV, "Its environment."),
    key("ready", &Scalar(&f::MATRIX_VALUE), "A port that it listens on once it is ready, or a command that succeeds then."),
];
static WORDS: Shape = List(&TEXT);
/// What everybody sees who has the image: no secrets.
static PLAIN_ENV: Shape = Named { names: &f::VARIABLE, of: &TEMPLATE };
static BUILD: [Key; 7] = [
    key("archive", &Scalar(&f::FILE_NAME), "The archive's name in the workspace; an output has it.").required(),
    key("tag", &TEMPLATE, "What the image is called."),
    key("entrypoint", &WORDS, "What a container of it runs."),
    key("cmd", &WORDS, "Its arguments, or what it runs without an entrypoint."),
    key("env", &PLAIN_ENV, "Variables over those of the image below."),
    key("workdir", &Scalar(&f::INNER_PATH), "The folder that it begins in."),
    key("user", &TEXT, "Who it runs as: a name or a number, perhaps with a group."),
];
static DEPLOY: [Key; 2] = [
    key("function", &NAME, "A function of this file.").required(),
    key("artifact", &Scalar(&f::ARTIFACT), "STEP.OUTPUT of a step that is needed.").required(),
];

pub static STEP: [Key; 22] = [
    key("run", &TEMPLATE, "A shell script."),
    key("uses", &Scalar(&f::USES), "A reusable step instead of a script."),
    key("with", &Named { names: &f::NAME, of: &TEMPLATE }, "Inputs of the reusable step."),
    key("deploy", &Keys(&DEPLOY), "Publish an artifact as a function and move traffic to it."),
    key("needs", &NAMES, "Steps that must end first."),
    key("if", &Scalar(&f::CONDITION), "A condition in CEL."),
    key("env", &ENV, "Environment of the script."),
    key("outputs", &Named { names: &f::NAME, of: &PATH }, "Files and folders that the step leaves."),
    key("retry", &Keys(&RETRY), "When and how often to try again."),
    key("timeout", &TIMEOUT, "How long an attempt may take."),
    key("idempotent", &Bool, "May run again although it was started before a crash."),
    key("matrix", &Named { names: &f::NAME, of: &List(&Scalar(&f::MATRIX_VALUE)) }, "Run once for every combination of values."),
    key("concurrency", &COUNT, "Invocations of this step at once, over all runs."),
    key("network", &NETWORK, "What it may reach: none, open, learn, or a list of hosts."),
    key("resources", &Keys(&RESOURCES), "What it may use at most."),
    key("gate", &Keys(&GATE), "Which findings fail the step."),
    key("image", &TEMPLATE, "A container image to run in."),
    key("build", &Keys(&BUILD), "Makes an image of its own image and of what the step changed in it."),
    key("inputs", &List(&Scalar(&f::GLOB)), "What it may see of the commit.").later(),
    key("cache", &Named { names: &f::NAME, of: &Scalar(&f::ANY_PATH) }, "Folders kept between invocations.").later(),
    key("services", &Named { names: &f::NAME, of: &Keys(&SERVICE) }, "Containers that run beside it."),
    key("environment", &NAME, "What it deploys to: its approvals, branches and lock."),
];

static ERRORS: [Key; 2] = [
    key("margin", &SHARE, "The new release may be worse by at most so much."),
    key("objective", &SHARE, "The error rate that a first release is held to."),
];
static LATENCY: [Key; 3] = [
    key("over", &TIMEOUT, "A warm request slower than this counts as slow.").required(),
    key("margin", &SHARE, "The share of slow requests may be worse by at most so much."),
    key("objective", &SHARE, "The share of slow requests that a first release is held to."),
];
static JUDGE: [Key; 4] = [
    key("errors", &Keys(&ERRORS), "Looks at the error rate."),
    key("latency", &Keys(&LATENCY), "Looks at slow requests as well."),
    key("confidence", &Scalar(&f::CONFIDENCE), "How sure it must be, over the whole rollout."),
    key("samples", &COUNT, "Least requests to the new release before a stage may end."),
];
static PROBE: [Key; 2] =
    [key("path", &Scalar(&f::URL_PATH), "Where synthetic requests go.").required(), key("rate", &Scalar(&f::RATE), "How many of them.")];
pub static STRATEGIES: [&str; 4] = ["all-at-once", "canary", "linear", "blue-green"];
static ROLLOUT: [Key; 12] = [
    key("strategy", &Choice(&STRATEGIES), "The shape of the move."),
    key("stages", &List(&Scalar(&f::STAGE)), "Rising shares of traffic; 100% follows."),
    key("step", &Scalar(&f::STAGE), "By how much each stage of `linear` rises."),
    key("hold", &DURATION, "Least time in each stage."),
    key("patience", &TIMEOUT, "How long a stage may last before its verdict is inconclusive."),
    key("prewarm", &Scalar(&f::COUNT_FROM_ZERO), "Instances started before a stage takes traffic."),
    key("judge", &Keys(&JUDGE), "Decides from observed requests."),
    key("probe", &Keys(&PROBE), "Synthetic requests when there is too little real traffic."),
    key("before", &NAME, "A step that runs against the new release before it takes traffic.").later(),
    key("after", &NAME, "A step that runs against the new release after it has taken traffic.").later(),
    key("approve", &List(&Scalar(&f::STAGE)), "Stages that a person lets begin.").later(),
    key("keep", &DURATION, "How long the old release stays ready."),
];
pub static PROVIDERS: [&str; 4] = ["local", "aws", "gcp", "azure"];
static TARGET: [Key; 10] = [
    key("provider", &Choice(&PROVIDERS), "Where the function lives.").required(),
    key("region", &TEXT, "aws, gcp: the region."),
    key("role", &TEXT, "aws: the execution role."),
    key("alias", &NAME, "aws: the alias that takes traffic."),
    key("project", &TEXT, "gcp: the project."),
    key("service", &TEXT, "gcp: the service's name."),
    key("subscription", &TEXT, "azure: the subscription."),
    key("group", &TEXT, "azure: the resource group."),
    key("app", &TEXT, "azure: the function app."),
    key("slot", &TEXT, "azure: the slot."),
];
pub static FUNCTION: [Key; 8] = [
    key("runtime", &Scalar(&f::RUNTIME), "Lambda's name for it.").required(),
    key("handler", &TEXT, "What the runtime calls; bootstrap when left out."),
    key("memory", &SIZE, "Memory of an instance."),
    key("timeout", &TIMEOUT, "How long one request may take."),
    key("concurrency", &COUNT, "Requests at once, over all instances of a release."),
    key("env", &ENV, "Its environment."),
    key("target", &Keys(&TARGET), "Where it lives; the embedded provider when left out."),
    key("rollout", &Keys(&ROLLOUT), "How traffic moves to a new release."),
];

static SIDE: [Key; 2] = [key("upstream", &Scalar(&f::UPSTREAM), "A service."), key("function", &NAME, "A function of this file.")];
static ROUTE: [Key; 4] = [
    key("from", &Keys(&SIDE), "What answers today.").required(),
    key("to", &Keys(&SIDE), "What shall answer.").required(),
    key("shadow", &Scalar(&f::WEIGHT), "Copies of safe requests; answers are compared, never returned."),
    key("rollout", &Keys(&ROLLOUT), "How traffic moves."),
];

pub static PIPELINE: [Key; 9] = [
    key("name", &TEXT, "What people call it.").required(),
    key("on", &Keys(&ON), "What starts it; only by hand when left out."),
    key("concurrency", &Keys(&GROUP), "Which runs of a server exclude one another."),
    key("priority", &Scalar(&f::PRIORITY), "Which of a repository's waiting runs a server begins first: from -100 to 100, 0 when left out."),
    key("defaults", &Keys(&DEFAULTS), "What a step does not say itself."),
    key("env", &ENV, "Environment of every step."),
    key("steps", &Named { names: &f::NAME, of: &Keys(&STEP) }, "What is done."),
    key("functions", &Named { names: &f::NAME, of: &Keys(&FUNCTION) }, "What is deployed."),
    key("routes", &Named { names: &f::ROUTE, of: &Keys(&ROUTE) }, "Paths that are moved from a service to a function.").later(),
];

pub static INPUT: [Key; 4] = [
    key("type", &Choice(&["string", "number", "boolean"]), "What a value must be; string when left out."),
    key("default", &Scalar(&f::MATRIX_VALUE), "The value when none is given."),
    key("required", &Bool, "Whether a value must be given."),
    key("description", &TEXT, "What it is for."),
];
/// A reusable step: `action.yaml`.
pub static ACTION: [Key; 6] = [
    key("name", &NAME, "What people call it.").required(),
    key("description", &TEXT, "What it does."),
    key("inputs", &Named { names: &f::NAME, of: &Optional(&Keys(&INPUT)) }, "What `with` may set."),
    key("env", &ENV, "Environment of the script."),
    key("run", &TEMPLATE, "A shell script.").required(),
    key("outputs", &Named { names: &f::NAME, of: &PATH }, "Files and folders that it leaves."),
];

pub fn is_target_key(name: &str) -> bool {
    TARGET.iter().any(|key| key.name == name)
}
