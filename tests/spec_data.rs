//! Every sample pipeline: the good ones load, are planned and fit the schema; of the bad ones a person sees exactly what the snapshots say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use tidegate::core::{check, plan, spec};
use tidegate::model::diagnostic::Diagnostic;
use tidegate::model::event::{Event, EventKind};
use tidegate::model::id::CommitId;
use tidegate::report::diagnostics::{Look, render};

const SCANNER: &str = "
name: secret-scan
description: Finds secrets.
inputs:
  path: { description: Where to look, default: . }
  fail: { description: Findings at or above fail the step, default: low }
run: tidegate scan --fail ${{ inputs.fail }} ${{ inputs.path }}
outputs: { report: findings.sarif }
";

fn action(name: &str) -> Option<String> {
    (name == "secret-scan").then(|| SCANNER.to_owned())
}

fn load(file: &str, text: &str) -> Result<spec::Pipeline, Vec<Diagnostic>> {
    spec::load(file, text, &action)
}

fn samples(folder: &str) -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/specs").join(folder);
    let mut found: Vec<_> = std::fs::read_dir(&root)
        .unwrap_or_else(|error| panic!("{}: {error}", root.display()))
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.file_stem().expect("a name").to_string_lossy().into_owned(), path))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no samples in {folder}");
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(text: &str, diagnostics: &[Diagnostic]) -> String {
    render("pipeline.yaml", text, diagnostics, Look::default())
}

fn manual(params: &[(&str, &str)]) -> Event {
    Event {
        kind: EventKind::Manual,
        repository: "shop".into(),
        reference: "refs/heads/main".into(),
        branch: Some("main".into()),
        commit: CommitId::new("0123456789abcdef0123456789abcdef01234567"),
        subject: "It's a change".into(),
        author: "Ada".into(),
        changed: None,
        params: params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>(),
        context: Default::default(),
    }
}

#[test]
fn what_people_see_of_bad_files() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots/spec_bad");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (name, path) in samples("bad") {
        let text = read(&path);
        let errors = load("pipeline.yaml", &text).expect_err(&name);
        settings.bind(|| insta::assert_snapshot!(name, shown(&text, &errors)));
    }
}

#[test]
fn every_error_has_its_place_and_a_documented_code() {
    let documented = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md"));
    for (name, path) in samples("bad") {
        let text = read(&path);
        for error in load("pipeline.yaml", &text).expect_err(&name) {
            assert!(documented.contains(&format!("`{}`", error.code)), "{name}: {} is not in docs/errors.md", error.code);
            assert!(error.span.is_some() || error.code == "empty-file", "{name}: {error:?}");
        }
    }
}

#[test]
fn good_files_load_are_planned_and_fit_the_schema() {
    let schema = spec::json_schema();
    for (name, path) in samples("good") {
        let text = read(&path);
        let pipeline = load("pipeline.yaml", &text).unwrap_or_else(|errors| panic!("{name}:\n{}", shown(&text, &errors)));
        let params: &[(&str, &str)] = if name == "whole_format" { &[("count", "3")] } else { &[] };
        let plan = plan::build(&pipeline, &manual(params), &[]).unwrap_or_else(|errors| panic!("{name}:\n{}", shown(&text, &errors)));
        let kept = serde_json::to_value(&plan).expect("a plan serialises");
        assert_eq!(serde_json::from_value::<plan::Plan>(kept).expect("and reads back"), plan, "{name}");
        let value: Json = serde_yaml::from_str(&text).expect("YAML");
        fits(&schema, &value, &name).unwrap_or_else(|why| panic!("{why}"));
    }
}

#[test]
fn the_whole_format_is_used_by_one_sample() {
    let (_, path) = samples("good").into_iter().find(|(name, _)| name == "whole_format").expect("there");
    let value: Json = serde_yaml::from_str(&read(&path)).expect("YAML");
    let mut missing = Vec::new();
    unused(&spec::json_schema(), &[&value], "", &mut missing);
    // Keys that exclude those that are used, or belong to another provider.
    let elsewhere = ["step", "project", "service", "subscription", "group", "app", "slot", "upstream", "function"];
    missing.retain(|key| !elsewhere.iter().any(|other| key.ends_with(&format!(".{other}"))));
    // The same table stands behind these and behind the places where they are used.
    let again = [".routes.*.rollout.", ".steps.*.resources.", ".steps.*.services.*.env.", ".env.*.secret"];
    missing.retain(|key| !again.iter().any(|start| key.starts_with(start)));
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn what_is_not_supported_yet_is_said_with_its_place() {
    let (_, path) = samples("good").into_iter().find(|(name, _)| name == "whole_format").expect("there");
    let text = read(&path);
    let pipeline = load("pipeline.yaml", &text).expect("loads");
    let notes: Vec<String> = spec::unsupported(&pipeline).into_iter().map(|note| format!("{}: {}", note.route, note.message)).collect();
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!("not_supported_yet", notes.join("\n")) });
    let (_, path) = samples("good").into_iter().find(|(name, _)| name == "local_canary").expect("there");
    assert_eq!(spec::unsupported(&load("pipeline.yaml", &read(&path)).expect("loads")), []);
}

#[test]
fn every_check_finds_the_bad_and_leaves_the_good() {
    let mut report = String::new();
    for one in check::all() {
        for (name, path) in samples(&format!("check/{}", one.name())) {
            let text = read(&path);
            let pipeline = load("pipeline.yaml", &text).unwrap_or_else(|errors| panic!("{}/{name}:\n{}", one.name(), shown(&text, &errors)));
            let found = one.look(&pipeline);
            assert_eq!(found.is_empty(), name == "good", "{}/{name}: {found:?}", one.name());
            assert!(found.iter().all(|diagnostic| diagnostic.code == one.name()));
            report += &shown(&text, &found);
        }
    }
    insta::assert_snapshot!("checks", report);
}

#[test]
fn a_plan_reads_well() {
    let mut report = String::new();
    for (name, path) in samples("good") {
        let pipeline = load(&format!("{name}.yaml"), &read(&path)).expect("loads");
        let params: &[(&str, &str)] = if name == "whole_format" { &[("count", "3"), ("channel", "beta")] } else { &[] };
        let plan = plan::build(&pipeline, &manual(params), &[]).expect("plans");
        report += &tidegate::report::plan::render(&plan, Look::default());
        report += "\n";
    }
    insta::assert_snapshot!("plans", report);
}

#[test]
fn values_from_outside_are_inert_in_a_real_shell() {
    let pipeline = load("p.yaml", "name: x\nsteps:\n  a:\n    run: printf '%s|' ${{ event.subject }} a${{ event.branch }}b\n").expect("loads");
    for attack in [
        "'; rm -rf /; '",
        "$(touch /tmp/owned)",
        "`id`",
        "a\nb",
        "\\",
        "'",
        "''",
        "\"",
        "${{ steps.x.outputs.y }}",
        "${{ event.author }}",
        "$HOME",
        "*",
        "-n",
        "",
        " ",
        "~",
        "!!",
        "\u{1b}[31m",
        "#",
        "&& false",
        "世界",
    ] {
        let event = Event { subject: attack.to_owned(), branch: Some(attack.to_owned()), ..manual(&[]) };
        let plan = plan::build(&pipeline, &event, &[]).expect("plans");
        let plan: plan::Plan = serde_json::from_str(&serde_json::to_string(&plan).expect("serialises")).expect("reads back");
        let plan::Work::Invoke(invoke) = &plan.nodes[0].work else { panic!("an invocation") };
        let (script, _) = invoke.resolve(&serde_json::json!({ "steps": { "x": { "outputs": { "y": "evil" } } } })).expect("resolves");
        let output = std::process::Command::new("sh").arg("-euc").arg(&script).env_clear().output().expect("sh runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{attack}|a{attack}b|"), "{script}");
    }
}

#[test]
fn files_that_are_no_pipelines_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let tidegate = |arguments: &[&str]| {
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_tidegate")).args(arguments).current_dir(folder.path()).env_clear().output().expect("runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    };
    let refused = |arguments: &[&str], said: &str| {
        let (code, output) = tidegate(arguments);
        assert_eq!((code, output.contains(said)), (Some(2), true), "{arguments:?}: {output}");
    };
    refused(&["check"], "there is no pipeline in .tidegate/");
    refused(&["plan"], "not a git repository");
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.args(["-c", "user.name=A. Person", "-c", "user.email=person@example.com"]).args(arguments).current_dir(folder.path());
        let status = command.env("HOME", folder.path()).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").status();
        assert!(status.expect("git").success(), "git {arguments:?}");
    };
    git(&["init", "--quiet", "."]);
    git(&["commit", "--quiet", "--allow-empty", "--message", "First"]);
    refused(&["plan"], "there is no pipeline in .tidegate/");
    refused(&["check", "nowhere.yaml"], "there is no file nowhere.yaml");
    refused(&["plan", ".", "--worktree"], "name a file by its path");
    std::fs::write(folder.path().join("latin1.yaml"), b"name: caf\xe9\n").expect("written");
    refused(&["check", "latin1.yaml"], "save it as UTF-8");
    std::fs::write(folder.path().join("large.yaml"), vec![b'#'; 2 << 20]).expect("written");
    refused(&["check", "large.yaml"], "1 MiB");
    std::fs::write(folder.path().join("good.yaml"), "name: x\non: { manual: { params: { a: {} } } }\nsteps: { a: { run: x } }\n").expect("written");
    refused(&["plan", "--worktree", "good.yaml", "--param", "b=1"], "has no parameter \"b\"");
    refused(&["plan", "--worktree", "good.yaml", "--param", "a"], "write --param KEY=VALUE");
    refused(&["plan", "--worktree", "good.yaml", "--param", "a=1", "--param", "a=2"], "given twice");
    refused(&["plan", "--worktree", "good.yaml", "--step", "b"], "has no step \"b\"");
    assert_eq!(tidegate(&["check", "good.yaml"]), (Some(0), "good.yaml: good\n".to_owned()));
    assert_eq!(tidegate(&["plan", "--worktree", "good.yaml"]).0, Some(0));
    assert_eq!(tidegate(&["schema"]).0, Some(0));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_text_is_one_word_in_a_real_shell(text in "[^\\x00]{0,40}") {
        let template = tidegate::core::template::Template::parse("printf '%s' ${{ v }}").expect("parses");
        let script = template.render(tidegate::core::template::Escape::Shell, &serde_json::json!({ "v": text })).expect("renders");
        let output = std::process::Command::new("sh").arg("-euc").arg(&script).env_clear().output().expect("sh runs");
        proptest::prop_assert_eq!(output.stdout, text.as_bytes());
    }
}

/// As much of JSON Schema as the format's schema uses.
fn fits(schema: &Json, value: &Json, at: &str) -> Result<(), String> {
    if let Some(any) = schema.get("anyOf").and_then(Json::as_array) {
        any.iter().map(|one| fits(one, value, at)).find(Result::is_ok).unwrap_or_else(|| Err(format!("{at}: fits none of {any:?}")))?;
    }
    if let Some(words) = schema.get("enum").and_then(Json::as_array) {
        words.contains(value).then_some(()).ok_or_else(|| format!("{at}: {value} is none of {words:?}"))?;
    }
    let of_type = |word: &str| match word {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other}"),
    };
    let fine = match schema.get("type") {
        Some(Json::String(word)) => of_type(word),
        Some(Json::Array(words)) => words.iter().filter_map(Json::as_str).any(of_type),
        _ => true,
    };
    if !fine {
        return Err(format!("{at}: {value} is no {}", schema["type"]));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        fits(schema.get("items").unwrap_or(&Json::Null), item, &format!("{at}[{index}]"))?;
    }
    for key in schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
        value.get(key).ok_or_else(|| format!("{at}: {key} is missing"))?;
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let of = schema.get("properties").and_then(|known| known.get(key)).or_else(|| schema.get("additionalProperties"));
        match of {
            Some(Json::Bool(false)) => return Err(format!("{at}: there is no {key}")),
            Some(of) => fits(of, inner, &format!("{at}.{key}"))?,
            None => {}
        }
    }
    Ok(())
}

/// Keys of the schema that none of the values has.
fn unused(schema: &Json, values: &[&Json], at: &str, missing: &mut Vec<String>) {
    for any in schema.get("anyOf").and_then(Json::as_array).into_iter().flatten().filter(|any| any.get("type").is_some()) {
        let fitting: Vec<&Json> = values.iter().copied().filter(|value| fits(any, value, "").is_ok()).collect();
        unused(any, &fitting, at, missing);
    }
    for (key, inner) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
        let found: Vec<&Json> = values.iter().filter_map(|value| value.get(key)).collect();
        let at = format!("{at}.{key}");
        if found.is_empty() {
            missing.push(at.clone());
        }
        unused(inner, &found, &at, missing);
    }
    if let Some(of @ Json::Object(_)) = schema.get("additionalProperties") {
        let found: Vec<&Json> = values.iter().filter_map(|value| value.as_object()).flat_map(serde_json::Map::values).collect();
        unused(of, &found, &format!("{at}.*"), missing);
    }
    if let Some(of) = schema.get("items") {
        let found: Vec<&Json> = values.iter().filter_map(|value| value.as_array()).flatten().collect();
        unused(of, &found, &format!("{at}[]"), missing);
    }
}
